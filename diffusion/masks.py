"""Masks as pixels: a layout's run-length codes and polygons to boolean arrays, and back.

``layout.py`` stays free of numpy; whoever needs the pixels imports this module.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from diffusion.layout import Mask, RunLength, decode_counts


def mask_to_array(mask: Mask, height: int, width: int) -> NDArray[np.bool_]:
    """The mask on a canvas of that size: bool (height, width), True inside.

    Polygons are filled by COCO's rule (pycocotools), several of them joined; polygons thinner than a pixel may
    cover none. A run-length code of another size is resampled to the nearest pixel.
    """
    if mask.rle is not None:
        return _resample(_fill(mask.rle.runs(), *mask.rle.size), height, width)
    assert mask.polygons is not None
    flat = [[value for point in polygon for value in (point.x * width, point.y * height)] for polygon in mask.polygons]
    code = coco.merge(coco.frPyObjects(flat, height, width))
    return _fill(decode_counts(code["counts"].decode("ascii")), height, width)


def array_to_rle(array: NDArray[np.generic]) -> RunLength:
    """The COCO run-length code (compressed string) of an array (height, width); anything but zero is inside.

    Raises ValueError when the array is not two-dimensional, has no pixel inside, or a side outside 8..8192.
    """
    if array.ndim != 2:
        raise ValueError(f"a mask has two dimensions (height, width), not the shape {array.shape}")
    code = coco.encode(np.asfortranarray(array != 0, dtype=np.uint8))
    height, width = array.shape
    return RunLength(size=(height, width), counts=code["counts"].decode("ascii"))


def _fill(runs: list[int], height: int, width: int) -> NDArray[np.bool_]:
    """Runs down the columns, zeros first. They cover the size exactly: RunLength has checked it."""
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(width, height).T


def _resample(array: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    if array.shape == (height, width):
        return array
    rows = (np.arange(height) * 2 + 1) * array.shape[0] // (2 * height)
    columns = (np.arange(width) * 2 + 1) * array.shape[1] // (2 * width)
    return array[np.ix_(rows, columns)]
