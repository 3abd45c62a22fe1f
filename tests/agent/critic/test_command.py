"""``scenewright critique`` and ``plan --critique`` in real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from diffusion.layout import layout_from_dict
from tests.eval.oracle import box as box_at
from tests.eval.oracle import moved, scene

PUBLISHED = Path(__file__).parents[2] / "data" / "layouts" / "gpt4o_layouts.jsonl"
BARE = {key: value for key, value in os.environ.items() if not key.startswith(("OPENAI_", "SCENEWRIGHT_"))}
GOOD = scene(("a red car", (0.6, 0.6, 0.95, 0.8)), ("a white house", (0.1, 0.3, 0.5, 0.75)), width=512, height=512)


def cli(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agent.cli", *map(str, arguments)],
        capture_output=True, env=BARE, timeout=300, text=True, **options,
    )  # fmt: skip


def test_a_plan_is_held_against_the_given_text(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(moved(GOOD, "i1", box_at(0.6, 0.05, 0.95, 0.25)).to_json())
    said = cli("critique", plan, "--prompt", "a blue car and a white house", "--json")
    assert said.returncode == 0, said.stderr
    result = json.loads(said.stdout)
    (found,) = result["plans"]
    assert [finding["code"] for finding in found["critique"]] == ["colour", "floating"]
    assert found["critique"][1]["ids"] == ["i1"] and found["critique"][1]["numbers"] == {"y1": 0.25}
    assert result["codes"]["floating"] == {"findings": 1, "plans": 1} and result["codes"]["size"]["findings"] == 0
    words = cli("critique", plan, "--prompt", "a red car and a white house").stdout
    assert "floating: i1" in words and "findings: 1; plans without any: 0 of 1" in words


def test_other_peoples_layouts_are_read_and_a_broken_one_does_not_hide_the_rest(tmp_path: Path) -> None:
    lines = PUBLISHED.read_text().splitlines()[:3]
    file = tmp_path / "layouts.jsonl"
    file.write_text("\n".join([*lines, '{"annos": 3}']))
    said = cli("critique", file, "--bbox", "xyxy")
    assert said.returncode == 2
    assert "line 1: floating: dog-1" in said.stdout and "of 3" in said.stdout and "line 4" in said.stderr


@pytest.mark.parametrize("critique", [[], ["--critique"]])
def test_the_documented_output_of_plan_stays_as_it_is(critique: list[str], tmp_path: Path) -> None:
    said = cli("plan", "two dogs and a cat", "--planner", "offline", "--json", "-o", tmp_path / "plan.json", *critique)
    plan = json.loads(said.stdout)
    assert plan.pop("critique", None) == ([] if critique else None)
    assert layout_from_dict(plan) == layout_from_dict(json.loads((tmp_path / "plan.json").read_text()))


def test_a_file_of_prompts_gets_findings_beside_each_plan() -> None:
    prompts = "a cat\nseven balls, six dogs and eight cats in a room\n2.5 dogs\n"
    said = cli("plan", "--file", "-", "--planner", "offline", "--critique", "--json", input=prompts)
    first, second, third = map(json.loads, said.stdout.splitlines())
    assert first["critique"] == [] and layout_from_dict(first["plan"])
    assert {finding["code"] for finding in second["critique"]} >= {"too_small"}
    assert third["plan"] is None and "critique" not in third
    assert "the critic finds nothing" in cli("plan", "a cat", "--planner", "offline", "--critique").stdout


def test_a_run_records_what_was_found_and_what_became_of_it(tmp_path: Path) -> None:
    said = cli("generate", "six barns and two cats on green grass", "--planner", "offline", "-o", tmp_path / "run")
    assert said.returncode == 4, said.stderr  # The bundled model draws no barns: the run ends after planning.
    record = json.loads((tmp_path / "run" / "run.json").read_text())["critique"]
    assert record["findings"][0].keys() == {"code", "ids", "numbers", "message"}
    assert len(record["remaining"]) < len(record["findings"]) if record["revised"] else record["reason"]
    assert "the critic finds" in said.stderr
