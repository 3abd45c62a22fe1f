"""Captions of the tiny world in varied wording: of one thing, and of a whole scene with counts and relations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Protocol

import numpy as np

from diffusion.layout import Box
from diffusion.tiny.vocabulary import KINDS, plural

_TEXTURE_WORDS = {
    "plain": ("plain",),
    "striped": ("striped", "striped", "stripy"),
    "dotted": ("dotted", "dotted", "spotted", "polka-dot"),
    "checkered": ("checkered", "checkered", "checked", "chequered"),
}
_TEXTURE_TAILS = {"striped": "with stripes", "dotted": "with dots", "checkered": "with checks"}
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
_RELATION_WORDS = {
    "left of": ("left of", "to the left of", "on the left of", "next to"),
    "right of": ("right of", "to the right of", "on the right of", "next to"),
    "above": ("above", "above", "over"),
    "below": ("below", "below", "under", "beneath"),
    "in front of": ("in front of",),
    "behind": ("behind",),
}
_WHERE = {
    "grass": ("on green grass", "on the grass", "in a meadow", "in a green field", "on a lawn"),
    "beach": ("on a beach", "on the beach", "on a sandy beach", "at the seaside"),
    "snow": ("in the snow", "on snow", "in a snowy field", "in a winter landscape"),
    "desert": ("in a desert", "in the desert", "among sand dunes"),
    "sea": ("on the sea", "at sea", "on the ocean", "on water"),
    "night": ("at night", "under a night sky", "under a starry sky", "on a starry night"),
    "street": ("on a street", "on the road", "in a city street", "on a road"),
    "table": ("on a table", "on a wooden table", "on a desk", "on the table"),
    "room": ("in a room", "in a living room", "on a wooden floor", "on the floor"),
    "forest": ("in a forest", "in the woods", "in the forest"),
    "sunset": ("at sunset", "at dusk", "under an evening sky"),
    "grey": ("on a grey background", "on a plain grey background", "on a plain background"),
}


class Described(Protocol):
    """What a caption needs to know of a thing."""

    @property
    def kind(self) -> str: ...
    @property
    def colour(self) -> str: ...
    @property
    def texture(self) -> str: ...
    @property
    def part_colour(self) -> str | None: ...
    @property
    def box(self) -> Box: ...
    @property
    def depth(self) -> int: ...


def thing_caption(
    kind: str, colour: str, texture: str, box: Box, rng: np.random.Generator, part_colour: str | None = None
) -> str:
    """E.g. "a striped red ball", "red ball with stripes", "a large blue cube", "a white house with a red roof"."""
    noun = _noun(kind, rng)
    article = rng.random() < 0.8
    words = [*_size_words(box, rng), *_attribute_words(colour, texture, noun, rng, part_colour is None)]
    if part_colour is not None:
        words.append(_part_phrase(kind, part_colour, 1, rng))
    elif rng.random() < 0.08:
        tail = f" {_TEXTURE_TAILS[texture]}" if texture in _TEXTURE_TAILS else ""
        size = " ".join([*_size_words(box, rng), noun])
        return (f"{_article(size)} " if article else "") + f"{size} of {colour} colour{tail}"
    phrase = " ".join(words)
    return f"{_article(phrase)} {phrase}" if article else phrase


def scene_caption(things: Sequence[Described], background: str, rng: np.random.Generator) -> str:
    """E.g. "two red balls left of a blue cube on green grass"; what it says of the things is true of their boxes."""
    groups: dict[tuple[str, str, str, str | None], list[Described]] = {}
    for index in rng.permutation(len(things)).tolist():
        thing = things[index]
        groups.setdefault((thing.kind, thing.colour, thing.texture, thing.part_colour), []).append(thing)
    phrases = [_group_phrase(*look, len(group), rng) for look, group in groups.items()]
    members = list(groups.values())
    text = None
    if len(phrases) > 1 and rng.random() < 0.6:
        text = _related(phrases, members, rng)
    if text is None:
        text = _joined(phrases)
    where = str(rng.choice(_WHERE[background]))
    form = rng.random()
    if form > 0.92:
        return text
    if form < 0.15:
        return f"{where[0].upper()}{where[1:]}, {text}"
    if form < 0.25:
        return f"a picture of {text} {where}"
    return f"{text} {where}"


def relation(a: Described, b: Described) -> str | None:
    """How ``a`` stands to ``b`` when it is plain to see: left of, right of, above, below, in front of, behind."""
    (ax, ay), (bx, by) = ((t.box.x0 + t.box.x1, t.box.y0 + t.box.y1) for t in (a, b))
    across = min(a.box.x1, b.box.x1) - max(a.box.x0, b.box.x0)
    down = min(a.box.y1, b.box.y1) - max(a.box.y0, b.box.y0)
    if across > 0.03 and down > 0.03:
        return "in front of" if a.depth < b.depth else "behind"
    if across <= 0 and (down > 0 or abs(ax - bx) > 2 * abs(ay - by)):
        return "left of" if ax < bx else "right of"
    if down <= 0 and (across > 0 or abs(ay - by) > 2 * abs(ax - bx)):
        return "above" if ay < by else "below"
    return None


def _related(phrases: list[str], members: list[list[Described]], rng: np.random.Generator) -> str | None:
    for first, second in rng.permutation(list(combinations(range(len(phrases)), 2))).tolist():
        found = {relation(a, b) for a in members[first] for b in members[second]}
        if len(found) == 1 and (word := found.pop()) is not None:
            others = [phrase for index, phrase in enumerate(phrases) if index not in (first, second)]
            worded = str(rng.choice(_RELATION_WORDS[word]))
            return _joined([f"{phrases[first]} {worded} {phrases[second]}", *others])
    return None


def _joined(phrases: Sequence[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def _group_phrase(
    kind: str, colour: str, texture: str, part_colour: str | None, count: int, rng: np.random.Generator
) -> str:
    noun = _noun(kind, rng) if count == 1 else plural(_noun(kind, rng))
    words = _attribute_words(colour, texture, noun, rng, part_colour is None)
    if part_colour is not None:
        words.append(_part_phrase(kind, part_colour, count, rng))
    phrase = " ".join(words)
    if count == 1:
        return f"{_article(phrase)} {phrase}"
    return f"a pair of {phrase}" if count == 2 and rng.random() < 0.15 else f"{_NUMBERS[count]} {phrase}"


def _part_phrase(kind: str, colour: str, count: int, rng: np.random.Generator) -> str:
    """E.g. "with a red roof", "with red sails"."""
    name = str(rng.choice(KINDS[kind].part))
    several = count > 1 or (kind == "boat" and rng.random() < 0.5)
    return f"with {colour} {plural(name)}" if several else f"with {_article(colour)} {colour} {name}"


def _attribute_words(colour: str, texture: str, noun: str, rng: np.random.Generator, tail: bool) -> list[str]:
    """``tail``: whether a texture may come after the noun."""
    if texture == "plain" and rng.random() < 0.85:
        return [colour, noun]
    if tail and texture in _TEXTURE_TAILS and rng.random() < 0.3:
        return [colour, noun, _TEXTURE_TAILS[texture]]
    word = str(rng.choice(_TEXTURE_WORDS[texture]))
    return [word, colour, noun] if rng.random() < 0.65 else [colour, word, noun]


def _size_words(box: Box, rng: np.random.Generator) -> list[str]:
    side = max(box.width, box.height)
    if rng.random() < 0.75 or 0.22 < side < 0.45:
        return []
    return [str(rng.choice(("small", "little", "tiny") if side <= 0.22 else ("large", "big", "huge")))]


def _noun(kind: str, rng: np.random.Generator) -> str:
    synonyms = KINDS[kind].synonyms
    return str(rng.choice(synonyms)) if synonyms and rng.random() < 0.25 else kind


def _article(phrase: str) -> str:
    return "an" if phrase[0] in "aeiou" and not phrase.startswith("uni") else "a"
