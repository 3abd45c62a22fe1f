"""What a batch was begun with: its folder takes nothing that is drawn or judged otherwise."""

import json
import shutil
import subprocess
import sys

import pytest

from agent.batch.folder import BatchFolder
from agent.exits import Stop
from diffusion.places import TINY_FOLDER
from tests.agent.batch.running import batch, checked, hashes

OPTIONS = ("--planner", "offline", "--rounds", 1, "--steps", 2, "--workers", 1)


@pytest.fixture
def scenes(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("a red ball\na blue cube\n")
    return path


def test_broken_weights_fail_the_items_and_whole_ones_draw_them_but_no_others_after_that(scenes, tmp_path):
    model = shutil.copytree(TINY_FOLDER, tmp_path / "model")
    unet, folder = model / "unet" / "diffusion_pytorch_model.safetensors", tmp_path / "out"
    whole = unet.read_bytes()
    unet.write_bytes(whole[: len(whole) // 2])
    failed = batch(scenes, folder, *OPTIONS, "--model", model)
    assert failed.returncode == 4 and "2 failed" in failed.stdout and "Traceback" not in failed.stderr
    assert {entry.failure.phase for entry in checked(folder).values()} == {"render"}
    unet.write_bytes(whole)
    assert batch(scenes, folder, *OPTIONS, "--model", model, "--retry-failed").returncode in (0, 3)
    drawn = hashes(folder)
    with scenes.open("a") as file:
        file.write("a green tree\n")
    unet.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refused = batch(scenes, folder, *OPTIONS, "--model", model)
    assert refused.returncode == 2 and f"--model {model} was" in " ".join(refused.stderr.split()), refused.stderr
    assert hashes(folder) == drawn


def opened(path, **weights) -> None:
    BatchFolder.open(path, {"model": "mine"}, weights).close()


def drawn(path) -> None:
    (path / "rounds" / "a" / "01").mkdir(parents=True)
    (path / "rounds" / "a" / "01" / "round.json").touch()


def test_weights_that_were_not_known_are_known_from_then_on(tmp_path):
    opened(tmp_path / "out", model=None)
    drawn(tmp_path / "out")
    opened(tmp_path / "out", model="abc")
    opened(tmp_path / "out", model=None)
    with pytest.raises(Stop, match="--model mine was 'abc' and is 'def'"):
        opened(tmp_path / "out", model="def")
    assert json.loads((tmp_path / "out" / "batch.json").read_text())["weights"] == {"model": "abc"}


def test_where_nothing_was_drawn_it_begins_anew_unless_somebody_is_at_work(tmp_path):
    folder = tmp_path / "out"
    opened(folder, model="abc")
    opened(folder, model="def")
    assert json.loads((folder / "batch.json").read_text())["weights"] == {"model": "def"}
    stays = (
        "import sys; from agent.batch.folder import *; kept = BatchFolder.open(Path(sys.argv[1]), {'model': 'mine'})"
    )
    arguments = [sys.executable, "-c", f"{stays}; print(); input()", str(folder)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        other.stdout.readline()
        with pytest.raises(Stop, match="model was 'mine' and is 'yours'"):
            BatchFolder.open(folder, {"model": "yours"})
        other.communicate("\n", timeout=60)
    BatchFolder.open(folder, {"model": "yours"}).close()


def test_what_was_left_half_written_is_swept_away(tmp_path):
    opened(tmp_path / "out")
    halves = [tmp_path / "out" / name for name in (".batch.json.a1.part", "images/.a.png.b2.part")]
    for half in halves:
        half.parent.mkdir(exist_ok=True)
        half.touch()
    opened(tmp_path / "out")
    assert not any(half.exists() for half in halves)


def test_other_versions_are_told(tmp_path, capsys):
    opened(tmp_path / "out")
    drawn(tmp_path / "out")
    record = json.loads((tmp_path / "out" / "batch.json").read_text())
    record["versions"]["torch"] = "1.0"
    (tmp_path / "out" / "batch.json").write_text(json.dumps(record))
    opened(tmp_path / "out")
    assert "torch 1.0 then" in capsys.readouterr().err
