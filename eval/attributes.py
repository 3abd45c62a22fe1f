"""The colour and texture that a caption asks for, held against what a detector saw."""

from __future__ import annotations

import re

from diffusion.tiny.vocabulary import COLOURS, TEXTURES, canonical_colour, canonical_texture, describe
from eval.report import AttributeVerdict, Detection

OTHER_COLOURS = frozenset(
    ("orange", "brown", "grey", "gold", "silver", "beige", "turquoise", "cyan", "magenta", "teal", "navy", "maroon")
)
"""Colours that people ask for and the tiny world lacks: wanted, and judged only by a detector that can name them."""

_SPELLINGS = {"gray": "grey", "golden": "gold"}


def wanted_attributes(caption: str) -> dict[str, str]:
    """The attributes that the caption of one thing names, such as ``{"colour": "red", "texture": "striped"}``."""
    read = describe(caption)
    others = (word for word in map(_spelled, re.findall(r"\w+", caption.lower())) if word in OTHER_COLOURS)
    wanted = {"colour": read.colour or next(others, None), "texture": read.texture}
    return {attribute: value for attribute, value in wanted.items() if value is not None}


def judge_attributes(caption: str, detection: Detection) -> tuple[AttributeVerdict, ...]:
    """One verdict for each attribute the caption names.

    ``ok`` is None when the detector said nothing, or named a value of the tiny world while the caption asks for one
    that the tiny world lacks: that detector may have had no better word.
    """
    verdicts = []
    for attribute, wanted in wanted_attributes(caption).items():
        said, palette = (detection.colour, COLOURS) if attribute == "colour" else (detection.texture, TEXTURES)
        found = _canonical(attribute, said) if said is not None else None
        judgeable = found is not None and (found == wanted or wanted in palette)
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
