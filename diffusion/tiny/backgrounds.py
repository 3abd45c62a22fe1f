"""The backgrounds of the tiny world: smooth skies and grounds with a horizon, and where things can stand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from diffusion.tiny.painting import SUPERSAMPLING

RGB = tuple[int, int, int]

_SKY: tuple[RGB, RGB] = ((120, 178, 228), (214, 232, 244))


def draw_background(name: str, canvas: tuple[int, int], rng: np.random.Generator) -> tuple[Image.Image, float | None]:
    """Draw a background of (width, height) pixels; the horizon is normalised y, None where there is no ground."""
    width, height = canvas[0] * SUPERSAMPLING, canvas[1] * SUPERSAMPLING
    if name not in _PAINTERS:
        raise ValueError(f"background {name!r} is not one of {', '.join(_PAINTERS)}")
    image, horizon = _PAINTERS[name]((width, height), rng)
    return image.reduce(SUPERSAMPLING), horizon


Size = tuple[int, int]
Painter = Callable[[Size, np.random.Generator], tuple[Image.Image, float | None]]


def _gradient(size: Size, *bands: tuple[float, float, RGB, RGB]) -> Image.Image:
    """Vertical gradients: (from, to, colour at the top, colour at the bottom) in shares of the height."""
    width, height = size
    column: NDArray[np.float32] = np.zeros((height, 3), dtype=np.float32)
    for start, stop, above, below in bands:
        first, last = round(start * height), round(stop * height)
        t = np.linspace(0, 1, max(last - first, 1), dtype=np.float32)[:, None]
        column[first:last] = (np.array(above) * (1 - t) + np.array(below) * t)[: last - first]
    return Image.fromarray(column.astype(np.uint8)[:, None, :]).resize((width, height), Image.Resampling.NEAREST)


def _varied(colour: RGB, rng: np.random.Generator, amount: int = 10) -> RGB:
    shift = rng.integers(-amount, amount + 1)
    r, g, b = (int(np.clip(c + shift, 0, 255)) for c in colour)
    return r, g, b


def _clouds(image: Image.Image, rng: np.random.Generator, horizon: float, colour: RGB = (242, 246, 250)) -> None:
    draw = ImageDraw.Draw(image)
    width, height = image.size
    for _ in range(int(rng.integers(0, 3))):
        x, y, r = (
            rng.uniform(0, width),
            rng.uniform(0.08, max(horizon - 0.14, 0.1)) * height,
            rng.uniform(0.025, 0.05) * width,
        )
        for dx, dy, scale in ((-1.3, 0.25, 0.75), (0, 0, 1.0), (1.3, 0.2, 0.8)):
            draw.ellipse(
                (
                    x + dx * r - r * 1.2 * scale,
                    y + dy * r - r * 0.8 * scale,
                    x + dx * r + r * 1.2 * scale,
                    y + dy * r + r * 0.6 * scale,
                ),
                fill=colour,
            )


def _hill(image: Image.Image, horizon: float, lift: float, colour: RGB, rng: np.random.Generator) -> None:
    """Rolling ground behind the horizon, at most ``lift`` of the height above it."""
    width, height = image.size
    x = np.linspace(0, 1, 40)
    wave = 0.5 + 0.25 * np.sin(2 * np.pi * (x * rng.uniform(0.6, 1.3) + rng.random()))
    wave += 0.25 * np.sin(2 * np.pi * (x * rng.uniform(1.5, 2.5) + rng.random()))
    y = (horizon - lift * wave) * height
    points = [
        *zip((x * width).tolist(), y.tolist(), strict=True),
        (width, horizon * height + 1),
        (0, horizon * height + 1),
    ]
    ImageDraw.Draw(image).polygon(points, fill=colour)


def _grass(size: Size, rng: np.random.Generator) -> tuple[Image.Image, float | None]:
    horizon = rng.uniform(0.3, 0.55)
    image = _gradient(
        size, (0, horizon, *_SKY), (horizon, 1, _varied((160, 200, 112), rng), _varied((122, 176, 78), rng))
    )
    _clouds(image, rng, horizon)
    if rng.random() < 0.6:
        _hill(image, horizon, rng.uniform(0.04, 0.12), _varied((146, 190, 128), rng), rng)
    return image, horizon


def _beach(size: Size, rng: np.random.Generator) -> tuple[Image.Image, float | None]:
    horizon = rng.uniform(0.25, 0.42)
    shore = horizon + rng.uniform(0.1, 0.2)
    image = _gradient(
        size,
        (0, horizon, *_SKY),
        (horizon, shore, (86, 158, 196), (140, 204, 214)),
        (shore, 1, _varied((244, 226, 182), rng, 6), _varied((226, 200, 148), rng)),
    )
    _clouds(image, rng, horizon)
    _hill(image, shore + 0.015, 0.03, (238, 246, 246), rng)
    return image, shore


def _snow(size: Size, rng: np.random.Generator) -> tuple[Image.Image, float | None]:
    horizon = rng.uniform(0.35, 0.55)
    image = _gradient(
        size, (0, horizon, (150, 178, 206), (208, 220, 232)), (horizon, 1, (232, 238, 246), (212, 222, 236))
    )
    _hill(image, horizon, rng.uniform(0.05, 0.15), (220, 229, 240), rng)
    return image, horizon


def _desert(size: Size, rng: np.random.Generator) -> tuple[Image.Image, float | None]:
    horizon = rng.uniform(0.35, 0.55)
    image = _gradient(
        size,
        (0, horizon, (128, 186, 226), (240, 226, 196)),
        (horizon, 1, _varied((226, 178, 112), rng), _varied((204, 148, 84), rng)),
    )
    _hill(image, horizon, rng.uniform(0.08, 0.18), _varied((214, 164, 98), rng), rng)
    return image, horizon


def _sea(size: Size, rng: np.random.Generator) -> tuple[Image.Image, float | None]:
    horizon = rng.uniform(0.3, 0.55)
    image = _gradient(size, (0, horizon, *_SKY), (horizon, 1, (104, 162, 192), (62, 124, 164)))
    _clouds(image, rng, horizon)
    draw, (width, height) = ImageDraw.Draw(image), size
    for _ in range(9):
        y = rng.uniform(horizon + 0.04, 0.98)
        x, length = rng.uniform(0, 0.95), rng.uniform(0.06, 0.16)
        draw.rectangle((x * width, y * height, (x + length) * width, y * height + 0.006 * height), fill=(150, 198, 214))
    return image, horizon


def _night(size: Size, rng: np.random.Generator) -> tuple[Image.Image, float | None]:
    horizon = rng.uniform(0.6, 0.75)
    image = _gradient(size, (0, horizon, (22, 28, 66), (58, 66, 118)), (horizon, 1, (50, 62, 72), (36, 46, 54)))
    draw, (width, height) = ImageDraw.Draw(image), size
    for _ in range(int(rng.integers(10, 22))):
        x, y, r = rng.uniform(0, width), rng.uniform(0.02, horizon - 0.05) * height, rng.uniform(0.004, 0.008) * width
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(226, 228, 236))
    _hill(image, horizon, 0.06, (46, 56, 70), rng)
    return image, horizon


def _street(size: Size, rng: np.random.Generator) -> tuple[Image.Image, float | None]:
    horizon = rng.uniform(0.4, 0.5)
    curb = horizon + 0.08
    image = _gradient(
        size,
        (0, horizon, (172, 196, 218), (216, 224, 232)),
        (horizon, curb, (190, 188, 182), (178, 176, 172)),
        (curb, 1, (122, 124, 130), (104, 106, 112)),
    )
    draw, (width, height) = ImageDraw.Draw(image), size
    x = rng.uniform(-0.1, 0)
    while x < 1:
        broad, tall = rng.uniform(0.12, 0.22), rng.uniform(0.12, 0.3)
        draw.rectangle(
            (x * width, (horizon - tall) * height, (x + broad) * width, horizon * height),
            fill=_varied((160, 166, 178), rng, 14),
        )
        x += broad + 0.02
    lane = (curb + 1) / 2
    for start in np.arange(rng.uniform(-0.2, 0), 1, 0.28).tolist():
        draw.rectangle(
            (start * width, (lane - 0.012) * height, (start + 0.15) * width, (lane + 0.012) * height),
            fill=(226, 222, 204),
        )
    return image, horizon + 0.04


def _table(size: Size, rng: np.random.Generator) -> tuple[Image.Image, float | None]:
    horizon = rng.uniform(0.45, 0.62)
    image = _gradient(
        size,
        (0, horizon, (226, 218, 204), (212, 202, 186)),
        (horizon, 1, _varied((190, 142, 94), rng), _varied((164, 114, 70), rng)),
    )
    draw, (width, height) = ImageDraw.Draw(image), size
    draw.rectangle((0, horizon * height, width, (horizon + 0.02) * height), fill=(206, 162, 114))
    for y in np.linspace(horizon, 1, 5)[1:-1].tolist():
        draw.rectangle((0, y * height, width, y * height + 0.006 * height), fill=(152, 104, 62))
    return image, horizon


def _room(size: Size, rng: np.random.Generator) -> tuple[Image.Image, float | None]:
    horizon = rng.uniform(0.55, 0.7)
    image = _gradient(
        size,
        (0, horizon, _varied((206, 216, 206), rng), _varied((194, 206, 196), rng)),
        (horizon, 1, (196, 170, 138), (178, 150, 118)),
    )
    draw, (width, height) = ImageDraw.Draw(image), size
    draw.rectangle((0, (horizon - 0.035) * height, width, horizon * height), fill=(238, 236, 228))
    for x in np.linspace(-0.4, 1.4, 10).tolist():
        draw.line(
            (0.5 * width + (x - 0.5) * width * 0.7, horizon * height, x * width, height), fill=(164, 136, 104), width=3
        )
    return image, horizon


def _forest(size: Size, rng: np.random.Generator) -> tuple[Image.Image, float | None]:
    horizon = rng.uniform(0.5, 0.65)
    image = _gradient(
        size, (0, horizon, (176, 204, 190), (140, 176, 150)), (horizon, 1, (128, 150, 96), (104, 124, 74))
    )
    draw, (width, height) = ImageDraw.Draw(image), size
    for x in np.arange(rng.uniform(0, 0.1), 1, 0.11).tolist():
        x, broad = x + rng.uniform(-0.03, 0.03), rng.uniform(0.012, 0.025)
        draw.rectangle(
            ((x - broad) * width, 0, (x + broad) * width, horizon * height), fill=_varied((126, 134, 112), rng, 8)
        )
    _hill(image, horizon + 0.01, 0.1, (114, 146, 104), rng)
    return image, horizon


def _sunset(size: Size, rng: np.random.Generator) -> tuple[Image.Image, float | None]:
    horizon = rng.uniform(0.5, 0.68)
    image = _gradient(
        size,
        (0, horizon * 0.55, (112, 100, 150), (226, 150, 140)),
        (horizon * 0.55, horizon, (226, 150, 140), (252, 208, 140)),
        (horizon, 1, (104, 84, 92), (76, 62, 74)),
    )
    _hill(image, horizon, rng.uniform(0.04, 0.1), (122, 96, 104), rng)
    return image, horizon


def _grey(size: Size, rng: np.random.Generator) -> tuple[Image.Image, float | None]:
    return _gradient(size, (0, 1, _varied((190, 191, 193), rng), _varied((166, 167, 170), rng))), None


_PAINTERS: dict[str, Painter] = {
    "grass": _grass,
    "beach": _beach,
    "snow": _snow,
    "desert": _desert,
    "sea": _sea,
    "night": _night,
    "street": _street,
    "table": _table,
    "room": _room,
    "forest": _forest,
    "sunset": _sunset,
    "grey": _grey,
}
