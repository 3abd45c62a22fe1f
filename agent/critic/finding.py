"""What the critic says of a plan: a code, the instances, the numbers, and a message that a planner can act on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Code = Literal[
    "count", "colour", "excluded", "relation", "floating", "size", "perspective", "hidden", "too_small", "merging",
    "cut_off",
]  # fmt: skip

CODES: dict[Code, str] = {
    "count": "more or fewer of a kind than the text asks for",
    "colour": "a caption without the colour that the text asks for",
    "excluded": "a thing that the text rules out",
    "relation": "boxes that contradict where the text or a caption puts them",
    "floating": "a thing of the ground whose box ends in the sky",
    "size": "the really smaller thing drawn too large beside the larger one",
    "perspective": "of two things of a kind the nearer drawn too small, the farther too large",
    "hidden": "a thing that nearer things cover",
    "too_small": "a box of less than two cells of the model's latent grid",
    "merging": "two boxes so much in one place that the model draws one thing",
    "cut_off": "a box that the picture's edge cuts to a part of the thing's usual shape",
}
"""What each code stands for, in the order in which findings are given."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a plan.

    ``numbers`` are what was compared, by name: positions and sides as shares of the canvas (origin top left), counts,
    ratios, and pixels where the name says so. ``message`` says what is wrong and what would put it right.
    """

    code: Code
    ids: tuple[str, ...]
    message: str
    numbers: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    def to_dict(self) -> dict[str, Any]:
        numbers = {name: round(value, 4) for name, value in self.numbers.items()}
        return {"code": self.code, "ids": list(self.ids), "numbers": numbers, "message": self.message}
