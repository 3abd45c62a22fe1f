"""The loop with an LLM over real HTTP: what a replan gains and can't spoil, and what a run's folder tells of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.llm import LLMPlanner
from agent.loop import LoopResult, run_loop
from diffusion.layout import Layout, read_layout
from eval.fidelity import check
from prompts.texts import prompt
from prompts.wire import to_wire
from tests.agent.fake_openai_server import FakeOpenAI, Handler, Request, Step, says
from tests.eval.oracle import Oracle, box, moved, scene, without

PROMPT = "a red ball left of a blue cube on green grass"
LEFT, RIGHT = (0.05, 0.4, 0.35, 0.7), (0.6, 0.4, 0.9, 0.7)
GOOD = scene(("a red ball", LEFT), ("a blue cube", RIGHT))
BURIED = moved(GOOD, "i1", box(0.62, 0.42, 0.88, 0.68))
"""The ball is planned where the cube is."""


def wire(layout: Layout) -> dict[str, Any]:
    plan = to_wire(layout)
    for depth, part in enumerate(plan["instances"]):
        part["depth"] = depth
    return {"reasoning": {"ground": "", "sizes": "", "arrangement": ""}, **plan, "notes": []}


def is_replan(request: Request) -> bool:
    opening = "that was drawn in round"
    assert opening in prompt("replan").text
    return opening in request.body["messages"][1]["content"]


def plans(first: Step, replan: Step) -> Step:
    """A server that gives one answer to questions before anything was drawn and another to those after."""

    def step(handler: Handler, request: Request) -> None:
        (replan if is_replan(request) else first)(handler, request)

    return step


def loop(server: FakeOpenAI, fault: Callable[[Layout, int], Layout]) -> LoopResult:
    oracle = Oracle(fault)
    return run_loop(
        PROMPT,
        LLMPlanner("fake", base_url=server.url, environ={}, timeout=20),
        oracle.render,
        lambda layout, image: check(layout, image, oracle),
        rounds=2,
        seed=0,
        width=128,
        height=128,
    )


def melts(layout: Layout, seed: int) -> Layout:
    """A model that draws one thing where two are planned on top of each other."""
    return without(layout, "i1") if layout.instance("i1").box.x1 > 0.5 else layout


def test_a_bad_first_plan_is_corrected_in_round_two_and_the_score_rises() -> None:
    with FakeOpenAI(plans(says(wire(BURIED)), says(wire(GOOD)))) as server:
        result = loop(server, melts)
        question = server.requests[-1].body["messages"][1]["content"]
    first, second = result.rounds
    assert result.best is second and result.accepted and not first.report.accepted
    assert second.report.mean_iou > first.report.mean_iou + 0.3
    assert "- i1 (a red ball); wanted at x0 620, y0 420, x1 880, y1 680; missing; IoU 0.00; NOT accepted" in question


def test_of_a_worse_replan_the_first_round_is_returned() -> None:
    worse = moved(GOOD, "i1", box(0.1, 0.1, 0.4, 0.4))

    def fault(layout: Layout, seed: int) -> Layout:
        return (
            moved(layout, "i1", box(0.15, 0.4, 0.45, 0.7))
            if layout.instance("i1").box.y0 > 0.3
            else without(layout, "i1")
        )

    with FakeOpenAI(plans(says(wire(GOOD)), says(wire(worse)))) as server:
        result = loop(server, fault)
    first, second = result.rounds
    assert second.plan.layout.instance("i1").box == box(0.1, 0.1, 0.4, 0.4)
    assert second.report.mean_iou < first.report.mean_iou
    assert result.best is first and not result.accepted


KEY = "sk-secret-0123456789abcdef"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path, int]:
    """A run with the bundled model: the first plan is bad, the second good, and its folder."""
    folder = tmp_path_factory.mktemp("llm") / "run"
    speck = moved(GOOD, "i2", box(0.6, 0.4, 0.625, 0.425))
    step = plans(says(wire(speck), tokens=(1000, 200)), says(wire(GOOD), tokens=(1500, 300)))
    with FakeOpenAI(step) as server:
        environment = {
            **os.environ,
            "OPENAI_BASE_URL": server.url,
            "OPENAI_API_KEY": KEY,
            "SCENEWRIGHT_MODEL": "fake",
            "SCENEWRIGHT_PRICES": '{"fake": {"input": 1.0, "output": 4.0}}',
            "SCENEWRIGHT_CACHE": str(folder.parent / "cache"),
        }
        done = subprocess.run(
            [sys.executable, "-m", "agent.cli", "generate", PROMPT, "-o", str(folder), "--rounds", "2", "--json"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return done, folder, len([request for request in server.requests if not is_replan(request)])


def test_the_bundled_model_draws_the_corrected_plan_better(run: Any) -> None:
    done, folder, _ = run
    assert done.returncode in (0, 3), done.stderr
    record = json.loads((folder / "run.json").read_text())
    first, second = (entry["mean_iou"] for entry in record["rounds"])
    assert second > first and record["best_round"] == 2
    assert read_layout(folder / "plan.json").instance("i2").box == box(*RIGHT)


def test_tokens_and_cost_of_all_questions_stand_in_run_json(run: Any) -> None:
    _, folder, before = run
    usage = json.loads((folder / "run.json").read_text())["planner"]["usage"]
    assert usage["input_tokens"] == before * 1000 + 1500 and usage["output_tokens"] == before * 200 + 300
    assert usage["cost"] == pytest.approx(before * 0.0018 + 0.0027)


def test_the_key_is_written_nowhere(run: Any) -> None:
    done, folder, _ = run
    assert KEY not in done.stdout + done.stderr
    files = [path for path in folder.parent.rglob("*") if path.is_file()]
    assert len(files) > 8 and not any(KEY.encode() in path.read_bytes() for path in files)


def test_what_a_failed_plan_took_stands_in_run_json_too(tmp_path: Path) -> None:
    with FakeOpenAI(says("no plan", tokens=(10, 5))) as server:
        environment = {**os.environ, "OPENAI_BASE_URL": server.url, "SCENEWRIGHT_MODEL": "fake"}
        done = subprocess.run(
            [sys.executable, "-m", "agent.cli", "generate", PROMPT, "-o", str(tmp_path / "run")],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 4 and "no JSON object" in done.stderr
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["state"] == "failed" and record["planner"]["usage"] == {"input_tokens": 30, "output_tokens": 15}
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"]
