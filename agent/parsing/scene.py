"""The scene graph between text and boxes: things with counts and captions, relations between them, and the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

RelationKind = Literal[
    "left",
    "right",
    "above",
    "below",
    "on",
    "under",
    "front",
    "behind",
    "inside",
    "near",
    "far",
    "between",
    "held",
    "worn",
]
"""``subject kind object``: "left" is "subject left of object"; "on" stands on it, "worn" is worn by it."""

Region = Literal[
    "left", "right", "top", "bottom", "center", "front", "back",
    "top left", "top right", "bottom left", "bottom right", "corner",
]  # fmt: skip
Arrangement = Literal["row", "column", "near"]


@dataclass
class Thing:
    """``count`` equal things. ``noun`` is the singular category; the other words go into the caption of each."""

    noun: str
    count: int = 1
    head: str = ""
    """The noun in the caption where it differs: a slice of cake is a cake."""
    attributes: list[str] = field(default_factory=list)
    """Words before the noun, as written."""
    details: list[str] = field(default_factory=list)
    """What follows the noun in its caption: "of coffee", "with blue eyes", "sleeping"."""
    size: float = 1.0
    """How much larger than usual the text asks for: 1 as usual, 1.4 large, 0.6 small."""
    stretch: float = 1.0
    """How much taller (above 1) or wider (below 1) than usual."""
    regions: list[Region] = field(default_factory=list)
    plain: bool = False
    """True for a name that takes no article."""
    exact: bool = True
    """Whether the text itself says how many: "a dog", "two dogs", but neither "dogs" nor "about five dogs"."""


@dataclass(frozen=True)
class Relation:
    """``subject`` and ``objects`` index ``Scene.things``; "between" has two objects (or one of several members)."""

    kind: RelationKind
    subject: int
    objects: tuple[int, ...]
    implied: bool = field(default=False, compare=False)
    """Whether no word of the text says where: "a dog watching a cat", "a house with a tree"."""


@dataclass
class Scene:
    """A prompt, read."""

    things: list[Thing] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    rows: list[tuple[Arrangement, list[int]]] = field(default_factory=list)
    """Things in a row, in a column or close together, in order."""
    background: list[str] = field(default_factory=list)
    style: list[str] = field(default_factory=list)
    negated: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    """Words that were not understood: what else was read may be wrong."""
    top_down: bool = False
    """Seen from above: no horizon."""
