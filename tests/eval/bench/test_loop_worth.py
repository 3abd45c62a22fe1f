"""What replanning is worth: hand-made tries whose scores are known, and the prompts that it is measured with."""

from __future__ import annotations

import pytest
from PIL import Image

from agent.offline.planner import OfflinePlanner
from diffusion.layout import Box, Instance, Layout
from diffusion.tiny.vocabulary import describe
from eval.bench.loop_worth import Case, Try, compare, reseed
from eval.bench.tiny_prompts import prompts
from eval.fidelity import judge
from eval.report import Detection

BOX = Box(x0=0.0, y0=0.0, x1=0.5, y1=0.5)
LAYOUT = Layout(
    version=1,
    caption="a red ball",
    background="",
    width=128,
    height=128,
    instances=(Instance(id="ball-1", category="ball", caption="a red ball", box=BOX),),
)
IMAGE = Image.new("RGB", (128, 128))


def tried(iou: float, seconds: float = 1.0) -> Try:
    """A try whose ball is found with that IoU."""
    found = Detection(box=Box(x0=0.0, y0=0.0, x1=0.5 * iou, y1=0.5), label="ball", score=0.9, colour="red")
    return Try(LAYOUT, IMAGE, judge(LAYOUT, [found], "hand", frozenset({"ball"})), seconds)


def test_each_arm_keeps_its_best_try_and_pays_for_all():
    cases = [
        Case("a red ball", tried(0.2), [tried(0.4, 2.0), tried(0.3, 2.0)], [tried(0.9, 1.0)]),
        Case("a red ball", tried(0.8), [], []),
    ]
    found = compare(cases, lambda layout, image: tried(0.5).report)
    arms = found["arms"]
    assert [arms[name]["steering"]["mean_iou"]["value"] for name in arms] == pytest.approx([0.5, 0.6, 0.85])
    assert [arms[name]["steering"]["accepted"]["value"] for name in arms] == [0.5, 0.5, 1.0]
    assert [arms[name]["extra_seconds"] for name in arms] == [0.0, 4.0, 1.0]
    assert [arms[name]["tries"] for name in arms] == [2, 4, 3]
    assert all(arms[name]["referee"]["mean_iou"]["value"] == pytest.approx(0.5) for name in arms)
    gain = found["differences"]["replanned minus reseeded"]["steering"]["mean_iou"]
    assert gain["value"] == pytest.approx(-0.25) and gain["of"] == 2


def test_reseeding_stops_at_the_first_accepted_picture():
    ious = iter([0.1, 0.7, 0.9])
    drawn = []
    seeds = [5, 6, 7]
    tries = reseed(tried(0.2), lambda _, seed: drawn.append(seed) or IMAGE, lambda *_: tried(next(ious)).report, seeds)
    assert drawn == [5, 6] and [t.report.accepted for t in tries] == [False, True]
    assert reseed(tried(0.9), lambda *_: pytest.fail("drawn"), lambda *_: None, [5]) == []


def test_prompts_are_the_same_for_a_seed_and_hold_known_words_only():
    texts = list(prompts(150, seed=11))
    assert texts == list(prompts(150, seed=11)) and len(set(texts)) > 140
    planner = OfflinePlanner()
    sizes = set()
    for text in texts:
        layout = planner.plan(text, width=128, height=128, seed=0).layout
        sizes.add(len(layout.instances))
        assert not [word for i in layout for word in describe(i.caption).unknown_words], text
    assert sizes >= {1, 2, 3, 4, 5}
