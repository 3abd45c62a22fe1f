"""The run folder: readable at any moment, honest about how the run ended."""

import json
import resource
import signal

import pytest
from PIL import Image

from agent.exits import Defect, Stop
from agent.files import sha256, write_bytes
from agent.loop import Discarded, Round, Timings
from agent.planner import Plan
from agent.run import RunFolder, default_folder, png_bytes
from diffusion.layout import Box, Instance, Layout, layout_from_dict, read_layout
from eval.report import FidelityReport, InstanceVerdict

PLACE = Box(x0=0.2, y0=0.2, x1=0.6, y1=0.6)
LAYOUT = Layout(
    version=1,
    caption="ein roter Ball, 赤いボール",
    width=64,
    height=64,
    instances=(Instance(id="ball-1", category="ball", caption="a red ball", box=PLACE),),
)
IMAGE = Image.new("RGB", (64, 64), "red")


def drawn(mean_iou: float, number: int = 1, seed: int = 7) -> Round:
    return Round(number, Plan(LAYOUT, notes=("a note",)), seed, IMAGE, report_of(mean_iou), Timings(0.1, 0.2, 0.3))


def report_of(mean_iou: float) -> FidelityReport:
    accepted = mean_iou >= 0.5
    verdict = InstanceVerdict(
        id="ball-1",
        category="ball",
        caption="a red ball",
        planned=PLACE,
        detected=PLACE,
        iou=mean_iou,
        label="ball",
        score=0.9,
        accepted=accepted,
        reason="ok" if accepted else f"IoU {mean_iou}, at least 0.50 needed",
    )
    return FidelityReport(
        detector="tiny",
        instances=(verdict,),
        unplanned=(),
        mean_iou=mean_iou,
        mean_iou_ci95=None,
        scored=1,
        recall_50=float(accepted),
        accepted=accepted,
        reasons=() if accepted else ("ball-1: too far off",),
    )


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


def create(folder, **more) -> RunFolder:
    return RunFolder.create(folder, {"prompt": "a red ball", "options": {"model": "tiny"}}, overwrite=False, **more)


def recorded(folder) -> dict:
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def test_a_finished_run_holds_its_files_and_their_hashes(folder):
    with create(folder) as run:
        assert recorded(folder)["state"] == "running"
        run.save_round(drawn(0.8))
        run.save_best(drawn(0.8))
        run.finish("done")
    record = recorded(folder)
    assert record["state"] == "done"
    assert record["best_round"] == 1
    assert record["rounds"][0]["mean_iou"] == 0.8
    assert record["rounds"][0]["seconds"] == {"plan": 0.1, "render": 0.2, "check": 0.3}
    assert record["versions"]["python"] and record["versions"]["torch"]
    assert set(record["files"]) == {
        "plan.json", "image.png", "overlay.png", "report.json",
        "rounds/01/plan.json", "rounds/01/image.png", "rounds/01/report.json",
    }  # fmt: skip
    for name, file in record["files"].items():
        assert file["sha256"] == sha256(folder / name)
    assert read_layout(folder / "plan.json") == LAYOUT


def test_the_best_round_is_not_always_the_last(folder):
    with create(folder) as run:
        run.save_round(drawn(0.4, number=1))
        run.save_best(drawn(0.4, number=1))
        run.save_round(drawn(0.2, number=2))
        run.save_discarded(Discarded(3, Plan(LAYOUT), "the replan is the plan of round 1 again"))
        run.finish("not_accepted")
    record = recorded(folder)
    assert record["best_round"] == 1
    assert [entry["drawn"] for entry in record["rounds"]] == [True, True, False]
    assert record["rounds"][2]["reasons"] == ["the replan is the plan of round 1 again"]
    assert json.loads((folder / "report.json").read_text())["mean_iou"] == 0.4
    assert [path.name for path in (folder / "rounds" / "03").iterdir()] == ["plan.json"]


def test_the_picture_carries_prompt_plan_and_seed(folder):
    with create(folder) as run:
        run.save_picture(LAYOUT, IMAGE, seed=12)
        run.finish("done")
    with Image.open(folder / "image.png") as picture:
        text = picture.text
    assert text["prompt"] == "a red ball"
    assert text["seed"] == "12"
    assert layout_from_dict(json.loads(text["plan"])) == LAYOUT


def test_an_interruption_is_recorded_with_what_was_done(folder):
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), create(folder) as run:
        run.save_round(drawn(0.2))
        run.save_best(drawn(0.2))
        raise KeyboardInterrupt
    record = recorded(folder)
    assert record["state"] == "interrupted"
    assert record["finished"] is not None
    assert record["files"]["image.png"]["sha256"] == sha256(folder / "image.png")
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_error_of_the_person_is_a_failed_run_with_its_message(folder):
    with pytest.raises(Stop), create(folder):
        raise Stop("the model is not here", 4)
    assert recorded(folder)["state"] == "failed"
    assert recorded(folder)["message"] == "the model is not here"
    assert not (folder / "traceback.txt").exists()


def test_a_defect_leaves_its_traceback_in_the_folder(folder):
    with pytest.raises(Defect) as caught, create(folder):
        raise ZeroDivisionError("by zero")
    assert caught.value.traceback_file == folder / "traceback.txt"
    assert "ZeroDivisionError: by zero" in (folder / "traceback.txt").read_text()
    assert recorded(folder)["state"] == "failed"


def test_a_folder_with_a_run_is_kept_unless_told_otherwise(folder):
    with create(folder) as run:
        run.save_round(drawn(0.8))
        run.finish("done")
    (folder / "mine.txt").write_text("mine")
    before = (folder / "run.json").read_bytes()
    with pytest.raises(Stop, match="--overwrite"):
        create(folder)
    assert (folder / "run.json").read_bytes() == before
    RunFolder.create(folder, {}, overwrite=True)
    assert recorded(folder)["state"] == "running"
    assert not (folder / "rounds" / "01").exists()
    assert (folder / "mine.txt").read_text() == "mine"


def test_a_plan_of_the_persons_own_is_never_overwritten_unasked(folder):
    folder.mkdir()
    (folder / "plan.json").write_text("mine")
    with pytest.raises(Stop, match=r"plan\.json"):
        create(folder)
    assert (folder / "plan.json").read_text() == "mine"


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(Stop, match="taken: not a folder"):
        create(tmp_path / "taken")


def test_a_write_that_fails_leaves_the_old_file_and_no_remains(tmp_path):
    target = tmp_path / "plan.json"
    write_bytes(target, b"old")
    with pytest.raises(TypeError):
        write_bytes(target, "text")  # type: ignore[arg-type]
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


def test_a_full_disk_is_said_with_the_name_of_the_file(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"image\.png") as caught:
            write_bytes(tmp_path / "image.png", b"x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(tmp_path / "image.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("prompt", "slug"),
    [
        ("Two red balls, left of a cube!", "two-red-balls-left-of-a-cube"),
        ("../../etc/passwd", "etc-passwd"),
        ("赤いボール", "scene"),
        ("a" * 300, "a" * 40),
    ],
)
def test_the_default_folder_is_a_safe_and_new_name(tmp_path, prompt, slug):
    first = default_folder(prompt, tmp_path)
    assert first.parent == tmp_path
    assert first.name.endswith("-" + slug)
    first.mkdir()
    assert not default_folder(prompt, tmp_path).exists()


def test_png_text_keeps_any_unicode():
    import io

    text = {"prompt": "ein Ball – ボール \U0001f534", "seed": "1"}
    with Image.open(io.BytesIO(png_bytes(IMAGE, text))) as picture:
        assert {key: str(value) for key, value in picture.text.items()} == text
