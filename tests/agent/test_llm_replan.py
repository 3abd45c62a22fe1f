"""Replanning by an LLM over real HTTP: what the model is told was measured, and what it can't get away with."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.chat.errors import AnswerInvalid
from agent.llm import LLMPlanner
from agent.planner import Plan
from diffusion.layout import Box, Instance, Layout, Mask, Point
from eval.report import AttributeVerdict, Detection, FidelityReport, InstanceVerdict
from prompts.wire import on_grid, to_wire
from tests.agent.fake_openai_server import FakeOpenAI, Step, says


def box(x0: float, y0: float, x1: float, y1: float) -> Box:
    return Box(x0=x0, y0=y0, x1=x1, y1=y1)


def instance(name: str, at: Box, **more: Any) -> Instance:
    return Instance(id=name, category=name[:-2], caption=f"a red {name[:-2]}", box=at, depth=0, **more)


LAYOUT = Layout(
    version=1,
    caption="a ball, a cube and a cone",
    background="grass",
    width=256,
    height=256,
    instances=(
        instance("ball_1", box(0.1234, 0.5, 0.3, 0.7)),
        instance("cube_1", box(0.4, 0.5, 0.6, 0.7)),
        instance("cone_1", box(0.7, 0.5, 0.9, 0.7)),
    ),
)


def verdict(planned: Instance, **found: Any) -> InstanceVerdict:
    facts = {"detected": None, "iou": 0.0, "label": None, "score": None, "accepted": False, "reason": "missing"}
    return InstanceVerdict(
        id=planned.id,
        category=planned.category,
        caption=planned.caption,
        planned=planned.extent(),
        **{**facts, **found},
    )


def report(layout: Layout = LAYOUT, **changes: Any) -> FidelityReport:
    """The first instance is accepted, the second has the wrong place and colour, the third is missing."""
    good, wrong, missing = layout.instances
    colour = AttributeVerdict(attribute="colour", wanted="red", found="pink", ok=False)
    fields: dict[str, Any] = {
        "detector": "bundled",
        "instances": (
            verdict(good, detected=good.extent(), iou=0.93, label="ball", score=0.9, accepted=True, reason="ok"),
            verdict(
                wrong,
                detected=box(0.45, 0.6, 0.55, 0.7),
                iou=0.25,
                label="cube",
                score=0.8,
                attributes=(colour,),
                reason="IoU 0.25, at least 0.50 needed",
            ),
            verdict(missing, landed=box(0.0, 0.0, 0.2, 0.2)),
        ),
        "unplanned": (Detection(box=box(0.8, 0.1, 0.9, 0.2), label="star", score=0.71, colour="white"),),
        "mean_iou": 0.39,
        "mean_iou_ci95": None,
        "scored": 3,
        "recall_50": 1 / 3,
        "accepted": False,
        "reasons": ("2 of 3 instances are not accepted",),
    }
    return FidelityReport(**{**fields, **changes})


def answer(layout: Layout = LAYOUT, notes: tuple[str, ...] = (), **boxes: Box) -> dict[str, Any]:
    """The plan of ``layout`` as an LLM would answer it, with the boxes of some ids replaced."""
    plan = to_wire(layout)
    for part in plan["instances"]:
        if part["id"] in boxes:
            part["box"] = on_grid(boxes[part["id"]])
    reasoning = {"ground": "grass", "sizes": "alike", "arrangement": "in a row"}
    return {"reasoning": reasoning, **plan, "notes": list(notes)}


def edited(index: int, **fields: Any) -> dict[str, Any]:
    result = answer()
    result["instances"][index].update(fields)
    return result


BETTER = answer(cube_1=box(0.4, 0.4, 0.62, 0.72), cone_1=box(0.7, 0.4, 0.95, 0.72))


def replan(*script: Step, layout: Layout = LAYOUT, **options: Any) -> tuple[Plan, list[list[dict[str, str]]]]:
    """The corrected plan, and the messages of each request."""
    with FakeOpenAI(*script) as server:
        planner = LLMPlanner("fake", base_url=server.url, environ={}, backoff=0.01, timeout=10, **options)
        plan = planner.replan("a red ball, a red cube and a red cone", layout, report(layout), round_number=1, seed=3)
        return plan, [request.body["messages"] for request in server.requests]


def test_the_question_quotes_what_was_measured() -> None:
    _, [[system, user]] = replan(says(BETTER))
    assert "256 x 256" in system["content"]
    text = user["content"]
    assert "a red ball, a red cube and a red cone" in text and "round 1" in text and '"bundled"' in text
    assert json.dumps(to_wire(LAYOUT)) in text
    lines = {line.split(" ")[1]: line for line in text.splitlines() if line.startswith("- ")}
    assert "IoU 0.93" in lines["ball_1"] and lines["ball_1"].endswith("accepted")
    assert "wanted at x0 400, y0 500, x1 600, y1 700" in lines["cube_1"]
    assert "found at x0 450, y0 600, x1 550, y1 700" in lines["cube_1"]
    assert "IoU 0.25" in lines["cube_1"] and "wrong colour: wanted red, found pink" in lines["cube_1"]
    assert "missing" in lines["cone_1"] and "was found at x0 0, y0 0, x1 200, y1 200" in lines["cone_1"]
    assert "white star found at x0 800" in lines["unplanned:"]
    assert "2 of 3 instances are not accepted" in lines["not"]
    assert "Leave these instances exactly as they are, box and caption: ball_1." in text


def test_an_instance_the_detector_does_not_know_is_not_called_missing() -> None:
    with FakeOpenAI(says(BETTER)) as server:
        planner = LLMPlanner("fake", base_url=server.url, environ={})
        planner.replan("shapes", LAYOUT, report(unjudged=("cone_1",)), round_number=1, seed=0)
        (line,) = [
            line for line in server.requests[0].body["messages"][1]["content"].splitlines() if "- cone_1" in line
        ]
    assert "not judged" in line and "missing;" not in line


def test_the_corrected_plan_moves_what_failed_and_keeps_the_accepted_to_the_last_digit() -> None:
    plan, _ = replan(says(BETTER))
    assert plan.layout.instance("ball_1") == LAYOUT.instance("ball_1")
    assert plan.layout.instance("cube_1").box == box(0.4, 0.4, 0.62, 0.72)
    assert not plan.new_seed


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (
            answer(ball_1=box(0.2, 0.5, 0.4, 0.7)),
            "instances[0].box: ball_1 is accepted and must stay at x0 123, y0 500",
        ),
        (edited(0, caption="a big red ball"), "instances[0].caption: ball_1 is accepted and must stay 'a red ball'"),
        (edited(1, category="die"), "instances[1].category: must stay 'cube' for cube_1 (got 'die')"),
        (edited(2, id="cone_2"), "'cone_1' is missing"),
        (edited(2, id="cone_2"), "instances[2].id: 'cone_2' is new"),
        (
            {**answer(), "instances": answer()["instances"][:2]},
            "'cone_1' is missing; every id of the plan must be kept",
        ),
    ],
    ids=["moved", "recaptioned", "another category", "renamed", "renamed, new", "dropped"],
)
def test_what_must_stay_is_enforced_and_said_by_path(bad: dict[str, Any], problem: str) -> None:
    plan, [_, second] = replan(says(bad), says(BETTER))
    assert problem in second[-1]["content"]
    assert plan.layout.instance("ball_1") == LAYOUT.instance("ball_1")


def test_a_model_that_keeps_moving_the_accepted_ends_in_an_error() -> None:
    with pytest.raises(AnswerInvalid, match=r"in 2 tries[^$]*ball_1 is accepted"):
        replan(says(answer(ball_1=box(0, 0, 1, 1))), corrections=1)


def test_another_order_of_the_instances_is_no_change() -> None:
    plan, requests = replan(says({**BETTER, "instances": BETTER["instances"][::-1]}))
    assert [one.id for one in plan.layout] == ["ball_1", "cube_1", "cone_1"] and len(requests) == 1


def test_a_plan_left_as_it_was_asks_for_another_noise() -> None:
    plan, _ = replan(says(answer()))
    assert plan.layout.instances == LAYOUT.instances and plan.new_seed


def test_masks_and_points_stay_with_what_stays_and_are_reported_where_a_move_costs_them() -> None:
    corners = (Point(x=0.4, y=0.5), Point(x=0.6, y=0.5), Point(x=0.6, y=0.7))
    ball = instance("ball_1", box(0.1, 0.5, 0.3, 0.7), point=Point(x=0.2, y=0.6))
    cube = instance("cube_1", box(0.4, 0.5, 0.6, 0.7), mask=Mask(polygons=(corners,)))
    cone = instance("cone_1", box(0.7, 0.5, 0.9, 0.7), point=Point(x=0.8, y=0.6))
    layout = LAYOUT.model_copy(update={"instances": (ball, cube, cone)})
    moved = answer(layout, notes=("cube moved",), cube_1=box(0.4, 0.2, 0.6, 0.5))
    plan, _ = replan(says(moved), layout=layout)
    assert plan.layout.instance("ball_1").point == ball.point
    assert plan.layout.instance("cone_1").point == cone.point
    assert plan.layout.instance("cube_1").mask is None
    assert plan.notes == ("cube moved", "cube_1: moved, so its mask no longer fits and was left out")


def test_a_replan_that_asks_for_less_goes_back() -> None:
    """A thing that came out in the wrong colour is not corrected by planning that colour."""
    plan, [_, second] = replan(says(edited(1, caption="a pink cube")), says(BETTER))
    assert "instances[1].caption: cube_1 must go on asking for colour red" in second[-1]["content"]
    assert plan.layout.instance("cube_1").caption == "a red cube"


def test_remarks_before_the_drawing_are_quoted_and_their_answer_is_a_whole_plan() -> None:
    with FakeOpenAI(says(BETTER)) as server:
        planner = LLMPlanner("fake", base_url=server.url, environ={})
        plan = planner.revise("three shapes", LAYOUT, ["cone_1: too small", "ball_1: floats"], seed=0)
    question = server.requests[0].body["messages"][1]["content"]
    assert "- cone_1: too small\n- ball_1: floats" in question and json.dumps(to_wire(LAYOUT)) in question
    assert plan.layout.instance("cube_1").box == box(0.4, 0.4, 0.62, 0.72)
