"""The planner that needs no LLM: it reads the text by rules and places boxes by solving the relations it read."""

from __future__ import annotations

import re

from agent.offline.nouns import with_article
from agent.offline.parse import parse
from agent.offline.phrases import clean
from agent.offline.place import place
from agent.offline.scene import Scene, Thing
from agent.planner import Plan
from diffusion.layout import Instance, Layout
from eval.report import FidelityReport


class OfflinePlanner:
    """Any nouns, no network, the same plan for the same prompt and seed."""

    name = "offline"

    def plan(self, prompt: str, *, width: int, height: int, seed: int) -> Plan:
        """A plan for the prompt; PlannerError when there is nothing in it to plan, or more than a plan holds."""
        scene = parse(prompt)
        placement = place(scene, width, height, seed)
        instances = tuple(
            Instance(
                id=instance_id, category=scene.things[member.thing].noun, caption=caption_of(scene.things[member.thing]),
                box=box, depth=depth,
            )
            for instance_id, member, box, depth in zip(
                instance_ids(scene), placement.members, placement.boxes, placement.depths, strict=True
            )
        )  # fmt: skip
        layout = Layout(
            version=1, caption=clean(prompt), background=", ".join(scene.background),
            negative_prompt=", ".join(dict.fromkeys(scene.negated)), width=width, height=height, instances=instances,
        )  # fmt: skip
        notes = [
            *scene.notes,
            *(f"could not be satisfied together with the rest: {words}" for words in placement.unmet),
        ]
        if not instances:
            notes.append("no single thing is asked for: the plan is its background alone")
        return Plan(layout, tuple(dict.fromkeys(notes)))

    def replan(self, prompt: str, layout: Layout, report: FidelityReport, *, round_number: int, seed: int) -> Plan:
        """A corrected plan that quotes the report; accepted instances stay where they are."""
        from agent.offline.replan import replan

        return replan(prompt, layout, report, round_number=round_number, seed=seed)


def caption_of(thing: Thing) -> str:
    """One member of a thing in words: "a red ball", "a cup of coffee"."""
    words = " ".join([*thing.attributes, thing.noun])
    return " ".join([words if thing.plain else with_article(words, thing.noun), *thing.details])[:400]


def instance_ids(scene: Scene) -> list[str]:
    """ "ball-1", "ball-2", "teddy-bear-1", in the order of the members."""
    seen: dict[str, int] = {}
    ids = []
    for thing in scene.things:
        slug = re.sub(r"[^a-z0-9]+", "-", "".join(c if c.isalpha() or c.isascii() else " " for c in thing.noun.lower()))
        slug = slug.strip("-")[:48] or "thing"
        for _ in range(thing.count):
            seen[slug] = seen.get(slug, 0) + 1
            ids.append(f"{slug}-{seen[slug]}")
    return ids
