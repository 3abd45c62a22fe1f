"""What replanning is worth: the loop's rounds against as many tries with new noise and the first plan unchanged.

Every prompt is planned and drawn once. From that first picture on, two arms go on until a picture is accepted or the
tries are used up: the loop replans, the baseline only draws again. Each returns its best try. Both are scored by the
detector that steers them and by one that neither asks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from diffusion.layout import Layout
from eval.report import FidelityReport
from eval.scores import Estimate, estimate

Look = Callable[[Layout, Image.Image], FidelityReport]


@dataclass(frozen=True, eq=False)
class Try:
    """One picture of a plan. ``seconds``: from the try before it, planning and checking included."""

    layout: Layout
    image: Image.Image
    report: FidelityReport
    seconds: float


@dataclass(frozen=True, eq=False)
class Case:
    """A prompt's first try, and what each arm tried after it; both are empty where the first was accepted."""

    prompt: str
    first: Try
    replanned: Sequence[Try]
    reseeded: Sequence[Try]


def compare(cases: Sequence[Case], referee: Look) -> dict[str, Any]:
    """Scores of the first try and of each arm's best, their paired differences, and the gain a second. Plain data."""
    arms = {
        "first try": [case.first for case in cases],
        "replanned": [_best(case.first, case.replanned) for case in cases],
        "reseeded": [_best(case.first, case.reseeded) for case in cases],
    }
    extra = {
        "first try": 0.0,
        "replanned": sum(t.seconds for case in cases for t in case.replanned),
        "reseeded": sum(t.seconds for case in cases for t in case.reseeded),
    }
    judged = {
        name: {"steering": [t.report for t in best], "referee": [referee(t.layout, t.image) for t in best]}
        for name, best in arms.items()
    }
    return {
        "scenes": len(cases),
        "arms": {
            name: {
                "tries": len(cases) + (0 if name == "first try" else _later(cases, name)),
                "extra_seconds": extra[name],
                **{who: _scores(reports) for who, reports in judged[name].items()},
            }
            for name in arms
        },
        "differences": {
            f"{a} minus {b}": {
                who: {
                    "mean_iou": asdict(_difference(judged[a][who], judged[b][who], _mean_iou)),
                    "accepted": asdict(_difference(judged[a][who], judged[b][who], lambda r: float(r.accepted))),
                }
                for who in ("steering", "referee")
            }
            for a, b in (("replanned", "first try"), ("reseeded", "first try"), ("replanned", "reseeded"))
        },
    }


def reseed(first: Try, draw: Callable[[Layout, int], Image.Image], check: Look, seeds: Sequence[int]) -> list[Try]:
    """The baseline: the first plan drawn again with each seed until a picture is accepted."""
    tries: list[Try] = []
    for seed in seeds:
        if (tries or [first])[-1].report.accepted:
            break
        started = time.perf_counter()
        image = draw(first.layout, seed)
        report = check(first.layout, image)
        tries.append(Try(first.layout, image, report, time.perf_counter() - started))
    return tries


def _best(first: Try, later: Sequence[Try]) -> Try:
    return max((first, *later), key=lambda candidate: candidate.report.rank)


def _later(cases: Sequence[Case], arm: str) -> int:
    return sum(len(case.replanned if arm == "replanned" else case.reseeded) for case in cases)


def _scores(reports: Sequence[FidelityReport]) -> dict[str, Any]:
    """Over instances, missing ones as 0, and over scenes."""
    ious = estimate([[v.iou for v in r.instances if v.iou is not None] for r in reports], "planned instances")
    found = estimate(
        [[float(v.iou >= 0.5) for v in r.instances if v.iou is not None] for r in reports], "planned instances"
    )
    accepted = estimate([[float(r.accepted)] for r in reports], "scenes")
    return {"mean_iou": asdict(ious), "recall_50": asdict(found), "accepted": asdict(accepted)}


def _mean_iou(report: FidelityReport) -> float:
    return report.mean_iou or 0.0


def _difference(
    a: Sequence[FidelityReport], b: Sequence[FidelityReport], value: Callable[[FidelityReport], float]
) -> Estimate:
    return estimate(np.array([[value(x) - value(y)] for x, y in zip(a, b, strict=True)]).tolist(), "scenes, paired")
