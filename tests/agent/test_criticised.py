"""The critic before the first picture: its findings go back to the planner once, and never make a plan worse."""

from __future__ import annotations

import json

import pytest

from agent.criticised import CriticisedPlanner, Revision, revised_once
from agent.llm import LLMPlanner
from agent.offline import OfflinePlanner
from agent.planner import Plan, PlannerError, PlannerUnavailable
from diffusion.layout import Box, Layout
from tests.agent.critic.prompts import prompts
from tests.agent.fake_openai_server import FakeOpenAI, fails, says
from tests.agent.llm_answers import answer
from tests.eval.oracle import box, moved, scene

TEXT = "a red car and a white house"
GOOD = scene(("a red car", (0.6, 0.6, 0.95, 0.8)), ("a white house", (0.1, 0.3, 0.5, 0.75)), width=512, height=512)
FLOATING = moved(GOOD, "i1", box(0.6, 0.05, 0.95, 0.25))
WRONG = GOOD.model_copy(update={"instances": (FLOATING.instances[0],)})
"""A car in the sky, and no house."""


class Scripted:
    """A planner with one plan, and one answer to remarks; it keeps the remarks."""

    name = "scripted"

    def __init__(self, first: Layout, answer: Layout | Exception) -> None:
        self.first, self.answer, self.remarks = first, answer, []
        self.usage: dict[str, float] = {}

    def plan(self, prompt, *, width, height, seed):
        return Plan(self.first, ("first",))

    def replan(self, prompt, layout, report, *, round_number, seed):
        return Plan(layout, (f"round {round_number}",))

    def revise(self, prompt, layout, remarks, *, seed):
        self.remarks.append(list(remarks))
        if isinstance(self.answer, Exception):
            raise self.answer
        return Plan(self.answer, ("second",))


def plan(planner: Scripted) -> tuple[Plan, Revision]:
    heard: list[Revision] = []
    made = CriticisedPlanner(planner, heard.append).plan(TEXT, width=512, height=512, seed=1)
    (revision,) = heard
    return made, revision


def test_a_plan_without_fault_goes_on_unasked() -> None:
    planner = Scripted(GOOD, AssertionError("asked"))
    made, revision = plan(planner)
    assert made.layout == GOOD and not planner.remarks
    assert revision.to_dict() == {"findings": [], "notes": [], "revised": False, "remaining": [], "reason": ""}


def test_a_fault_goes_back_once_and_the_better_plan_goes_on() -> None:
    planner = Scripted(FLOATING, GOOD)
    made, revision = plan(planner)
    assert made.layout == GOOD and made.notes == ("first", "second") and revision.revised
    ((remark,),) = planner.remarks
    assert "i1" in remark and "0.25" in remark
    assert [finding.code for finding in revision.critique.findings] == ["floating"] and revision.remaining == ()


def test_a_revision_that_still_has_faults_is_taken_when_it_has_fewer_and_not_sent_back_again() -> None:
    planner = Scripted(WRONG, FLOATING)
    made, revision = plan(planner)
    assert made.layout == FLOATING and len(planner.remarks) == 1
    assert len(revision.critique.findings) == 2 and [finding.code for finding in revision.remaining] == ["floating"]


@pytest.mark.parametrize(
    "answer",
    [
        FLOATING,
        WRONG,
        GOOD.model_copy(update={"width": 640}),
        PlannerError("no plan"),
        PlannerUnavailable("the server is away"),
    ],
)
def test_a_revision_that_is_no_better_or_fails_leaves_the_first_plan(answer: Layout | Exception) -> None:
    made, revision = plan(Scripted(FLOATING, answer))
    assert made.layout == FLOATING and not revision.revised and revision.reason
    assert revision.remaining == revision.critique.findings
    json.dumps(revision.to_dict(), allow_nan=False)


def test_replans_are_the_planners_own() -> None:
    made = CriticisedPlanner(Scripted(GOOD, GOOD)).replan(TEXT, FLOATING, None, round_number=3, seed=1)  # type: ignore[arg-type]
    assert made.layout == FLOATING and made.notes == ("round 3",)


def test_an_llm_reads_the_finding_in_its_next_request() -> None:
    instances = [
        {"id": "car_1", "category": "car", "caption": "a red car", "depth": 0,
         "box": {"x0": 600, "y0": 60, "x1": 900, "y1": 220}},
        {"id": "house_1", "category": "house", "caption": "a white house", "depth": 1,
         "box": {"x0": 60, "y0": 250, "x1": 500, "y1": 760}},
    ]  # fmt: skip
    lowered = [{**instances[0], "box": {"x0": 600, "y0": 640, "x1": 900, "y1": 800}}, instances[1]]
    with FakeOpenAI(says(answer(instances=instances)), says(answer(instances=lowered))) as server:
        planner = LLMPlanner("fake", base_url=server.url, environ={})
        heard: list[Revision] = []
        made = CriticisedPlanner(planner, heard.append).plan(TEXT, width=512, height=512, seed=0)
    assert made.layout.instance("car_1").box == Box(x0=0.6, y0=0.64, x1=0.9, y1=0.8)
    assert len(server.requests) == 2 and heard[0].revised
    assert heard[0].critique.findings[0].message in server.requests[1].body["messages"][1]["content"]


def test_a_server_that_fails_at_the_revision_costs_no_plan() -> None:
    instances = [
        {"id": "car_1", "category": "car", "caption": "a red car", "depth": 0,
         "box": {"x0": 600, "y0": 60, "x1": 900, "y1": 220}},
    ]  # fmt: skip
    with FakeOpenAI(says(answer(instances=instances)), fails(401)) as server:
        planner = LLMPlanner("fake", base_url=server.url, environ={}, backoff=0)
        made = CriticisedPlanner(planner).plan("a red car", width=512, height=512, seed=0)
    assert made.layout.instance("car_1").caption == "a red car"


def test_the_offline_planner_places_anew_what_the_critic_objects_to() -> None:
    planner, before, after = OfflinePlanner(), 0, 0
    for seed, text in enumerate(prompts(101, 300)):
        try:
            first = planner.plan(text, width=512, height=512, seed=seed)
        except PlannerError:
            continue
        revision = revised_once(planner, text, first, seed=seed)
        before, after = before + len(revision.critique.findings), after + len(revision.remaining)
    print(f"findings in offline plans of 300 prompts: {before}, after one revision {after}")
    assert before > 0 and after <= before / 2
