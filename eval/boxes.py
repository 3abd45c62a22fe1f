"""Box geometry on numpy arrays: area, intersection, IoU and containment, all boxes xyxy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffusion.layout import Box, Point

Floats = NDArray[np.float64]


def as_array(boxes: Iterable[Box]) -> Floats:
    """Layout boxes as an (N, 4) array, normalised xyxy; (0, 4) when there are none."""
    return np.array([box.xyxy() for box in boxes], dtype=np.float64).reshape(-1, 4)


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two Layout boxes, in [0, 1]."""
    return float(pairwise_iou([a.xyxy()], [b.xyxy()])[0, 0])


def area(boxes: ArrayLike) -> Floats:
    """(N,) areas of (N, 4) xyxy boxes; an empty or inverted box has area 0."""
    boxes = _boxes(boxes)
    return np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None), axis=1)


def pairwise_intersection(a: ArrayLike, b: ArrayLike) -> Floats:
    """(N, M) areas shared by each of (N, 4) and each of (M, 4) xyxy boxes."""
    a, b = _boxes(a), _boxes(b)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.prod(np.clip(high - low, 0.0, None), axis=2)


def pairwise_iou(a: ArrayLike, b: ArrayLike) -> Floats:
    """(N, M) intersection over union of (N, 4) and (M, 4) xyxy boxes, in [0, 1].

    Both arguments in the same unit: scaling both axes' unit does not change the result, so the IoU of normalised boxes
    is the IoU in pixels. Two boxes without area have IoU 0.

    >>> pairwise_iou([[0, 0, 2, 2]], [[1, 0, 3, 2], [0, 0, 2, 2]]).round(3).tolist()
    [[0.333, 1.0]]
    """
    shared = pairwise_intersection(a, b)
    union = area(a)[:, None] + area(b)[None, :] - shared
    return np.minimum(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0), 1.0)


def pairwise_distance(a: ArrayLike, b: ArrayLike) -> Floats:
    """(N, M) Euclidean distances between the centres of (N, 4) and (M, 4) xyxy boxes, in the boxes' unit."""
    a, b = _boxes(a), _boxes(b)
    centres_a, centres_b = (a[:, :2] + a[:, 2:]) / 2, (b[:, :2] + b[:, 2:]) / 2
    return np.linalg.norm(centres_a[:, None] - centres_b[None, :], axis=2)


def nms(boxes: ArrayLike, scores: ArrayLike, iou_threshold: float, labels: Sequence[str] | None = None) -> list[int]:
    """The indices that non-maximum suppression keeps, the highest score first; of equal scores the earlier one wins.

    boxes: (N, 4) xyxy in any unit. scores: (N,). A box goes when its IoU with a kept one is above the threshold and,
    where there are labels (class-aware), both have the same label.

    >>> nms([[0, 0, 2, 2], [0, 0, 2, 3], [0, 0, 2, 2]], [0.5, 0.9, 0.8], 0.5, ["cat", "cat", "dog"])
    [1, 2]
    """
    overlaps = pairwise_iou(boxes, boxes) > iou_threshold
    if labels is not None:
        names = np.asarray(labels, dtype=object)
        overlaps &= names[:, None] == names[None, :]
    kept: list[int] = []
    for index in np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable"):
        if not overlaps[index, kept].any():
            kept.append(int(index))
    return kept


def share_inside(points: Iterable[Point], boxes: ArrayLike) -> Floats:
    """(M,) share of the normalised points that lie in each of (M, 4) normalised xyxy boxes, edges included."""
    xy = np.array([(point.x, point.y) for point in points], dtype=np.float64).reshape(-1, 1, 2)
    boxes = _boxes(boxes)
    inside = np.all((xy >= boxes[None, :, :2]) & (xy <= boxes[None, :, 2:]), axis=2)
    return inside.mean(axis=0)


def _boxes(boxes: ArrayLike) -> Floats:
    array = np.asarray(boxes, dtype=np.float64)
    if array.size == 0:
        return array.reshape(-1, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"boxes must have shape (N, 4): x0, y0, x1, y1; got {array.shape}")
    return array
