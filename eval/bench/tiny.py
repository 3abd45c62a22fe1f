"""How well a model draws the tiny world: fresh layouts drawn, looked at by a detector, scored.

Beside every score stand the real-image ceiling (the same scenes as the world itself draws them) and the
shuffled-layout floor (the same pictures held against the scenes of others).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from diffusion.layout import Layout
from diffusion.tiny.vocabulary import KINDS
from diffusion.tiny.world import Scene
from eval.bench.frechet import frechet_distance
from eval.bench.tiny_marks import Marks, mark
from eval.bench.tiny_scenes import FORMATS, fresh_scenes, is_unseen, located_by
from eval.coco_metrics import coco_scores
from eval.judged import Judged, judge_all
from eval.scores import Estimate, breakdown, estimate, scores
from eval.tiny_detector import TinyDetector

BATCH = 8

Draw = Callable[[Sequence[Layout], Sequence[int]], list[Image.Image]]
"""(layouts, seeds) -> pictures."""


@dataclass(frozen=True)
class Seen:
    """A set of pictures as a detector sees them, each held against a scene: ``judged`` and ``marks`` by picture."""

    judged: list[Judged]
    marks: list[list[Marks]]

    def estimates(self, *, coco_resamples: int = 200) -> dict[str, Estimate]:
        """``eval.scores.scores``, COCO's, and those of ``marks``: see ``_of_marks``."""
        return {**scores(self.judged), **coco_scores(self.judged, resamples=coco_resamples), **_of_marks(self.marks)}


def bench_tiny(draw: Draw, detectors: Sequence[TinyDetector], pictures: int, largest: int, seed: int) -> dict:
    """All scores of ``pictures`` fresh scenes with one to ``largest`` things, drawn from boxes, with 95 % intervals.

    The first detector, which needs a head for masks, gives the scores in full; the others a second opinion. Plain data.
    """
    scenes = fresh_scenes(pictures, largest, seed)
    drawn = draw_all(draw, located_by(scenes, "box"), [scene.seed for scene in scenes])
    first = detectors[0]
    seen = look(scenes, drawn, first)
    real = look(scenes, [scene.image for scene in scenes], first)
    return {
        **denominators(scenes, first),
        "drawn": _plain(seen.estimates()),
        "real": _plain(real.estimates()),
        "shuffled": _plain(look(scenes[1:] + scenes[:1], drawn, first).estimates()),
        "pairs": {
            name: {
                column: _plain(_of_marks(_where(s.marks, unseen))) for column, s in (("drawn", seen), ("real", real))
            }
            for name, unseen in (("trained", False), ("unseen", True))
        },
        "by": {by: {name: _plain(group) for name, group in groups.items()} for by, groups in _breakdown(seen).items()},
        "frechet": _distances(scenes, drawn, first),
        "other_detectors": {
            other.name: {
                column: _plain(look(scenes, images, other).estimates())
                for column, images in (("drawn", drawn), ("real", [scene.image for scene in scenes]))
            }
            for other in detectors[1:]
        },
    }


def bench_formats(draw: Draw, detector: TinyDetector, pictures: int, largest: int, seed: int) -> dict:
    """The same scenes drawn from each kind of location alone; all are held against the scene's own boxes and masks."""
    scenes = fresh_scenes(pictures, largest, seed)
    columns = {
        name: look(scenes, draw_all(draw, located_by(scenes, name), [s.seed for s in scenes]), detector)
        for name in FORMATS
    }
    columns["real"] = look(scenes, [scene.image for scene in scenes], detector)
    return {
        **denominators(scenes, detector),
        "formats": {name: _plain(seen.estimates(coco_resamples=0)) for name, seen in columns.items()},
    }


def draw_all(draw: Draw, layouts: Sequence[Layout], seeds: Sequence[int]) -> list[Image.Image]:
    """``draw`` in batches."""
    starts = range(0, len(layouts), BATCH)
    return [image for i in starts for image in draw(layouts[i : i + BATCH], seeds[i : i + BATCH])]


def look(scenes: Sequence[Scene], pictures: Sequence[Image.Image], detector: TinyDetector) -> Seen:
    """Each picture as the detector sees it, held against the scene of its place."""
    found = [d for i in range(0, len(pictures), BATCH) for d in detector.detect_batch(list(pictures[i : i + BATCH]))]
    layouts = [scene.layout() for scene in scenes]
    judged = judge_all([str(scene.seed) for scene in scenes], layouts, found, detector.name, frozenset(KINDS))
    return Seen(judged, [mark(*each, detector) for each in zip(scenes, pictures, found, strict=True)])


def _of_marks(marks: Sequence[Sequence[Marks]]) -> dict[str, Estimate]:
    """``in_place``: something covers a thing's place, whatever it is; ``kind_in_place`` and the like are over those.

    ``colour_by_threshold``, ``part_by_threshold``: over all things, and over those with a part of another colour.
    ``mask_iou``, ``point_in_mask``, ``scribble_in_mask`` (PiM): over all things, 0 where none of the kind is in place.
    """

    def over(value: Callable[[Marks], float | bool | None], unit: str) -> Estimate:
        return estimate(([float(v) for m in picture if (v := value(m)) is not None] for picture in marks), unit)

    return {
        "in_place": over(lambda m: m.in_place, "things"),
        "kind_in_place": over(lambda m: m.kind, "things in place"),
        "colour_in_place": over(lambda m: m.colour, "things in place"),
        "texture_in_place": over(lambda m: m.texture, "things in place"),
        "colour_by_threshold": over(lambda m: m.by_threshold, "things"),
        "part_by_threshold": over(lambda m: m.part, "things with a part of another colour"),
        "mask_iou": over(lambda m: m.mask_iou, "things"),
        "point_in_mask": over(lambda m: m.point_in_mask, "things"),
        "scribble_in_mask": over(lambda m: m.scribble_in_mask, "things"),
    }


def _where(marks: Sequence[Sequence[Marks]], unseen: bool) -> list[list[Marks]]:
    return [[m for m in picture if is_unseen(m.thing) == unseen] for picture in marks]


def _breakdown(seen: Seen) -> dict[str, dict[str, dict[str, Estimate]]]:
    return {by: groups for by, groups in breakdown(seen.judged).items() if by != "category"}


def _distances(scenes: Sequence[Scene], drawn: Sequence[Image.Image], detector: TinyDetector) -> dict[str, float]:
    """From the drawn pictures to the real ones of the same scenes, and between the halves of the real ones.

    Both over half of the pictures, since the distance falls with their number.
    """

    def features(images: Sequence[Image.Image]) -> Any:
        return np.concatenate([detector.features(images[i : i + BATCH]) for i in range(0, len(images), BATCH)])

    half = len(scenes) // 2
    real, pictures = features([scene.image for scene in scenes]), features(drawn)
    return {
        "drawn_to_real": frechet_distance(pictures[:half], real[half : 2 * half]),
        "real_to_real": frechet_distance(real[:half], real[half : 2 * half]),
        "pictures": half,
    }


def denominators(scenes: Sequence[Scene], detector: TinyDetector) -> dict[str, Any]:
    """What every table must say: over how many pictures and things, who looked, and how boxes are read."""
    return {
        "pictures": len(scenes),
        "things": sum(len(scene.things) for scene in scenes),
        "detector": detector.name,
        "box_convention": "normalised xyxy",
    }


def _plain(estimates: dict[str, Estimate]) -> dict[str, Any]:
    return {name: asdict(value) for name, value in estimates.items()}
