"""The LLM planner over real HTTP, with the real SDK, against a server that answers by script and fails on purpose."""

from __future__ import annotations

import copy
import json
import logging
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from agent import chat_errors as errors
from agent.llm import DEFAULT_MODEL, LLMPlanner
from agent.planner import Plan, PlannerError, PlannerUnavailable
from prompts.wire import wire_schema
from tests.agent.fake_openai_server import (
    FakeOpenAI,
    Step,
    completion,
    dribbles,
    drops,
    fails,
    refuses,
    says,
    sends,
    sends_text,
    stalls,
)

KEY = "sk-secret-0123456789abcdef"


def cup(number: int, x0: int, y0: int = 600, **changes: Any) -> dict[str, Any]:
    box = {"x0": x0, "y0": y0, "x1": x0 + 150, "y1": y0 + 200}
    return {
        "id": f"cup_{number}",
        "category": "cup",
        "caption": "a blue cup",
        "box": box,
        "depth": number,
        **changes,
    }


def answer(*instances: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "reasoning": {"ground": "a table", "sizes": "cups are small", "arrangement": "side by side"},
        "caption": "cups on a table",
        "background": "a kitchen",
        "negative_prompt": "",
        "instances": list(instances or (cup(1, 100), cup(2, 500))),
        "notes": [],
        **changes,
    }


GOOD = answer()


def planner(server: FakeOpenAI, **options: Any) -> LLMPlanner:
    options = {"backoff": 0.01, "timeout": 10.0, "api_key": KEY, **options}
    return LLMPlanner("fake", base_url=server.url, environ={}, **options)


def plan(server: FakeOpenAI, **options: Any) -> Plan:
    return planner(server, **options).plan("two blue cups", width=512, height=384, seed=7)


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
        "name": "plan",
        "strict": True,
        "schema": wire_schema(),
    }
    system, user = request.body["messages"]
    assert "512 x 384" in system["content"] and "two blue cups" in user["content"]


def test_nothing_is_sent_that_some_models_refuse() -> None:
    with FakeOpenAI(says(GOOD)) as server:
        plan(server)
    assert server.requests[0].body.keys() == {"model", "messages", "response_format", "seed"}


# Transport


@pytest.mark.parametrize(
    "faults",
    [
        [fails(500)],
        [fails(503), fails(502), fails(408)],
        [fails(429)],
        [drops()],
        [drops(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{")],
        [sends({"choices": None}), sends({"choices": []})],
        [sends({"error": {"message": "upstream is busy"}})],
        [says(None), says("")],
        [sends_text('{"choices": [{"mess', "application/json")],
    ],
    ids=["500", "503 502 408", "429", "dropped", "dropped midway", "no choices", "200 error", "empty", "half JSON"],
)
def test_a_passing_fault_is_survived(faults: list[Step]) -> None:
    with FakeOpenAI(*faults, says(GOOD)) as server:
        assert len(plan(server).layout.instances) == 2
        assert len(server.requests) == len(faults) + 1


def test_retry_after_is_waited_for() -> None:
    with FakeOpenAI(
        fails(429, headers={"retry-after": "0.3"}), fails(429, headers={"retry-after-ms": "200"}), says(GOOD)
    ) as server:
        plan(server)
        first, second, third = (request.at for request in server.requests)
    assert second - first >= 0.3 and third - second >= 0.2


@pytest.mark.parametrize("dated", [False, True], ids=["seconds", "date"])
def test_a_wait_beyond_the_deadline_ends_at_once(dated: bool) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=300), usegmt=True) if dated else "300"
    start = time.monotonic()
    with (
        FakeOpenAI(fails(429, headers={"retry-after": later})) as server,
        pytest.raises(errors.RateLimited, match=r"asks to wait (300|29\d) s; no more attempt fits into the 10 s"),
    ):
        plan(server)
    assert time.monotonic() - start < 5 and len(server.requests) == 1


def test_a_retry_after_that_means_nothing_is_ignored() -> None:
    with FakeOpenAI(fails(503, headers={"retry-after": "soon"}), says(GOOD)) as server:
        plan(server)


def test_a_lasting_fault_ends_after_so_many_attempts() -> None:
    with (
        FakeOpenAI(fails(500, "out of memory")) as server,
        pytest.raises(errors.ServerFailing, match=r"500: out of memory.*Gave up after 3 attempts"),
    ):
        plan(server, attempts=3)
    assert len(server.requests) == 3


@pytest.mark.parametrize("silence", [stalls, dribbles])
def test_a_server_that_never_finishes_ends_at_the_deadline(silence: Any) -> None:
    with FakeOpenAI(silence()) as server:
        start = time.monotonic()
        with pytest.raises(errors.OutOfTime, match=r"no complete answer within the 0\.6 s"):
            plan(server, timeout=0.6)
        assert 0.5 < time.monotonic() - start < 2


def test_a_planner_that_ran_out_of_time_can_be_asked_again() -> None:
    with FakeOpenAI(dribbles(), says(GOOD)) as server:
        one = planner(server, timeout=0.8)
        with pytest.raises(errors.OutOfTime):
            one.plan("cups", width=64, height=64, seed=0)
        assert one.plan("cups", width=64, height=64, seed=0).layout.instances


def test_the_deadline_spans_corrections_and_quotes_the_last_problem() -> None:
    with (
        FakeOpenAI(says("no plan"), stalls()) as server,
        pytest.raises(errors.OutOfTime, match="holds no JSON object"),
    ):
        plan(server, timeout=0.6)


def test_a_server_that_does_not_run_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(errors.Unreachable, match=rf"127\.0\.0\.1:{port} cannot be reached \(.*refused.*server runs"):
        LLMPlanner("m", base_url=f"http://127.0.0.1:{port}/v1", environ={}, backoff=0.01, attempts=2).plan(
            "cups", width=64, height=64, seed=0
        )


def test_a_proxy_in_the_environment_does_not_stand_before_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with FakeOpenAI(says(GOOD)) as server:
        plan(server)


@pytest.mark.parametrize(
    ("step", "failure", "advice"),
    [
        (fails(401, "bad key"), errors.RequestRejected, "401: bad key.*OPENAI_API_KEY"),
        (fails(403, "not here"), errors.RequestRejected, "403: not here"),
        (fails(404, "no such model"), errors.RequestRejected, "'fake'.*SCENEWRIGHT_MODEL"),
        (fails(400, "too long"), errors.RequestRejected, "400: too long.*Shorten"),
        (fails(429, "pay", code="insufficient_quota"), errors.QuotaExhausted, "credit"),
        (fails(429, "pay", type="insufficient_quota"), errors.QuotaExhausted, "credit"),
        (fails(402, "pay"), errors.QuotaExhausted, "credit"),
        (fails(400, "filtered", code="content_filter"), errors.AnswerFiltered, "content filter"),
        (says(None, refusal="I'd rather not."), errors.AnswerRefused, "I'd rather not.*offline planner"),
        (says('{"caption"', finish_reason="length"), errors.AnswerCutOff, "cut off.*fewer things"),
        (says(None, finish_reason="content_filter"), errors.AnswerFiltered, "content filter"),
        (
            says(None, finish_reason="tool_calls", tool_calls=[{"id": "1", "type": "function"}]),
            errors.AnswerMisplaced,
            "called a tool",
        ),
        (sends_text("<html>Welcome</html>"), errors.NotAChatServer, "<html>.*OPENAI_BASE_URL.*/v1"),
    ],
)
def test_a_failure_that_asking_again_can_not_mend_has_its_own_name_and_advice(
    step: Step, failure: type[PlannerUnavailable], advice: str
) -> None:
    with FakeOpenAI(step) as server, pytest.raises(failure, match=advice) as caught:
        plan(server)
    assert len(server.requests) == 1
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("step", "failure"),
    [(sends({"choices": []}), errors.AnswerEmpty), (says("  "), errors.AnswerEmpty), (drops(), errors.Unreachable)],
)
def test_a_failure_that_lasts_has_its_own_name(step: Step, failure: type[PlannerUnavailable]) -> None:
    with FakeOpenAI(step) as server, pytest.raises(failure, match="Gave up after 2 attempts"):
        plan(server, attempts=2)


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
def test_the_key_stands_in_no_error_and_no_log(status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with (
        FakeOpenAI(fails(status, f"Incorrect API key provided: {KEY}, Bearer {KEY}")) as server,
        pytest.raises(PlannerUnavailable) as caught,
    ):
        plan(server, attempts=2)
    assert "[key]" in str(caught.value)
    assert KEY not in str(caught.value) and KEY not in repr(caught.value)
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("agent"))
    assert KEY not in ours and KEY not in repr(planner(server).chat)


def test_neither_key_nor_description_is_logged_at_the_default_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with FakeOpenAI(fails(500), says("no plan"), says(GOOD)) as server:
        plan(server)
    assert not caplog.records


# Servers as they are


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


# Invalid plans


@pytest.mark.parametrize(
    ("bad", "path"),
    [
        ("Two cups, I think.", "no JSON object"),
        ('{"caption": ', "not JSON"),
        (answer(cup(1, 100), cup(2, 950)), "instances[1].box.x1: must lie on the grid, from 0 to 1000 (got 1100"),
        (answer(cup(1, 100), cup(1, 500)), "instances[1].id = 'cup_1' is already used"),
        (answer(cup(1, 100, box={"x0": 9, "y0": 9, "x1": 5, "y1": 50})), "instances[0].box: x0 = 9"),
    ],
)
def test_an_invalid_plan_goes_back_with_the_path_of_the_field(bad: Any, path: str) -> None:
    with FakeOpenAI(says(bad, tokens=(10, 5)), says(GOOD, tokens=(30, 7))) as server:
        result = plan(server)
    assert len(result.layout.instances) == 2
    assert result.usage == {"input_tokens": 40, "output_tokens": 12}
    first, second = (request.body["messages"] for request in server.requests)
    assert second[:2] == first
    assert [message["role"] for message in second[2:]] == ["assistant", "user"]
    assert path in second[3]["content"]


def test_thoughts_are_not_sent_back() -> None:
    with FakeOpenAI(says("<think>hmm</think>no plan"), says(GOOD)) as server:
        plan(server)
    assert server.requests[1].body["messages"][2]["content"] == "no plan"


def test_a_plan_that_stays_invalid_ends_with_the_last_problem() -> None:
    bad = answer(cup(1, 950))
    with (
        FakeOpenAI(says("nothing"), says("nothing"), says(bad)) as server,
        pytest.raises(errors.PlanInvalid, match=r"no valid plan in 3 answers[^$]*instances\[0\]\.box\.x1"),
    ):
        plan(server)
    assert len(server.requests) == 3


def test_tokens_of_an_empty_answer_are_counted_too() -> None:
    with FakeOpenAI(sends({**completion(""), "choices": []}), says(GOOD)) as server:
        assert plan(server).usage == {"input_tokens": 200, "output_tokens": 40}


def test_a_server_that_reports_no_usage_is_fine() -> None:
    with FakeOpenAI(sends({"choices": completion(json.dumps(GOOD))["choices"]})) as server:
        assert plan(server).usage == {}


# Configuration and input


def test_what_is_not_given_comes_from_the_environment() -> None:
    with FakeOpenAI(says(GOOD)) as server:
        one = LLMPlanner(environ={"OPENAI_BASE_URL": server.url, "OPENAI_MODEL": "other", "SCENEWRIGHT_MODEL": "mine"})
        one.plan("cups", width=64, height=64, seed=0)
    assert server.requests[0].body["model"] == "mine"
    assert "Bearer no-key" in server.requests[0].headers["authorization"]
    assert LLMPlanner(environ={"OPENAI_API_KEY": KEY}).chat.model == DEFAULT_MODEL


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
