"""The main job with the bundled model, in real processes: the run's folder, the exit codes, and an interruption."""

import json
import os
import signal
import subprocess
import sys

import pytest
from PIL import Image

from agent.files import sha256
from diffusion.layout import layout_from_dict, read_layout
from eval.report import FidelityReport

COMMAND = [sys.executable, "-m", "agent.cli"]
BARE = {key: value for key, value in os.environ.items() if not key.startswith(("OPENAI_", "SCENEWRIGHT_"))}
PROMPT = "a red ball left of a blue cube on green grass"


def cli(*arguments: object, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, env=BARE, timeout=300, text=True, **options
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run of the main job, and the folder it left."""
    folder = tmp_path_factory.mktemp("generate") / "run"
    return cli("generate", PROMPT, "-o", folder, "--rounds", 2, "--seed", 3, "--json"), folder


def test_it_ends_with_a_picture_and_a_report(run):
    result, folder = run
    assert result.returncode in (0, 3), result.stderr
    report = FidelityReport.model_validate_json((folder / "report.json").read_text())
    assert report.accepted == (result.returncode == 0)
    assert report.scored == 2
    with Image.open(folder / "image.png") as picture, Image.open(folder / "overlay.png") as overlay:
        assert picture.size == (128, 128)
        assert overlay.width >= 512
        assert picture.text["prompt"] == PROMPT
        assert picture.text["seed"] == "3"
        assert layout_from_dict(json.loads(picture.text["plan"])) == read_layout(folder / "plan.json")


def test_standard_output_is_the_summary_that_run_json_holds(run):
    result, folder = run
    record = json.loads(result.stdout)
    assert record == json.loads((folder / "run.json").read_text())
    assert record["state"] == ("done" if result.returncode == 0 else "not_accepted")
    assert record["timings"]["total"] >= record["timings"]["render"] > 0
    assert record["renderer"]["device"]
    assert record["critique"]["findings"] == record["critique"]["remaining"] == []
    for name, file in record["files"].items():
        assert file["sha256"] == sha256(folder / name)


def test_the_runs_own_files_are_those_of_the_best_round(run):
    _, folder = run
    record = json.loads((folder / "run.json").read_text())
    best = folder / "rounds" / f"{record['best_round']:02d}"
    for name in ("plan.json", "image.png", "report.json"):
        assert (best / name).read_bytes() == (folder / name).read_bytes()


def test_messages_are_progress_and_never_a_traceback(run):
    result, _ = run
    assert "round 1: planned 2 objects" in result.stderr
    assert "Traceback" not in result.stderr and "Warning" not in result.stderr
    assert "\x1b" not in result.stderr


def test_render_and_check_repeat_what_generate_did(run, tmp_path):
    """The plan of the first round, drawn again from its seed, is the same picture with the same report."""
    _, folder = run
    first = folder / "rounds" / "01"
    rendered = cli("render", first / "plan.json", "-o", tmp_path / "again", "--seed", 3, "--json")
    assert rendered.returncode == 0, rendered.stderr
    image = json.loads(rendered.stdout)["image"]
    with Image.open(image) as again, Image.open(first / "image.png") as before:
        assert again.tobytes() == before.tobytes()
    checked = cli("check", first / "plan.json", image, "--json", "--overlay", tmp_path / "overlay.png")
    report = json.loads((first / "report.json").read_text())
    assert checked.returncode == (0 if report["accepted"] else 3)
    assert json.loads(checked.stdout) == report
    assert (tmp_path / "overlay.png").is_file()


def test_check_says_in_words_what_is_wrong(run, tmp_path):
    _, folder = run
    Image.new("RGB", (128, 128), "grey").save(tmp_path / "empty.png")
    result = cli("check", folder / "plan.json", tmp_path / "empty.png")
    assert result.returncode == 3
    assert "not accepted" in result.stdout and "missing" in result.stdout


def test_a_second_run_does_not_overwrite_the_first_unasked(run):
    _, folder = run
    before = (folder / "run.json").read_bytes()
    result = cli("generate", PROMPT, "-o", folder)
    assert result.returncode == 2
    assert "--overwrite" in result.stderr
    assert (folder / "run.json").read_bytes() == before


def test_what_the_bundled_model_does_not_know_is_planned_and_not_drawn(tmp_path):
    result = cli("generate", "a red ball left of a giraffe", "-o", tmp_path / "run")
    assert result.returncode == 4
    assert "giraffe" in result.stderr
    assert "--model sd15" in result.stderr and "--anyway" in result.stderr
    assert "ball-1" not in result.stderr
    assert {instance.category for instance in read_layout(tmp_path / "run" / "plan.json")} == {"ball", "giraffe"}
    assert not (tmp_path / "run" / "image.png").exists()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["state"] == "failed"


def test_drawn_anyway_it_is_not_judged_and_not_accepted(tmp_path):
    result = cli("generate", "a giraffe", "-o", tmp_path / "run", "--anyway", "--rounds", 1, "--steps", 2)
    assert result.returncode == 3
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["unjudged"] == [report["instances"][0]["id"]]


def _listening():
    """A shell's background jobs ignore Ctrl-C, and so would what they start."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_a_readable_folder(tmp_path, number):
    folder = tmp_path / "run"
    arguments = ["generate", PROMPT, "-o", str(folder), "--steps", "999"]
    with subprocess.Popen(
        [*COMMAND, *arguments], stderr=subprocess.PIPE, env=BARE, text=True, preexec_fn=_listening
    ) as process:
        for line in process.stderr:
            if line.startswith("loading"):
                break
        process.send_signal(number)
        messages = process.stderr.read()
        assert process.wait(60) == 130
    assert "Traceback" not in messages
    assert str(folder) in messages
    record = json.loads((folder / "run.json").read_text())
    assert record["state"] == "interrupted"
    assert record["files"]["plan.json"]["sha256"] == sha256(folder / "plan.json")
    assert len(read_layout(folder / "plan.json").instances) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (("",), 2, "prompt is empty"),
        (("a ball", "--rounds", "0"), 2, "--rounds"),
        (("a ball", "--guidance", "nan"), 2, "--guidance"),
        (("a ball", "--device", "abacus"), 4, "abacus"),
        (("a ball", "--model", "nowhere"), 4, "nowhere"),
        (("a ball", "--width", "100"), 2, "100"),
        (("a ball", "--detector", "eagle"), 2, "eagle"),
    ],
)
def test_what_cannot_be_done_is_said_in_words(tmp_path, arguments, code, expected):
    result = cli("generate", *arguments, "-o", tmp_path / "run")
    assert result.returncode == code, result.stderr
    assert expected in result.stderr
    assert "Traceback" not in result.stderr


def test_a_device_that_is_not_there_is_said_before_anything_is_planned(tmp_path):
    result = cli("generate", "a ball", "--device", "abacus", "-o", tmp_path / "run")
    assert "planned" not in result.stderr and not (tmp_path / "run").exists()


def test_without_a_folder_the_run_gets_one_of_its_own(tmp_path):
    cli("generate", "../a giraffe", cwd=tmp_path)
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.endswith("-a-giraffe")
    assert (folder / "plan.json").is_file()
