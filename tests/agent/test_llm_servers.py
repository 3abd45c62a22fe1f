"""Servers as they are: what they take of a request, and the wrappings that answers come in."""

from __future__ import annotations

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agent.chat import errors
from agent.chat.chat import user_message
from agent.chat.traits import Traits
from agent.llm_cache import LLMCache
from prompts.wire import wire_schema
from tests.agent.fake_openai_server import (
    FakeOpenAI,
    Handler,
    Request,
    Step,
    completion,
    fails,
    refuses,
    says,
    sends,
    stalls,
)
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


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        ("This response_format type is unavailable now", 400),
        ("'response_format.type' must be 'text'", 400),
        ("This model does not support response format `json_schema`.", 400),
        ("Unexpected fields in the request: {'response_format'}", 422),
        ("failed to parse grammar", 500),
        ("Structured outputs are not available", 501),
        ("No endpoints found that can handle the requested parameters.", 404),
        ("Unrecognized request argument supplied", 400),
        ("Bad Request", 400),
    ],
)
def test_refusals_of_structured_output_are_understood_in_many_words(refusal: str, status: int) -> None:
    with FakeOpenAI(fails(status, refusal), says(GOOD)) as server:
        plan(server)
    first, second = (request.body["response_format"] for request in server.requests)
    assert (first["type"], second["type"]) == ("json_schema", "json_object")


@pytest.mark.parametrize(
    "words", ["System role not supported", "Only user and assistant roles are allowed, not system"]
)
def test_where_there_is_no_system_role_its_text_opens_the_question(words: str) -> None:
    with FakeOpenAI(fails(400, words), says(GOOD)) as server:
        plan(server)
    first, second = (request.body["messages"] for request in server.requests)
    assert [message["role"] for message in second] == ["user"]
    assert second[0]["content"] == f"{first[0]['content']}\n\n{first[1]['content']}"


def test_pictures_in_a_question_survive_the_loss_of_the_system_role() -> None:
    question = user_message("what is where?", b"one", b"two")
    (merged,) = Traits(system=False).messages([{"role": "system", "content": "you see"}, question])
    assert merged["content"] == [{"type": "text", "text": "you see"}, *question["content"]]
    assert [part["type"] for part in question["content"]] == ["image_url", "image_url", "text"]


def test_a_refusal_for_another_reason_takes_nothing_away() -> None:
    with (
        FakeOpenAI(fails(400, "The model 'fake' is not supported", param="model")) as server,
        pytest.raises(errors.RequestRejected),
    ):
        plan(server)
    assert len(server.requests) == 1


def test_what_did_not_help_is_not_remembered() -> None:
    with FakeOpenAI(fails(400, "Bad Request")) as server:
        one = planner(server)
        for _ in range(2):
            with pytest.raises(errors.RequestRejected, match="Bad Request"):
                one.plan("cups", width=64, height=64, seed=0)
        forms = [request.body.get("response_format", {}).get("type") for request in server.requests]
    assert forms == ["json_schema", "json_object", "json_object", None, None] * 2


def test_what_a_server_takes_is_remembered_by_the_next_process_for_a_week(tmp_path: Path) -> None:
    cache = LLMCache(tmp_path / "llm.sqlite3")
    with FakeOpenAI(refuses("json_schema", then=says(GOOD))) as server:
        for _ in range(2):
            planner(server, cache=LLMCache(cache.path)).plan(f"cups {_}", width=64, height=64, seed=0)
        assert len(server.requests) == 3
        with sqlite3.connect(cache.path) as database:
            database.execute("UPDATE traits SET stored = stored - 8 * 86400")
        planner(server, cache=cache).plan("more cups", width=64, height=64, seed=0)
        assert len(server.requests) == 5


def test_an_answer_cut_off_at_a_short_default_is_asked_for_at_full_length_and_remembered() -> None:
    def step(handler: Handler, request: Request) -> None:
        whole = request.body.get("max_tokens", 0) >= 16384
        (says(GOOD) if whole else says('{"caption"', finish_reason="length"))(handler, request)

    with FakeOpenAI(step) as server:
        one = planner(server)
        assert one.plan("cups", width=64, height=64, seed=0).usage == {"input_tokens": 300, "output_tokens": 60}
        one.plan("cups", width=64, height=64, seed=1)
    assert [request.body.get("max_tokens") for request in server.requests] == [None, 4096, 16384, 16384]


@pytest.mark.parametrize(
    ("second", "tries"),
    [
        (says('{"caption"', finish_reason="length"), 3),
        (fails(400, "Unsupported parameter: 'max_tokens'", param="max_tokens"), 2),
        (fails(400, "maximum context length is 2048 tokens"), 2),
    ],
    ids=["cut off again", "no such parameter", "no room"],
)
def test_an_answer_that_stays_cut_off_says_so(second: Step, tries: int) -> None:
    with (
        FakeOpenAI(says('{"caption"', finish_reason="length"), second) as server,
        pytest.raises(errors.AnswerCutOff, match="cut off"),
    ):
        plan(server)
    assert len(server.requests) == tries


def test_a_length_that_a_server_no_longer_takes_is_not_insisted_on(tmp_path: Path) -> None:
    cache = LLMCache(tmp_path / "llm.sqlite3")
    refusal = fails(400, "This model's maximum context length is 4096 tokens. However, you requested 7000 tokens")
    with FakeOpenAI(refusal, says(GOOD)) as server:
        one = planner(server, cache=cache)
        cache.remember_traits(one.chat.endpoint, Traits(max_tokens=4096))
        one.plan("cups", width=64, height=64, seed=0)
        assert cache.recall_traits(one.chat.endpoint) == Traits()
    assert ["max_tokens" in request.body for request in server.requests] == [True, False]


@pytest.mark.parametrize("usage", [None, "many", {"prompt_tokens": "12"}, {"prompt_tokens": -1}, []])
def test_a_count_of_tokens_that_means_nothing_costs_no_answer(usage: Any) -> None:
    with FakeOpenAI(sends({**completion(json.dumps(GOOD)), "usage": usage})) as server:
        assert len(plan(server).layout.instances) == 2


def test_an_answer_broken_off_by_a_server_behind_the_server_is_asked_for_again() -> None:
    broken = completion("", finish_reason="error")
    broken["choices"][0]["error"] = {"message": "upstream went away", "code": 502}
    with FakeOpenAI(sends(broken), says(GOOD)) as server:
        plan(server)
    with FakeOpenAI(sends(broken)) as server, pytest.raises(errors.ServerFailing, match="upstream went away"):
        plan(server, attempts=2)


def test_many_threads_share_a_planner_and_one_that_is_stalled_harms_no_other() -> None:
    def step(handler: Handler, request: Request) -> None:
        (stalls() if "stall" in request.body["messages"][1]["content"] else says(GOOD))(handler, request)

    with FakeOpenAI(step) as server, ThreadPoolExecutor(8) as pool:
        one = planner(server, timeout=3.0)
        tasks = [
            pool.submit(one.plan, "stall" if n == 3 else f"cups {n}", width=64, height=64, seed=0) for n in range(24)
        ]
        failures = [task.exception() for task in tasks]
    assert [type(failure) for failure in failures if failure] == [errors.OutOfTime]
    assert one.usage == {"input_tokens": 2300, "output_tokens": 460}
