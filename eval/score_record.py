"""What ``score`` leaves: every score with its denominator, the floor and the ceiling beside it, and each item's own.

Two records of the same items are compared with a paired test. Boxes are normalised xyxy, however they were written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from diffusion.layout import explain, read_text
from eval.coco_metrics import coco_scores
from eval.judged import Judged, shuffled
from eval.paired import Difference, compare
from eval.scores import Estimate, attribute_values, breakdown, count_values, scores

COMPARED = ("mean_iou", "recall_50", "recall_75", "attributes", "count", "accepted")


class RecordError(ValueError):
    """A score file that cannot be read, or two that cannot be compared; the message says why."""

    exit_code = 2


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ItemScore(_Record):
    """One picture. ``mean_iou`` is over its ``ious``, missing as 0; None when it has nothing to score."""

    id: str
    mean_iou: float | None
    accepted: bool
    ious: dict[str, float]
    """By the instance's id."""
    attributes: tuple[float, ...]
    """1 for each attribute that is right and 0 for each that is wrong or missing."""
    count: tuple[float, ...]
    """For each kind of the plan 1 where as many are found as planned."""
    reasons: tuple[str, ...]
    image: str | None = None


class ScoreRecord(_Record):
    """The scores of a set of pictures."""

    record: Literal["scenewright score"] = "scenewright score"
    version: Literal[1] = 1
    source: str
    detector: str
    box_convention: Literal["normalised xyxy"] = "normalised xyxy"
    readings: dict[str, str]
    """How the boxes of each input were written, in words."""
    pictures: int
    planned: int
    """All planned instances."""
    scored: int
    """Those with an extent and of a kind that the detector can find: the denominator of mean_iou and recall."""
    scores: dict[str, Estimate]
    floor: dict[str, Estimate] | None
    """The same pictures held against each other's plans."""
    ceiling: dict[str, Estimate] | None
    """Real pictures with known boxes, seen by the same detector."""
    by: dict[str, dict[str, dict[str, Estimate]]]
    items: tuple[ItemScore, ...]
    """Worst first."""
    notes: tuple[str, ...]

    def to_json(self) -> str:
        return self.model_dump_json(indent=2)


def make_record(
    pictures: Sequence[Judged],
    *,
    source: str,
    readings: Mapping[str, str],
    images: Mapping[str, Path],
    ranked: Sequence[Judged] | None,
    ceiling: Sequence[Judged] | None,
    notes: Sequence[str],
) -> ScoreRecord:
    """The record of judged pictures, at least one.

    ranked: the same pictures with all their detections, for average precision; None when these have no scores.
    """
    floor, told = shuffled(pictures), list(notes)
    if floor is None:
        told.append(
            "no floor: a picture must be held against a plan unlike its own, and more than half of the plans are equal"
            if len(pictures) > 1
            else "no floor: there is no other picture's plan to hold this one against"
        )
    values = scores(pictures)
    items = [_item(picture, images.get(picture.id)) for picture in pictures]
    return ScoreRecord(
        source=source,
        detector=pictures[0].report.detector,
        readings=dict(readings),
        pictures=len(pictures),
        planned=sum(len(picture.layout.instances) for picture in pictures),
        scored=values["mean_iou"].of,
        scores=values | (coco_scores(ranked) if ranked is not None else {}),
        floor=None if floor is None else _bare(floor, None if ranked is None else shuffled(ranked)),
        ceiling=_bare(ceiling, ceiling) if ceiling else None,
        by=breakdown(pictures),
        items=tuple(sorted(items, key=_badness)),
        notes=tuple(told),
    )


def is_record(path: Path) -> bool:
    """Whether a file says of itself that it is one."""
    try:
        content = json.loads(read_text(path))
    except ValueError:
        return False
    return isinstance(content, dict) and content.get("record") == "scenewright score"


def read_record(path: Path) -> ScoreRecord:
    try:
        return ScoreRecord.model_validate_json(read_text(path))
    except ValidationError as error:
        raise RecordError(f"{explain(error, str(path))}\nexpected what scenewright score writes with -o") from error


def compare_records(a: ScoreRecord, b: ScoreRecord) -> tuple[dict[str, Difference], list[str]]:
    """A minus B over the items that both have, by score; and what the reader must know of the comparison.

    RecordError when different detectors looked, or when no item is in both.
    """
    if a.detector != b.detector:
        raise RecordError(
            f"{a.source} was scored with the detector {a.detector}, {b.source} with {b.detector}: the difference would "
            "be one of detectors"
        )
    ours, theirs = ({item.id: item for item in record.items} for record in (a, b))
    common = sorted(ours.keys() & theirs.keys())
    if not common:
        raise RecordError(f"{a.source} and {b.source} have no item in common: items are paired by their id")
    notes = [
        f"{len(record.items) - len(common)} of {len(record.items)} items are only in {record.source}: not compared"
        for record in (a, b)
        if len(record.items) > len(common)
    ]
    if replanned := [id for id in common if ours[id].ious.keys() != theirs[id].ious.keys()]:
        notes.append(f"{len(replanned)} of {len(common)} items were planned with other things in A than in B")
    results = {
        name: compare([_values(ours[id], name) for id in common], [_values(theirs[id], name) for id in common])
        for name in COMPARED
    }
    return {name: result for name, result in results.items() if result is not None}, notes


def _bare(pictures: Sequence[Judged], ranked: Sequence[Judged] | None) -> dict[str, Estimate]:
    """Scores beside the scores: average precision without the cost of its interval."""
    return scores(pictures) | ({} if ranked is None else coco_scores(ranked, resamples=0))


def _item(picture: Judged, image: Path | None) -> ItemScore:
    report = picture.report
    return ItemScore(
        id=picture.id,
        mean_iou=report.mean_iou,
        accepted=report.accepted,
        ious={verdict.id: verdict.iou for verdict in report.instances if verdict.iou is not None},
        attributes=tuple(attribute_values(picture)),
        count=tuple(count_values(picture)),
        reasons=report.reasons,
        image=None if image is None else str(image),
    )


def _badness(item: ItemScore) -> Any:
    return item.accepted, item.mean_iou if item.mean_iou is not None else 2.0, item.id


def _values(item: ItemScore, name: str) -> list[float]:
    match name:
        case "mean_iou":
            return list(item.ious.values())
        case "recall_50" | "recall_75":
            return [float(iou >= (0.5 if name == "recall_50" else 0.75)) for iou in item.ious.values()]
        case "accepted":
            return [float(item.accepted)]
        case _:
            return list(item.attributes if name == "attributes" else item.count)
