"""How close two pictures are inside and outside given boxes: what an edit changed, and what it left alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffusion.layout import Box


@dataclass(frozen=True)
class Closeness:
    """Mean absolute differences of the RGB values, 0 (equal) to 1, and structural similarity (Wang et al., 2004).

    edited: the share of the picture's pixels that the boxes cover. None where there is no such pixel.
    """

    edited: float
    inside: float | None
    outside: float | None
    ssim_inside: float | None
    ssim_outside: float | None


def closeness(before: Image.Image, after: Image.Image, boxes: Sequence[Box]) -> Closeness:
    """Compares two pictures of one size; boxes: normalised xyxy, a pixel that a box touches lies inside."""
    from skimage.metrics import structural_similarity

    if before.size != after.size:
        raise ValueError(f"pictures of {before.size} and {after.size} pixels cannot be compared")
    old, new = (np.asarray(picture.convert("RGB"), dtype=np.float64) / 255 for picture in (before, after))
    difference = np.abs(old - new).mean(axis=2)
    window = min(7, *(side - (side + 1) % 2 for side in before.size))
    _, similarity = structural_similarity(old, new, channel_axis=2, data_range=1.0, win_size=window, full=True)
    edited = np.zeros(difference.shape, dtype=bool)
    width, height = before.size
    for box in boxes:
        columns, rows = _touched(box.x0 * width, box.x1 * width), _touched(box.y0 * height, box.y1 * height)
        edited[rows, columns] = True
    alike = similarity.mean(axis=2)
    return Closeness(
        edited=float(edited.mean()),
        inside=_mean(difference[edited]),
        outside=_mean(difference[~edited]),
        ssim_inside=_mean(alike[edited]),
        ssim_outside=_mean(alike[~edited]),
    )


def _touched(start: float, stop: float) -> slice:
    """The pixels between two edges; an edge on a pixel's border does not touch the next one by a rounding error."""
    return slice(math.floor(start + 1e-6), math.ceil(stop - 1e-6))


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if values.size else None
