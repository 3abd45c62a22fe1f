"""The cache of plans: what is kept and under which question, and that it never stands in the way."""

from __future__ import annotations

import json
import os
import pickle
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.chat import errors
from agent.chat.endpoint import Endpoint
from agent.llm_cache import LLMCache, question_key
from tests.agent.fake_openai_server import FakeOpenAI, fails, says
from tests.agent.llm_answers import GOOD, answer, cup, plan, planner


@pytest.fixture
def cache(tmp_path: Path) -> LLMCache:
    return LLMCache(tmp_path / "cache" / "llm.sqlite3")


def rows(cache: LLMCache) -> list[tuple[str, str]]:
    with sqlite3.connect(cache.path) as database:
        return database.execute("SELECT key, answer FROM answers").fetchall()


def test_the_same_question_is_asked_once(cache: LLMCache) -> None:
    with FakeOpenAI(says(GOOD), says(answer(cup(1, 300)))) as server:
        first = plan(server, cache=cache)
        second = plan(server, cache=LLMCache(cache.path))
        assert len(server.requests) == 1
    assert second.layout == first.layout and second.notes == first.notes
    assert (first.cached, second.cached) == (False, True)
    assert first.usage and not second.usage


@pytest.mark.parametrize(
    "change",
    [{"prompt": "three blue cups"}, {"width": 513}, {"height": 385}, {"seed": 8}],
    ids=lambda change: next(iter(change)),
)
def test_another_question_is_asked(cache: LLMCache, change: dict[str, Any]) -> None:
    question: dict[str, Any] = {"prompt": "two blue cups", "width": 512, "height": 384, "seed": 7}
    with FakeOpenAI(says(GOOD)) as server:
        one = planner(server, cache=cache)
        for asked in (question, question | change):
            one.plan(asked.pop("prompt"), **asked)
        assert len(server.requests) == 2


def test_model_server_schema_and_versions_of_the_prompts_are_part_of_the_question() -> None:
    def key(model: str = "m", url: str = "http://localhost:1/v1", schema: Any = None, version: int = 1) -> str:
        endpoint = Endpoint(model, url, "sk-1")
        messages = [{"role": "user", "content": "cups"}]
        return question_key(endpoint, messages, schema=schema or {}, prompts={"plan": version}, seed=0)

    others = [key(model="n"), key(url="http://localhost:2/v1"), key(schema={"type": "object"}), key(version=2)]
    assert len({key(), *others}) == 5
    assert key(url="http://me:secret@localhost:1/v1/") == key()


def test_how_patiently_a_server_is_asked_is_no_part_of_the_question(cache: LLMCache) -> None:
    with FakeOpenAI(says(GOOD)) as server:
        plan(server, cache=cache, timeout=5, attempts=2)
        plan(server, cache=cache, timeout=9, attempts=4, corrections=0, api_key="sk-another")
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("step", "failure"),
    [
        (says("no plan"), errors.AnswerInvalid),
        (says(None, refusal="no"), errors.AnswerRefused),
        (fails(500), errors.ServerFailing),
        (says(""), errors.AnswerEmpty),
    ],
)
def test_failures_are_not_kept(cache: LLMCache, step: Any, failure: type[Exception]) -> None:
    with FakeOpenAI(step) as server, pytest.raises(failure):
        plan(server, cache=cache, attempts=2)
    assert cache.count() == 0


def test_of_a_corrected_plan_the_valid_answer_is_kept(cache: LLMCache) -> None:
    with FakeOpenAI(says("no plan"), says(GOOD)) as server:
        plan(server, cache=cache)
        assert plan(server, cache=cache).cached
        assert len(server.requests) == 2
    ((_, kept),) = rows(cache)
    assert json.loads(kept) == GOOD


def test_an_answer_that_is_no_longer_valid_is_asked_for_again(cache: LLMCache) -> None:
    with FakeOpenAI(says(GOOD)) as server:
        plan(server, cache=cache)
        with sqlite3.connect(cache.path) as database:
            database.execute("UPDATE answers SET answer = ?", [json.dumps(answer(cup(1, 5000)))])
        assert not plan(server, cache=cache).cached
    ((_, kept),) = rows(cache)
    assert json.loads(kept) == GOOD


class Armed:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_nothing_in_the_file_is_ever_unpickled(cache: LLMCache, tmp_path: Path) -> None:
    with FakeOpenAI(says(GOOD)) as server:
        plan(server, cache=cache)
        with sqlite3.connect(cache.path) as database:
            kinds = database.execute("SELECT DISTINCT typeof(key), typeof(answer) FROM answers").fetchall()
            database.execute("UPDATE answers SET answer = ?", [pickle.dumps(Armed(tmp_path / "executed"))])
        assert kinds == [("text", "text")]
        assert not plan(server, cache=cache).cached
    assert not (tmp_path / "executed").exists()


def spoil_with_bytes(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is no database" * 100)


def spoil_with_a_folder(path: Path) -> None:
    path.mkdir(parents=True)


def spoil_with_other_columns(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 1")
        database.execute("CREATE TABLE answers (other INTEGER)")


@pytest.mark.parametrize("spoil", [spoil_with_bytes, spoil_with_a_folder, spoil_with_other_columns])
def test_a_cache_that_can_not_be_used_is_reported_once_and_stands_not_in_the_way(
    cache: LLMCache, spoil: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(cache.path)
    with FakeOpenAI(says(GOOD)) as server:
        for _ in range(2):
            assert plan(server, cache=cache).layout.instances
    said = capsys.readouterr().err
    assert said.count("the cache cannot be used") == 1 and "scenewright cache clear" in said


def test_a_cache_of_another_format_starts_anew(cache: LLMCache) -> None:
    cache.path.parent.mkdir()
    with sqlite3.connect(cache.path) as database:
        database.execute("PRAGMA user_version = 99")
        database.execute("CREATE TABLE answers (other INTEGER)")
    with FakeOpenAI(says(GOOD)) as server:
        plan(server, cache=cache)
    assert cache.count() == 1


def test_nobody_else_may_read_the_file(cache: LLMCache) -> None:
    cache.remember_answer("key", "{}")
    assert stat.S_IMODE(cache.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(cache.path.parent.stat().st_mode) & 0o077 == 0


def test_processes_share_a_cache(cache: LLMCache) -> None:
    code = (
        "import sys; from pathlib import Path; from agent.llm_cache import LLMCache\n"
        "cache = LLMCache(Path(sys.argv[1]))\n"
        "for n in range(20): cache.remember_answer(f'{sys.argv[2]} {n}', sys.argv[2])"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(cache.path), name], stderr=subprocess.PIPE)
        for name in ("a", "b", "c", "d")
    ]
    assert [writer.communicate()[1] for writer in writers] == [b""] * 4
    assert cache.count() == 80
    assert all(key.split()[0] == kept for key, kept in rows(cache))


def test_the_command_line_uses_shows_and_clears_it(tmp_path: Path) -> None:
    def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "agent.cli", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done

    with FakeOpenAI(says(GOOD)) as server:
        environment = {
            **os.environ,
            "OPENAI_BASE_URL": server.url,
            "SCENEWRIGHT_MODEL": "m",
            "SCENEWRIGHT_CACHE": str(tmp_path / "kept"),
        }
        first = cli("plan", "two blue cups", "--json")
        second = cli("plan", "two blue cups", "--json")
        assert second.stdout == first.stdout and "comes from the cache" in second.stderr
        assert len(server.requests) == 1
        cli("plan", "two blue cups", "--no-cache")
        assert len(server.requests) == 2
        shown = json.loads(cli("cache", "--json").stdout)
        assert shown["plans"] == 1 and shown["path"] == str(tmp_path / "kept" / "llm.sqlite3")
        cli("cache", "clear")
        assert not list((tmp_path / "kept").iterdir())
        assert "0 plans" in cli("cache").stdout
        cli("plan", "two blue cups")
        assert len(server.requests) == 3
