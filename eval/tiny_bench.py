"""How well a model draws the tiny world: held-out layouts drawn, looked at by the bundled detector, scored.

Beside every score stand the real-image ceiling (the same layouts as the world itself draws them) and the
shuffled-layout floor (the same pictures held against other layouts).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from diffusion.layout import Layout
from diffusion.tiny.vocabulary import KINDS, describe
from diffusion.tiny.world import Scene, sample_scene
from eval.boxes import pairwise_iou
from eval.colours import colour_share
from eval.fidelity import judge
from eval.intervals import bootstrap_ci95
from eval.matching import assign
from eval.report import Detection
from eval.tiny_detector import TinyDetector

FIRST_SEED = 9_000_000
"""Scenes from here on are never trained on."""
SHARE_OF_A_COLOUR = 0.2
"""A thing shows a colour when at least this share of its box's pixels has it, by thresholds that know no detector."""
DRAWN_IOU = 0.5
BATCH = 8

Draw = Callable[[Sequence[Layout], Sequence[int]], list[Image.Image]]
"""(layouts, seeds) -> pictures."""


@dataclass(frozen=True)
class Marks:
    """One planned thing. iou: with the detection of its kind that the matching gives it, 0 when missing.

    kind, colour, texture: whether the detection that covers its place best (IoU >= 0.5, whatever its kind) has them.
    threshold: whether its colour shows by thresholds.
    """

    iou: float
    kind: bool
    colour: bool
    texture: bool
    threshold: bool


def bench_tiny(draw: Draw, detector: TinyDetector, pictures: int, *, largest: int = 5, seed: int = FIRST_SEED) -> dict:
    """Scores over the things of ``pictures`` held-out scenes with one to ``largest`` things, with 95 % intervals."""
    scenes = held_out_scenes(pictures, largest, seed)
    layouts = [scene.layout() for scene in scenes]
    drawn: list[Image.Image] = []
    for start in range(0, len(scenes), BATCH):
        part = slice(start, start + BATCH)
        drawn += draw(layouts[part], [scene.seed for scene in scenes[part]])
    real = [scene.image for scene in scenes]
    others = layouts[1:] + layouts[:1]
    return {
        "pictures": len(scenes),
        "things": sum(len(layout.instances) for layout in layouts),
        "detector": detector.name,
        "box_convention": "normalised xyxy",
        "drawn": _scores(layouts, drawn, detector),
        "real": _scores(layouts, real, detector),
        "shuffled": _scores(others, drawn, detector),
    }


def held_out_scenes(count: int, largest: int, seed: int) -> list[Scene]:
    """Scenes with a colour and kind pair that training never shows, of one to ``largest`` things."""
    scenes: list[Scene] = []
    while len(scenes) < count:
        scene = sample_scene(seed, "held_out")
        if len(scene.things) <= largest:
            scenes.append(scene)
        seed += 1
    return scenes


def mark(layout: Layout, picture: Image.Image, detections: Sequence[Detection], detector: TinyDetector) -> list[Marks]:
    """The marks of each instance of a layout that has boxes."""
    report = judge(layout, detections, detector.name, frozenset(KINDS))
    boxes = [instance.box for instance in layout if instance.box is not None]
    overlap = pairwise_iou([box.xyxy() for box in boxes], [d.box.xyxy() for d in detections])
    there = {row: detections[column] for row, column in assign(overlap) if overlap[row, column] >= DRAWN_IOU}
    marks = []
    for row, (instance, verdict, box) in enumerate(zip(layout, report.instances, boxes, strict=True)):
        wanted, found = describe(instance.caption), there.get(row)
        marks.append(
            Marks(
                iou=verdict.iou or 0.0,
                kind=found is not None and found.label == wanted.kind,
                colour=found is not None and found.colour == wanted.colour,
                texture=found is not None and found.texture == (wanted.texture or "plain"),
                threshold=wanted.colour is not None and colour_share(picture, box, wanted.colour) >= SHARE_OF_A_COLOUR,
            )
        )
    return marks


def _scores(layouts: Sequence[Layout], pictures: Sequence[Image.Image], detector: TinyDetector) -> dict[str, Any]:
    marks: list[Marks] = []
    for start in range(0, len(layouts), BATCH):
        part = slice(start, start + BATCH)
        found = detector.detect_batch(list(pictures[part]))
        for layout, picture, detections in zip(layouts[part], pictures[part], found, strict=True):
            marks += mark(layout, picture, detections, detector)
    columns = {
        "mean_iou": [m.iou for m in marks],
        "recall_50": [float(m.iou >= 0.5) for m in marks],
        "kind": [float(m.kind) for m in marks],
        "colour": [float(m.colour) for m in marks],
        "texture": [float(m.texture) for m in marks],
        "colour_by_threshold": [float(m.threshold) for m in marks],
    }
    return {
        name: {"value": float(np.mean(values)), "ci95": bootstrap_ci95(values), "of": len(values)}
        for name, values in columns.items()
    }
