"""Image against plan: what was drawn of each planned instance, and whether the picture is accepted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diffusion.layout import Box, Instance, Layout
from eval.attributes import TINY_PALETTE, Palette, judge_attributes
from eval.boxes import as_array, pairwise_distance, pairwise_iou, share_inside
from eval.detector import Detector, queries_of
from eval.intervals import bootstrap_ci95
from eval.matching import assign, compatible, kind_of
from eval.referee import with_roles
from eval.report import AttributeVerdict, Detection, FidelityReport, InstanceVerdict

if TYPE_CHECKING:
    from PIL import Image


class CheckError(ValueError):
    """The image cannot be held against this plan; the message says why."""

    exit_code = 2


@dataclass(frozen=True)
class Acceptance:
    """When a picture counts as what was planned.

    Every instance must be found with an IoU of at least ``min_iou`` (or, planned by a point or scribble, with at least
    ``min_inside`` of its points in the box found) and with no attribute seen to be wrong. At most ``max_unplanned``
    things that nobody planned may be seen with a score of at least ``confident``. Instances of a kind that the detector
    does not know cannot be accepted.
    """

    min_iou: float = 0.5
    min_inside: float = 0.5
    max_unplanned: int = 0
    confident: float = 0.5


def check(
    layout: Layout, image: Image.Image, detector: Detector, acceptance: Acceptance | None = None
) -> FidelityReport:
    """The picture of a plan against the plan; CheckError when the image has not the plan's size in pixels.

    ``acceptance``: the usual rules, with the score from which this detector is confident, when not given.
    """
    return check_batch([layout], [image], detector, acceptance)[0]


def check_batch(
    layouts: Sequence[Layout], images: Sequence[Image.Image], detector: Detector, acceptance: Acceptance | None = None
) -> list[FidelityReport]:
    """``check`` for several pictures and their plans, which the detector looks at together."""
    for layout, image in zip(layouts, images, strict=True):
        if image.size != (layout.width, layout.height):
            raise CheckError(
                f"the image is {image.width} x {image.height} pixels and the plan is for {layout.width} x "
                f"{layout.height}: check the image that was rendered from this plan, or give the plan the image's "
                "width and height"
            )
    rules = acceptance or Acceptance(confident=detector.confident)
    found = detector.detect_batch(images, [queries_of(layout) for layout in layouts])
    return [
        with_roles(judge(layout, detections, detector.name, detector.kinds(), rules, detector.palette()))
        for layout, detections in zip(layouts, found, strict=True)
    ]


def judge(
    layout: Layout,
    detections: Sequence[Detection],
    detector: str,
    kinds: frozenset[str] | None,
    acceptance: Acceptance = Acceptance(),
    palette: Palette = TINY_PALETTE,
) -> FidelityReport:
    """The detections of a picture against its plan.

    ``kinds`` are the kinds of thing that the detector could have found; None when it finds whatever it is asked for.
    ``palette``: the attributes that it can tell, each with the values it chooses from.
    Detections are matched one-to-one with planned instances of the same kind: those with a box or a mask take the
    assignment of the largest total IoU, then those with a point or a scribble take, of the detections left, the ones
    that hold most of their points. What is left over is ``unplanned``.
    """
    instances = layout.instances
    unjudged = [instance.id for instance in instances if kind_of(instance.category, kinds) is None]
    scene = _Scene(instances, detections, kinds, palette)
    verdicts = [_verdict(scene, row, acceptance, instance.id in unjudged) for row, instance in enumerate(instances)]
    unplanned = sorted(
        (detection for column, detection in enumerate(detections) if column not in scene.matched.values()),
        key=lambda detection: (-detection.score, detection.label, detection.box.xyxy()),
    )
    scores = [verdict.iou for verdict in verdicts if verdict.iou is not None]
    reasons = tuple(_reasons(verdicts, unplanned, acceptance))
    return FidelityReport(
        detector=detector,
        instances=tuple(verdicts),
        unplanned=tuple(unplanned),
        mean_iou=float(np.mean(scores)) if scores else None,
        mean_iou_ci95=bootstrap_ci95(scores),
        scored=len(scores),
        recall_50=float(np.mean([score >= 0.5 for score in scores])) if scores else None,
        unjudged=tuple(unjudged),
        accepted=not reasons,
        reasons=reasons,
    )


class _Scene:
    """The planned instances (rows), the detections (columns) and which of them belong together."""

    def __init__(
        self,
        instances: Sequence[Instance],
        detections: Sequence[Detection],
        kinds: frozenset[str] | None,
        palette: Palette,
    ) -> None:
        self.instances, self.detections, self._palette = instances, detections, palette
        self.extents = [instance.extent() for instance in instances]
        self.boxes = as_array(detection.box for detection in detections)
        self.same_kind = compatible(
            [instance.category for instance in instances], [detection.label for detection in detections], kinds
        )
        self.iou: NDArray[np.float64] = np.zeros(self.same_kind.shape)
        self.inside: NDArray[np.float64] = np.zeros(self.same_kind.shape)
        for row, (instance, extent) in enumerate(zip(instances, self.extents, strict=True)):
            if extent is not None:
                self.iou[row] = pairwise_iou([extent.xyxy()], self.boxes)[0]
            elif (points := _points(instance)) and len(detections):
                self.inside[row] = share_inside(points, self.boxes)
        self.matched: dict[int, int] = {}
        self._match(self.iou)
        self._match(self.inside)
        self.landed = self._landed()

    def _match(self, closeness: NDArray[np.float64]) -> None:
        free = self._free(self.same_kind)
        self.matched |= assign(np.where(free, closeness, 0.0), [detection.score for detection in self.detections])

    def _landed(self) -> dict[int, int]:
        """For missing instances, detections of their kind that are left: right attributes first, then the nearest."""
        weights = np.zeros(self.same_kind.shape)
        for row, column in np.argwhere(self._free(self.same_kind)):
            extent, points = self.extents[row], _points(self.instances[row])
            wanted = [extent.xyxy()] if extent else [(point.x, point.y, point.x, point.y) for point in points]
            distance = pairwise_distance(wanted, self.boxes[[column]]).min()
            wrong = any(verdict.ok is False for verdict in self.attributes(row, column))
            weights[row, column] = (1.0 if wrong else 10.0) + (1.5 - distance)
        return dict(assign(weights))

    def _free(self, pairs: NDArray[np.bool_]) -> NDArray[np.bool_]:
        free = pairs.copy()
        free[list(self.matched)] = False
        free[:, list(self.matched.values())] = False
        return free

    def attributes(self, row: int, column: int) -> tuple[AttributeVerdict, ...]:
        return judge_attributes(self.instances[row].caption, self.detections[column], self._palette)


def _verdict(scene: _Scene, row: int, acceptance: Acceptance, unjudged: bool) -> InstanceVerdict:
    instance, extent, column = scene.instances[row], scene.extents[row], scene.matched.get(row)
    detection = scene.detections[column] if column is not None else None
    attributes = scene.attributes(row, column) if column is not None else ()
    landed = scene.landed.get(row)
    if unjudged:
        faults = [f"the detector does not know {instance.category!r}: not judged"]
    elif column is None:
        faults = [f"missing{_instead(scene, row, acceptance)}"]
    else:
        faults = list(_faults(scene, row, column, attributes, acceptance))
    unsure = [
        f"{verdict.attribute} {verdict.wanted!r} could not be judged" for verdict in attributes if verdict.ok is None
    ]
    return InstanceVerdict(
        id=instance.id,
        category=instance.category,
        caption=instance.caption,
        planned=extent,
        detected=detection.box if detection else None,
        iou=None if extent is None or unjudged else float(scene.iou[row, column]) if column is not None else 0.0,
        label=detection.label if detection else None,
        score=detection.score if detection else None,
        colour=detection.colour if detection else None,
        texture=detection.texture if detection else None,
        attributes=attributes,
        landed=scene.detections[landed].box if landed is not None else None,
        accepted=not faults,
        reason="; ".join(faults or ["ok", *unsure]),
    )


def _faults(
    scene: _Scene, row: int, column: int, attributes: tuple[AttributeVerdict, ...], acceptance: Acceptance
) -> Iterator[str]:
    overlap, inside = scene.iou[row, column], scene.inside[row, column]
    if scene.extents[row] is not None and overlap < acceptance.min_iou:
        yield f"IoU {_below(overlap, acceptance.min_iou)}, at least {acceptance.min_iou:.2f} needed"
    if scene.extents[row] is None and inside < acceptance.min_inside:
        yield f"{_below(inside, acceptance.min_inside)} of its points are in the box found, at least " + (
            f"{acceptance.min_inside:.2f} needed"
        )
    for verdict in attributes:
        if verdict.ok is False:
            yield f"{verdict.attribute} {verdict.found}, {verdict.wanted} wanted"


def _instead(scene: _Scene, row: int, acceptance: Acceptance) -> str:
    """What there is in place of a missing instance: its kind elsewhere, another kind in its place, or nothing."""
    words = ""
    if (landed := scene.landed.get(row)) is not None:
        found = scene.detections[landed]
        words = f"; an unplanned {found.label} is at {_where(found.box)}, score {found.score:.2f}"
    if scene.extents[row] is None:
        return words
    others = [column for column in range(len(scene.detections)) if column not in scene.matched.values()]
    there = max(others, key=lambda column: scene.iou[row, column], default=None)
    if there is not None and scene.iou[row, there] >= acceptance.min_iou:
        words += f"; something labelled {scene.detections[there].label} is there, IoU {scene.iou[row, there]:.2f}"
    return words


def _reasons(
    verdicts: Sequence[InstanceVerdict], unplanned: Sequence[Detection], acceptance: Acceptance
) -> Iterator[str]:
    yield from (f"{verdict.id}: {verdict.reason}" for verdict in verdicts if not verdict.accepted)
    confident = [detection for detection in unplanned if detection.score >= acceptance.confident]
    if len(confident) > acceptance.max_unplanned:
        things = ", ".join(
            f"{' '.join(filter(None, (thing.colour, thing.label)))} at {_where(thing.box)}, score {thing.score:.2f}"
            for thing in confident
        )
        yield f"{len(confident)} unplanned, at most {acceptance.max_unplanned} allowed: {things}"


def _points(instance: Instance) -> Sequence:
    if instance.scribble is not None:
        return instance.scribble.points
    return [instance.point] if instance.point is not None else []


def _below(value: float, limit: float) -> str:
    """A value under its limit to two decimals, or as many more as it takes to be seen to be under it."""
    decimals = next((n for n in range(2, 17) if float(f"{value:.{n}f}") < limit), 17)
    return f"{value:.{decimals}f}"


def _where(box: Box) -> str:
    return f"x {box.x0:.2f} to {box.x1:.2f}, y {box.y0:.2f} to {box.y1:.2f}"
