"""Failed items that one process tries again while another one is at work in the same folder."""

import json
import subprocess
import threading
import time

import pytest

from agent.batch.folder import BatchFolder
from agent.batch.items import Item, ItemOptions
from eval.manifest import Entry, Failure, read_manifest
from tests.agent.batch.running import BARE, checked, command
from tests.agent.fake_openai_server import FakeOpenAI, fails, says
from tests.agent.llm_answers import GOOD

PATIENCE = 300


def item(name: str) -> Item:
    return Item(name, f"{name} blue cups", None, 1, ItemOptions(), "")


def entry(name: str, message: str | None) -> Entry:
    failure = Failure(phase="plan", exit_code=4, message=message) if message else None
    state = "failed" if failure else "done"
    digest = item(name).digest()
    return Entry(id=name, name=name, item_sha256=digest, state=state, prompt="", seed=1, failure=failure, finished="")


def states(folder: BatchFolder) -> dict[str, tuple[str, str]]:
    return {name: (known.state, known.message) for name, known in folder.known.items()}


def test_a_manifest_that_others_wrote_anew_is_read_anew_whatever_number_its_file_has(tmp_path):
    """File systems give a freed inode number to the next file: here to the manifest that is written after the next."""
    folder = BatchFolder.open(tmp_path / "out", {})
    for name in "abc":
        folder.append(entry(name, "the server is down"))
    other = BatchFolder(tmp_path / "out")
    for number in range(2):
        assert other.forget_failed([item("a"), item("b")]) == 2
        for name in "ba":
            other.append(entry(name, f"the server is down, also when it was tried {number + 2} times"))
    folder.catch_up()
    expected = {found.id: (found.state, found.failure.message) for found in read_manifest(tmp_path / "out")}
    assert states(folder) == expected and "3 times" in expected["a"][1] and expected["c"][1] == "the server is down"
    folder.append(entry("d", None))
    assert states(folder) == {**expected, "d": ("done", "")}
    folder.close()


@pytest.fixture
def scenes(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(f"{n} blue cups" for n in range(12)))
    return path


def finished(folder) -> int:
    manifest = folder / "manifest.jsonl"
    return manifest.read_bytes().count(b"\n") if manifest.exists() else 0


def until(condition) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_who_saw_an_item_fail_waits_for_whoever_tries_it_again(scenes, tmp_path):
    folder = tmp_path / "out"
    second, asked_again, answered = threading.Event(), threading.Event(), threading.Event()

    def answer(handler, request):
        text = json.dumps(request.body)
        if "11 blue" in text:
            asked_again.wait(PATIENCE)
        elif "3 blue" in text and not second.is_set():
            return fails(400, "no")(handler, request)
        elif "3 blue" in text:
            asked_again.set()
            answered.wait(PATIENCE)
        return says(GOOD)(handler, request)

    def start(*more: str) -> subprocess.Popen:
        arguments = command(scenes, folder, "--engine", "null", "--planners", 16, "--json", *more)
        return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, text=True)

    with FakeOpenAI(answer) as server:
        env = {**BARE, "OPENAI_BASE_URL": server.url, "SCENEWRIGHT_MODEL": "fake", "NO_PROXY": "*"}
        env["SCENEWRIGHT_CACHE"] = str(tmp_path / "cache")
        first = start()
        until(lambda: finished(folder) == 11 or first.poll() is not None)
        second.set()
        other = start("--retry-failed")
        # The other one has forgotten the failure and asks; the first one finishes all that it has to do.
        until(lambda: (finished(folder) == 11 and asked_again.is_set()) or other.poll() is not None)
        time.sleep(2)
        answered.set()
        told = [process.communicate(timeout=PATIENCE) for process in (first, other)]
    assert [first.returncode, other.returncode] == [0, 0], told
    assert "trying 1 failed items again" in told[1][1]
    for out, _ in told:
        summary = json.loads(out)
        assert (summary["items"], summary["done"], summary["failed"]) == (12, 12, 0)
    assert {one.state for one in checked(folder).values()} == {"done"} and len(checked(folder)) == 12
