"""What four bare numbers mean: the readings of a bbox, when numbers contradict one, and boxes that leave the canvas.

A reading is never guessed. The format has a documented default and the caller may state another; when the boxes
of a layout do not go with it, reading stops, says which readings go with all of them and how to ask for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from diffusion.formats.fields import Field
from diffusion.layout import LayoutError, short

Corners = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels of the canvas."""

ROUNDING = 2.0
"""Pixels by which a box or point may leave the canvas and still count as rounded: it is cut and a note says so."""
NOISE = 1e-6
"""Pixels that only floating point arithmetic makes; cut without a word."""
MASK_AGREES = 0.8
"""IoU of the cut box with its instance's mask from which the mask counts as proof that the cut is right."""

ORDERS = {
    "xywh": "left, top, width, height",
    "xyxy": "left, top, right, bottom",
    "yxyx": "top, left, bottom, right",
    "cxcywh": "centre x, centre y, width, height",
}
UNITS = {"px": "in pixels", "norm": "as shares of the canvas, 0 to 1", "1000": "in thousandths of the canvas"}


@dataclass(frozen=True)
class BoxReading:
    """The order and the unit in which a bbox is written."""

    order: str
    unit: str = "px"

    @classmethod
    def parse(cls, name: str) -> BoxReading:
        """``xyxy`` (pixels), ``xyxy-norm`` (0 to 1), ``yxyx-1000`` (0 to 1000); LayoutError lists what there is."""
        order, _, unit = name.partition("-")
        if order not in ORDERS or (unit or "px") not in UNITS:
            raise LayoutError(
                f"bbox = {short(name)}: expected one of {', '.join(ORDERS)} (pixels), or one of them with -norm "
                "(0 to 1) or -1000 (0 to 1000) behind it, as in xyxy-norm"
            )
        return cls(order, unit or "px")

    def __str__(self) -> str:
        return self.order if self.unit == "px" else f"{self.order}-{self.unit}"

    def corners(self, values: Sequence[float], width: int, height: int) -> Corners:
        """The two corners in pixels, whatever they are: the box may be inverted or off the canvas."""
        a, b, c, d = values
        match self.order:
            case "xywh":
                x0, y0, x1, y1 = a, b, a + c, b + d
            case "xyxy":
                x0, y0, x1, y1 = a, b, c, d
            case "yxyx":
                x0, y0, x1, y1 = b, a, d, c
            case _:
                x0, y0, x1, y1 = a - c / 2, b - d / 2, a + c / 2, b + d / 2
        sx, sy = {"px": (1.0, 1.0), "norm": (width, height), "1000": (width / 1000, height / 1000)}[self.unit]
        return x0 * sx, y0 * sy, x1 * sx, y1 * sy


XYWH = BoxReading("xywh")
READINGS = tuple(BoxReading(order, unit) for unit in UNITS for order in ORDERS)


@dataclass(frozen=True)
class Verdict:
    """How the boxes of one layout go with a reading."""

    bad: tuple[int, ...]
    """The boxes that are inverted, empty, or leave the canvas by more than rounding."""
    contradicted: bool
    """Most boxes are bad, or some are and the other common reading fits all, or all lie within one pixel.

    ``cxcywh`` and ``yxyx`` fit a few boxes by accident, so that they are named as advice but are no proof.
    """
    better: tuple[BoxReading, ...]
    """Where some boxes are bad: the readings that fit all, of the same unit if there are any."""
    rivals: tuple[BoxReading, ...]
    """Where no box is bad: the other common reading, if it fits all boxes too."""


def judge(boxes: Sequence[Sequence[float]], reading: BoxReading, width: int, height: int) -> Verdict:
    """Holds the boxes of one layout, four numbers each, against a reading of them."""

    def fitting(candidates: Sequence[BoxReading]) -> tuple[BoxReading, ...]:
        others = (other for other in candidates if other != reading)
        return tuple(
            other for other in others if all(_fits(other.corners(box, width, height), width, height) for box in boxes)
        )

    if not boxes:
        return Verdict((), False, (), ())
    bad = tuple(i for i, box in enumerate(boxes) if not _fits(reading.corners(box, width, height), width, height))
    same_unit = fitting([other for other in READINGS if other.unit == reading.unit])
    if reading.unit == "px" and all(abs(value) <= 1 for box in boxes for value in box):
        return Verdict(bad, True, fitting([other for other in READINGS if other.unit == "norm"]), ())
    common = tuple(other for other in same_unit if other.order in ("xywh", "xyxy"))
    if not bad:
        return Verdict((), False, (), common)
    most = 2 * len(bad) > len(boxes)
    return Verdict(bad, most or bool(common), same_unit or (fitting(READINGS) if most else ()), ())


def contradiction(
    fields: Sequence[Field], reading: BoxReading, verdict: Verdict, stated: bool, width: int, height: int
) -> LayoutError:
    """The error for boxes that contradict a reading; it names the first bad box and says what to ask for."""
    first = fields[verdict.bad[0] if verdict.bad else 0]
    how = f"read as {reading} ({ORDERS[reading.order]} {UNITS[reading.unit]}{'' if stated else '; the default here'})"
    if verdict.bad:
        fault = f"{len(verdict.bad)} of {len(fields)} boxes leave the {width} x {height} canvas or have no area"
    else:
        fault = f"all {len(fields)} boxes lie within one pixel of the {width} x {height} canvas"
    advice = advise(verdict.better, len(fields)) or "no reading that is known here fits all of them"
    return first.wrong(f"{how}, {fault}; {advice}; if {reading} is right, --bbox {reading} --clip cuts at the edges")


def advise(better: Sequence[BoxReading], count: int) -> str:
    """Which readings fit all the boxes, and how to ask for one; empty when none does."""
    if not better:
        return ""
    one, *others = map(str, better)
    also = f" ({' and '.join(others)} would fit too)" if others else ""
    return f"read as {one} all {count} fit{also}: if that is meant, ask for it with --bbox {one}"


def settle_box(
    field: Field, corners: Corners, width: int, height: int, *, clip: bool, mask: Corners | None, advice: str = ""
) -> tuple[Corners, str | None]:
    """One box on the canvas: the corners as they are, or cut at the edges with the note that says so.

    Cut are boxes that leave the canvas by rounding, boxes whose cut form agrees with the instance's own ``mask``
    (its bounding box in pixels), and any box when ``clip`` asks for it. LayoutError for the others, for boxes
    without area, and for boxes of which no part is on the canvas; it ends with the ``advice``.
    """
    x0, y0, x1, y1 = corners
    if not (x0 < x1 and y0 < y1):
        raise field.wrong(f"the box has no area: its corners are {_numbers(corners)} px")
    over = _overhang(corners, width, height)
    if over <= NOISE:
        return _cut(corners, width, height), None
    cut, note = clip_box(field, corners, width, height)
    if over <= ROUNDING:
        return cut, f"{note}, as rounded"
    if mask is not None and _iou(cut, mask) >= MASK_AGREES:
        return cut, f"{note}, as its mask shows"
    if clip:
        return cut, f"{note}, as asked"
    raise field.wrong(
        f"the box spans {_numbers(corners)} px (left, top, right, bottom) and leaves the {width} x {height} canvas by "
        f"{over:g} px: correct it, or cut it at the edge with --clip{f'; {advice}' if advice else ''}"
    )


def clip_box(field: Field, corners: Corners, width: int, height: int) -> tuple[Corners, str]:
    """The part of a box that is on the canvas, and the note of what changed; LayoutError when there is no such part."""
    cut = _cut(corners, width, height)
    if not (cut[0] < cut[2] and cut[1] < cut[3]):
        raise field.wrong(f"the box lies off the {width} x {height} canvas: it spans {_numbers(corners)} px")
    return cut, (
        f"{field.path} = {short(field.value)} leaves the {width} x {height} canvas by "
        f"{_overhang(corners, width, height):g} px: cut from {_numbers(corners)} to {_numbers(cut)} px"
    )


def _fits(corners: Corners, width: int, height: int) -> bool:
    x0, y0, x1, y1 = corners
    return x0 < x1 and y0 < y1 and _overhang(corners, width, height) <= ROUNDING


def _overhang(corners: Corners, width: int, height: int) -> float:
    x0, y0, x1, y1 = corners
    return max(-x0, -y0, x1 - width, y1 - height, 0.0)


def _cut(corners: Corners, width: int, height: int) -> Corners:
    x0, y0, x1, y1 = corners
    return max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))


def _iou(a: Corners, b: Corners) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(w, 0.0) * max(h, 0.0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def _numbers(corners: Corners) -> str:
    return ", ".join(f"{value:g}" for value in corners)
