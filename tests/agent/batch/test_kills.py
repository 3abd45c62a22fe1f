"""Fifty kills at random moments over a hundred scenes of the bundled model; minutes, so not among the usual tests."""

import random
import time

import pytest

from diffusion.tiny.world import sample_scene
from tests.agent.batch.running import batch, checked, hashes, kill, start

SCENES, KILLS = 100, 50
OPTIONS = ("--planner", "offline", "--anyway", "--rounds", 2, "--steps", 8, "--workers", 1)


@pytest.mark.full
def test_after_fifty_kills_a_hundred_scenes_are_what_they_would_have_been(tmp_path):
    scenes, dice = tmp_path / "prompts.txt", random.Random(11)
    scenes.write_text("\n".join(sample_scene(seed, "held_out").layout().caption for seed in range(SCENES)))
    folder, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    manifest, grown = folder / "manifest.jsonl", []
    for number in range(KILLS):
        before = manifest.stat().st_size if manifest.exists() else 0
        process = start(scenes, folder, *OPTIONS)
        started = time.monotonic()
        # Every third of them in the middle of the work, the others at any moment of the start: some is left to the end.
        at_work = number % 3 == 2
        while at_work and process.poll() is None and not (manifest.exists() and manifest.stat().st_size > before):
            time.sleep(0.02)
        time.sleep(dice.uniform(0, 1 if at_work else 4))
        assert process.poll() is None, "a kill has to interrupt something"
        kill(process)
        grown.append(len(checked(folder)) if manifest.exists() else 0)
        print(f"kill {number + 1} after {time.monotonic() - started:.1f} s, {grown[-1]} items finished", flush=True)
    assert batch(scenes, folder, *OPTIONS).returncode in (0, 3)
    assert batch(scenes, undisturbed, *OPTIONS).returncode in (0, 3)
    assert len(checked(folder)) == SCENES and len(set(grown)) > KILLS // 5 and grown[-1] < SCENES
    assert hashes(folder) == hashes(undisturbed)
    assert not list(folder.rglob("*.part"))
