"""What each part of the sampling is worth in the tiny world: the same scenes and noise, one setting at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from PIL import Image

from diffusion.layout import Layout
from diffusion.schedulers import SAMPLERS
from eval.bench.tiny import Seen, denominators, draw_all, look
from eval.bench.tiny_scenes import fresh_scenes, located_by
from eval.scores import Estimate, estimate
from eval.tiny_detector import TinyDetector

SETTINGS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("as it comes", {}),
    ("no instance mask", {"instance_mask": "off"}),
    ("instance mask of the nearest", {"instance_mask": "nearest"}),
    ("no ScaleU", {"scaleu": False}),
    ("pasted by depth", {"merge": "depth"}),
    *((f"MIS {value:g}", {"mis": value}) for value in (0.0, 0.2, 0.36, 0.5)),
    *((f"alpha {value:g}", {"alpha": value}) for value in (0.6, 0.7, 0.8, 0.9, 1.0)),
    *((f"guidance {value:g}", {"guidance": value}) for value in (1.0, 3.0, 4.5, 6.0, 9.0)),
    *((f"{value} steps", {"steps": value}) for value in (5, 10, 20, 35, 50)),
    *(
        (f"scheduler {name}, {sampler.steps} steps", {"scheduler": name, "steps": sampler.steps})
        for name, sampler in SAMPLERS.items()
    ),
)
"""A name for the table, and what differs from the model's own settings. ScaleU is trained into the network, so that
switching it off also takes what the rest of the network learned to expect."""

COLUMNS = ("mean_iou", "recall_50", "in_place", "kind_in_place", "colour_in_place", "texture_in_place")

DrawWith = Callable[[Sequence[Layout], Sequence[int], dict[str, Any]], list[Image.Image]]
"""(layouts, seeds, settings) -> pictures."""


def ablations(
    draw: DrawWith,
    detector: TinyDetector,
    pictures: int,
    largest: int,
    seed: int,
    own: Mapping[str, Any],
    settings: Sequence[tuple[str, dict[str, Any]]] | None = None,
    on_row: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """For each setting the scores, the paired differences of mean IoU and kind from the first one, and the seconds.

    A difference is per thing between pictures of the same scene and noise; its interval draws whole pictures anew. A
    thing without anything in its place counts as one of the wrong kind there. ``own``: the settings that the model has
    unless changed; rows that come to the same are drawn once. ``on_row`` hears the name of each row that is ready.
    """
    scenes = fresh_scenes(pictures, largest, seed)
    layouts, seeds = located_by(scenes, "box"), [scene.seed for scene in scenes]
    drawn: dict[frozenset, tuple[Seen, float]] = {}
    rows: list[dict[str, Any]] = []
    for name, changed in settings or SETTINGS:
        effective = frozenset({**own, **changed}.items())
        if effective not in drawn:
            started = time.perf_counter()
            images = draw_all(lambda some, of, changed=changed: draw(some, of, changed), layouts, seeds)  # type: ignore[misc]
            seconds = (time.perf_counter() - started) / len(images)
            drawn[effective] = look(scenes, images, detector), seconds
        seen, seconds = drawn[effective]
        base = next(iter(drawn.values()))[0]
        estimates = seen.estimates(coco_resamples=0)
        rows.append(
            {
                "name": name,
                "settings": changed,
                "scores": {column: asdict(estimates[column]) for column in COLUMNS},
                "difference": {key: asdict(value) for key, value in _differences(base, seen).items()},
                "seconds_a_picture": seconds,
            }
        )
        on_row(name)
    return {**denominators(scenes, detector), "rows": rows}


def _differences(base: Seen, seen: Seen) -> dict[str, Estimate]:
    ious = (
        [(b.iou or 0.0) - (a.iou or 0.0) for a, b in zip(x.report.instances, y.report.instances, strict=True)]
        for x, y in zip(base.judged, seen.judged, strict=True)
    )
    kinds = (
        [float(bool(b.kind)) - float(bool(a.kind)) for a, b in zip(x, y, strict=True)]
        for x, y in zip(base.marks, seen.marks, strict=True)
    )
    return {"mean_iou": estimate(ious, "things, paired"), "kind": estimate(kinds, "things, paired")}
