"""When two boxes are so much in one place that the bundled model draws one thing: pairs at growing overlap, counted."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

from diffusion.layout import Box, Instance, Layout
from diffusion.tiny.vocabulary import COLOURS, KINDS
from diffusion.tiny.world import draw_layout
from eval.fidelity import judge
from eval.tiny_detector import TinyDetector

OVERLAPS = (-0.2, -0.05, 0.0, 0.1, 0.2, 0.35, 0.5)
"""IoU of the two boxes; below 0 the gap between them as a share of their side."""
SIDE = 0.34
BATCH = 8
FOUND_IOU = 0.4
"""A thing of the pair is drawn when the detection that is matched with it overlaps its box so much."""

Draw = Callable[[Sequence[Layout], Sequence[int]], list[Image.Image]]
"""(layouts, seeds) -> pictures."""


def bench_merging(draw: Draw, detector: TinyDetector, pictures: int, *, seed: int = 0) -> dict[str, Any]:
    """For pairs of one kind and of two kinds, at each overlap: in how many of ``pictures`` both things were found.

    Beside what the model drew stands what the detector says of the tiny world's own picture of the same pair.
    """
    rows = []
    for alike in (True, False):
        for overlap in OVERLAPS:
            rng = random.Random(f"{seed} {alike} {overlap}")
            layouts = [pair(rng, alike, overlap) for _ in range(pictures)]
            drawn, real = 0, 0
            for start in range(0, pictures, BATCH):
                part = layouts[start : start + BATCH]
                drawn += _both_found(part, draw(part, range(start, start + len(part))), detector)
                real += _both_found(part, [draw_layout(layout).image for layout in part], detector)
            kinds = "the same" if alike else "different"
            rows.append({"kinds": kinds, "overlap": overlap, "drawn": drawn, "real": real})
    return {"pictures": pictures, "detector": detector.name, "box_convention": "normalised xyxy", "rows": rows}


def _both_found(layouts: Sequence[Layout], images: Sequence[Image.Image], detector: TinyDetector) -> int:
    found = zip(layouts, detector.detect_batch(list(images)), strict=True)
    reports = (judge(layout, detections, detector.name, frozenset(KINDS)) for layout, detections in found)
    return sum(all((verdict.iou or 0.0) >= FOUND_IOU for verdict in report.instances) for report in reports)


def pair(rng: random.Random, alike: bool, overlap: float) -> Layout:
    """Two things of equal size side by side, of one kind or of two, each with a colour of its own."""
    kinds = [rng.choice(sorted(KINDS))] * 2 if alike else rng.sample(sorted(KINDS), 2)
    colours = rng.sample(sorted(COLOURS), 2)
    step = SIDE * (1 - overlap) if overlap <= 0 else SIDE * (1 - overlap) / (1 + overlap)
    left = 0.5 - (step + SIDE) / 2
    instances = tuple(
        Instance(
            id=f"thing-{n}",
            category=kind,
            caption=f"a {colour} {kind}",
            box=Box(x0=left + n * step, y0=0.4, x1=left + n * step + SIDE, y1=0.4 + SIDE),
            depth=n,
        )
        for n, (kind, colour) in enumerate(zip(kinds, colours, strict=True))
    )
    listed = " and ".join(instance.caption for instance in instances)
    return Layout(
        version=1, caption=f"{listed} on green grass", background="green grass", width=128, height=128,
        instances=instances,
    )  # fmt: skip
