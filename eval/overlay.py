"""A picture of the check: planned boxes solid, detected boxes dashed, on the image they were measured on."""

from __future__ import annotations

import math
from collections.abc import Iterator

from PIL import Image, ImageDraw, ImageFont

from diffusion.layout import Box, Instance, Layout
from eval.report import FidelityReport, InstanceVerdict

SHORT_SIDE = 512
"""Smaller pictures are enlarged by a whole factor to at least this many pixels, so that labels can be read,"""
LONG_SIDE = 2048
"""as long as the longer side keeps within this many."""

PALETTE = ("#e6194b", "#0082c8", "#f58231", "#911eb4", "#008080", "#d2a800", "#3cb44b", "#f032e6", "#46c8f0", "#a0522d")
UNPLANNED = "#707070"
DASH = 8
LEGEND = "solid: planned   dashed: detected   grey: detected, not planned"

Pixels = tuple[float, float, float, float]


def draw_overlay(image: Image.Image, layout: Layout, report: FidelityReport | None = None) -> Image.Image:
    """The image (RGB, enlarged when small) with every planned instance and, given a report, what was detected.

    Each label is the instance's id with its IoU, or "missing". Points and scribbles are drawn as such.
    """
    factor = max(1, min(math.ceil(SHORT_SIDE / min(image.size)), LONG_SIDE // max(image.size)))
    canvas = image.convert("RGB").resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(canvas)
    verdicts = {verdict.id: verdict for verdict in report.instances} if report else {}
    for index, instance in enumerate(layout):
        _draw_instance(draw, canvas.size, instance, verdicts.get(instance.id), PALETTE[index % len(PALETTE)])
    for detection in report.unplanned if report else ():
        place = _pixels(detection.box, canvas.size)
        _dashed(draw, place, UNPLANNED)
        _label(draw, canvas.size, (place[0], place[3]), f"{detection.label} {detection.score:.2f}", UNPLANNED)
    return _with_legend(canvas)


def _draw_instance(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], instance: Instance, verdict: InstanceVerdict | None, colour: str
) -> None:
    anchor: tuple[float, float] | None = None
    planned = instance.extent()
    if planned is not None:
        place = _pixels(planned, size)
        draw.rectangle(place, outline=colour, width=3)
        anchor = place[0], place[1]
    points = list(instance.scribble.points) if instance.scribble else []
    if len(points) > 1:
        draw.line([(p.x * size[0], p.y * size[1]) for p in points], fill=colour, width=3)
    for point in [*points, *([instance.point] if instance.point else [])]:
        x, y = point.x * size[0], point.y * size[1]
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour, outline="white")
        anchor = anchor or (x, y)
    if verdict is not None and verdict.detected is not None:
        _dashed(draw, _pixels(verdict.detected, size), colour)
    text = instance.id
    if verdict is not None:
        text += " missing" if verdict.detected is None else f" {verdict.iou:.2f}" if verdict.iou is not None else ""
    _label(draw, size, anchor or (0.0, 0.0), text, colour)


def _dashed(draw: ImageDraw.ImageDraw, place: Pixels, colour: str) -> None:
    x0, y0, x1, y1 = place
    for start in _dashes(x0, x1):
        for y in (y0, y1):
            draw.line((start, y, min(start + DASH, x1), y), fill=colour, width=2)
    for start in _dashes(y0, y1):
        for x in (x0, x1):
            draw.line((x, start, x, min(start + DASH, y1)), fill=colour, width=2)


def _dashes(low: float, high: float) -> Iterator[float]:
    while low < high:
        yield low
        low += 2 * DASH


def _label(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], anchor: tuple[float, float], text: str, colour: str
) -> None:
    font = ImageFont.load_default(size=13)
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    width, height = right - left + 6, bottom - top + 6
    x = max(0.0, min(anchor[0], size[0] - width))
    y = max(0.0, min(anchor[1], size[1] - height))
    draw.rectangle((x, y, x + width, y + height), fill=colour)
    draw.text((x + 3 - left, y + 3 - top), text, fill="white", font=font)


def _with_legend(canvas: Image.Image) -> Image.Image:
    framed = Image.new("RGB", (canvas.width, canvas.height + 22), "white")
    framed.paste(canvas)
    ImageDraw.Draw(framed).text((4, canvas.height + 3), LEGEND, fill="black", font=ImageFont.load_default(size=13))
    return framed


def _pixels(box: Box, size: tuple[int, int]) -> Pixels:
    x0, y0 = box.x0 * size[0], box.y0 * size[1]
    return x0, y0, max(x0, box.x1 * size[0] - 1), max(y0, box.y1 * size[1] - 1)
