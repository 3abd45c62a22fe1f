"""Who checks and who scores: chosen by name, refused before anything is drawn, and both named in the run's folder."""

import json

import pytest

from agent.checkers import Checkers, CheckSettings, ensure_there, load_checkers
from agent.loop import Round, Timings
from agent.planner import Plan
from agent.run import RunFolder
from eval.detectors import load_detector
from eval.report import FidelityReport
from tests.eval.oracle import Oracle, scene
from tests.eval.small_models import SAVED

PLAN = scene(("a red ball", (0.1, 0.4, 0.45, 0.75)), ("a blue cube", (0.55, 0.4, 0.9, 0.75)))


@pytest.fixture
def offline(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "SCENEWRIGHT_VLM_BASE_URL", "SCENEWRIGHT_VLM_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("settings", "code", "said"),
    [
        (CheckSettings("eagle"), 2, "no detector is called 'eagle'; there is: tiny"),
        (CheckSettings(score_with="eagle"), 2, "no detector is called 'eagle'"),
        (CheckSettings(score_with="owlv2"), 4, "hf download google/owlv2-base-patch16-ensemble"),
        (CheckSettings("grounding-dino"), 4, "hf download IDEA-Research/grounding-dino-base"),
        (CheckSettings(str(SAVED / "owlv2")), 4, "hf download openai/clip-vit-large-patch14"),
        (CheckSettings(str(SAVED / "owlv2"), looks="monocle"), 2, "--looks monocle: no such model"),
        (CheckSettings(str(SAVED / "clip"), looks="none"), 4, "a model of type 'clip'; a detector is one of"),
        (CheckSettings(score_with="vlm"), 2, "The VLM needs a server"),
    ],
)
def test_what_is_not_to_be_had_is_said_before_anything_is_planned(offline, settings, code, said):
    with pytest.raises(Exception, match=said) as caught:
        ensure_there(settings)
    assert caught.value.exit_code == code


def test_what_is_there_is_no_reason_to_speak(offline):
    for settings in (
        CheckSettings(),
        CheckSettings("tiny", "tiny-referee"),
        CheckSettings("tiny", str(SAVED / "owlv2"), "none"),
    ):
        ensure_there(settings)


def test_one_name_is_one_detector_loaded_once():
    for settings in (CheckSettings(), CheckSettings("tiny", "tiny")):
        checkers = load_checkers(settings)
        assert checkers.judge is checkers.referee
        assert checkers.usage() == {}


def test_a_picture_of_the_tiny_world_is_checked_by_one_and_scored_by_another():
    oracle = Oracle()
    image = oracle.render(PLAN, 0)
    checkers = Checkers(oracle, load_detector("tiny"))
    report = checkers.score(PLAN, image, checkers.check(PLAN, image))
    assert (report.roles.checked_with, report.roles.scored_with, report.detector) == ("oracle", "tiny", "tiny")
    assert report.roles.check_mean_iou > 0.9 and report.scored == 2


def test_the_runs_folder_holds_the_referees_report_and_the_judges(tmp_path):
    oracle = Oracle()
    image = oracle.render(PLAN, 0)
    checkers = Checkers(oracle, load_detector("tiny"))
    checked = checkers.check(PLAN, image)
    best = Round(1, Plan(PLAN), 0, image, checked, Timings(0, 0, 0))
    with RunFolder.create(tmp_path / "run", {"command": "generate"}, overwrite=False) as run:
        run.save_round(best)
        run.save_best(best)
        final = checkers.score(PLAN, image, checked)
        run.save_score(best, final)
        run.finish("done")
    folder = tmp_path / "run"
    assert FidelityReport.model_validate_json((folder / "report.json").read_text()) == final
    assert FidelityReport.model_validate_json((folder / "rounds" / "01" / "report.json").read_text()) == checked
    score = json.loads((folder / "run.json").read_text())["score"]
    assert (score["checked_with"], score["scored_with"], score["mean_iou"]) == ("oracle", "tiny", final.mean_iou)
    assert score["note"] == "checked with oracle, scored with tiny"
