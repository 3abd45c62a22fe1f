"""The scores of many pictures, each with its denominator and interval, in all and by kind, size and neighbours.

Intervals draw whole pictures anew (see ``clustered_ci95``). Boxes are normalised xyxy, areas shares of the canvas.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from eval.attributes import wanted_attributes
from eval.boxes import pairwise_iou
from eval.intervals import clustered_ci95
from eval.judged import Judged
from eval.matching import KindNames, compatible
from eval.report import InstanceVerdict

INSTANCES = "planned instances"
MATCHED = "matched instances"
ATTRIBUTES = ("colour", "texture")

SIZES = (("small, under 3 %", 0.03), ("medium, 3 to 10 %", 0.10), ("large, from 10 %", float("inf")))
"""By the planned box's share of the canvas: its name, and the share from which the next begins."""
OVERLAPS = (("none", 1e-9), ("under 0.1", 0.1), ("0.1 to 0.3", 0.3), ("from 0.3", float("inf")))
"""By the largest IoU with another planned box of the same picture."""


@dataclass(frozen=True)
class Estimate:
    """A score: the mean of ``of`` values (``unit`` says what they are) with its 95 % bootstrap interval.

    ``value`` is None when there is nothing to measure, ``ci95`` when fewer than two pictures have values.
    """

    value: float | None
    ci95: tuple[float, float] | None
    of: int
    unit: str


@dataclass(frozen=True)
class Thing:
    """One planned instance that can be scored: it has an extent and is of a kind that the detector can find."""

    picture: int
    """Its picture's place among those scored."""
    verdict: InstanceVerdict
    iou: float
    """With the detection it is matched with, 0 when missing."""
    kind: str
    """Its category by the one name that all spellings of it share."""
    area: float
    overlap: float
    """Largest IoU with another planned box of its picture."""
    number: int
    """How many instances its picture's plan has."""

    @property
    def found(self) -> bool:
        return self.verdict.detected is not None


def scores(pictures: Sequence[Judged]) -> dict[str, Estimate]:
    """Every score of a set of pictures by its name.

    ``mean_iou``, ``recall_50``, ``recall_75``: over all planned instances that can be scored, missing ones with 0.
    ``mean_iou_matched``: over those that were found, which flatters whoever misses much.
    ``attributes``, ``colour``, ``texture``: whether attributes that captions ask for are right; of missing things they
    are wrong. ``attributes_matched``: of found things only. Attributes that could not be judged are in neither.
    ``count``: whether as many of a kind are found as are planned, for each kind of each plan.
    ``accepted``: whether the whole picture is.
    """
    found = things(pictures)
    accepted = [[float(picture.report.accepted)] for picture in pictures]
    return {
        **instance_scores(found),
        "attributes": _attributes(pictures),
        "attributes_matched": estimate(
            (attribute_values(picture, missing_as_wrong=False) for picture in pictures),
            "attributes of matched instances",
        ),
        "colour": _attributes(pictures, ("colour",)),
        "texture": _attributes(pictures, ("texture",)),
        "count": estimate((count_values(picture) for picture in pictures), "kinds planned in a picture"),
        "accepted": estimate(accepted, "pictures"),
    }


def instance_scores(chosen: Sequence[Thing]) -> dict[str, Estimate]:
    """The scores that are means over planned instances, over these."""
    matched = [thing for thing in chosen if thing.found]
    return {
        "mean_iou": _over(chosen, lambda thing: thing.iou, INSTANCES),
        "mean_iou_matched": _over(matched, lambda thing: thing.iou, MATCHED),
        "recall_50": _over(chosen, lambda thing: float(thing.iou >= 0.5), INSTANCES),
        "recall_75": _over(chosen, lambda thing: float(thing.iou >= 0.75), INSTANCES),
    }


def breakdown(pictures: Sequence[Judged]) -> dict[str, dict[str, dict[str, Estimate]]]:
    """``instance_scores`` by ``category``, ``size``, ``overlap`` and ``number``; only groups that have instances."""
    chosen = things(pictures)
    kinds = sorted({thing.kind for thing in chosen})
    numbers = sorted({thing.number for thing in chosen})
    groups = {
        "category": [(kind, [thing for thing in chosen if thing.kind == kind]) for kind in kinds],
        "size": _binned(chosen, lambda thing: thing.area, SIZES),
        "overlap": _binned(chosen, lambda thing: thing.overlap, OVERLAPS),
        "number": [(str(number), [thing for thing in chosen if thing.number == number]) for number in numbers],
    }
    return {by: {name: instance_scores(members) for name, members in named if members} for by, named in groups.items()}


def things(pictures: Sequence[Judged]) -> list[Thing]:
    """The planned instances of all pictures that can be scored."""
    names = KindNames()
    return [thing for index, picture in enumerate(pictures) for thing in _things(index, picture, names)]


def estimate(per_picture: Iterable[Sequence[float]], unit: str) -> Estimate:
    """The mean of all values, with the interval that drawing whole pictures anew gives."""
    clusters = [values for values in per_picture if len(values)]
    values = [value for cluster in clusters for value in cluster]
    return Estimate(float(np.mean(values)) if values else None, clustered_ci95(clusters), len(values), unit)


def _things(index: int, picture: Judged, names: KindNames) -> list[Thing]:
    planned = [(verdict, verdict.planned) for verdict in picture.report.instances if verdict.planned is not None]
    boxes = [box.xyxy() for _, box in planned]
    overlaps = pairwise_iou(boxes, boxes)
    np.fill_diagonal(overlaps, 0.0)
    found = []
    for row, (verdict, box) in enumerate(planned):
        kind = names.of(verdict.category, picture.kinds)
        if verdict.iou is not None and kind is not None:
            overlap = float(overlaps[row].max())
            number = len(picture.report.instances)
            found.append(Thing(index, verdict, verdict.iou, kind, box.area, overlap, number))
    return found


def _over(chosen: Iterable[Thing], value: Callable[[Thing], float], unit: str) -> Estimate:
    by_picture: dict[int, list[float]] = {}
    for thing in chosen:
        by_picture.setdefault(thing.picture, []).append(value(thing))
    return estimate(by_picture.values(), unit)


def _binned(
    chosen: Sequence[Thing], value: Callable[[Thing], float], bins: Sequence[tuple[str, float]]
) -> list[tuple[str, list[Thing]]]:
    limits = [limit for _, limit in bins]
    places = np.searchsorted(limits, [value(thing) for thing in chosen], side="right")
    return [
        (name, [thing for thing, place in zip(chosen, places, strict=True) if place == index])
        for index, (name, _) in enumerate(bins)
    ]


def attribute_values(
    picture: Judged, which: Sequence[str] = ATTRIBUTES, *, missing_as_wrong: bool = True
) -> list[float]:
    """1 or 0 for each attribute that a caption asks for and that the detector can judge; of missing things 0."""
    judged = [
        float(attribute.ok)
        for verdict in picture.report.instances
        for attribute in verdict.attributes
        if attribute.attribute in which and attribute.ok is not None
    ]
    return judged + [0.0] * _missing(picture, which) if missing_as_wrong else judged


def count_values(picture: Judged) -> list[float]:
    """For each kind of the plan that can be found, whether the picture has as many as planned."""
    names = KindNames()
    kinds = [names.of(instance.category, picture.kinds) for instance in picture.layout]
    planned = Counter(kind for kind in kinds if kind is not None)
    same = compatible(list(planned), [detection.label for detection in picture.detections], picture.kinds)
    return [float(number == seen) for number, seen in zip(planned.values(), same.sum(axis=1), strict=True)]


def _attributes(pictures: Sequence[Judged], which: Sequence[str] = ATTRIBUTES) -> Estimate:
    return estimate((attribute_values(picture, which) for picture in pictures), "attributes asked for")


def _missing(picture: Judged, which: Sequence[str]) -> int:
    """How many attributes are asked of missing things that could have been judged, whatever had been found."""
    return sum(
        (words := picture.palette.get(attribute, frozenset())) is None or value in words
        for verdict in picture.report.instances
        if verdict.detected is None and verdict.id not in picture.report.unjudged
        for attribute, value in wanted_attributes(verdict.caption).items()
        if attribute in which
    )
