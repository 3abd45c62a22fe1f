"""Paint one thing: a silhouette in a colour and a texture, shaded, outlined and anti-aliased."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from diffusion.layout import Box
from diffusion.tiny.shapes import SHAPES, Paint
from diffusion.tiny.vocabulary import COLOURS

SUPERSAMPLING = 3
DESIGN_SIDE = 128
"""Canvas side in pixels for which line widths and pattern periods are given."""

_SHADE = {"black": (62, 62, 70), "white": (206, 210, 218), "yellow": (224, 172, 10), "pink": (232, 92, 156)}
_LIGHT = {"black": (70, 70, 78), "white": (255, 255, 255)}
_OUTLINE = {"black": (86, 86, 94), "white": (132, 136, 144), "yellow": (150, 112, 0), "pink": (160, 52, 104)}
_PATTERN = {"white": (66, 70, 82), "yellow": (104, 66, 8), "black": (214, 214, 218)}
_FIXED = {
    Paint.DARK: (40, 36, 38),
    Paint.BROWN: (118, 74, 38),
    Paint.PALE: (236, 236, 222),
    Paint.LEAF: (70, 140, 50),
    Paint.BEAK: (244, 150, 30),
}


@dataclass(frozen=True)
class Sprite:
    """A painted thing: straight-alpha RGBA, its place on the canvas in pixels, and its tight normalised xyxy box."""

    rgba: Image.Image
    left: int
    top: int
    box: Box


def paint(
    kind: str,
    colour: str,
    texture: str,
    box: Box,
    canvas: tuple[int, int],
    rng: np.random.Generator,
    part_colour: str | None = None,
) -> Sprite:
    """Paint a thing into ``box`` (normalised xyxy) of a canvas of (width, height) pixels, to a third of a pixel.

    ``part_colour``: of the part that the kind has, such as a house's roof; None is as it usually looks.
    """
    width, height = canvas
    x0, x1 = _snapped(box.x0, box.x1, width * SUPERSAMPLING)
    y0, y1 = _snapped(box.y0, box.y1, height * SUPERSAMPLING)
    left, top = x0 // SUPERSAMPLING, y0 // SUPERSAMPLING
    right, bottom = -(-x1 // SUPERSAMPLING), -(-y1 // SUPERSAMPLING)
    paints = np.zeros(((bottom - top) * SUPERSAMPLING, (right - left) * SUPERSAMPLING), dtype=np.uint8)
    inner = (
        slice(y0 - top * SUPERSAMPLING, y1 - top * SUPERSAMPLING),
        slice(x0 - left * SUPERSAMPLING, x1 - left * SUPERSAMPLING),
    )
    line = max(1, round(2 * max(canvas) / DESIGN_SIDE))
    paints[inner] = _silhouette(kind, x1 - x0, y1 - y0, bool(rng.random() < 0.5), part_colour is not None)
    _decorate(paints[inner], texture, max(canvas) * SUPERSAMPLING / DESIGN_SIDE, rng)
    _outline(paints, line)
    ys, xs = np.flatnonzero(paints.any(axis=1)), np.flatnonzero(paints.any(axis=0))
    tight = Box(
        x0=(left * SUPERSAMPLING + int(xs[0])) / (width * SUPERSAMPLING),
        y0=(top * SUPERSAMPLING + int(ys[0])) / (height * SUPERSAMPLING),
        x1=(left * SUPERSAMPLING + int(xs[-1]) + 1) / (width * SUPERSAMPLING),
        y1=(top * SUPERSAMPLING + int(ys[-1]) + 1) / (height * SUPERSAMPLING),
    )
    flat = Image.fromarray(_palette(colour, part_colour)[paints]).reduce(SUPERSAMPLING)
    return Sprite(_shaded(flat, SHAPES[kind].round), left, top, tight)


def _snapped(low: float, high: float, side: int) -> tuple[int, int]:
    """The edges on the supersampled grid, at least two pixels apart and on the canvas."""
    start, stop = round(low * side), round(high * side)
    stop = min(side, max(stop, start + 2 * SUPERSAMPLING))
    return min(start, stop - 2 * SUPERSAMPLING), stop


def _silhouette(kind: str, width: int, height: int, mirrored: bool, apart: bool) -> NDArray[np.uint8]:
    shape = SHAPES[kind]
    image = Image.new("L", (width, height))
    draw = ImageDraw.Draw(image)
    scale, offset = np.array([width - 1, height - 1]), np.zeros(2)
    if mirrored and shape.mirrored:
        scale, offset = scale * (-1, 1), np.array([width - 1, 0])
    own = {index % len(shape.parts) for index in shape.part} if apart else set()
    for index, (part, points) in enumerate(shape.parts):
        draw.polygon((points * scale + offset).ravel().tolist(), fill=int(Paint.PART if index in own else part))
    return np.asarray(image)


def _decorate(paints: NDArray[np.uint8], texture: str, unit: float, rng: np.random.Generator) -> None:
    """Paint the pattern over the thing's own colour; the colour keeps about three quarters of it."""
    if texture == "plain":
        return
    height, width = paints.shape
    period = max(7.0 * unit, 0.25 * float(np.sqrt(width * height)))
    y = (np.arange(height)[:, None] / period + rng.random()).astype(np.float32)
    x = (np.arange(width)[None, :] / period + rng.random()).astype(np.float32)
    if texture == "striped":
        pattern = (y + x * rng.uniform(-0.2, 0.2)) % 1 < 0.27
    elif texture == "checkered":
        cell = 1.12
        column, row = (x * cell) % 2, (y * cell) % 2
        pattern = ((column < 0.76) & (row < 0.76)) | ((column >= 1) & (column < 1.76) & (row >= 1) & (row < 1.76))
    elif texture == "dotted":
        row = np.floor(y)
        pattern = ((x + 0.5 * (row % 2)) % 1 - 0.5) ** 2 + (y - row - 0.5) ** 2 < 0.07
    else:
        raise ValueError(f"texture {texture!r} is not one of plain, striped, dotted, checkered")
    own = (paints >= Paint.BODY) & (paints <= Paint.SHADE)
    paints[own & pattern] = Paint.PATTERN


def _outline(paints: NDArray[np.uint8], width: int) -> None:
    """Paint the thing's rim, ``width`` subpixels wide, inside its silhouette."""
    padded = np.pad(paints > 0, width)
    height, breadth = paints.shape
    centre_y, centre_x = slice(width, width + height), slice(width, width + breadth)
    inside = (
        padded[centre_y, : -2 * width]
        & padded[centre_y, 2 * width :]
        & padded[: -2 * width, centre_x]
        & padded[2 * width :, centre_x]
    )
    paints[(paints > 0) & ~inside & (paints != Paint.DARK) & (paints != Paint.BROWN)] = Paint.OUTLINE


def _palette(colour: str, part_colour: str | None) -> NDArray[np.uint8]:
    """(12, 4) uint8 RGBA: the paints of a thing of that colour."""
    base = np.array(COLOURS[colour], dtype=np.float64)
    rgb = {
        Paint.BODY: base,
        Paint.LIGHT: _LIGHT.get(colour, base + 0.2 * (255 - base)),
        Paint.SHADE: _SHADE.get(colour, base * 0.76),
        Paint.OUTLINE: _OUTLINE.get(colour, base * 0.5),
        Paint.PATTERN: _PATTERN.get(colour, 255 - 0.1 * (255 - base)),
        Paint.PART: np.array(COLOURS[part_colour or colour], dtype=np.float64),
        **_FIXED,
    }
    palette = np.zeros((len(Paint), 4), dtype=np.uint8)
    for part, value in rgb.items():
        palette[part] = (*np.asarray(value, dtype=np.float64).round().astype(np.uint8), 255)
    return palette


def _shaded(flat: Image.Image, round_: bool) -> Image.Image:
    """Light from the upper left."""
    width, height = flat.size
    pixels = np.asarray(flat)
    v = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None]
    u = ((np.arange(width, dtype=np.float32) + 0.5) / width)[None, :]
    tone: NDArray[np.floating] = 0.2 * (0.45 - v) + 0.1 * (0.5 - u)
    if round_:
        tone = tone - 0.3 * ((u - 0.44) ** 2 + (v - 0.42) ** 2)
        tone = tone + 0.42 * np.exp(-(((u - 0.33) / 0.13) ** 2)) * np.exp(-(((v - 0.3) / 0.12) ** 2))
    rgb = pixels[..., :3].astype(np.float32)
    rgb = rgb + np.maximum(tone, 0)[..., None] * (255 - rgb) + np.minimum(tone, 0)[..., None] * rgb
    return Image.fromarray(np.concatenate([rgb.astype(np.uint8), pixels[..., 3:]], axis=2))
