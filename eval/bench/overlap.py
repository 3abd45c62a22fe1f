"""The overlap study: two things moved together step by step, one in front of the other, drawn in several ways.

The Multi-Instance Sampler averages whole latents or pastes them, in the plan's order or from back to front; the
instance mask lets instances share a patch or gives it to the nearest. Scores are the bundled detector's, but for who
is in front: that is read off the pixels that both things would cover, by colour thresholds that know no detector.
Beside the ways of drawing stand the world's own pictures (the ceiling) and the first way's pictures against the plans
of other pairs (the floor).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffusion.layout import Box, Instance, Layout
from diffusion.tiny.vocabulary import KINDS, describe
from diffusion.tiny.world import draw_layout
from eval.boxes import pairwise_iou
from eval.colours import colour_names
from eval.judged import judged
from eval.matching import assign
from eval.report import Detection
from eval.scores import Estimate, estimate
from eval.tiny_detector import TinyDetector

FIRST_SEED = 9_500_000
SOLID = ("ball", "cube", "heart", "mushroom", "apple", "balloon")
"""Kinds whose own colour fills at least half of their box, and whose outline is the same however they are turned."""
DISTINCT = ("red", "green", "blue", "yellow", "purple")
"""Colours that the thresholds tell from each other and from the grey background."""
APPROACHES = (0.0, 0.15, 0.3, 0.45)
"""How far the things have come together: 0 is side by side, 1 would be one place."""
SIDE = 0.4
"""Square root of a box's area, as a share of the canvas."""
IN_PLACE = 0.5
LEAST_SHARED = 20
"""Fewer pixels tell nothing of who is in front."""
BATCH = 8


@dataclass(frozen=True)
class Way:
    """One way of drawing: how latents are joined, and whom a shared patch attends to."""

    name: str
    merge: Literal["average", "paste", "depth"]
    instance_mask: Literal["boxes", "nearest"]


WAYS = (
    Way("averaged", "average", "boxes"),
    Way("pasted in the plan's order", "paste", "boxes"),
    Way("pasted by depth", "depth", "boxes"),
    Way("averaged, mask of the nearest", "average", "nearest"),
    Way("pasted by depth, mask of the nearest", "depth", "nearest"),
)
REAL, FLOOR = "real pictures", "shuffled plans"

Draw = Callable[[Sequence[Layout], Sequence[int], Way], list[Image.Image]]
"""(layouts, seeds, way) -> pictures."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A plan of two things. pair: scenes of one pair share things, noise and way of approach. front: 0 or 1.

    shared: (H, W) bool, the pixels that each of the two would cover if it stood alone.
    """

    pair: int
    approach: float
    front: int
    layout: Layout
    seed: int
    shared: NDArray[np.bool_]


@dataclass(frozen=True)
class Marks:
    """One picture. iou: of both things, 0 when missing; kind: whether what stands in each place is of its kind;
    both: whether both are found with IoU 0.5; front: whether the shared pixels, if there are any, show the nearer."""

    iou: tuple[float, ...]
    kind: tuple[bool, ...]
    both: bool
    front: bool | None


def bench_overlap(draw: Draw, detector: TinyDetector, pairs: int, *, seed: int = FIRST_SEED) -> dict[str, Any]:
    """Scores of every way, over all scenes and at each approach; intervals draw whole pairs anew."""
    scenes = overlap_scenes(pairs, seed)
    pictures = {way.name: _drawn(draw, scenes, way) for way in WAYS}
    pictures[REAL] = [draw_layout(scene.layout, scene.seed).image for scene in scenes]
    pictures[FLOOR] = pictures[WAYS[0].name]
    others = scenes[len(scenes) // pairs :] + scenes[: len(scenes) // pairs]
    rows = []
    for name, drawn in pictures.items():
        plans = others if name == FLOOR else scenes
        marks = [mark(s, p, d, detector.name) for s, p, d in zip(plans, drawn, _detected(detector, drawn), strict=True)]
        for approach in (None, *APPROACHES):
            chosen = [(s, m) for s, m in zip(plans, marks, strict=True) if approach in (None, s.approach)]
            rows.append({"way": name, "approach": approach, **{k: asdict(v) for k, v in _scores(chosen).items()}})
    return {
        "pairs": pairs,
        "pictures": len(scenes),
        "approaches": APPROACHES,
        "detector": detector.name,
        "box_convention": "normalised xyxy",
        "rows": rows,
    }


def overlap_scenes(pairs: int, seed: int = FIRST_SEED) -> list[Scene]:
    """Every pair of things at every approach, with the one and with the other in front, pair by pair."""
    scenes = []
    for pair in range(pairs):
        for approach in APPROACHES:
            for front in (0, 1):
                layout = _plan(np.random.default_rng(seed + pair), approach, front)
                scenes.append(Scene(pair, approach, front, layout, seed + pair, _shared(layout)))
    return scenes


def mark(scene: Scene, picture: Image.Image, detections: Sequence[Detection], detector: str) -> Marks:
    """Holds one picture against its scene."""
    report = judged("", scene.layout, tuple(detections), detector, frozenset(KINDS)).report
    boxes = [_box(instance) for instance in scene.layout]
    overlap = pairwise_iou([box.xyxy() for box in boxes], [d.box.xyxy() for d in detections])
    there = {row: detections[column] for row, column in assign(overlap) if overlap[row, column] >= IN_PLACE}
    wanted = [instance.category for instance in scene.layout]
    iou = tuple(verdict.iou or 0.0 for verdict in report.instances)
    return Marks(
        iou=iou,
        kind=tuple(row in there and there[row].label == kind for row, kind in enumerate(wanted)),
        both=min(iou) >= IN_PLACE,
        front=_front_shows(picture, scene),
    )


def _front_shows(picture: Image.Image, scene: Scene) -> bool | None:
    """Whether more of the shared pixels have the nearer thing's colour than the other's; None where there are few."""
    if scene.shared.sum() < LEAST_SHARED:
        return None
    names = colour_names(np.asarray(picture.convert("RGB"))[scene.shared])
    near, far = (describe(scene.layout.instances[i].caption).colour for i in (scene.front, 1 - scene.front))
    return bool((names == near).sum() > (names == far).sum())


def _scores(chosen: Sequence[tuple[Scene, Marks]]) -> dict[str, Estimate]:
    def over(values: Callable[[Marks], Iterable[float]], unit: str) -> Estimate:
        by_pair: dict[int, list[float]] = {}
        for scene, marks in chosen:
            by_pair.setdefault(scene.pair, []).extend(map(float, values(marks)))
        return estimate(by_pair.values(), unit)

    return {
        "both_found": over(lambda m: [m.both], "pictures"),
        "mean_iou": over(lambda m: m.iou, "things"),
        "kind": over(lambda m: m.kind, "things"),
        "front": over(lambda m: [] if m.front is None else [m.front], "pictures with a shared region"),
    }


def _plan(random: np.random.Generator, approach: float, front: int) -> Layout:
    kinds = [str(kind) for kind in random.choice(SOLID, 2, replace=False)]
    colours = [str(colour) for colour in random.choice(DISTINCT, 2, replace=False)]
    sizes = [(SIDE * math.sqrt(KINDS[kind].aspect), SIDE / math.sqrt(KINDS[kind].aspect)) for kind in kinds]
    apart = (sizes[0][0] + sizes[1][0]) / 2 * (1 - approach)
    slope = random.uniform(-0.04, 0.04)
    centres = [(0.5 + sign * apart / 2, 0.5 + sign * slope) for sign in random.permutation((-1, 1))]
    captions = [f"a {colour} {kind}" for colour, kind in zip(colours, kinds, strict=True)]
    relation = "next to" if approach == 0 else "in front of"
    return Layout(
        version=1,
        caption=f"{captions[front]} {relation} {captions[1 - front]} on a plain grey background",
        background="plain grey background",
        width=128,
        height=128,
        instances=tuple(
            Instance(
                id=f"{kind}-1",
                category=kind,
                caption=caption,
                box=(box := _around(centre, size)),
                point=box.center,
                depth=0 if index == front else 1,
            )
            for index, (kind, caption, centre, size) in enumerate(zip(kinds, captions, centres, sizes, strict=True))
        ),
    )


def _shared(layout: Layout) -> NDArray[np.bool_]:
    alone = (layout.model_copy(update={"instances": (instance,)}) for instance in layout)
    first, second = (draw_layout(plan).things[0].mask for plan in alone)
    return first & second


def _around(centre: tuple[float, float], size: tuple[float, float]) -> Box:
    (x, y), (width, height) = centre, size
    return Box(x0=max(x - width / 2, 0.0), y0=y - height / 2, x1=min(x + width / 2, 1.0), y1=y + height / 2)


def _box(instance: Instance) -> Box:
    assert instance.box is not None
    return instance.box


def _drawn(draw: Draw, scenes: Sequence[Scene], way: Way) -> list[Image.Image]:
    pictures: list[Image.Image] = []
    for start in range(0, len(scenes), BATCH):
        part = scenes[start : start + BATCH]
        pictures += draw([scene.layout for scene in part], [scene.seed for scene in part], way)
    return pictures


def _detected(detector: TinyDetector, pictures: Sequence[Image.Image]) -> list[list[Detection]]:
    found: list[list[Detection]] = []
    for start in range(0, len(pictures), BATCH):
        found += detector.detect_batch(list(pictures[start : start + BATCH]))
    return found
