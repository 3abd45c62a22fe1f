"""The tiny world's colours told by plain thresholds: a second opinion that no detector was trained for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffusion.layout import Box


def colour_share(picture: Image.Image, box: Box, colour: str) -> float:
    """The share of the pixels in a normalised xyxy box that the thresholds call ``colour``."""
    rgb = np.asarray(picture.convert("RGB"))
    height, width = rgb.shape[:2]
    rows = slice(int(box.y0 * height), max(int(box.y0 * height) + 1, round(box.y1 * height)))
    columns = slice(int(box.x0 * width), max(int(box.x0 * width) + 1, round(box.x1 * width)))
    return float((colour_names(rgb[rows, columns].reshape(-1, 3)) == colour).mean())


def colour_names(rgb: NDArray[np.uint8]) -> NDArray[np.object_]:
    """(N, 3) uint8 -> (N,) names by plain thresholds on hue, saturation and value; "" where none applies."""
    r, g, b = (rgb.astype(float) / 255).T
    high, low = np.max([r, g, b], axis=0), np.min([r, g, b], axis=0)
    spread = np.maximum(high - low, 1e-6)
    saturation = (high - low) / np.maximum(high, 1e-6)
    hue = 60 * np.where(
        high == r, ((g - b) / spread) % 6, np.where(high == g, (b - r) / spread + 2, (r - g) / spread + 4)
    )
    names = np.full(len(rgb), "", dtype=object)
    hues = {"red": (346, 378), "yellow": (38, 68), "green": (90, 165), "blue": (200, 255), "purple": (265, 305),
            "pink": (312, 346)}  # fmt: skip
    for name, (start, stop) in hues.items():
        names[(saturation > 0.25) & ((hue - start) % 360 < stop - start)] = name
    names[(high < 0.4) & ((saturation < 0.35) | (high < 0.16))] = "black"
    names[(low > 0.68) & (saturation < 0.16)] = "white"
    return names
