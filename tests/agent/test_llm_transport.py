"""Servers that fail: what the LLM planner survives, and the named error that everything else ends in."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from agent.chat import errors
from agent.llm import LLMPlanner
from agent.planner import PlannerUnavailable
from tests.agent.fake_openai_server import FakeOpenAI, Step, dribbles, drops, fails, says, sends, sends_text, stalls
from tests.agent.llm_answers import GOOD, KEY, plan, planner


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
def test_a_wait_beyond_the_deadline_is_not_begun(dated: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "agent.chat.chat")
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=300), usegmt=True) if dated else "300"
    with (
        FakeOpenAI(fails(429, headers={"retry-after": later})) as server,
        pytest.raises(errors.RateLimited, match=r"asks to wait [23]\d\d s; no more attempt fits into the 10 s"),
    ):
        plan(server)
    assert len(server.requests) == 1
    assert not [record for record in caplog.records if "Next: attempt" in record.getMessage()]


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
    with (
        FakeOpenAI(silence()) as server,
        pytest.raises(errors.OutOfTime, match=r"no complete answer within the 0\.6 s"),
    ):
        plan(server, timeout=0.6)


def test_a_planner_that_ran_out_of_time_can_be_asked_again() -> None:
    with FakeOpenAI(dribbles(), says(GOOD)) as server:
        one = planner(server, timeout=0.8)
        with pytest.raises(errors.OutOfTime):
            one.plan("cups", width=64, height=64, seed=0)
        one.timeout = 60.0
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
        (fails(400, "no", code="context_length_exceeded"), errors.QuestionTooLong, "context of 8192 tokens"),
        (fails(500, "Requested tokens (3021) exceed context window of 512"), errors.QuestionTooLong, "3021"),
        (fails(429, "pay", code="insufficient_quota"), errors.QuotaExhausted, "credit"),
        (fails(429, "pay", type="insufficient_quota"), errors.QuotaExhausted, "credit"),
        (fails(402, "pay"), errors.QuotaExhausted, "credit"),
        (fails(400, "filtered", code="content_filter"), errors.AnswerFiltered, "content filter"),
        (says(None, refusal="I'd rather not."), errors.AnswerRefused, "I'd rather not.*offline planner"),
        (says('{"caption"', finish_reason="length", tokens=(9, 20000)), errors.AnswerCutOff, "cut off.*fewer things"),
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


def test_ctrl_c_ends_the_wait_for_a_server_at_once() -> None:
    with FakeOpenAI(stalls()) as server:
        environment = {**os.environ, "OPENAI_BASE_URL": server.url, "SCENEWRIGHT_MODEL": "fake"}
        process = subprocess.Popen(
            [sys.executable, "-m", "agent.cli", "plan", "two cups"],
            env=environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # a shell that runs the tests in the background has them ignore the signal
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        while not server.requests:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=60)
        assert process.returncode == 130 and b"interrupted" in said and b"Traceback" not in said and out == b""
