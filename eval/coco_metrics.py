"""COCO's average precision and recall of many pictures, computed by pycocotools.

The plan is the ground truth: its boxes and masks' boxes, of the kinds that the detector can find. Detections enter
with their scores; those that were matched with an instance planned by points alone are left out, for they are neither
right nor wrong. COCO averages over the planned kinds, so that a detection of a kind that no plan asks for costs
nothing, and detections below the detector's own threshold are not there to add to the recall.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eval.judged import Judged
from eval.matching import compatible
from eval.scores import Estimate, things

if TYPE_CHECKING:
    from pycocotools.cocoeval import COCOeval

NAMES = ("ap", "ap_50", "ap_75", "ar_100")
RESAMPLES = 200
MOST_DETECTIONS = 100
"""Of a picture and kind, the most confident, as COCO has it."""


def coco_scores(pictures: Sequence[Judged], *, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Estimate]:
    """``ap`` (IoU 0.50 to 0.95), ``ap_50``, ``ap_75`` and ``ar_100``, with intervals that draw whole pictures anew.

    ``of`` counts the planned instances. The values are None when there are none.
    """
    truth, found = _datasets(pictures)
    planned = len(truth["annotations"])
    if not planned:
        return {name: Estimate(None, None, 0, "planned instances") for name in NAMES}
    evaluation = _evaluate(truth, found)
    values = _summary(evaluation)
    drawn = np.array(list(_resampled(evaluation, len(pictures), resamples, seed)))
    intervals = [None] * len(NAMES)
    if len(pictures) > 1 and len(drawn):
        intervals = [tuple(map(float, np.percentile(column, [2.5, 97.5]))) for column in drawn.T]  # type: ignore[misc]
    return {
        name: Estimate(value, interval, planned, "planned instances")
        for name, value, interval in zip(NAMES, values, intervals, strict=True)
    }


def _datasets(pictures: Sequence[Judged]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """COCO's ground truth and results; boxes are [x, y, width, height] in shares of the canvas."""
    annotations: list[dict[str, Any]] = []
    categories: dict[str, int] = {}
    for number, thing in enumerate(things(pictures), start=1):
        box = thing.verdict.planned
        assert box is not None
        annotations.append(
            {
                "id": number,
                "image_id": thing.picture + 1,
                "category_id": categories.setdefault(thing.kind, len(categories) + 1),
                "bbox": [box.x0, box.y0, box.width, box.height],
                "area": box.area,
                "iscrowd": 0,
            }
        )
    results = [
        {
            "image_id": index + 1,
            "category_id": categories[kind],
            "bbox": [detection.box.x0, detection.box.y0, detection.box.width, detection.box.height],
            "score": detection.score,
        }
        for index, picture in enumerate(pictures)
        for detection, kind in _of_planned_kinds(picture, list(categories))
    ]
    truth = {
        "images": [{"id": index + 1} for index in range(len(pictures))],
        "annotations": annotations,
        "categories": [{"id": number, "name": kind} for kind, number in categories.items()],
    }
    return truth, results


def _of_planned_kinds(picture: Judged, kinds: list[str]) -> list[tuple[Any, str]]:
    on_points = {
        (verdict.detected, verdict.label, verdict.score)
        for verdict in picture.report.instances
        if verdict.planned is None and verdict.detected is not None
    }
    same = compatible(kinds, [detection.label for detection in picture.detections], picture.kinds)
    return [
        (detection, kinds[int(same[:, column].argmax())])
        for column, detection in enumerate(picture.detections)
        if same[:, column].any() and (detection.box, detection.label, detection.score) not in on_points
    ]


def _evaluate(truth: dict[str, Any], found: list[dict[str, Any]]) -> COCOeval:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        planned = COCO()
        planned.dataset = truth
        planned.createIndex()
        detected = planned.loadRes(found) if found else COCO()
        evaluation = COCOeval(planned, detected, "bbox")
        # One area range for all: COCO's own are in pixels of photographs.
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [MOST_DETECTIONS]
        evaluation.evaluate()
    return evaluation


def _summary(evaluation: COCOeval) -> list[float]:
    """AP, AP50, AP75 and AR as COCO averages its tables: over kinds, thresholds and recalls that there are."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.accumulate()
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]
    at = {round(float(threshold), 2): index for index, threshold in enumerate(evaluation.params.iouThrs)}
    return [_mean(table) for table in (precision, precision[at[0.5]], precision[at[0.75]], recall)]


def _mean(table: NDArray[np.float64]) -> float:
    """-1 marks what is not there."""
    return float(table[table > -1].mean())


def _resampled(evaluation: COCOeval, pictures: int, resamples: int, seed: int) -> Any:
    """The summary of bootstrap samples of the pictures, from the matching that is done once for all."""
    rng = np.random.default_rng(seed)
    by_kind = np.array(evaluation.evalImgs, dtype=object).reshape(-1, pictures)
    for _ in range(resamples):
        picks = rng.integers(pictures, size=pictures)
        evaluation.evalImgs = by_kind[:, picks].ravel().tolist()
        if any(part is not None and (part["gtIgnore"] == 0).any() for part in evaluation.evalImgs):
            yield _summary(evaluation)
