"""The colour and texture that a caption asks for, held against what a detector saw."""

from __future__ import annotations

import re
from collections.abc import Mapping

from diffusion.tiny.vocabulary import COLOURS, TEXTURES, canonical_colour, canonical_texture, describe
from eval.report import AttributeVerdict, Detection

Palette = Mapping[str, frozenset[str] | None]
"""The attributes that a detector can tell, each with the values it chooses from; None where it may say any word."""

TINY_PALETTE: Palette = {"colour": frozenset(COLOURS), "texture": frozenset(TEXTURES)}

OTHER_COLOURS = frozenset(
    ("orange", "brown", "grey", "gold", "silver", "beige", "turquoise", "cyan", "magenta", "teal", "navy", "maroon")
)
"""Colours that people ask for and the tiny world lacks: wanted, and judged only by a detector that can name them."""

_ELSEWHERE = re.compile(r"\b(?:on|under|behind|near|beside|above|below|against|next to|in front of)\b")

_SPELLINGS = {"gray": "grey", "golden": "gold"}


def wanted_attributes(caption: str) -> dict[str, str]:
    """The attributes that the caption of one thing names, such as ``{"colour": "red", "texture": "striped"}``.

    The first colour counts, and what the thing stands on, behind or next to is not read: "a cup on a red table" asks
    for no colour.
    """
    thing = _ELSEWHERE.split(caption.lower(), maxsplit=1)[0]
    colours = (canonical_colour(word) or _spelled(word) for word in re.findall(r"\w+", thing))
    colour = next((word for word in colours if word in COLOURS or word in OTHER_COLOURS), None)
    wanted = {"colour": colour, "texture": describe(thing).texture}
    return {attribute: value for attribute, value in wanted.items() if value is not None}


def judge_attributes(
    caption: str, detection: Detection, palette: Palette = TINY_PALETTE
) -> tuple[AttributeVerdict, ...]:
    """One verdict for each attribute the caption names.

    ``ok`` is None when the detector said nothing, or named another value than the one wanted and has no word for that
    one: it may have had no better word.
    """
    verdicts = []
    for attribute, wanted in wanted_attributes(caption).items():
        said = detection.colour if attribute == "colour" else detection.texture
        found = _canonical(attribute, said) if said is not None else None
        words = palette.get(attribute, frozenset())
        judgeable = found is not None and (found == wanted or words is None or wanted in words)
        verdicts.append(
            AttributeVerdict(
                attribute="colour" if attribute == "colour" else "texture",
                wanted=wanted,
                found=said,
                ok=found == wanted if judgeable else None,
            )
        )
    return tuple(verdicts)


def _canonical(attribute: str, word: str) -> str:
    known = canonical_colour(word) if attribute == "colour" else canonical_texture(word)
    return known or _spelled(word.strip().lower())


def _spelled(word: str) -> str:
    return _SPELLINGS.get(word, word)
