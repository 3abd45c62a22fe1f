"""Which planner a run uses, and that it says so."""

from __future__ import annotations

import subprocess
import sys

import pytest

from agent.choose import choose_planner
from agent.planner import PlannerError


@pytest.mark.parametrize(
    ("name", "environ", "chosen", "line"),
    [
        (
            "auto",
            {},
            "offline",
            "Planner: offline, without an LLM (neither OPENAI_API_KEY nor OPENAI_BASE_URL is set).",
        ),
        ("auto", {"OPENAI_API_KEY": " "}, "offline", "without an LLM"),
        (
            "auto",
            {"OPENAI_API_KEY": "sk-1", "OPENAI_MODEL": "m"},
            "openai",
            "m at api.openai.com (OPENAI_API_KEY is set)",
        ),
        (
            "auto",
            {"OPENAI_BASE_URL": "http://user:pw@localhost:8080/v1?k=v", "SCENEWRIGHT_MODEL": "m"},
            "openai",
            "Planner: m at localhost:8080 (OPENAI_BASE_URL is set).",
        ),
        ("openai", {"OPENAI_API_KEY": "sk-1", "OPENAI_MODEL": "m"}, "openai", "Planner: m at api.openai.com."),
        ("offline", {"OPENAI_API_KEY": "sk-1"}, "offline", "Planner: offline."),
    ],
)
def test_the_planner_follows_the_name_and_the_environment_and_is_announced(
    name: str, environ: dict[str, str], chosen: str, line: str
) -> None:
    planner, said = choose_planner(name, environ=environ)
    assert planner.name == chosen
    assert line in said and "\n" not in said


@pytest.mark.parametrize(
    ("name", "environ", "problem"),
    [
        ("gpt", {}, "no planner 'gpt'; choose one of auto, offline, openai"),
        ("openai", {}, "needs a server"),
        ("auto", {"OPENAI_BASE_URL": "http://localhost:1/v1"}, "SCENEWRIGHT_MODEL"),
    ],
)
def test_what_can_not_work_is_refused(name: str, environ: dict[str, str], problem: str) -> None:
    with pytest.raises(PlannerError, match=problem):
        choose_planner(name, environ=environ)


def test_choosing_loads_neither_the_sdk_nor_the_engine() -> None:
    code = (
        "import sys; from agent.choose import choose_planner; "
        "choose_planner('auto', model='m', base_url='http://localhost:1/v1', environ={}); "
        "print({'openai', 'torch', 'numpy', 'httpx', 'httpx2', 'transformers'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
