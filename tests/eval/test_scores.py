"""Scores of many pictures: their denominators, groups and intervals, on small cases counted by hand."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion.layout import Point
from diffusion.tiny.vocabulary import KINDS
from eval.attributes import TINY_PALETTE
from eval.intervals import bootstrap_ci95, clustered_ci95
from eval.judged import judge_all, shuffled
from eval.report import Detection
from eval.scores import breakdown, scores, things
from tests.eval.oracle import box, changed, scene

TINY = frozenset(KINDS)
LEFT, RIGHT = (0.05, 0.4, 0.35, 0.7), (0.6, 0.4, 0.9, 0.7)
HALF_OF_LEFT = (0.05, 0.4, 0.35, 0.55)


def found(label, corners, score=0.9, colour=None, texture=None):
    return Detection(box=box(*corners), label=label, score=score, colour=colour, texture=texture)


def judged(*pairs, kinds=TINY, palette=TINY_PALETTE):
    """(plan, detections) pairs as judged pictures p0, p1, ..."""
    layouts, detections = [plan for plan, _ in pairs], [seen for _, seen in pairs]
    return judge_all([f"p{n}" for n in range(len(pairs))], layouts, detections, "d", kinds, palette)


def value(estimates, name):
    return pytest.approx(estimates[name].value), estimates[name].of


def test_a_miss_is_zero_in_the_mean_and_absent_from_the_mean_over_the_matched():
    plan = scene(("a ball", LEFT), ("a cube", RIGHT))
    result = scores(judged((plan, [found("ball", HALF_OF_LEFT)]), (plan, [found("ball", LEFT), found("cube", RIGHT)])))
    assert value(result, "mean_iou") == (2.5 / 4, 4)
    assert value(result, "mean_iou_matched") == (2.5 / 3, 3)
    assert value(result, "recall_50") == (3 / 4, 4)
    assert value(result, "recall_75") == (2 / 4, 4)
    assert value(result, "accepted") == (1 / 2, 2)


def test_attributes_of_missing_things_are_wrong_and_unjudged_ones_do_not_count():
    plan = scene(("a striped red ball", LEFT), ("a blue cube", RIGHT), ("an orange ring", (0.4, 0.0, 0.55, 0.2)))
    seen = [found("ball", LEFT, colour="red"), found("ring", (0.4, 0.0, 0.55, 0.2), colour="red")]
    result = scores(judged((plan, seen)))
    assert value(result, "attributes_matched") == (1.0, 1)
    assert value(result, "attributes") == (1 / 2, 2)
    assert value(result, "colour") == (1 / 2, 2)
    assert result["texture"].value is None and result["texture"].of == 0


def test_a_detector_that_names_no_attributes_is_not_blamed_for_them():
    picture = (scene(("a red ball", LEFT), ("a blue cube", RIGHT)), [found("ball", LEFT)])
    result = scores(judged(picture, palette={}))
    assert result["attributes"].value is None and result["attributes"].of == 0


def test_a_picture_of_nothing_has_every_attribute_wrong():
    plan = scene(("a red ball", LEFT), ("a striped blue cube", RIGHT))
    assert value(scores(judged((plan, []))), "attributes") == (0.0, 3)


def test_counts_are_held_kind_by_kind_in_each_picture():
    plan = scene(("a ball", LEFT), ("two spheres", RIGHT), ("a cube", (0.4, 0.0, 0.5, 0.1)))
    two_balls = [found("ball", (0.0, 0.0, 0.1, 0.1)), found("ball", LEFT)]
    one_too_many = [*two_balls, found("ball", RIGHT), found("cube", (0.4, 0.0, 0.5, 0.1))]
    result = scores(judged((plan, two_balls), (plan, one_too_many)))
    assert value(result, "count") == (2 / 4, 4)


def test_what_the_detector_cannot_know_is_in_no_denominator():
    plan = scene(("a ball", LEFT), ("a zebra", RIGHT))
    pictures = judged((plan, [found("ball", LEFT)]))
    assert value(scores(pictures), "mean_iou") == (1.0, 1)
    assert value(scores(pictures), "count") == (1.0, 1)
    assert [thing.kind for thing in things(pictures)] == ["ball"]


def test_points_have_no_extent_to_score():
    plan = changed(scene(("a ball", LEFT), ("a cube", RIGHT)), "i1", box=None, point=Point(x=0.2, y=0.5))
    assert value(scores(judged((plan, [found("ball", LEFT)]))), "mean_iou") == (0.0, 1)


def test_groups_by_kind_size_overlap_and_number():
    plan = scene(
        ("a ball", (0.0, 0.0, 0.1, 0.1)), ("a sphere", (0.0, 0.05, 0.1, 0.15)), ("a house", (0.4, 0.4, 0.9, 0.9))
    )
    alone = scene(("a house", RIGHT))
    groups = breakdown(judged((plan, [found("ball", (0.0, 0.0, 0.1, 0.1))]), (alone, [found("house", RIGHT)])))
    counted = {by: {name: group["mean_iou"].of for name, group in named.items()} for by, named in groups.items()}
    assert counted == {
        "category": {"ball": 2, "house": 2},
        "size": {"small, under 3 %": 2, "medium, 3 to 10 %": 1, "large, from 10 %": 1},
        "overlap": {"none": 2, "from 0.3": 2},
        "number": {"1": 1, "3": 3},
    }
    assert value(groups["number"]["1"], "mean_iou") == (1.0, 1)
    assert value(groups["category"]["ball"], "recall_50") == (1 / 2, 2)


def test_spellings_of_an_open_vocabulary_are_one_category():
    pictures = judged(
        (scene(("a big Dog", LEFT)), [found("dogs", LEFT)]),
        (scene(("two dogs", LEFT)), [found("cat", LEFT)]),
        kinds=None,
    )
    assert {name: group["mean_iou"].of for name, group in breakdown(pictures)["category"].items()} == {"dog": 2}


def test_no_pictures_have_no_scores():
    assert all(estimate.value is None and estimate.of == 0 for estimate in scores([]).values())


def test_the_floor_holds_every_picture_against_another_plan():
    plans = [scene((f"a {kind}", LEFT)) for kind in ("ball", "cube", "ring", "star")]
    pictures = judged(*((plan, [found(plan.instances[0].category, LEFT)]) for plan in plans))
    floor = shuffled(pictures)
    assert scores(pictures)["mean_iou"].value == 1.0 and scores(floor)["mean_iou"].value == 0.0
    assert {picture.id for picture in floor} == {"p0", "p1", "p2", "p3"}
    assert sorted(p.layout.to_json() for p in floor) == sorted(plan.to_json() for plan in plans)


def test_what_nobody_planned_counts_from_the_score_that_the_detector_is_confident_from():
    plan, other = scene(("a ball", LEFT)), scene(("a cube", LEFT))
    for confident, accepted in ((0.5, 1.0), (0.2, 0.0)):
        pairs = [(plan, [found("ball", LEFT), found("ring", RIGHT, 0.3)]), (other, [found("cube", LEFT)])]
        pictures = judge_all("ab", *map(list, zip(*pairs, strict=True)), "d", TINY, TINY_PALETTE, confident)
        assert [float(picture.report.accepted) for picture in pictures] == [accepted, 1.0]
        assert {picture.confident for picture in shuffled(pictures)} == {confident}


@given(st.lists(st.sampled_from(["ball", "cube", "ring"]), min_size=1, max_size=9), st.randoms(use_true_random=False))
def test_no_picture_of_the_floor_meets_a_plan_like_its_own(kinds, shuffler):
    pictures = judged(*((scene((f"a {kind}", LEFT)), [found(kind, LEFT)]) for kind in kinds))
    floor = shuffled(pictures)
    if max(kinds.count(kind) for kind in kinds) * 2 > len(kinds):
        assert floor is None
    else:
        assert all(thing.iou == 0 for thing in things(floor))
        again = list(pictures)
        shuffler.shuffle(again)
        assert sorted(p.layout.to_json() for p in shuffled(again)) == sorted(p.layout.to_json() for p in floor)


def test_things_that_fail_together_widen_the_interval():
    together = [[0.0] * 5 if n % 2 else [1.0] * 5 for n in range(20)]
    low, high = clustered_ci95(together)
    narrow_low, narrow_high = bootstrap_ci95([value for cluster in together for value in cluster])
    assert low < narrow_low < 0.5 < narrow_high < high


def test_the_interval_holds_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(1)
    pictures = [[rng.normal(0.5, 0.2, size=(60, 1)) + rng.normal(0, 0.1, size=(60, 3))] for _ in range(150)]
    intervals = [clustered_ci95(sample[0].tolist(), resamples=400) for sample in pictures]
    covered = np.mean([low <= 0.5 <= high for low, high in intervals])
    assert 0.88 <= covered <= 0.99


def test_the_interval_does_not_depend_on_the_order():
    clusters = [[0.1, 0.2], [0.9], [], [0.4, 0.5, 0.6], [0.3]]
    again = random.Random(3).sample(clusters, len(clusters))
    assert clustered_ci95(clusters) == clustered_ci95(again)
    assert clustered_ci95([[0.5, 0.6], []]) is None
