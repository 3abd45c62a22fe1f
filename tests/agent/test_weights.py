"""Hashes of weights: of their content, wherever it lies, and of nothing else."""

import shutil

import pytest

from agent.checkers import CheckSettings
from agent.render import RenderSettings
from agent.weights import content_hash, weights
from diffusion.places import TINY_FOLDER


@pytest.fixture
def model(tmp_path):
    return shutil.copytree(TINY_FOLDER / "scheduler", tmp_path / "model" / "scheduler").parent


def test_the_same_files_elsewhere_are_the_same_weights(model, tmp_path):
    before = content_hash(model)
    (model / "README.md").write_text("words")
    (model / ".cache").mkdir()
    (model / ".cache" / "lock").write_text("")
    assert content_hash(shutil.move(model, tmp_path / "elsewhere")) == before


def test_another_content_or_place_in_the_folder_are_other_weights(model):
    before = content_hash(model)
    config = model / "scheduler" / "scheduler_config.json"
    text = config.read_text()
    config.write_text(text.replace("1000", "999"))
    assert content_hash(model) != before
    config.write_text(text)
    assert content_hash(model) == before
    (model / "scheduler").rename(model / "sampler")
    assert content_hash(model) != before


def test_what_cannot_be_read_is_not_known(tmp_path):
    assert content_hash(tmp_path / "nowhere") is None


def test_the_copy_of_a_model_on_the_hub_is_known_by_its_commit(model):
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshots = model.parent / "snapshots"
    snapshots.mkdir()
    assert content_hash(model.rename(snapshots / commit)) == commit
    assert content_hash((snapshots / commit).rename(snapshots / "mine")) != "mine"


def test_every_option_that_names_weights_has_its_own():
    found = weights("tiny", CheckSettings("tiny", "tiny-referee"), RenderSettings())
    assert list(found) == ["model", "check_with", "score_with"] and len(set(found.values())) == 3
    assert found["model"] == content_hash(TINY_FOLDER)


def test_another_lora_file_is_noticed(tmp_path):
    def of(*files: str) -> str | None:
        return weights("tiny", CheckSettings(), RenderSettings(lora=files))["lora"]

    one, two = (tmp_path / name for name in ("one.safetensors", "two.safetensors"))
    one.write_bytes(b"1")
    assert of(str(one), str(two)) is None
    two.write_bytes(b"2")
    before = of(f"{one}:0.5", str(two))
    assert before is not None and of(str(one), str(two)) == before
    two.write_bytes(b"3")
    assert of(str(one), str(two)) not in (None, before)
