"""Random sequences of faults, each repeatable by its seed: all end in a valid plan or a named error."""

from __future__ import annotations

import json
import random
import sqlite3
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from agent.chat.errors import LLMFailure
from agent.llm_cache import LLMCache
from diffusion.layout import layout_from_dict
from prompts.wire import read_answer
from tests.agent.fake_openai_server import (
    FakeOpenAI,
    Handler,
    Request,
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
from tests.agent.llm_answers import GOOD, answer, cup, planner

SEEDS, BATCH = 200, 20
DEADLINE = 0.8

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


def raw(data: bytes) -> Step:
    """These bytes as the whole answer; then the connection ends."""

    def step(handler: Handler, _: Request) -> None:
        handler.wfile.write(data)
        handler.wfile.flush()
        handler.close_connection = True

    return step


def redirects(handler: Handler, _: Request) -> None:
    handler.send(b"", 307, location="/v1/chat/completions")


def a_fault(rng: random.Random) -> Step:
    """One of the ways in which a server or its model fails."""
    status = rng.choice([400, 401, 402, 403, 404, 408, 409, 413, 418, 422, 425, 500, 501, 502, 503, 504, 529])
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=rng.choice([-5, 1])), usegmt=True)
    waits = rng.choice(["0", "0.05", "1", "30", "-3", "soon", "1e400", soon, ""])
    words = rng.choice(["", "seed", "response_format", "System role not supported", "unknown field", "schema \x00 ü"])
    form = rng.choice(["json_schema", "json_object"])
    body = json.dumps(completion(json.dumps(GOOD))).encode()
    cut = rng.randrange(len(body))
    rare = [stalls(), dribbles(0.02)]
    common: list[Step] = [
        fails(status, words),
        fails(status, words, code=rng.choice(["content_filter", "insufficient_quota", "json_validate_failed", "x"])),
        fails(429, "slow down", headers={"retry-after": waits}),
        fails(503, "busy", headers={"retry-after-ms": waits}),
        lambda handler, _: handler.send(b"<h1>Bad gateway</h1>", status),
        lambda handler, _: handler.send(b"", status),
        lambda handler, _: handler.send(b'["a", 1]', status),
        refuses(form, then=says(GOOD)),
        redirects,
        drops(),
        drops(HEAD + b"content-length: 90000\r\n\r\n" + body[:cut]),
        raw(HEAD + b"content-length: 90000\r\n\r\n" + body[:cut]),
        raw(HEAD + b'transfer-encoding: chunked\r\n\r\n5\r\n{"cho\r\nzz\r\n'),
        raw(HEAD + b"content-encoding: gzip\r\ncontent-length: 9\r\n\r\nnot gzip!"),
        raw(rng.randbytes(rng.randrange(200))),
        lambda handler, _: handler.send(body[:cut]),
        lambda handler, _: handler.send(body.replace(b"cup", b"\xff\xfe")),
        lambda handler, _: handler.send(b""),
        sends_text("<html>hello</html>"),
        sends(rng.choice([None, [], 3, "text", {}, {"choices": None}, {"choices": []}, {"choices": [{}]}])),
        sends({"choices": [{"message": rng.choice([None, {}, {"content": 3}, {"content": [None, {"text": 1}]}])}]}),
        sends({"error": {"message": "upstream", "code": 502}}),
        sends({**completion(""), "usage": "none"}),
        says(
            rng.choice([None, "", "  ", "<think>so</think>", "I can't help with that.", "{}", "[]", "null", "{" * 3000])
        ),
        says(None, refusal="I won't"),
        says("", finish_reason=rng.choice(["length", "content_filter", "error", "tool_calls", "other"])),
        says(None, tool_calls=[{"id": "1", "function": {"name": "plan", "arguments": "{}"}}]),
        says(answer(cup(1, rng.randrange(-100, 1100)), cup(rng.randrange(1, 3), 500))),
        says({**GOOD, rng.choice(list(GOOD)): rng.choice([None, 1, "x", [], {}])}),
    ]
    return rng.choice(rare if rng.random() < 0.02 else common)


def a_good_answer(rng: random.Random) -> Step:
    text = json.dumps(GOOD)
    return says(
        rng.choice([text, f"```json\n{text}\n```", f"<think>{{}}</think>{text}", [{"type": "text", "text": text}]])
    )


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_faults_in_any_order_end_in_a_plan_or_a_named_error(first: int, tmp_path: Path) -> None:
    cache = LLMCache(tmp_path / "llm.sqlite3")
    ends: Counter[str] = Counter()
    for seed in range(first, first + BATCH):
        rng = random.Random(seed)
        script = [a_fault(rng) for _ in range(rng.randrange(5))]
        last = a_good_answer(rng) if rng.random() < 0.8 else a_fault(rng)
        with FakeOpenAI(*script, last) as server:
            one = planner(server, cache=cache, timeout=DEADLINE, backoff=0.002)
            try:
                made = one.plan("two blue cups", width=512, height=384, seed=seed)
            except LLMFailure as failure:
                assert type(failure) is not LLMFailure and len(str(failure)) > 20, seed
                ends[type(failure).__name__] += 1
            else:
                assert layout_from_dict(json.loads(made.layout.to_json()), "plan") == made.layout
                ends["plan"] += 1
    assert ends["plan"] and len(ends) > 2, ends
    assert_whole(cache, ends["plan"])


def assert_whole(cache: LLMCache, plans: int) -> None:
    """The cache holds a valid answer for each plan and nothing else, and no unfinished file lies beside it."""
    with sqlite3.connect(cache.path) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        kept: list[Any] = database.execute("SELECT answer FROM answers").fetchall()
    assert len(kept) == plans
    for (text,) in kept:
        assert read_answer(text, width=512, height=384).layout.instances
    assert [path.name for path in cache.path.parent.iterdir()] == [cache.path.name]
