"""The words of the tiny world: what it can draw, the names people type for it, and how a caption is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Kind:
    """A kind of thing: ``aspect`` is width / height, ``size`` a typical side relative to the others (1 = average).

    ``part``: the names of its one part that may have a colour of its own ("a white house with a red roof").
    """

    synonyms: tuple[str, ...]
    aspect: float
    size: float
    home: Literal["ground", "sky", "anywhere"] = "anywhere"
    part: tuple[str, ...] = ()


KINDS: dict[str, Kind] = {
    "ball": Kind(("sphere", "orb", "globe"), 1.0, 0.8),
    "cube": Kind(("box", "block", "crate"), 1.0, 0.9),
    "cone": Kind(("pylon",), 0.8, 0.9),
    "ring": Kind(("hoop", "torus", "donut", "doughnut"), 1.0, 0.8),
    "star": Kind((), 1.05, 0.8, "sky"),
    "heart": Kind(("love heart",), 1.1, 0.8),
    "tree": Kind(("oak",), 0.8, 1.5, "ground", ("trunk",)),
    "house": Kind(("hut", "cottage", "home", "cabin"), 1.05, 1.5, "ground", ("roof",)),
    "car": Kind(("automobile", "auto", "sedan"), 1.9, 1.3, "ground"),
    "boat": Kind(
        ("ship", "sailboat", "sailing boat", "sail boat", "sailing ship", "yacht"), 1.0, 1.3, "ground", ("sail",)
    ),
    "fish": Kind((), 1.6, 0.9),
    "bird": Kind(("birdie",), 1.3, 0.8, "sky"),
    "cat": Kind(("kitten", "kitty"), 0.85, 0.9, "ground"),
    "flower": Kind(("blossom", "daisy"), 0.75, 0.8, "ground", ("centre", "center")),
    "cup": Kind(("mug", "teacup", "coffee cup", "coffee mug", "tea cup"), 1.2, 0.7),
    "mushroom": Kind(("toadstool",), 1.0, 0.8, "ground", ("stem", "stalk")),
    "apple": Kind((), 0.92, 0.7),
    "moon": Kind(("crescent", "crescent moon"), 0.75, 0.9, "sky"),
    "umbrella": Kind(("parasol", "brolly"), 1.0, 1.1),
    "balloon": Kind((), 0.6, 1.0, "sky"),
}

COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (26, 26, 30),
    "white": (246, 246, 246),
    "red": (218, 30, 36),
    "green": (30, 150, 56),
    "blue": (32, 84, 220),
    "yellow": (250, 210, 28),
    "pink": (255, 128, 186),
    "purple": (128, 42, 172),
}

TEXTURES: dict[str, tuple[str, ...]] = {
    "plain": ("solid", "uniform"),
    "striped": ("stripes", "stripe", "stripy", "stripey", "banded"),
    "dotted": (
        "dots",
        "dot",
        "dotty",
        "spotted",
        "spots",
        "spotty",
        "polka",
        "polka-dot",
        "polka-dotted",
        "polka-dots",
    ),
    "checkered": ("checked", "chequered", "checkerboard", "chequerboard", "checks", "checkers", "chess"),
}

BACKGROUNDS: dict[str, tuple[str, ...]] = {
    "grass": ("grass", "green grass", "meadow", "green meadow", "field", "green field", "lawn", "garden", "park"),
    "beach": ("beach", "sandy beach", "seaside", "sea shore", "seashore", "shore"),
    "snow": ("snow", "snowy field", "snowy ground", "winter landscape", "winter"),
    "desert": ("desert", "sand dunes", "dunes"),
    "sea": ("sea", "open sea", "ocean", "water", "lake"),
    "night": ("night", "night sky", "starry night", "starry sky", "at night"),
    "street": ("street", "road", "city street", "highway", "asphalt"),
    "table": ("table", "wooden table", "desk", "tabletop", "wooden desk"),
    "room": ("room", "living room", "floor", "wooden floor", "indoors", "wall"),
    "forest": ("forest", "woods", "jungle"),
    "sunset": ("sunset", "evening sky", "dusk", "sunrise", "dawn"),
    "grey": (
        "grey background",
        "gray background",
        "plain background",
        "plain grey background",
        "plain gray background",
    ),
}

COLOUR_SYNONYMS: dict[str, str] = {
    "scarlet": "red",
    "crimson": "red",
    "violet": "purple",
    "lilac": "purple",
    "rosy": "pink",
}

_SIZES = (
    "big large huge giant enormous great small little tiny mini miniature medium sized medium-sized mid-sized tall wide"
)
_GLUE = (
    "a an the one single some this that of with and in on it its is are has have having colour color coloured colored"
)
_MORE_GLUE = "pattern patterned patterns design designs texture textured surface skin finish all over covered by"
NEUTRAL_WORDS = frozenset(f"{_SIZES} {_GLUE} {_MORE_GLUE}".split())
"""Words of a caption that ask for nothing this world would have to refuse."""

_PREPOSITIONS = frozenset(("with", "of", "in", "on", "that", "covered", "having", "and"))


@dataclass(frozen=True)
class Attributes:
    """What a caption asks for in the tiny world's own names; ``unknown_words`` is what this world cannot draw."""

    kind: str | None
    colour: str | None
    texture: str | None
    unknown_words: tuple[str, ...]
    part_colour: str | None = None


def plural(noun: str) -> str:
    """The plural of one of this vocabulary's nouns."""
    if noun.endswith("fish"):
        return noun
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def canonical_kind(noun: str) -> str | None:
    """The kind that a noun names, in the singular or plural and any case; None when it is not of this world."""
    return _KIND_OF.get(" ".join(_words(noun)))


def canonical_colour(word: str) -> str | None:
    """The colour that a word names; None when it is not of this world."""
    return _COLOUR_OF.get(word.strip().lower())


def canonical_texture(word: str) -> str | None:
    """The texture that a word names; None when it is not of this world."""
    return _TEXTURE_OF.get(word.strip().lower())


def describe(caption: str) -> Attributes:
    """Read the caption of one thing, e.g. "a red ball with stripes".

    The kind is the head of the first noun phrase ("an apple tree" is a tree), the colour and the texture are the
    first that are named; of a part of its own the colour is told apart. A second kind or colour, and every word that
    is neither in the vocabulary nor neutral, is an unknown word: this world would not draw it.
    """
    words = _words(caption)
    for start, stop, colour in _parts(words):
        whole = _describe(words[:start] + words[stop:])
        if whole.kind is not None and words[stop - 1] in _PART_WORDS[whole.kind]:
            return replace(whole, part_colour=colour)
    return _describe(words)


def _parts(words: list[str]) -> Iterator[tuple[int, int, str | None]]:
    """Where "with a red roof" begins and ends, and the colour that it names."""
    for end, word in enumerate(words):
        if not any(word in names for names in _PART_WORDS.values()):
            continue
        start = next((i for i in range(end - 1, 0, -1) if words[i] in ("with", "and", "having")), None)
        if start is None:
            continue
        colours = [_COLOUR_OF[w] for w in words[start:end] if w in _COLOUR_OF]
        others = [w for w in words[start:end] if w not in _COLOUR_OF and w not in NEUTRAL_WORDS]
        if len(colours) <= 1 and not others:
            yield start, end + 1, colours[0] if colours else None


def _describe(words: list[str]) -> Attributes:
    kind: str | None = None
    colour: str | None = None
    texture: str | None = None
    unknown: list[str] = []
    kind_words: list[str] = []
    position, head_is_open = 0, True
    while position < len(words):
        length, name = _longest_kind(words, position)
        word = " ".join(words[position : position + length])
        position += length
        if name is not None:
            if head_is_open:
                unknown += kind_words
                kind, kind_words = name, [word]
            elif name != kind:
                unknown.append(word)
        elif word in _TEXTURE_OF and texture in (None, _TEXTURE_OF[word]):
            texture = _TEXTURE_OF[word]
        elif word in _COLOUR_OF and colour in (None, _COLOUR_OF[word]):
            colour = _COLOUR_OF[word]
        elif word not in NEUTRAL_WORDS:
            unknown.append(word)
        if word in _PREPOSITIONS and kind is not None:
            head_is_open = False
    return Attributes(kind, colour, texture, tuple(dict.fromkeys(unknown)))


def background_of(text: str) -> str | None:
    """The background that a text names (the longest phrase wins, then the last); None when it names none."""
    words = f" {' '.join(_words(text))} "
    if words.strip() in BACKGROUNDS:
        return words.strip()
    found = [
        (len(phrase.split()), words.rfind(f" {phrase} "), name)
        for name, phrases in BACKGROUNDS.items()
        for phrase in phrases
        if f" {phrase} " in words
    ]
    return max(found)[2] if found else None


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:[-'’][^\W_]+)*", text.lower())


def _longest_kind(words: list[str], position: int) -> tuple[int, str | None]:
    for length in (2, 1):
        name = _KIND_OF.get(" ".join(words[position : position + length]))
        if name is not None and position + length <= len(words):
            return length, name
    return 1, None


_KIND_OF = {
    form: name
    for name, kind in KINDS.items()
    for noun in (name, *kind.synonyms)
    for form in (noun, plural(noun), *(("fishes",) if noun == "fish" else ()))
}
_PART_WORDS = {
    name: frozenset(form for part in kind.part for form in (part, plural(part))) for name, kind in KINDS.items()
}
_COLOUR_OF = {**{name: name for name in COLOURS}, **COLOUR_SYNONYMS}
_TEXTURE_OF = {word: name for name, synonyms in TEXTURES.items() for word in (name, *synonyms)}
