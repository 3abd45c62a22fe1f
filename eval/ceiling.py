"""The real-image ceiling of the tiny world: plans as the world itself draws them, seen by the same detector."""

from __future__ import annotations

from collections.abc import Sequence

from diffusion.tiny.world import draw_layout
from eval.detector import Detector, queries_of
from eval.judged import Judged, judge_all

MOST_PICTURES = 200
BATCH = 16


def world_ceiling(pictures: Sequence[Judged], detector: Detector) -> tuple[list[Judged], int]:
    """The plans of at most 200 of the pictures, evenly spread, drawn by the world and judged; and how many it refused.

    The world refuses plans with words it does not know and with things that would be wholly hidden.
    """
    step = max(1, -(-len(pictures) // MOST_PICTURES))
    chosen = pictures[::step]
    drawn: list[Judged] = []
    refused = 0
    for start in range(0, len(chosen), BATCH):
        scenes = []
        for picture in chosen[start : start + BATCH]:
            try:
                scenes.append((picture, draw_layout(picture.layout).image))
            except ValueError:
                refused += 1
        if scenes:
            part = [picture for picture, _ in scenes]
            queries = [queries_of(picture.layout) for picture in part]
            found = detector.detect_batch([image for _, image in scenes], queries)
            ids, layouts = [picture.id for picture in part], [picture.layout for picture in part]
            drawn += judge_all(
                ids, layouts, found, detector.name, detector.kinds(), detector.palette(), detector.confident
            )
    return drawn, refused
