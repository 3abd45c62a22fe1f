"""Nothing lost, nothing twice: killed at any moment, or shared by processes, a batch ends with the same bytes."""

import random
import time

import pytest

from tests.agent.batch.running import batch, checked, hashes, kill, start

PROMPTS = 80


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    path = tmp_path_factory.mktemp("scenes") / "prompts.txt"
    dice = random.Random(3)
    colours, kinds = ("red", "blue", "green"), ("ball", "cube", "cat", "tree")
    lines = (f"a {dice.choice(colours)} {dice.choice(kinds)} left of a {dice.choice(kinds)}" for _ in range(PROMPTS))
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def undisturbed(scenes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "batch"
    result = batch(scenes, folder, "--engine", "null", "--anyway")
    assert result.returncode == 0, result.stderr
    assert len(checked(folder)) == PROMPTS
    return hashes(folder)


def test_killed_again_and_again_it_ends_with_the_same_bytes(scenes, undisturbed, tmp_path):
    folder, dice = tmp_path / "batch", random.Random(5)
    manifest, grown = folder / "manifest.jsonl", set()
    for _ in range(6):
        process = start(scenes, folder, "--engine", "null", "--anyway")
        before = manifest.stat().st_size if manifest.exists() else 0
        while process.poll() is None and not (manifest.exists() and manifest.stat().st_size > before):
            time.sleep(0.01)
        time.sleep(dice.uniform(0, 0.05))
        kill(process)
        grown.add(manifest.stat().st_size)
    assert len(grown) > 3
    assert batch(scenes, folder, "--engine", "null", "--anyway").returncode == 0
    assert hashes(folder) == undisturbed
    assert not list(folder.rglob("*.part"))
    names = {path.stem for path in (folder / "images").iterdir()}
    assert names == {entry.name for entry in checked(folder).values()}


def test_a_line_that_a_kill_cut_off_is_done_again(scenes, undisturbed, tmp_path):
    folder = tmp_path / "batch"
    batch(scenes, folder, "--engine", "null", "--anyway")
    manifest = folder / "manifest.jsonl"
    data = manifest.read_bytes()
    manifest.write_bytes(data[: len(data) // 2])
    assert batch(scenes, folder, "--engine", "null", "--anyway").returncode == 0
    assert hashes(folder) == undisturbed


def test_two_processes_share_the_work_of_one_folder(scenes, undisturbed, tmp_path):
    folder = tmp_path / "batch"
    both = [start(scenes, folder, "--engine", "null", "--anyway") for _ in range(2)]
    messages = [process.communicate(timeout=600)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], messages
    assert hashes(folder) == undisturbed


def test_what_a_killed_process_was_doing_is_taken_over_by_the_other(scenes, undisturbed, tmp_path):
    folder = tmp_path / "batch"
    doomed, heir = (start(scenes, folder, "--engine", "null", "--anyway") for _ in range(2))
    while not (folder / "manifest.jsonl").exists() and heir.poll() is None:
        time.sleep(0.01)
    kill(doomed)
    _, messages = heir.communicate(timeout=600)
    assert heir.returncode == 0, messages
    assert hashes(folder) == undisturbed


def test_a_finished_batch_is_left_alone(scenes, undisturbed, tmp_path):
    folder = tmp_path / "batch"
    batch(scenes, folder, "--engine", "null", "--anyway")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    result = batch(scenes, folder, "--engine", "null", "--anyway")
    assert result.returncode == 0 and f"{PROMPTS} of {PROMPTS} items are finished" in result.stderr
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before
