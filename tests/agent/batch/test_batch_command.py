"""The command with an engine that draws nothing: input, folder, failures, summary, exit codes."""

import json
import resource
import subprocess
import sys

import pytest

from diffusion.layout import read_layout
from tests.agent.batch.running import BARE, batch, checked

NULL = ("--engine", "null", "--planner", "offline")


@pytest.fixture
def scenes(tmp_path):
    path = tmp_path / "scenes.jsonl"
    lines = [
        {"id": "../../etc/passwd", "prompt": "a red ball"},
        {"id": "赤い/ボール", "prompt": "a blue cube", "seed": 9},
        {"id": "A", "prompt": "a giraffe"},
        {"id": "a", "prompt": "a giraffe", "options": {"width": 64, "height": 32}},
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    return path


def test_every_item_has_its_line_and_its_files_inside_the_folder(scenes, tmp_path):
    result = batch(scenes, tmp_path / "out", *NULL, "--json")
    assert result.returncode == 4, result.stderr
    told = json.loads(result.stdout)
    assert (told["items"], told["done"], told["failed"], told["pictures"]) == (4, 2, 2, 2)
    entries = checked(tmp_path / "out")
    assert entries["赤い/ボール"].seed == 9 and entries["赤い/ボール"].name.startswith("赤い_ボール")
    inside = (tmp_path / "out").resolve()
    for entry in entries.values():
        assert all((inside / path).resolve().is_relative_to(inside) for path in (entry.plan, entry.image) if path)
    failure = entries["A"].failure
    assert (failure.phase, failure.exit_code) == ("plan", 4) and "never trained on: a giraffe" in failure.message
    assert entries["a"].image is None and read_layout(inside / entries["a"].plan).width == 64


def test_failed_items_stay_failed_until_they_are_to_be_tried_again(scenes, tmp_path):
    folder, options = tmp_path / "out", (*NULL, "--lora", "one.safetensors:0.5", "--lora", "two.safetensors")
    batch(scenes, folder, *options)
    again = batch(scenes, folder, *options)
    assert again.returncode == 4 and "4 of 4 items are finished" in again.stderr
    kept = {key: entry.finished for key, entry in checked(folder).items() if entry.state == "done"}
    retried = batch(scenes, folder, *options, "--retry-failed")
    assert retried.returncode == 4 and "trying 2 failed items again" in retried.stderr
    entries = checked(folder)
    assert len(entries) == 4 and {key: entries[key].finished for key in kept} == kept


def test_bad_lines_stop_it_before_any_work_unless_told_to_keep_going(tmp_path):
    scenes = tmp_path / "scenes.jsonl"
    scenes.write_text('{"prompt": "a red ball"}\n{"prompt": ""}\nno json\n')
    refused = batch(scenes, tmp_path / "out", *NULL)
    assert refused.returncode == 2
    assert "line 2" in refused.stderr and "line 3" in refused.stderr and not (tmp_path / "out").exists()
    kept = batch(scenes, tmp_path / "out", *NULL, "--keep-going", "--json")
    assert kept.returncode == 2
    told = json.loads(kept.stdout)
    assert (told["items"], told["done"], told["unreadable"]) == (1, 1, 2)


def test_standard_input_and_messages_that_are_no_results(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "agent.cli", "batch", "-", "-o", str(tmp_path / "out"), *NULL, "--json"],
        input="a red ball\na blue cube\n",
        capture_output=True,
        text=True,
        env=BARE,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["done"] == 2
    assert "\x1b" not in result.stderr and "Traceback" not in result.stderr


def test_a_folder_belongs_to_one_batch(scenes, tmp_path):
    folder = tmp_path / "out"
    batch(scenes, folder, *NULL)
    other = batch(scenes, folder, *NULL, "--seed", 5)
    assert other.returncode == 2 and "seed was 0 and is 5" in other.stderr
    text = scenes.read_text(encoding="utf-8")
    scenes.write_text(text.replace("a red ball", "a green ball"), encoding="utf-8")
    changed = batch(scenes, folder, *NULL)
    assert changed.returncode == 2 and "line 1" in changed.stderr and "passwd" in changed.stderr
    scenes.write_text(text + '\n{"id": "new", "prompt": "a red car"}', encoding="utf-8")
    assert "new" in (batch(scenes, folder, *NULL), checked(folder))[1]


def test_a_folder_with_something_else_in_it_is_left_alone(scenes, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    result = batch(scenes, tmp_path / "out", *NULL)
    assert result.returncode == 2 and "thesis.tex" in result.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]


def test_a_ready_layout_is_drawn_as_it_is(tmp_path):
    plan = {
        "version": 1,
        "caption": "a red ball",
        "width": 96,
        "height": 64,
        "instances": [
            {
                "id": "b",
                "category": "ball",
                "caption": "a red ball",
                "box": {"x0": 0.125, "y0": 0.1, "x1": 0.5, "y1": 0.5},
            }
        ],
    }
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "mine.json").write_text(json.dumps(plan))
    assert batch(tmp_path / "plans", tmp_path / "out", *NULL).returncode == 0
    entry = checked(tmp_path / "out")["mine"]
    assert (
        entry.prompt is None and read_layout(tmp_path / "out" / entry.plan).to_dict()["instances"] == plan["instances"]
    )


def test_a_full_disk_fails_items_and_not_the_batch(tmp_path):
    """No file may grow beyond 3,000 bytes: the manifest takes a line or two, and a long plan no file at all."""
    scenes = tmp_path / "scenes.jsonl"
    long = {"version": 1, "caption": "long " * 700, "width": 64, "height": 64, "instances": []}
    lines = [{"prompt": "a red ball"}, {"prompt": "a blue cube"}, {"prompt": "a green tree"}, {"layout": long}]
    scenes.write_text("\n".join(json.dumps(line) for line in lines))

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    result = batch(scenes, tmp_path / "out", *NULL, "--anyway", "--json", preexec_fn=small_files)
    told = json.loads(result.stdout)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert told["failed"] >= 2 and told["done"] + told["failed"] == 4
    assert any("File too large" in failure["reason"] for failure in told["failures"])
    assert len(checked(tmp_path / "out")) < 4
    assert batch(scenes, tmp_path / "out", *NULL, "--anyway", "--retry-failed").returncode == 0
    assert len(checked(tmp_path / "out")) == 4
