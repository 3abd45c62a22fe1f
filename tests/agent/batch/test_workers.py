"""Real workers with a real pipeline of random weights: whichever process is killed, the pictures are the same."""

import os
import signal
import time

import psutil
import pytest

from agent.batch.processes import cores
from tests.agent.batch.running import batch, checked, hashes, kill, start
from tests.diffusion.small import SIDE, small_pipeline

PATIENCE = 600
"""Seconds; a busy machine takes its time."""


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    small_pipeline().save_pretrained(folder)
    size = ("--width", SIDE, "--height", SIDE)
    return ("--model", folder, *size, "--planner", "offline", "--rounds", 2, "--steps", 16, "--rows", 4)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    path = tmp_path_factory.mktemp("scenes") / "prompts.txt"
    path.write_text("\n".join(f"a red ball and {n} blue cubes on grass" for n in range(1, 3)) + "\na green cone" * 11)
    return path


@pytest.fixture(scope="module")
def undisturbed(scenes, arguments, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "batch"
    result = batch(scenes, folder, *arguments, "--workers", 1)
    assert result.returncode == 3, result.stderr
    assert "Traceback" not in result.stderr and "Warning" not in result.stderr
    assert {len(entry.rounds) for entry in checked(folder).values()} == {2}
    return hashes(folder)


def until(condition) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def lines(folder) -> int:
    manifest = folder / "manifest.jsonl"
    return manifest.read_bytes().count(b"\n") if manifest.exists() else 0


def workers(process, name: str) -> list[psutil.Process]:
    family = psutil.Process(process.pid).children(recursive=True)
    return [child for child in family if _is_called(child, name)]


def _is_called(process: psutil.Process, name: str) -> bool:
    """One that has ended in the meantime is not."""
    try:
        return name in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def test_a_killed_worker_and_then_a_killed_batch(scenes, undisturbed, arguments, tmp_path):
    folder = tmp_path / "batch"
    process = start(scenes, folder, *arguments, "--workers", 2)
    until(lambda: lines(folder) >= 1)
    planning_and_drawing = sorted(workers(process, "spawn_main"), key=lambda child: child.memory_info().rss)
    assert 2 < len(planning_and_drawing) <= 2 + cores(), process.poll()
    for child in planning_and_drawing[0], planning_and_drawing[-1]:
        child.send_signal(signal.SIGKILL)
    until(lambda: lines(folder) >= 2)
    orphans = workers(process, "spawn_main")
    kill(process)
    assert 2 <= lines(folder) < len(undisturbed)
    assert not psutil.wait_procs(orphans, timeout=PATIENCE)[1]
    result = batch(scenes, folder, *arguments, "--workers", 1)
    assert result.returncode == 3, result.stderr
    assert hashes(folder) == undisturbed


def test_ray_goes_on_when_one_of_its_actors_is_killed(scenes, undisturbed, arguments, tmp_path):
    folder = tmp_path / "batch"
    process = start(scenes, folder, *arguments, "--workers", 2, "--engine", "ray")
    until(lambda: lines(folder) >= 1 or process.poll() is not None)
    assert process.poll() is None, process.stderr.read()
    actors = workers(process, "ray::Studio")
    assert len(actors) == 2
    os.kill(actors[0].pid, signal.SIGKILL)
    _, messages = process.communicate(timeout=PATIENCE)
    assert process.returncode == 3, messages
    assert hashes(folder) == undisturbed
