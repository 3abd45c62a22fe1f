"""Servers as they are: what they take of a request, and the wrappings that answers come in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from prompts.wire import wire_schema
from tests.agent.fake_openai_server import FakeOpenAI, fails, refuses, says
from tests.agent.llm_answers import GOOD, plan, planner


@pytest.mark.parametrize(
    ("refused", "accepted"),
    [
        (("json_schema",), {"type": "json_object", "schema": wire_schema()}),
        (("json_schema", "json_object"), None),
    ],
)
def test_a_server_without_strict_schemas_is_asked_more_simply_and_remembered(
    refused: tuple[str, ...], accepted: Any
) -> None:
    with FakeOpenAI(refuses(*refused, then=says(GOOD))) as server:
        one = planner(server)
        one.plan("cups", width=64, height=64, seed=0)
        tries = len(server.requests)
        one.plan("cups", width=64, height=64, seed=0)
    assert len(server.requests) == tries + 1
    assert server.requests[-1].body.get("response_format") == accepted


def test_a_server_that_calls_its_refusal_of_schemas_an_error_of_its_own_is_understood() -> None:
    with FakeOpenAI(fails(500, "body.response_format.type: Input should be 'text'"), says(GOOD)) as server:
        plan(server)
    assert server.requests[1].body["response_format"]["type"] == "json_object"


def test_a_server_that_takes_no_seed_gets_none() -> None:
    with FakeOpenAI(fails(422, "Extra inputs are not permitted", param="seed"), says(GOOD)) as server:
        plan(server)
    assert "seed" not in server.requests[1].body and "response_format" in server.requests[1].body


@pytest.mark.parametrize(
    "content",
    [
        "```json\n%s\n```",
        "<think>Two cups {side by side}.</think>\n\n%s",
        [{"type": "text", "text": "%s"}],
    ],
    ids=["fenced", "thinking", "parts"],
)
def test_answers_come_in_several_wrappings(content: Any) -> None:
    text = json.dumps(GOOD)
    wrapped = content % text if isinstance(content, str) else [{"type": "text", "text": text}]
    with FakeOpenAI(says(wrapped)) as server:
        assert len(plan(server).layout.instances) == 2
