"""Scenes in words: prompts that the tiny world can draw, made from a seed, as people would type them."""

from __future__ import annotations

import random
from collections.abc import Iterator

from diffusion.tiny.vocabulary import COLOURS, KINDS, TEXTURES, plural

RELATIONS = ("left of", "right of", "above", "below", "next to", "in front of")
PLACES = (
    *("on green grass", "on the beach", "in the snow", "in the desert", "on the sea", "at night", "on a street"),
    *("on a wooden table", "in a room", "in a forest", "at sunset", ""),
)
NUMBERS = {2: "two", 3: "three", 4: "four"}


def prompts(count: int, seed: int = 0) -> Iterator[str]:
    """One to five things each, with colours, textures, parts, counts, relations and places; all words are known."""
    for index in range(count):
        rng = random.Random(f"{seed}:{index}")
        yield f"{_things(rng)} {rng.choice(PLACES)}".strip()


def _things(rng: random.Random) -> str:
    form = rng.randrange(7)
    if form == 0:
        return _one(rng)
    if form == 1:
        return f"{_one(rng)} and {_one(rng)}"
    if form == 2:
        return f"{_one(rng)} {rng.choice(RELATIONS)} {_one(rng)}"
    if form == 3:
        return _several(rng)
    if form == 4:
        return f"{_several(rng)} {rng.choice(RELATIONS[:4])} {_one(rng)}"
    if form == 5:
        return f"{_one(rng)}, {_one(rng)} and {_one(rng)}"
    return f"{_one(rng)} between {_one(rng)} and {_one(rng)}"


def _one(rng: random.Random) -> str:
    kind, colour = rng.choice(list(KINDS)), rng.choice(list(COLOURS))
    phrase = f"{_texture(rng)}{colour} {kind}"
    if KINDS[kind].part and rng.random() < 0.25:
        phrase += f" with a {rng.choice([other for other in COLOURS if other != colour])} {KINDS[kind].part[0]}"
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def _several(rng: random.Random) -> str:
    number = rng.choice(list(NUMBERS))
    return f"{NUMBERS[number]} {_texture(rng)}{rng.choice(list(COLOURS))} {plural(rng.choice(list(KINDS)))}"


def _texture(rng: random.Random) -> str:
    return f"{rng.choice([name for name in TEXTURES if name != 'plain'])} " if rng.random() < 0.4 else ""
