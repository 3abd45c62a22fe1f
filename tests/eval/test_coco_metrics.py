"""COCO's metrics of judged pictures: cases that can be told by hand, and agreement with a second implementation."""

import contextlib
import io

import numpy as np
import pytest

from diffusion.layout import Point
from diffusion.tiny.vocabulary import KINDS
from eval.coco_metrics import coco_scores
from eval.judged import judge_all
from eval.report import Detection
from tests.eval.oracle import box, changed, scene

TINY = frozenset(KINDS)
LEFT, RIGHT = (0.05, 0.4, 0.35, 0.7), (0.6, 0.4, 0.9, 0.7)


def found(label, corners, score=0.9):
    return Detection(box=box(*corners), label=label, score=score)


def judged(*pairs):
    ids = [str(n) for n in range(len(pairs))]
    return judge_all(ids, [plan for plan, _ in pairs], [seen for _, seen in pairs], "d", TINY)


def values(pictures):
    return {name: estimate.value for name, estimate in coco_scores(pictures, resamples=20).items()}


def test_everything_found_is_one_and_nothing_found_is_zero():
    plan = scene(("a ball", LEFT), ("a cube", RIGHT))
    right = judged((plan, [found("ball", LEFT), found("cube", RIGHT)]))
    assert values(right) == pytest.approx({"ap": 1.0, "ap_50": 1.0, "ap_75": 1.0, "ar_100": 1.0})
    assert values(judged((plan, []))) == {"ap": 0.0, "ap_50": 0.0, "ap_75": 0.0, "ar_100": 0.0}


def test_a_false_alarm_costs_precision_only_when_it_is_more_confident():
    plan, elsewhere = scene(("a ball", LEFT)), (0.6, 0.0, 0.8, 0.2)
    faint = judged((plan, [found("ball", LEFT, 0.9), found("ball", elsewhere, 0.4)]))
    loud = judged((plan, [found("ball", LEFT, 0.4), found("sphere", elsewhere, 0.9)]))
    assert values(faint)["ap"] == pytest.approx(1.0)
    assert values(loud)["ap"] == pytest.approx(0.5)


def test_an_iou_of_point_six_counts_for_the_thresholds_up_to_it():
    plan = scene(("a ball", (0.0, 0.0, 0.5, 0.5)))
    result = values(judged((plan, [found("ball", (0.0, 0.0, 0.5, 0.31))])))
    assert (result["ap_50"], result["ap_75"]) == (pytest.approx(1.0), 0.0)
    assert result["ap"] == pytest.approx(0.3) and result["ar_100"] == pytest.approx(0.3)


def test_things_planned_by_points_are_neither_right_nor_wrong():
    plan = changed(scene(("a ball", LEFT), ("a ball", RIGHT)), "i2", box=None, point=Point(x=0.7, y=0.5))
    pictures = judged((plan, [found("ball", RIGHT, 0.95), found("ball", LEFT, 0.5)]))
    assert values(pictures)["ap"] == pytest.approx(1.0)


def test_without_planned_boxes_there_is_nothing_to_measure():
    result = coco_scores(judged((scene(("a zebra", LEFT)), [found("ball", LEFT)])))
    assert all(estimate.value is None and estimate.ci95 is None and estimate.of == 0 for estimate in result.values())


def test_intervals_hold_their_value_and_name_the_denominator():
    rng = np.random.default_rng(0)
    result = coco_scores(_random_pictures(rng, 30))
    for estimate in result.values():
        low, high = estimate.ci95
        assert low < estimate.value < high
        assert estimate.of == 60


def test_it_agrees_with_faster_coco_eval():
    import faster_coco_eval as faster

    pictures = _random_pictures(np.random.default_rng(5), 40)
    kinds = {kind: index + 1 for index, kind in enumerate(sorted({i.category for p in pictures for i in p.layout}))}
    truth = {
        "images": [{"id": n, "width": 1, "height": 1} for n in range(1, len(pictures) + 1)],
        "categories": [{"id": number, "name": kind} for kind, number in kinds.items()],
        "annotations": [],
    }
    results = []
    for n, picture in enumerate(pictures, start=1):
        for instance in picture.layout:
            place = {"image_id": n, "category_id": kinds[instance.category], "bbox": _xywh(instance.box)}
            truth["annotations"].append(
                {"id": len(truth["annotations"]) + 1, "area": instance.box.area, "iscrowd": 0, **place}
            )
        for detection in picture.detections:
            if detection.label in kinds:
                place = {"image_id": n, "category_id": kinds[detection.label], "bbox": _xywh(detection.box)}
                results.append({"score": detection.score, **place})
    with contextlib.redirect_stdout(io.StringIO()):
        planned = faster.COCO(truth)
        evaluation = faster.COCOeval_faster(planned, planned.loadRes(results), "bbox")
        evaluation.run()
    ours = coco_scores(pictures, resamples=2)
    assert ours["ap"].value == pytest.approx(evaluation.stats[0])
    assert ours["ap_50"].value == pytest.approx(evaluation.stats[1])
    assert ours["ap_75"].value == pytest.approx(evaluation.stats[2])
    assert ours["ar_100"].value == pytest.approx(evaluation.stats[8])


def _xywh(place):
    return [place.x0, place.y0, place.width, place.height]


def _random_pictures(rng, count):
    """Two things a picture, detected with jitter, now and then missed or with a false alarm."""
    pairs = []
    for _ in range(count):
        planned, seen = [], []
        for kind in rng.choice(["ball", "cube", "ring"], size=2):
            x, y = rng.uniform(0.1, 0.5, size=2)
            planned.append((f"a {kind}", (x, y, x + 0.3, y + 0.3)))
            if rng.random() < 0.8:
                dx, dy = rng.normal(0, 0.03, size=2)
                seen.append(found(kind, (x + dx, y + dy, x + dx + 0.3, y + dy + 0.3), rng.uniform(0.3, 1.0)))
            if rng.random() < 0.2:
                seen.append(found("ball", (0.0, 0.0, 0.2, 0.2), rng.uniform(0.3, 1.0)))
        pairs.append((scene(*planned), seen))
    return judged(*pairs)
