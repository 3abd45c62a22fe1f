"""A renderer that draws what the plan says, with faults on request, and a detector that knows what was drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PIL import Image

from diffusion.layout import Box, Instance, Layout
from diffusion.tiny.vocabulary import KINDS
from diffusion.tiny.world import Scene, Thing, draw_layout
from eval.attributes import TINY_PALETTE, Palette
from eval.detector import Detector, Query
from eval.report import Detection

SIDE = 128


def scene(*things: tuple[str, tuple[float, float, float, float]], width: int = SIDE, height: int = SIDE) -> Layout:
    """A plan of (caption, xyxy) pairs on grass; the category is the caption's last word, ids are i1, i2, ..."""
    instances = [
        Instance(id=f"i{n}", category=caption.split()[-1], caption=caption, box=box(*corners))
        for n, (caption, corners) in enumerate(things, start=1)
    ]
    return Layout(
        version=1, caption="a scene", background="grass", width=width, height=height, instances=tuple(instances)
    )


def box(x0: float, y0: float, x1: float, y1: float) -> Box:
    return Box(x0=x0, y0=y0, x1=x1, y1=y1)


def moved(layout: Layout, instance_id: str, to: Box) -> Layout:
    return changed(layout, instance_id, box=to)


def changed(layout: Layout, instance_id: str, **fields: object) -> Layout:
    """The layout with fields of one instance replaced."""
    instances = (i.model_copy(update=fields) if i.id == instance_id else i for i in layout)
    return layout.model_copy(update={"instances": tuple(instances)})


def without(layout: Layout, instance_id: str) -> Layout:
    return layout.model_copy(update={"instances": tuple(i for i in layout if i.id != instance_id)})


def seen(thing: Thing, score: float = 0.9) -> Detection:
    return Detection(box=thing.box, label=thing.kind, score=score, colour=thing.colour, texture=thing.texture)


class Oracle(Detector):
    """Draws with the tiny world and then tells, as a detector, what it drew in that very picture.

    ``fault(layout, seed)`` gives the layout that is drawn instead of the planned one.
    """

    name = "oracle"

    def __init__(self, fault: Callable[[Layout, int], Layout] = lambda layout, seed: layout) -> None:
        self._fault = fault
        self._drawn: dict[bytes, list[Detection]] = {}

    def render(self, layout: Layout, seed: int) -> Image.Image:
        drawn = _drawn(self._fault(layout, seed), seed)
        self._drawn[drawn.image.tobytes()] = [seen(thing) for thing in drawn.things]
        return drawn.image

    def kinds(self) -> frozenset[str]:
        return frozenset(KINDS)

    def palette(self) -> Palette:
        return TINY_PALETTE

    def detect_batch(self, images: Sequence[Image.Image], queries: Sequence[Sequence[Query]]) -> list[list[Detection]]:
        return [self._drawn[image.tobytes()] for image in images]


def _drawn(layout: Layout, seed: int) -> Scene:
    """The layout as the world draws it; a thing that a fault pushes right behind others is not in the picture."""
    try:
        return draw_layout(layout, seed)
    except ValueError as hidden:
        if "completely hidden" not in str(hidden):
            raise
        seen = tuple(instance for instance in layout if repr(instance.id) not in str(hidden))
        return _drawn(layout.model_copy(update={"instances": seen}), seed)
