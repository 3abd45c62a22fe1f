"""Pictures with what was planned, what a detector found in each, and the report of one held against the other.

This is what every score of many pictures is made from, whether the detections come from a run's reports, from a
detector that looks now, or from a file made elsewhere.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from diffusion.layout import Layout
from eval.attributes import TINY_PALETTE, Palette
from eval.fidelity import Acceptance, judge
from eval.report import Detection, FidelityReport


@dataclass(frozen=True)
class Judged:
    """One picture. ``kinds`` and ``palette``: what its detector could have found and said, as in ``judge``.

    ``confident``: from which score on a thing that nobody planned counts against a picture, as in ``Acceptance``.
    """

    id: str
    layout: Layout
    detections: tuple[Detection, ...]
    report: FidelityReport
    kinds: frozenset[str] | None = None
    palette: Palette = field(default_factory=lambda: TINY_PALETTE)
    confident: float = Acceptance.confident


def judge_all(
    ids: Sequence[str],
    layouts: Sequence[Layout],
    detections: Sequence[Sequence[Detection]],
    detector: str,
    kinds: frozenset[str] | None,
    palette: Palette = TINY_PALETTE,
    confident: float = Acceptance.confident,
) -> list[Judged]:
    """Each picture's detections against its plan; ValueError when there are not as many of one as of the others."""
    return [
        judged(id, layout, tuple(found), detector, kinds, palette, confident)
        for id, layout, found in zip(ids, layouts, detections, strict=True)
    ]


def judged(
    id: str,
    layout: Layout,
    detections: tuple[Detection, ...],
    detector: str,
    kinds: frozenset[str] | None,
    palette: Palette = TINY_PALETTE,
    confident: float = Acceptance.confident,
) -> Judged:
    """One picture's detections against its plan, by the usual rules of acceptance."""
    report = judge(layout, detections, detector, kinds, Acceptance(confident=confident), palette)
    return Judged(id, layout, detections, report, kinds, palette, confident)


def shuffled(pictures: Sequence[Judged]) -> list[Judged] | None:
    """The shuffled-layout floor: the same pictures, each held against the plan of another picture.

    Every plan is used once and none on a picture that was drawn from an equal plan (the same things in the same
    places), in an order that the plans decide; None when more than half of the plans are equal, which leaves no such
    order.
    """
    ranked = sorted(pictures, key=lambda picture: _digest(picture.layout))
    most = max(Counter(_digest(picture.layout) for picture in ranked).values(), default=0)
    if 2 * most > len(ranked):
        return None
    turned = ranked[most:] + ranked[:most]
    return [
        judged(
            picture.id,
            other.layout,
            picture.detections,
            picture.report.detector,
            picture.kinds,
            picture.palette,
            picture.confident,
        )
        for picture, other in zip(ranked, turned, strict=True)
    ]


def _digest(layout: Layout) -> str:
    things = sorted(repr((instance.category, instance.caption, instance.extent())) for instance in layout)
    return hashlib.sha256("\n".join(things).encode()).hexdigest()
