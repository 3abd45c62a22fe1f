"""Points, scribbles and masks of other people's files, in pixels, to the parts of a Layout."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from diffusion.formats.boxes import NOISE, ROUNDING
from diffusion.formats.fields import Field
from diffusion.layout import MAX_SCRIBBLE_POINTS, Mask, Point, RunLength, Scribble, decode_counts

MAX_DRAWN_POINTS = 10_000
"""Of a scribble or polygon in a file; a drawing has hundreds."""


def read_point(field: Field, width: int, height: int, notes: list[str]) -> Point:
    """``[x, y]`` in pixels."""
    x, y = field.numbers(2)
    return _on_canvas(field, x, y, width, height, notes)


def read_scribble(field: Field, width: int, height: int, notes: list[str], resample: bool) -> Scribble:
    """``[[x, y], ...]`` or the flat ``[x, y, x, y, ...]`` in pixels; more than 20 points only with ``resample``."""
    elements = field.elements(2 * MAX_DRAWN_POINTS)
    if all(isinstance(element.value, (list, tuple)) for element in elements):
        points = [read_point(element, width, height, notes) for element in elements]
    else:
        points = _flat_points(field, width, height, notes)
    if len(points) > MAX_SCRIBBLE_POINTS:
        if not resample:
            raise field.wrong(
                f"{len(points)} points; a scribble has at most {MAX_SCRIBBLE_POINTS}: thin it out with --resample"
            )
        notes.append(f"{field.path}: resampled from {len(points)} to {MAX_SCRIBBLE_POINTS} points, as asked")
        points = resample_points(points)
    return field.build(Scribble, points=tuple(points))


def resample_points(points: Sequence[Point], count: int = MAX_SCRIBBLE_POINTS) -> list[Point]:
    """``count`` of the points, evenly spaced in their order, the first and the last among them; all when not more."""
    if len(points) <= count:
        return list(points)
    return [points[round(index * (len(points) - 1) / (count - 1))] for index in range(count)]


def read_mask(field: Field, width: int, height: int, notes: list[str]) -> Mask | None:
    """A COCO run-length code of the canvas' size, or polygons ``[[x, y, x, y, ...], ...]`` in pixels.

    None for an empty list, and, with a note, for a run-length code without a pixel.
    """
    if isinstance(field.value, dict):
        return _run_length(field, width, height, notes)
    polygons = tuple(tuple(_flat_points(ring, width, height, notes)) for ring in field.elements())
    return field.build(Mask, polygons=polygons) if polygons else None


def _run_length(field: Field, width: int, height: int, notes: list[str]) -> Mask | None:
    size, counts = field.need("size"), field.need("counts")
    if tuple(part.whole() for part in size.elements()) != (height, width):
        raise size.wrong(f"a mask has the size of the canvas, [height, width] = [{height}, {width}]")
    if _is_empty(counts.value, height * width):
        notes.append(f"{field.path}: the mask has no pixel: left out")
        return None
    runs = tuple(counts.value) if isinstance(counts.value, list) else counts.value
    return Mask(rle=field.build(RunLength, size=(height, width), counts=runs))


def _is_empty(counts: Any, pixels: int) -> bool:
    """Whether counts of any spelling are one run of zeros over the whole canvas; that takes a few characters."""
    if isinstance(counts, str) and len(counts) <= 16:
        with suppress(ValueError):
            counts = decode_counts(counts)
    return isinstance(counts, list) and counts[:1] == [pixels] and not any(counts[1:])


def _flat_points(field: Field, width: int, height: int, notes: list[str]) -> list[Point]:
    values = [element.number() for element in field.elements(2 * MAX_DRAWN_POINTS)]
    if len(values) % 2:
        raise field.wrong(f"expected pairs of x and y, but there are {len(values)} numbers")
    return [
        _on_canvas(field, x, y, width, height, notes, index)
        for index, (x, y) in enumerate(zip(values[::2], values[1::2], strict=True))
    ]


def _on_canvas(
    field: Field, x: float, y: float, width: int, height: int, notes: list[str], index: int | None = None
) -> Point:
    over = max(-x, -y, x - width, y - height)
    if over > NOISE:
        which = "it" if index is None else f"point {index}"
        what = f"{which} = ({x:g}, {y:g}) leaves the {width} x {height} canvas by {over:g} px"
        if over > ROUNDING:
            raise field.wrong(what)
        notes.append(f"{field.path}: {what}: moved to the edge, as rounded")
    return Point(x=min(max(x / width, 0.0), 1.0), y=min(max(y / height, 0.0), 1.0))
