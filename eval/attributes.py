"""The colour, texture and material that a caption asks for, held against what a detector saw."""

from __future__ import annotations

import re
from collections.abc import Mapping

from diffusion.tiny.vocabulary import COLOURS, TEXTURES, canonical_colour, canonical_texture, describe
from eval.report import Attribute, AttributeVerdict, Detection

Palette = Mapping[str, frozenset[str] | None]
"""The attributes that a detector can tell, each with the values it chooses from; None where it may say any word."""

TINY_PALETTE: Palette = {"colour": frozenset(COLOURS), "texture": frozenset(TEXTURES)}

OTHER_COLOURS = frozenset(
    ("orange", "brown", "grey", "gold", "silver", "beige", "turquoise", "cyan", "magenta", "teal", "navy", "maroon")
)
"""Colours that people ask for and the tiny world lacks: wanted, and judged only by a detector that can name them."""

COLOUR_WORDS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
"""The ten colours of GenEval (Ghosh et al., NeurIPS 2023), among which things are told apart."""

MATERIALS: dict[str, tuple[str, ...]] = {
    "rubber": (),
    "fluffy": ("furry",),
    "metallic": ("metal",),
    "wooden": ("wood",),
    "plastic": (),
    "fabric": ("cloth",),
    "leather": (),
    "glass": (),
}
"""The textures of InstanceDiffusion's attribute binding (section 4.2), with other words for them."""

_MATERIAL_OF = {word: name for name, others in MATERIALS.items() for word in (name, *others)}
_GLUE = frozenset(("of", "with", "and", "in", "full", "filled", "that"))

_ELSEWHERE = re.compile(r"\b(?:on|under|behind|near|beside|above|below|against|next to|in front of)\b")

_SPELLINGS = {"gray": "grey", "golden": "gold"}


def wanted_attributes(caption: str) -> dict[Attribute, str]:
    """The attributes that the caption of one thing names, such as ``{"colour": "red", "texture": "striped"}``.

    The first colour counts, and what the thing stands on, behind or next to is not read: "a cup on a red table" asks
    for no colour.
    """
    thing = own_words(caption)
    colours = (canonical_colour(word) or _spelled(word) for word in re.findall(r"\w+", thing))
    colour = next((word for word in colours if word in COLOURS or word in OTHER_COLOURS), None)
    wanted: dict[Attribute, str | None] = {
        "colour": colour,
        "texture": describe(thing).texture,
        "material": _material(thing),
    }
    return {attribute: value for attribute, value in wanted.items() if value is not None}


def own_words(caption: str) -> str:
    """What the caption of one thing says of the thing itself, in lower case, without what it stands on or next to."""
    return " ".join(_ELSEWHERE.split(caption.lower(), maxsplit=1)[0].split())


def judge_attributes(
    caption: str, detection: Detection, palette: Palette = TINY_PALETTE
) -> tuple[AttributeVerdict, ...]:
    """One verdict for each attribute the caption names.

    ``ok`` is None when the detector said nothing, or named another value than the one wanted and has no word for that
    one: it may have had no better word.
    """
    verdicts = []
    for attribute, wanted in wanted_attributes(caption).items():
        said = getattr(detection, attribute)
        found = _canonical(attribute, said) if said is not None else None
        words = palette.get(attribute, frozenset())
        judgeable = found is not None and (found == wanted or words is None or wanted in words)
        verdicts.append(
            AttributeVerdict(
                attribute=attribute,
                wanted=wanted,
                found=said,
                ok=found == wanted if judgeable else None,
            )
        )
    return tuple(verdicts)


def _canonical(attribute: Attribute, word: str) -> str:
    word = word.strip().lower()
    known = {
        "colour": canonical_colour(word),
        "texture": canonical_texture(word),
        "material": _MATERIAL_OF.get(word),
    }
    return known[attribute] or _spelled(word)


def _material(thing: str) -> str | None:
    """The first material that stands before a noun or behind "of": a wine glass is of none, a vase of glass is."""
    words = ["", *re.findall(r"\w+", thing), "of"]
    for before, word, after in zip(words, words[1:], words[2:], strict=False):
        if word in _MATERIAL_OF and (before == "of" or after not in _GLUE):
            return _MATERIAL_OF[word]
    return None


def _spelled(word: str) -> str:
    return _SPELLINGS.get(word, word)
