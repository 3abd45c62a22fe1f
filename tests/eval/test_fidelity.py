"""The check on pictures drawn as planned and with faults, and its rules on given detections."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion.layout import Point, Scribble
from diffusion.tiny.vocabulary import KINDS
from diffusion.tiny.world import sample_scene
from eval.attributes import wanted_attributes
from eval.boxes import iou
from eval.fidelity import Acceptance, CheckError, check, check_batch, judge
from eval.report import Detection
from tests.eval.oracle import Oracle, box, changed, moved, scene, without

TINY = frozenset(KINDS)
LEFT, RIGHT = (0.05, 0.4, 0.35, 0.7), (0.6, 0.4, 0.9, 0.7)
RED_AND_BLUE = scene(("a red ball", LEFT), ("a blue cube", RIGHT))


def found(label, corners, score=0.9, colour=None, texture=None):
    return Detection(box=box(*corners), label=label, score=score, colour=colour, texture=texture)


def drawn_and_checked(plan, fault=lambda layout, seed: layout, **acceptance):
    oracle = Oracle(fault)
    return check(plan, oracle.render(plan, 0), oracle, Acceptance(**acceptance))


@pytest.mark.parametrize("seed", range(8))
def test_a_picture_drawn_as_planned_is_accepted(seed):
    report = drawn_and_checked(sample_scene(seed).layout())
    assert report.accepted and report.reasons == () and report.recall_50 == 1.0
    assert report.mean_iou > 0.9
    assert report.detector == "oracle"
    assert all(verdict.reason == "ok" for verdict in report.instances)


def test_a_missing_thing_scores_zero_and_stays_in_the_denominator():
    report = drawn_and_checked(RED_AND_BLUE, lambda layout, seed: without(layout, "i2"))
    ball, cube = report.instances
    assert ball.accepted and not cube.accepted
    assert (cube.iou, cube.detected, cube.label, cube.score, cube.landed) == (0.0, None, None, None, None)
    assert cube.reason == "missing"
    assert report.scored == 2 and report.mean_iou == pytest.approx(ball.iou / 2) and report.recall_50 == 0.5
    assert report.reasons == ("i2: missing",) and not report.accepted


def test_a_wrong_colour_is_seen_and_quoted():
    report = drawn_and_checked(RED_AND_BLUE, lambda layout, seed: changed(layout, "i1", caption="a green ball"))
    ball = report.instances[0]
    assert ball.iou > 0.9 and not ball.accepted
    assert [(v.attribute, v.wanted, v.found, v.ok) for v in ball.attributes] == [("colour", "red", "green", False)]
    assert ball.reason == "colour green, red wanted"
    assert report.reasons == ("i1: colour green, red wanted",)


def test_a_wrong_texture_is_seen_and_a_texture_nobody_asked_for_is_not_judged():
    striped = scene(("a striped red ball", LEFT), ("a blue cube", RIGHT))
    report = drawn_and_checked(
        striped,
        lambda layout, seed: changed(changed(layout, "i1", caption="a red ball"), "i2", caption="dotted blue cube"),
    )
    assert report.instances[0].reason == "texture plain, striped wanted"
    assert report.instances[1].accepted and [v.attribute for v in report.instances[1].attributes] == ["colour"]


def test_a_shifted_box_fails_with_its_iou_and_the_limit():
    report = drawn_and_checked(RED_AND_BLUE, lambda layout, seed: moved(layout, "i1", box(0.2, 0.4, 0.5, 0.7)))
    ball = report.instances[0]
    assert ball.detected is not None and 0.2 < ball.iou < 0.5
    assert ball.reason == f"IoU {ball.iou:.2f}, at least 0.50 needed"
    assert drawn_and_checked(
        RED_AND_BLUE, lambda layout, seed: moved(layout, "i1", box(0.2, 0.4, 0.5, 0.7)), min_iou=0.2
    ).accepted


def test_an_iou_just_below_the_limit_is_not_printed_as_the_limit():
    report = judge(scene(("ball", (0.0, 0.0, 1.0, 1.0))), [found("ball", (0.0, 0.0, 1.0, 0.4999))], "d", TINY)
    assert report.instances[0].reason == "IoU 0.4999, at least 0.50 needed"


def test_a_thing_that_landed_elsewhere_is_missing_and_told_where_it_is():
    elsewhere = box(0.6, 0.05, 0.8, 0.3)
    report = drawn_and_checked(RED_AND_BLUE, lambda layout, seed: moved(layout, "i1", elsewhere))
    ball = report.instances[0]
    assert ball.iou == 0.0 and ball.detected is None
    assert iou(ball.landed, elsewhere) > 0.9
    assert "an unplanned ball is at x 0.6" in ball.reason
    assert [detection.box for detection in report.unplanned] == [ball.landed]


def test_landed_things_go_to_the_instance_of_their_colour_then_to_the_nearest():
    plan = scene(("a red ball", (0.0, 0.0, 0.2, 0.2)), ("a blue ball", (0.3, 0.0, 0.5, 0.2)))
    low_left, low_right = (0.0, 0.6, 0.2, 0.8), (0.7, 0.6, 0.9, 0.8)
    by_colour = judge(plan, [found("ball", low_left, colour="blue"), found("ball", low_right, colour="red")], "d", TINY)
    assert [verdict.landed for verdict in by_colour.instances] == [box(*low_right), box(*low_left)]
    by_nearness = judge(plan, [found("ball", low_right), found("ball", low_left)], "d", TINY)
    assert [verdict.landed for verdict in by_nearness.instances] == [box(*low_left), box(*low_right)]


def test_another_kind_in_the_right_place_is_named_and_does_not_count():
    report = drawn_and_checked(
        RED_AND_BLUE, lambda layout, seed: changed(layout, "i1", category="cube", caption="a red cube")
    )
    ball = report.instances[0]
    there = report.unplanned[0]
    assert ball.iou == 0.0 and ball.label is None and there.label == "cube"
    assert ball.reason == f"missing; something labelled cube is there, IoU {iou(ball.planned, there.box):.2f}"


def test_a_planned_thing_in_front_is_not_taken_for_another_kind_in_the_wrong_place():
    plan = scene(("a red ball", LEFT), ("a blue cube", LEFT))
    report = judge(plan, [found("cube", LEFT)], "d", TINY)
    assert report.instances[0].reason == "missing"


def test_unplanned_things_are_reported_and_limited_when_confident():
    extra = found("star", (0.4, 0.0, 0.6, 0.2), score=0.8, colour="pink")
    faint = found("moon", (0.0, 0.0, 0.2, 0.2), score=0.3)
    detections = [faint, found("ball", LEFT, colour="red"), extra, found("cube", RIGHT, colour="blue")]
    report = judge(RED_AND_BLUE, detections, "d", TINY)
    assert report.unplanned == (extra, faint)
    assert all(verdict.accepted for verdict in report.instances)
    assert report.reasons == (
        "1 unplanned, at most 0 allowed: pink star at x 0.40 to 0.60, y 0.00 to 0.20, score 0.80",
    )
    assert judge(RED_AND_BLUE, detections, "d", TINY, Acceptance(max_unplanned=1)).accepted
    assert judge(RED_AND_BLUE, detections, "d", TINY, Acceptance(confident=0.85)).accepted


def test_a_report_holds_every_detection_with_its_attributes():
    seen = [
        found("cube", RIGHT, 0.7, "blue", "plain"),
        found("ball", LEFT, 0.8, "red"),
        found("moon", (0, 0, 0.1, 0.1)),
    ]
    report = judge(RED_AND_BLUE, seen, "d", TINY)
    assert sorted(report.detections(), key=lambda d: d.score) == sorted(seen, key=lambda d: d.score)
    assert [detection.score for detection in report.detections()] == [0.9, 0.8, 0.7]


def test_one_detection_is_never_two_planned_things():
    plan = scene(("red ball", (0.1, 0.1, 0.5, 0.5)), ("red ball", (0.15, 0.1, 0.55, 0.5)))
    report = judge(plan, [found("ball", (0.1, 0.1, 0.5, 0.5), colour="red")], "d", TINY)
    assert [verdict.iou for verdict in report.instances] == [1.0, 0.0]
    assert report.mean_iou == 0.5


def test_equal_things_are_assigned_for_the_largest_total_iou():
    plan = scene(*(("red ball", (x, 0.4, x + 0.25, 0.65)) for x in (0.1, 0.35, 0.6)))
    shifted = [found("ball", (x, 0.4, x + 0.25, 0.65), colour="red") for x in (0.7, 0.2, 0.45)]
    report = judge(plan, shifted, "d", TINY)
    assert [verdict.detected.x0 for verdict in report.instances] == [0.2, 0.45, 0.7]


def test_synonyms_and_plurals_of_the_plan_are_the_detectors_kinds():
    plan = scene(("two scarlet spheres", LEFT), ("a blue box", RIGHT))
    assert judge(plan, [found("ball", LEFT, colour="red"), found("cube", RIGHT, colour="blue")], "d", TINY).accepted


def test_a_kind_the_detector_does_not_know_is_not_judged_and_not_accepted():
    plan = scene(("a red ball", LEFT), ("a striped zebra", RIGHT))
    report = judge(plan, [found("ball", LEFT, colour="red"), found("cat", RIGHT)], "d", TINY)
    zebra = report.instances[1]
    assert report.unjudged == ("i2",) and zebra.iou is None and not zebra.accepted and zebra.detected is None
    assert report.scored == 1 and report.mean_iou == 1.0 and report.mean_iou_ci95 is None
    assert not report.accepted
    assert "i2: the detector does not know 'zebra': not judged" in report.reasons
    open_vocabulary = judge(plan, [found("ball", LEFT), found("Zebras", RIGHT)], "d", None)
    assert open_vocabulary.accepted and open_vocabulary.unjudged == ()


def test_attributes_that_cannot_be_judged_are_neither_right_nor_wrong():
    plan = scene(("an orange ball", LEFT), ("a striped blue cube", RIGHT))
    report = judge(plan, [found("ball", LEFT, colour="red"), found("cube", RIGHT)], "d", TINY)
    verdicts = [(v.attribute, v.wanted, v.found, v.ok) for instance in report.instances for v in instance.attributes]
    assert verdicts == [
        ("colour", "orange", "red", None),
        ("colour", "blue", None, None),
        ("texture", "striped", None, None),
    ]
    assert report.accepted
    assert report.instances[0].reason == "ok; colour 'orange' could not be judged"


@pytest.mark.parametrize(
    "caption, wanted",
    [
        ("a cube", {}),
        ("a big striped scarlet ball", {"colour": "red", "texture": "striped"}),
        ("a golden ring with dots", {"colour": "gold", "texture": "dotted"}),
        ("an orange and white fish", {"colour": "orange"}),
        ("a gray cat", {"colour": "grey"}),
        ("a red ball, red", {"colour": "red"}),
        ("a cup on a red table", {}),
        ("a white cat next to a black, checkered box", {"colour": "white"}),
    ],
)
def test_what_a_caption_asks_for(caption, wanted):
    assert wanted_attributes(caption) == wanted


def test_points_and_scribbles_are_judged_by_what_stands_on_them_and_not_scored():
    plan = changed(RED_AND_BLUE, "i1", box=None, point=Point(x=0.2, y=0.55))
    line = Scribble(points=tuple(Point(x=x, y=0.5) for x in (0.1, 0.62, 0.7, 0.8)))
    plan = changed(plan, "i2", box=None, scribble=line)
    report = judge(plan, [found("ball", LEFT), found("cube", RIGHT)], "d", TINY)
    assert report.accepted and report.scored == 0
    assert report.mean_iou is None and report.recall_50 is None and report.mean_iou_ci95 is None
    assert [verdict.detected for verdict in report.instances] == [box(*LEFT), box(*RIGHT)]
    half_off = judge(plan, [found("ball", LEFT), found("cube", (0.75, 0.4, 0.95, 0.6))], "d", TINY)
    assert half_off.reasons == ("i2: 0.25 of its points are in the box found, at least 0.50 needed",)
    gone = judge(plan, [found("ball", (0.5, 0.0, 0.6, 0.1)), found("cube", RIGHT)], "d", TINY)
    assert gone.instances[0].landed == box(0.5, 0.0, 0.6, 0.1) and not gone.accepted


def test_a_box_has_the_first_claim_on_a_detection_that_a_point_would_also_take():
    plan = scene(("ball", LEFT), ("ball", RIGHT))
    plan = changed(plan, "i1", box=None, point=Point(x=0.7, y=0.5))
    report = judge(plan, [found("ball", RIGHT)], "d", TINY)
    assert [verdict.detected is not None for verdict in report.instances] == [False, True]


def test_a_plan_of_nothing_is_accepted_when_nothing_is_there():
    empty = scene()
    assert judge(empty, [], "d", TINY).accepted
    assert not judge(empty, [found("ball", LEFT)], "d", TINY).accepted


@pytest.mark.parametrize("size", [(128, 96), (64, 64), (256, 256)])
def test_an_image_of_another_size_is_refused(size):
    oracle = Oracle()
    image = oracle.render(RED_AND_BLUE, 0).resize(size)
    with pytest.raises(CheckError, match=f"{size[0]} x {size[1]} pixels and the plan is for 128 x 128"):
        check(RED_AND_BLUE, image, oracle)


@st.composite
def detections(draw):
    def span():
        low, high = sorted(draw(st.lists(st.integers(0, 20), min_size=2, max_size=2, unique=True)))
        return low / 20, high / 20

    (x0, x1), (y0, y1) = span(), span()
    label = draw(st.sampled_from(["ball", "cube"]))
    return found(label, (x0, y0, x1, y1), score=draw(st.floats(0, 1)), colour=draw(st.sampled_from(["red", "blue"])))


@given(st.lists(detections(), max_size=6), st.randoms(use_true_random=False))
def test_the_laws_of_a_report(things, shuffler):
    plan = scene(("red ball", LEFT), ("red ball", (0.2, 0.3, 0.6, 0.6)), ("blue cube", RIGHT))
    report = judge(plan, things, "d", TINY)
    matched = [verdict for verdict in report.instances if verdict.detected is not None]
    assert len(matched) + len(report.unplanned) == len(things)
    assert all(verdict.iou > 0 for verdict in matched)
    assert report.scored == 3 and report.mean_iou == pytest.approx(sum(v.iou for v in report.instances) / 3)
    low, high = report.mean_iou_ci95
    assert 0 <= low <= report.mean_iou + 1e-12 and report.mean_iou <= high + 1e-12 <= 1 + 1e-9
    assert report.accepted == (not report.reasons)

    shuffled = list(things)
    shuffler.shuffle(shuffled)
    again = judge(plan, shuffled, "d", TINY)
    assert again.mean_iou == pytest.approx(report.mean_iou)


def test_the_interval_depends_on_the_scores_and_not_on_their_order_or_the_clock():
    plans = [("red ball", (0.1 * n, 0.1, 0.1 * n + 0.1, 0.2)) for n in range(8)]
    things = [found("ball", (0.1 * n, 0.1, 0.1 * n + 0.02 * n + 0.01, 0.2)) for n in range(5)]
    reports = []
    for _ in range(2):
        random.shuffle(plans)
        reports.append(judge(scene(*plans), things, "d", TINY))
    assert reports[0].mean_iou_ci95 == pytest.approx(reports[1].mean_iou_ci95)
    low, high = reports[0].mean_iou_ci95
    assert low < reports[0].mean_iou < high


def test_the_report_is_json_with_the_published_fields():
    report = judge(RED_AND_BLUE, [found("ball", LEFT, colour="red")], "tiny", TINY)
    data = json.loads(report.to_json())
    assert data["detector"] == "tiny" and data["box_convention"] == "normalised xyxy"
    assert {"instances", "unplanned", "mean_iou", "recall_50", "accepted", "scored", "unjudged"} <= data.keys()
    ball, cube = data["instances"]
    assert ball["detected"] == {"x0": 0.05, "y0": 0.4, "x1": 0.35, "y1": 0.7}
    assert ball["iou"] == pytest.approx(1.0) and ball["attributes"][0]["ok"] is True
    assert (cube["iou"], cube["detected"], cube["label"]) == (0.0, None, None)


def test_a_batch_is_checked_picture_by_picture():
    oracle = Oracle()
    plans = [sample_scene(seed).layout() for seed in (1, 2, 3)]
    pictures = [oracle.render(plan, 0) for plan in plans]
    singly = [check(plan, picture, oracle) for plan, picture in zip(plans, pictures, strict=True)]
    assert check_batch(plans, pictures, oracle) == singly


def test_how_confident_an_unplanned_thing_must_be_is_the_detectors_own_affair():
    class Sure(Oracle):
        confident = 0.95

    def check_with(detector):
        picture = detector.render(RED_AND_BLUE, 0)
        return check(without(RED_AND_BLUE, "i2"), picture, detector)

    assert not check_with(Oracle()).accepted
    assert check_with(Sure()).accepted


@pytest.mark.parametrize(
    ("words", "ok"),
    [
        ({"colour": None}, False),
        ({"colour": frozenset(("red", "orange"))}, False),
        ({"colour": frozenset(("red",))}, None),
    ],
)
def test_another_colour_is_wrong_only_where_the_detector_has_a_word_for_the_wanted_one(words, ok):
    plan = scene(("an orange ball", LEFT))
    report = judge(plan, [found("ball", LEFT, colour="red")], "owl", None, palette=words)
    (verdict,) = report.instances[0].attributes
    assert (verdict.wanted, verdict.found, verdict.ok) == ("orange", "red", ok)
