"""``scenewright convert``: a model as a new folder, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.cli import app
from tests.diffusion.small import small_pipeline


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    small_pipeline().save_pretrained(folder)
    return folder


def convert(model: Path, output: Path, *options: str):
    return CliRunner().invoke(app, ["convert", str(model), "-o", str(output), *options])


def test_a_folder_becomes_the_same_folder(model, tmp_path):
    result = convert(model, tmp_path / "deep" / "copy", "--json")
    told = json.loads(result.stdout)
    assert told["folder"] == str(tmp_path / "deep" / "copy")
    assert told["parameters"]["unet"] == sum(p.numel() for p in small_pipeline().unet.parameters())
    weights = Path("unet") / "diffusion_pytorch_model.safetensors"
    assert (tmp_path / "deep" / "copy" / weights).read_bytes() == (model / weights).read_bytes()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["copy"]


def test_a_failure_leaves_nothing_behind(tmp_path):
    (tmp_path / "model.pth").write_bytes(b"weights")
    result = convert(tmp_path / "model.pth", tmp_path / "out")
    assert result.exit_code == 4
    assert "an unknown kind of file (7 bytes)" in " ".join(result.stderr.split())
    assert [path.name for path in tmp_path.iterdir()] == ["model.pth"]


def test_nothing_is_overwritten(model, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    for output in (tmp_path, tmp_path / "note.txt"):
        assert convert(model, output).exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_a_model_that_is_not_there(tmp_path):
    result = convert(tmp_path / "nowhere.pth", tmp_path / "out")
    assert result.exit_code == 4 and "no such model" in result.stderr
