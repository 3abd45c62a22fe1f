"""The LLM planner over real HTTP, with the real SDK: what it asks, what it takes, and how it is configured."""

from __future__ import annotations

import copy
import logging
import re

import pytest

from agent.critic import critique
from agent.llm import DEFAULT_MODEL, LLMPlanner
from agent.planner import PlannerError
from prompts.texts import prompt
from prompts.wire import read_answer, wire_schema
from tests.agent.fake_openai_server import FakeOpenAI, fails, says
from tests.agent.llm_answers import GOOD, KEY, answer, plan, planner


def test_a_description_becomes_a_plan() -> None:
    with FakeOpenAI(says(answer(notes=["a table was assumed"]), tokens=(900, 300))) as server:
        result = plan(server)
    assert [instance.id for instance in result.layout] == ["cup_1", "cup_2"]
    assert (result.layout.width, result.layout.height) == (512, 384)
    assert result.notes == ("a table was assumed",)
    assert result.usage == {"input_tokens": 900, "output_tokens": 300}
    (request,) = server.requests
    assert request.path == "/v1/chat/completions" and request.headers["authorization"] == f"Bearer {KEY}"
    assert request.body["model"] == "fake" and request.body["seed"] == 7
    assert request.body["response_format"]["json_schema"] == {
        "name": "answer",
        "strict": True,
        "schema": wire_schema(),
    }
    system, user = request.body["messages"]
    assert "512 x 384" in system["content"] and "two blue cups" in user["content"]


def test_nothing_is_sent_that_some_models_refuse() -> None:
    with FakeOpenAI(says(GOOD)) as server:
        plan(server)
    assert server.requests[0].body.keys() == {"model", "messages", "response_format", "seed"}


def test_neither_key_nor_description_is_logged_at_the_default_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with FakeOpenAI(fails(500), says("no plan"), says(GOOD)) as server:
        plan(server)
    assert not caplog.records


def test_what_is_not_given_comes_from_the_environment() -> None:
    with FakeOpenAI(says(GOOD)) as server:
        one = LLMPlanner(environ={"OPENAI_BASE_URL": server.url, "OPENAI_MODEL": "other", "SCENEWRIGHT_MODEL": "mine"})
        one.plan("cups", width=64, height=64, seed=0)
    assert server.requests[0].body["model"] == "mine"
    assert "Bearer no-key" in server.requests[0].headers["authorization"]
    assert LLMPlanner(environ={"OPENAI_API_KEY": KEY}).chat.endpoint.model == DEFAULT_MODEL


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({}, "OPENAI_API_KEY"),
        ({"OPENAI_API_KEY": "  "}, "needs a server"),
        ({"OPENAI_BASE_URL": "http://localhost:1/v1"}, "SCENEWRIGHT_MODEL"),
        ({"OPENAI_BASE_URL": "localhost:8080", "OPENAI_MODEL": "m"}, "not a web address"),
        ({"OPENAI_BASE_URL": "http://[::1", "OPENAI_MODEL": "m"}, "not a web address"),
        ({"OPENAI_BASE_URL": "http://h:99999/v1", "OPENAI_MODEL": "m"}, "not a web address"),
        ({"OPENAI_API_KEY": "sk-a b"}, "copy it again"),
        ({"OPENAI_API_KEY": "sk-\u2026"}, "copy it again"),
    ],
)
def test_a_configuration_that_can_not_work_is_refused_before_anything_is_sent(
    environ: dict[str, str], problem: str
) -> None:
    with pytest.raises(PlannerError, match=problem) as caught:
        LLMPlanner(environ=environ)
    assert caught.value.exit_code == 2
    assert "sk-" not in str(caught.value)


@pytest.mark.parametrize(
    ("description", "width", "problem"),
    [
        (" \n", 64, "description is empty"),
        ("cups " * 5000, 64, "at most 20000"),
        ("cup \udc80", 64, "not valid Unicode at character 4"),
        ("cups", 0, "canvas: width"),
    ],
)
def test_input_that_no_server_could_take_is_refused(description: str, width: int, problem: str) -> None:
    with FakeOpenAI(says(GOOD)) as server, pytest.raises(PlannerError, match=problem) as caught:
        planner(server).plan(description, width=width, height=64, seed=0)
    assert caught.value.exit_code == 2 and not server.requests


def test_answers_in_any_script_are_kept() -> None:
    caption = "eine Tasse „blau“, 青いカップ 🫖, {x} $y </think"
    changed = copy.deepcopy(GOOD)
    changed["instances"][0]["caption"] = caption
    with FakeOpenAI(says(changed)) as server:
        assert plan(server).layout.instances[0].caption == caption


def test_the_critic_has_nothing_to_say_of_the_worked_examples() -> None:
    system = prompt("plan_system").render(width=1024, height=1024, max_instances=30)
    examples = re.findall(r"^Description: (.+)\nAnswer: (\{(?:.+\n?)+)", system, re.MULTILINE)
    assert len(examples) >= 5
    for description, text in examples:
        assert critique(description, read_answer(text, width=1024, height=1024).layout).findings == ()
