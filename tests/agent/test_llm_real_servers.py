"""Plans from servers that others wrote, as processes of their own, with a language model trained here in seconds."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from agent.chat.endpoint import Endpoint
from agent.llm_cache import default_cache
from diffusion.layout import layout_from_dict
from prompts.texts import prompt
from tests.agent.llm_answers import answer, cup
from tests.agent.tiny_llm import save_tiny_llm

ONE, TWO, WRONG = "one blue cup", "two blue cups", "a calm cup"


@pytest.fixture(scope="module")
def tiny_llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model that has learned two plans, and one with a key that no plan has."""
    folder = tmp_path_factory.mktemp("llm")
    plans = {ONE: answer(cup(1, 300)), TWO: answer(), WRONG: answer(cup(1, 500), mood="calm")}
    save_tiny_llm(folder, {prompt("plan").render(description=text): json.dumps(plan) for text, plan in plans.items()})
    return folder


@contextmanager
def serving(log: Path, *command: object) -> Iterator[str]:
    """The base URL of a server that the command starts; the command is given a free port as its last argument."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*map(str, command), str(port)], stdout=output, stderr=subprocess.STDOUT, env=environment
        )
    try:
        for _ in range(600):
            assert process.poll() is None, f"the server ended: {log.read_text()[-2000:]}"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(timeout=30)


def plan(text: str, url: str, model: object, cache: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """``scenewright plan`` in a process of its own."""
    environment = {
        **os.environ,
        "OPENAI_BASE_URL": url,
        "SCENEWRIGHT_MODEL": str(model),
        "SCENEWRIGHT_CACHE": str(cache),
    }
    command = [sys.executable, "-m", "agent.cli", "plan", text, "--planner", "openai", "--json", *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def ids(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return [instance.id for instance in layout_from_dict(json.loads(done.stdout), "plan")]


@pytest.mark.skipif(
    find_spec("fastapi") is None or find_spec("uvicorn") is None,
    reason="transformers serve needs fastapi and uvicorn: pip install -c constraints.txt -e '.[dev]'",
)
def test_transformers_serve_plans_and_its_plan_outlives_it_in_the_cache(tiny_llm: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from transformers.cli.transformers import main; main()", "serve", tiny_llm]
    with serving(tmp_path / "log", *command, "--device", "cpu", "--host", "127.0.0.1", "--port") as url:
        first = plan(TWO, url, tiny_llm, tmp_path)
        assert ids(first) == ["cup_1", "cup_2"]
        assert ids(plan(ONE, url, tiny_llm, tmp_path)) == ["cup_1"]
    again = plan(TWO, url, tiny_llm, tmp_path)
    assert again.stdout == first.stdout and "from the cache" in again.stderr
    without = plan(TWO, url, tiny_llm, tmp_path, "--no-cache", "--llm-timeout", "2")
    assert without.returncode == 4 and "127.0.0.1" in without.stderr


@pytest.mark.skipif(
    find_spec("llama_cpp") is None or find_spec("gguf") is None,
    reason="llama.cpp's server is not installed: pip install -e '.[llama]' builds it, in about 16 minutes of one core",
)
def test_llama_cpp_is_held_to_the_schema(tiny_llm: Path, tmp_path: Path) -> None:
    """Its plans are valid, whatever they mean: also where the model by itself would write a key that no plan has."""
    from tests.agent.tiny_gguf import save_gguf

    model = tmp_path / "tiny.gguf"
    save_gguf(tiny_llm, model)
    command = [sys.executable, "-m", "llama_cpp.server", "--model", model, "--model_alias", "tiny", "--n_ctx", "512"]
    with serving(tmp_path / "log", *command, "--host", "127.0.0.1", "--port") as url:
        for text in (TWO, WRONG):
            assert "cup_1" in ids(plan(text, url, "tiny", tmp_path))
        taken = default_cache({"SCENEWRIGHT_CACHE": str(tmp_path)}).recall_traits(Endpoint("tiny", url))
    assert taken is not None and taken.form == "JSON with schema"
    assert (tmp_path / "log").read_text().count("200 OK") == 2, "no plan had to be corrected"
