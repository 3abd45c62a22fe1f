"""The answer that an LLM planner must give: its JSON schema, and the way to a Layout and back.

On the wire a box has named corners on a grid of 0 to 1000, whatever the size of the canvas: LLMs place things on
it more surely than in shares of 1. The schema holds types and descriptions only (no limits, no defaults, no
dictionaries), since strict servers refuse the rest; an answer is then validated here and by the Layout itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from diffusion.layout import SCHEMA_VERSION, Box, Layout, LayoutError, layout_from_dict
from prompts.answers import InvalidAnswer, Wire, read_object, schema_of

GRID = 1000
MAX_NOTES = 20
SOURCE = "plan"


def _on_grid(value: float) -> float:
    if not 0 <= value <= GRID:
        raise ValueError(f"must lie on the grid, from 0 to {GRID}")
    return value


GridNumber = Annotated[float, AfterValidator(_on_grid)]


class WireBox(Wire):
    """Two corners on the grid: x0 is the left edge, y0 the top, x1 the right, y1 the bottom."""

    x0: GridNumber
    y0: GridNumber
    x1: GridNumber
    y1: GridNumber

    @model_validator(mode="after")
    def _has_area(self) -> WireBox:
        for low, high, a, b in (("x0", "x1", self.x0, self.x1), ("y0", "y1", self.y0, self.y1)):
            if a >= b:
                raise ValueError(f"{low} = {a:g} must be smaller than {high} = {b:g} (two corners, not a size)")
        return self


class WireInstance(Wire):
    """One thing to draw."""

    id: Annotated[str, Field(description="the noun and a number, such as dog_1; letters, digits and _")]
    category: Annotated[str, Field(description="the noun alone, singular")]
    caption: Annotated[str, Field(description="this one thing in words, with its colour, material, pose and style")]
    box: WireBox
    depth: Annotated[int, Field(description="0 = nearest to the viewer; the lower covers the higher")]


class WireReasoning(Wire):
    """What is thought through before any box is written."""

    ground: Annotated[str, Field(description="viewpoint, horizon, and where things stand, hang or fly")]
    sizes: Annotated[str, Field(description="real sizes, and from them the sizes on the grid")]
    arrangement: Annotated[str, Field(description="counts, relations, and what covers what")]


class WirePlan(Wire):
    """The plan of one picture."""

    reasoning: WireReasoning
    caption: Annotated[str, Field(description="the whole picture in one sentence, with its style")]
    background: Annotated[str, Field(description="what is seen behind and between the instances")]
    negative_prompt: Annotated[str, Field(description="what must not appear, comma-separated; may be empty")]
    instances: list[WireInstance]
    notes: Annotated[list[str], Field(description="what was left out, changed or assumed, a line each; may be empty")]


@dataclass(frozen=True)
class Answer:
    """An answer that is valid: its Layout, and the LLM's remarks for the person."""

    layout: Layout
    notes: tuple[str, ...]


def wire_schema() -> dict[str, Any]:
    """The JSON Schema of an answer."""
    return schema_of(WirePlan)


def read_answer(text: str, *, width: int, height: int) -> Answer:
    """The plan in an LLM's text, for a canvas of width x height pixels.

    InvalidAnswer names each field by its path, in the grid's units.
    """
    plan = read_object(text, WirePlan, SOURCE)
    if len(plan.notes) > MAX_NOTES:
        raise InvalidAnswer(f"{SOURCE}: notes: {len(plan.notes)} lines; at most {MAX_NOTES}")
    data = plan.model_dump(exclude={"reasoning", "notes"})
    for instance in data["instances"]:
        instance["box"] = {name: value / GRID for name, value in instance["box"].items()}
    try:
        layout = layout_from_dict({"version": SCHEMA_VERSION, "width": width, "height": height, **data}, SOURCE)
    except LayoutError as error:
        raise InvalidAnswer(str(error)) from error
    return Answer(layout, tuple(plan.notes))


def to_wire(layout: Layout) -> dict[str, Any]:
    """A Layout as the LLM sees it: an answer without reasoning and notes; null where there is no box or depth."""
    return {
        "caption": layout.caption,
        "background": layout.background,
        "negative_prompt": layout.negative_prompt,
        "instances": [
            {
                "id": instance.id,
                "category": instance.category,
                "caption": instance.caption,
                "box": on_grid(extent) if (extent := instance.extent()) else None,
                "depth": instance.depth,
            }
            for instance in layout
        ],
    }


def on_grid(box: Box) -> dict[str, int]:
    """A normalised xyxy box as named corners on the grid, to the nearest unit but never without area."""
    corners = {}
    for low, high, a, b in (("x0", "x1", box.x0, box.x1), ("y0", "y1", box.y0, box.y1)):
        start = min(round(a * GRID), GRID - 1)
        corners[low], corners[high] = start, max(round(b * GRID), start + 1)
    return {name: corners[name] for name in ("x0", "y0", "x1", "y1")}
