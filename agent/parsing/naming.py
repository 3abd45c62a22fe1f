"""What a member of a scene is called: its id and its caption."""

from __future__ import annotations

import re

from agent.parsing.nouns import with_article
from agent.parsing.scene import Scene, Thing


def caption_of(thing: Thing) -> str:
    """One member of a thing in words: "a red ball", "a cup of coffee"."""
    words = " ".join([*thing.attributes, thing.head or thing.noun])
    return " ".join([words if thing.plain else with_article(words, thing.head or thing.noun), *thing.details])[:400]


def instance_ids(scene: Scene) -> list[str]:
    """ "ball-1", "ball-2", "teddy-bear-1", in the order of the members."""
    seen: dict[str, int] = {}
    ids = []
    for thing in scene.things:
        slug = re.sub(r"[^a-z0-9]+", "-", thing.noun.lower()).strip("-")[:48] or "thing"
        for _ in range(thing.count):
            seen[slug] = seen.get(slug, 0) + 1
            ids.append(f"{slug}-{seen[slug]}")
    return ids
