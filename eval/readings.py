"""What one file of planned and detected boxes says under each reading and each way of counting.

A published study of LLM-planned layouts gave a mean IoU of 0.4166. Its planner wrote corners, its renderer and its
scorer read [x, y, width, height], its detector answered with corners; one best pair for each label was counted, and
labels without a match were left out. The same boxes under other readings, counted otherwise, give other numbers: this
module puts them side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diffusion.formats.boxes import BoxReading
from eval.boxes import pairwise_iou
from eval.detection_files import Pair, pair_label, pair_numbers
from eval.matching import assign, compatible, same_noun

READ_AS = ("xywh", "xyxy")


@dataclass(frozen=True)
class Counted:
    """The mean IoU of a file under one reading of both sides and one way of counting.

    ``mean_matched`` is over the ``matched`` pairs only; ``mean`` counts every other planned instance with 0, so that it
    is over ``planned``.
    """

    planned_as: str
    detected_as: str
    counting: str
    mean_matched: float | None
    matched: int
    mean: float | None
    planned: int
    off_canvas: int | None
    """Planned boxes that this reading puts over the canvas' edge; None where the canvas is not known."""


BEST_PER_LABEL = "best pair a label"
ONE_TO_ONE = "one to one"


def count_readings(pairs: Sequence[Pair], canvas: tuple[int, int] | None = None) -> list[Counted]:
    """Every reading of both sides, counted as the study did and one to one."""
    return [
        _count(pairs, BoxReading(planned), BoxReading(detected), counting, canvas)
        for counting in (BEST_PER_LABEL, ONE_TO_ONE)
        for planned in READ_AS
        for detected in READ_AS
    ]


def _count(
    pairs: Sequence[Pair], planned: BoxReading, detected: BoxReading, counting: str, canvas: tuple[int, int] | None
) -> Counted:
    scores: list[float] = []
    total = over = 0
    for pair in pairs:
        boxes = _corners([pair_numbers(field) for field in pair.planned], planned)
        found = _corners([pair_numbers(field) for field in pair.detected], detected)
        labels, seen = ([pair_label(field) for field in side] for side in (pair.planned, pair.detected))
        same, overlap = compatible(labels, seen, None), pairwise_iou(boxes, found)
        scores += _best_per_label(labels, same, overlap) if counting == BEST_PER_LABEL else _one_to_one(same, overlap)
        total += len(labels)
        if canvas is not None and len(boxes):
            over += int(((boxes.min(axis=1) < 0) | (boxes[:, 2] > canvas[0]) | (boxes[:, 3] > canvas[1])).sum())
    return Counted(
        planned_as=str(planned),
        detected_as=str(detected),
        counting=counting,
        mean_matched=float(np.mean(scores)) if scores else None,
        matched=len(scores),
        mean=float(np.sum(scores)) / total if total else None,
        planned=total,
        off_canvas=None if canvas is None else over,
    )


def _best_per_label(labels: Sequence[str], same: np.ndarray, overlap: np.ndarray) -> list[float]:
    """One value for each label that was planned and found: the best IoU of any of its boxes with any found one."""
    best: dict[str, float] = {}
    for row, label in enumerate(labels):
        if same[row].any():
            name = next((known for known in best if same_noun(known, label)), label)
            best[name] = max(best.get(name, 0.0), float(overlap[row][same[row]].max()))
    return list(best.values())


def _one_to_one(same: np.ndarray, overlap: np.ndarray) -> list[float]:
    return [float(overlap[pair]) for pair in assign(np.where(same, overlap, 0.0))]


def _corners(boxes: Sequence[Sequence[float]], reading: BoxReading) -> np.ndarray:
    return np.array([reading.corners(box, 0, 0) for box in boxes], dtype=np.float64).reshape(-1, 4)
