"""The offline planner's corrections: accepted things stay, the rest moves where it can be drawn, relations hold."""

from __future__ import annotations

import random
from typing import Any

import pytest

from agent.loop import broken_promises
from agent.offline import OfflinePlanner
from diffusion.layout import Box, Instance, Layout, Scribble
from eval.report import AttributeVerdict, Detection, FidelityReport, InstanceVerdict

PROMPT = "two red balls left of a blue cube on green grass"
PLANNER = OfflinePlanner()


def verdict(instance: Instance, **found: Any) -> InstanceVerdict:
    """Accepted, unless ``found`` says otherwise."""
    fields: dict[str, Any] = {
        "id": instance.id, "category": instance.category, "caption": instance.caption,
        "planned": instance.box, "detected": instance.box, "iou": 1.0, "label": instance.category,
        "score": 0.9, "accepted": True, "reason": "ok",
    }  # fmt: skip
    return InstanceVerdict(**(fields | found))


def missing(instance: Instance, landed: Box | None = None) -> InstanceVerdict:
    return verdict(
        instance, detected=None, iou=0.0, label=None, score=None, landed=landed, accepted=False, reason="missing"
    )


def report(*verdicts: InstanceVerdict, unplanned: tuple[Detection, ...] = ()) -> FidelityReport:
    accepted = all(v.accepted for v in verdicts) and not unplanned
    return FidelityReport(
        detector="test", instances=verdicts, unplanned=unplanned, mean_iou=0.5, mean_iou_ci95=None,
        scored=len(verdicts), recall_50=0.5, accepted=accepted, reasons=() if accepted else ("not accepted",),
    )  # fmt: skip


def planned(prompt: str = PROMPT, seed: int = 0) -> Layout:
    return PLANNER.plan(prompt, width=512, height=512, seed=seed).layout


def box_of(layout: Layout, instance_id: str) -> Box:
    box = layout.instance(instance_id).box
    assert box is not None
    return box


def inner(box: Box, share: float) -> Box:
    """A box of the same centre with sides ``share`` as long."""
    x, y = box.center.x, box.center.y
    w, h = share * box.width / 2, share * box.height / 2
    return Box(x0=x - w, y0=y - h, x1=x + w, y1=y + h)


def overlap(a: Box, b: Box) -> float:
    return max(0.0, min(a.x1, b.x1) - max(a.x0, b.x0)) * max(0.0, min(a.y1, b.y1) - max(a.y0, b.y0))


def test_what_is_accepted_stays_and_what_is_missing_grows() -> None:
    before = planned("a red ball and a blue cube")
    ball, cube = before.instances
    after = PLANNER.replan(
        "a red ball and a blue cube", before, report(verdict(ball), missing(cube)), round_number=2, seed=0
    )
    assert after.layout.instance("ball-1") == ball
    assert box_of(after.layout, "cube-1").area > box_of(before, "cube-1").area
    assert after.new_seed
    assert any(note.startswith("cube-1: missing") for note in after.notes)


def test_what_came_out_too_small_is_enlarged_and_the_note_quotes_it() -> None:
    before = planned("a red ball and a blue cube")
    ball, cube = before.instances
    small = verdict(
        cube, detected=inner(box_of(before, "cube-1"), 0.5), iou=0.25, accepted=False,
        reason="IoU 0.25, at least 0.50 needed",
    )  # fmt: skip
    after = PLANNER.replan("a red ball and a blue cube", before, report(verdict(ball), small), round_number=2, seed=0)
    assert box_of(after.layout, "cube-1").area > box_of(before, "cube-1").area
    assert any("0.25" in note for note in after.notes)


def test_what_landed_elsewhere_is_met_there_when_the_prompt_allows() -> None:
    before = planned("a red ball and a blue cube", seed=1)
    ball, cube = before.instances
    there = Box(x0=0.4, y0=0.05, x1=0.6, y1=0.25)
    after = PLANNER.replan(
        "a red ball and a blue cube", before, report(verdict(ball), missing(cube, landed=there)), round_number=2, seed=0
    )
    assert abs(box_of(after.layout, "cube-1").center.y - 0.15) < abs(box_of(before, "cube-1").center.y - 0.15)


def test_a_correction_never_breaks_the_relation_of_the_prompt() -> None:
    before = planned("a red ball left of a blue cube")
    ball, cube = before.instances
    wrong_side = Box(x0=0.75, y0=0.4, x1=0.95, y1=0.6)
    after = PLANNER.replan(
        "a red ball left of a blue cube",
        before,
        report(missing(ball, landed=wrong_side), verdict(cube)),
        round_number=2,
        seed=0,
    )
    assert box_of(after.layout, "ball-1").x1 <= box_of(after.layout, "cube-1").x0 + 0.011


def test_what_ran_together_is_moved_apart() -> None:
    before = planned("two red balls", seed=2)
    first, second = before.instances
    a, b = box_of(before, first.id), box_of(before, second.id)
    both = Box(x0=min(a.x0, b.x0), y0=min(a.y0, b.y0), x1=max(a.x1, b.x1), y1=max(a.y1, b.y1))
    merged = verdict(first, detected=both, iou=0.4, accepted=False, reason="IoU 0.40, at least 0.50 needed")
    after = PLANNER.replan("two red balls", before, report(merged, missing(second)), round_number=2, seed=0)

    def gap(p: Box, q: Box) -> float:
        return max(p.x0 - q.x1, q.x0 - p.x1, p.y0 - q.y1, q.y0 - p.y1)

    assert gap(box_of(after.layout, first.id), box_of(after.layout, second.id)) > gap(a, b)
    assert any("ran together" in note for note in after.notes)


def test_a_wrong_colour_is_asked_for_again_and_the_box_stays() -> None:
    before = planned("a red ball and a blue cube")
    ball, cube = before.instances
    green = AttributeVerdict(attribute="colour", wanted="blue", found="green", ok=False)
    wrong = verdict(cube, attributes=(green,), accepted=False, reason="wrong colour: green")
    result = report(verdict(ball), wrong)
    after = PLANNER.replan("a red ball and a blue cube", before, result, round_number=2, seed=0)
    assert after.layout.instance("cube-1").caption == "a blue cube, blue"
    assert box_of(after.layout, "cube-1") == box_of(before, "cube-1")
    assert broken_promises(before, result, after.layout) == []
    again = PLANNER.replan("a red ball and a blue cube", after.layout, result, round_number=3, seed=0)
    assert again.layout.instance("cube-1").caption == "a blue cube, blue"


def test_what_no_box_can_correct_is_drawn_again_from_new_noise() -> None:
    before = planned()
    verdicts = [verdict(instance) for instance in before]
    ghost = Detection(box=Box(x0=0.1, y0=0.1, x1=0.2, y1=0.2), label="star", score=0.8)
    only_unplanned = PLANNER.replan(PROMPT, before, report(*verdicts, unplanned=(ghost,)), round_number=2, seed=0)
    assert only_unplanned.new_seed
    assert only_unplanned.layout == before
    assert any("star" in note and "0.80" in note for note in only_unplanned.notes)


def test_what_is_in_its_place_but_taken_for_something_else_stays_there() -> None:
    before = planned("a red ball and a blue cube")
    ball, cube = before.instances
    apple = Detection(box=inner(box_of(before, "cube-1"), 0.9), label="apple", score=0.6)
    after = PLANNER.replan(
        "a red ball and a blue cube",
        before,
        report(verdict(ball), missing(cube), unplanned=(apple,)),
        round_number=2,
        seed=0,
    )
    assert overlap(box_of(after.layout, "cube-1"), box_of(before, "cube-1")) > 0.9 * box_of(before, "cube-1").area


@pytest.mark.parametrize(
    "prompt",
    [
        PROMPT,
        "a cat between a tree and a house",
        "a yellow star above a red car and a green flower on the left",
        "three pink hearts in a row",
        "a bird on a house, in the snow",
        "four apples",
    ],
)
def test_any_report_keeps_promises_and_relations(prompt: str) -> None:
    rng = random.Random(prompt)
    for seed in range(25):
        before = planned(prompt, seed=seed)
        verdicts = []
        for instance in before:
            x, y = rng.uniform(0, 0.7), rng.uniform(0, 0.7)
            somewhere = Box(x0=x, y0=y, x1=x + rng.uniform(0.1, 0.3), y1=y + rng.uniform(0.1, 0.3))
            match rng.randrange(4):
                case 0:
                    verdicts.append(missing(instance, landed=rng.choice((None, somewhere))))
                case 1:
                    reason = "IoU 0.10, at least 0.50 needed"
                    verdicts.append(verdict(instance, detected=somewhere, iou=0.1, accepted=False, reason=reason))
                case _:
                    verdicts.append(verdict(instance))
        result = report(*verdicts)
        after = PLANNER.replan(prompt, before, result, round_number=2, seed=seed)
        assert broken_promises(before, result, after.layout) == []
        assert after.layout.caption == before.caption
        fresh = PLANNER.replan(prompt, before, result, round_number=2, seed=seed)
        assert fresh == after
        boxes = {instance.id: box_of(after.layout, instance.id) for instance in after.layout}
        if prompt == PROMPT:
            assert max(boxes["ball-1"].x1, boxes["ball-2"].x1) <= boxes["cube-1"].x0 + 0.011
        if prompt.startswith("a cat between"):
            sides = sorted((boxes["tree-1"].center.x, boxes["house-1"].center.x))
            assert sides[0] < boxes["cat-1"].center.x < sides[1]
        if prompt.startswith("four"):
            pairs = [(p, q) for p in boxes for q in boxes if p < q]
            assert max(overlap(boxes[p], boxes[q]) for p, q in pairs) < 0.01


def test_a_plan_of_another_planner_is_corrected_too() -> None:
    before = Layout(
        version=1, caption="x", width=512, height=512,
        instances=(
            Instance(id="dog", category="dog", caption="a dog", box=Box(x0=0.1, y0=0.5, x1=0.4, y1=0.9), depth=0),
            Instance(id="cat", category="cat", caption="a cat", box=Box(x0=0.5, y0=0.5, x1=0.8, y1=0.9), depth=1),
            Instance(
                id="path", category="path", caption="a path",
                scribble=Scribble(points=(Box(x0=0, y0=0, x1=1, y1=1).center,)),
            ),
        ),
    )  # fmt: skip
    dog, cat, path = before.instances
    result = report(missing(dog), verdict(cat), missing(path))
    after = PLANNER.replan("some pets", before, result, round_number=2, seed=0)
    assert broken_promises(before, result, after.layout) == []
    assert box_of(after.layout, "dog").area > box_of(before, "dog").area
    assert box_of(after.layout, "dog").x1 <= box_of(before, "cat").x0 + 0.011
    assert after.layout.instance("path") == path
