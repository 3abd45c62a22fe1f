"""A batch whose planner is an LLM on a server: calls overlap and bounded, tokens counted, failures marked."""

import json
import signal
import subprocess
import threading
import time

import pytest

from tests.agent.batch.running import BARE, batch, checked, command
from tests.agent.fake_openai_server import FakeOpenAI, fails, says, stalls
from tests.agent.llm_answers import GOOD


@pytest.fixture
def scenes(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(f"{n} blue cups" for n in range(12)))
    return path


def llm(server: FakeOpenAI, tmp_path) -> dict[str, str]:
    return {
        "OPENAI_BASE_URL": server.url,
        "SCENEWRIGHT_MODEL": "fake",
        "SCENEWRIGHT_CACHE": str(tmp_path / "cache"),
        "NO_PROXY": "*",
    }


def test_plans_are_asked_for_together_and_never_too_many(scenes, tmp_path):
    lock, asked, most, four = threading.Lock(), 0, 0, threading.Event()

    def slowly(handler, request):
        nonlocal asked, most
        with lock:
            asked += 1
            most = max(most, asked)
            if most == 4:
                four.set()
        four.wait(60)
        time.sleep(0.3)
        with lock:
            asked -= 1
        says(GOOD, tokens=(100, 20))(handler, request)

    with FakeOpenAI(slowly) as server:
        result = batch(
            scenes, tmp_path / "out", "--engine", "null", "--planners", 4, "--json", env=llm(server, tmp_path)
        )
    assert result.returncode == 0, result.stderr
    assert most == 4
    asked_for = len(server.requests)
    assert asked_for >= 12
    told = json.loads(result.stdout)
    assert (
        told["usage"] == told["this_run"]["usage"] == {"input_tokens": 100 * asked_for, "output_tokens": 20 * asked_for}
    )
    assert sum(entry.usage["input_tokens"] for entry in checked(tmp_path / "out").values()) == 100 * asked_for


def test_a_server_that_fails_costs_the_items_that_asked_it(scenes, tmp_path):
    def fails_for_some(handler, request):
        text = json.dumps(request.body)
        (fails(400, "no") if "11 blue" in text or "3 blue" in text else says(GOOD))(handler, request)

    with FakeOpenAI(fails_for_some) as server:
        env = llm(server, tmp_path)
        first = batch(scenes, tmp_path / "out", "--engine", "null", "--json", env=env)
        assert first.returncode == 4, first.stderr
        told = json.loads(first.stdout)
        assert (told["done"], told["failed"]) == (10, 2)
        failed = [entry for entry in checked(tmp_path / "out").values() if entry.failure]
        assert {entry.prompt for entry in failed} == {"3 blue cups", "11 blue cups"}
        assert {entry.failure.phase for entry in failed} == {"plan"} and failed[0].image is None
    with FakeOpenAI(says(GOOD)) as server:
        env = llm(server, tmp_path)
        again = batch(scenes, tmp_path / "out", "--engine", "null", "--retry-failed", env=env)
    assert again.returncode == 0, again.stderr
    assert {entry.state for entry in checked(tmp_path / "out").values()} == {"done"}


def test_an_interruption_ends_it_at_once_and_the_rest_can_be_done_later(scenes, tmp_path):
    folder = tmp_path / "out"

    def answers_two(handler, request):
        text = json.dumps(request.body)
        (says(GOOD) if "10 blue" in text or "11 blue" in text else stalls())(handler, request)

    with FakeOpenAI(answers_two) as server:
        env = {**BARE, **llm(server, tmp_path)}
        arguments = command(scenes, folder, "--engine", "null", "--planners", 16)
        with subprocess.Popen(
            arguments,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=env,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as process:
            while not (folder / "manifest.jsonl").exists() and process.poll() is None:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            messages = process.stderr.read()
            assert process.wait(60) == 130
        assert "interrupted" in messages and "Traceback" not in messages
    before = checked(folder)
    assert 1 <= len(before) <= 2 and {entry.state for entry in before.values()} == {"done"}
    with FakeOpenAI(says(GOOD)) as server:
        result = batch(scenes, folder, "--engine", "null", env=llm(server, tmp_path))
    assert result.returncode == 0, result.stderr
    after = checked(folder)
    assert len(after) == 12 and {key: after[key] for key in before} == before
