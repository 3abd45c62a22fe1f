"""What a look at a picture of the tiny world says of each thing that should be there, apart from the kind it is.

The common scores (``eval.scores``) match detections by kind, so that a cube drawn as a cup counts as missing. Here a
thing is held against whatever covers its place best, which tells a wrong place from a wrong kind, colour or texture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffusion.layout import Point
from diffusion.tiny.world import Scene, Thing
from eval.boxes import pairwise_iou
from eval.colours import colour_share
from eval.matching import assign
from eval.report import Detection
from eval.tiny_detector import SIDE, TinyDetector

IN_PLACE = 0.5
"""The IoU with which a detection, of whatever kind, covers a thing's place."""
SHARE_OF_A_COLOUR = 0.2
"""A thing shows a colour when at least this share of its box's pixels has it, by thresholds that know no detector."""
SHARE_OF_A_PART = 0.05
"""The same for the part of a thing, which is smaller."""


@dataclass(frozen=True)
class Marks:
    """One thing. ``kind``, ``colour``, ``texture``: of what is in its place, None when nothing is.

    ``by_threshold``, ``part``: whether its colour, and that of its part (None where it has none of its own), show.
    ``mask_iou``: of its visible mask with the mask of what is in its place and of its kind, 0 when that is missing.
    ``point_in_mask``, ``scribble_in_mask``: the share of its points in that mask. None with a detector without masks.
    """

    thing: Thing
    kind: bool | None
    colour: bool | None
    texture: bool | None
    by_threshold: bool
    part: bool | None
    mask_iou: float | None
    point_in_mask: float | None
    scribble_in_mask: float | None

    @property
    def in_place(self) -> bool:
        return self.kind is not None


def mark(scene: Scene, picture: Image.Image, detections: Sequence[Detection], detector: TinyDetector) -> list[Marks]:
    """The marks of each of the scene's things in a picture that was drawn from its layout."""
    overlap = pairwise_iou([t.box.xyxy() for t in scene.things], [d.box.xyxy() for d in detections])
    there = {row: column for row, column in assign(overlap) if overlap[row, column] >= IN_PLACE}
    masks = detector.masks(picture, detections) if detector.has_masks else None
    return [_mark(thing, picture, detections, masks, there.get(row)) for row, thing in enumerate(scene.things)]


def _mark(
    thing: Thing,
    picture: Image.Image,
    detections: Sequence[Detection],
    masks: Sequence[NDArray[np.bool_]] | None,
    column: int | None,
) -> Marks:
    found = None if column is None else detections[column]
    mask: NDArray[np.bool_] = np.zeros((SIDE, SIDE), dtype=np.bool_)
    if masks is not None and column is not None and detections[column].label == thing.kind:
        mask = masks[column]
    part = None
    if thing.part_colour is not None:
        part = colour_share(picture, thing.box, thing.part_colour) >= SHARE_OF_A_PART
    return Marks(
        thing=thing,
        kind=None if found is None else found.label == thing.kind,
        colour=None if found is None else found.colour == thing.colour,
        texture=None if found is None else found.texture == thing.texture,
        by_threshold=colour_share(picture, thing.box, thing.colour) >= SHARE_OF_A_COLOUR,
        part=part,
        mask_iou=None if masks is None else _mask_iou(thing.mask, mask),
        point_in_mask=None if masks is None else _share_in([thing.point], mask),
        scribble_in_mask=None if masks is None else _share_in(thing.scribble, mask),
    )


def _mask_iou(wanted: NDArray[np.bool_], drawn: NDArray[np.bool_]) -> float:
    size = wanted.shape[1], wanted.shape[0]
    fitted = np.asarray(Image.fromarray(drawn).resize(size, Image.Resampling.NEAREST))
    return float((wanted & fitted).sum() / max(1, (wanted | fitted).sum()))


def _share_in(points: Sequence[Point], mask: NDArray[np.bool_]) -> float:
    return float(np.mean([mask[min(int(p.y * SIDE), SIDE - 1), min(int(p.x * SIDE), SIDE - 1)] for p in points]))
