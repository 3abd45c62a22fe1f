"""The pairs that tell when two things are drawn as one: they overlap as asked, and what is drawn is counted."""

import random

import pytest

from diffusion.tiny.world import draw_layout
from eval.bench.merging import OVERLAPS, SIDE, bench_merging, pair
from eval.boxes import iou
from eval.tiny_detector import TinyDetector


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("overlap", OVERLAPS)
def test_a_pair_overlaps_as_asked(alike: bool, overlap: float) -> None:
    first, second = pair(random.Random(3), alike, overlap).instances
    assert (first.category == second.category) == alike and first.caption != second.caption
    if overlap > 0:
        assert iou(first.box, second.box) == pytest.approx(overlap, abs=1e-6)
    else:
        assert second.box.x0 - first.box.x1 == pytest.approx(-overlap * SIDE, abs=1e-6)


def test_what_the_world_itself_draws_counts_as_its_own_ceiling() -> None:
    def draw(layouts, seeds):
        return [draw_layout(layout).image for layout in layouts]

    counted = bench_merging(draw, TinyDetector.load(), pictures=2)
    assert [row["drawn"] for row in counted["rows"]] == [row["real"] for row in counted["rows"]]
    apart = [row["real"] for row in counted["rows"] if row["overlap"] < 0]
    assert sum(apart) >= 7 and len(counted["rows"]) == 2 * len(OVERLAPS)
