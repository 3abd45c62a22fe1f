"""A VLM as the checker and as the rater, over real HTTP."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from agent.chat.errors import AnswerInvalid, Unreachable
from agent.planner import PlannerError
from agent.rater import Rating, rate
from agent.vlm import GRID, LARGEST, VlmDetector, as_sent, sent_size, vlm_chat
from agent.vlm_boxes import FAMILIES, ORDER_IN_WORDS, in_words, reading_for, to_box
from diffusion.formats import BoxReading
from diffusion.layout import Box
from diffusion.tiny.world import draw_layout
from eval.boxes import iou
from eval.detector import DetectorError, Query
from eval.detectors import load_detector
from eval.fidelity import check
from tests.agent.fake_openai_server import FakeOpenAI, fails, says
from tests.agent.fake_vlm import looks, picture_of, text_of, written
from tests.eval.oracle import scene, without

PLAN = scene(
    ("a red ball", (0.1, 0.5, 0.4, 0.8)),
    ("a red ball", (0.6, 0.1, 0.85, 0.35)),
    ("a blue cube", (0.55, 0.55, 0.9, 0.9)),
)
PICTURE = draw_layout(PLAN, 0).image
READINGS = [f"{order}{unit}" for order in ORDER_IN_WORDS for unit in ("", "-norm", "-1000")]
LOOKS = {"colour": "red", "texture": "plain", "material": "other"}
THING = {"number": 1, "bbox_2d": [1, 2, 3, 4], "looks": LOOKS}
DOG = {"kind": "dog", "bbox_2d": [1, 2, 3, 4], "looks": LOOKS}


def vlm(server, model="some-vlm", **environ):
    environ = {"SCENEWRIGHT_VLM_BASE_URL": server.url, **environ}
    return VlmDetector(model, timeout=20, backoff=0.01, environ=environ)


def grounding(*boxes, further=()):
    things = [{"number": n, "bbox_2d": box, "looks": LOOKS if box else None} for n, box in enumerate(boxes, start=1)]
    return {"things": things, "further": list(further)}


@pytest.mark.parametrize("reading", READINGS)
def test_a_vlm_of_any_convention_says_what_the_detector_behind_it_says(reading):
    with FakeOpenAI(looks(reading)) as server:
        report = check(PLAN, PICTURE, vlm(server, SCENEWRIGHT_VLM_BOXES=reading))
    behind = check(PLAN, as_sent(PICTURE).resize((128, 128)), load_detector("tiny"))
    assert report.detector == f"some-vlm (VLM, boxes {reading})"
    assert [verdict.detected is None for verdict in report.instances] == [False] * 3
    for mine, other in zip(report.instances, behind.instances, strict=True):
        assert iou(mine.detected, other.detected) > 0.95
        assert [(v.attribute, v.found, v.ok) for v in mine.attributes] == [
            (v.attribute, v.found, v.ok) for v in other.attributes
        ]


@pytest.mark.parametrize("asked", ["yxyx-1000", "xywh", "xyxy-norm"])
def test_read_in_another_convention_the_same_answers_are_wrong_or_refused(asked):
    """What the table is for: boxes of one convention are plausible boxes in another."""
    plan = scene(("a red ball", (0.05, 0.6, 0.3, 0.9)), ("a blue cube", (0.5, 0.05, 0.9, 0.3)))
    with FakeOpenAI(looks("xyxy-1000")) as server:
        detector = vlm(server, SCENEWRIGHT_VLM_BOXES=asked)
        try:
            report = check(plan, draw_layout(plan, 0).image, detector)
        except AnswerInvalid as error:
            assert "leaves the picture" in str(error)
        else:
            assert report.mean_iou < 0.5


def test_things_asked_for_alike_are_found_each_and_one_too_many_is_unplanned():
    plan = without(PLAN, "i2")
    with FakeOpenAI(looks("xyxy-1000")) as server:
        detector = vlm(server, SCENEWRIGHT_VLM_BOXES="xyxy-1000")
        everything, short = check(PLAN, PICTURE, detector), check(plan, PICTURE, detector)
        lines = text_of(server.requests[0])
    assert '1. "ball": "a red ball"\n2. "ball": "a red ball"\n3. "cube": "a blue cube"' in lines
    assert everything.unplanned == ()
    assert [(thing.label, thing.colour, thing.score) for thing in short.unplanned] == [("ball", "red", 1.0)]
    assert not short.accepted


def test_the_request_holds_the_picture_and_says_the_convention():
    with FakeOpenAI(says(grounding([1, 2, 3, 4]))) as server:
        vlm(server, "Qwen/Qwen2.5-VL-7B-Instruct").detect(PICTURE, [Query("ball", 'a "red" ball\n2. "dog": x')])
    (request,) = server.requests
    sent = picture_of(request)
    assert sent.size == (448, 448)
    assert "in pixels of this picture, which is 448 wide and 448 high" in text_of(request)
    assert '\\"red\\" ball\\n2. \\"dog\\"' in text_of(request)
    assert request.body["model"] == "Qwen/Qwen2.5-VL-7B-Instruct"


@given(st.integers(8, 8192), st.integers(8, 8192))
def test_the_picture_is_sent_in_a_size_that_servers_leave_alone(width, height):
    across, down = sent_size(width, height)
    assert across % GRID == down % GRID == 0 < min(across, down)
    assert across * down <= LARGEST or min(across, down) == GRID


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_a_picture_of_any_mode_is_sent_as_rgb(mode):
    assert as_sent(Image.new(mode, (40, 30))).mode == "RGB"


@pytest.mark.parametrize(
    ("model", "reading"),
    [
        ("Qwen/Qwen3-VL-8B-Instruct", "xyxy-1000"),
        ("qwen2.5-vl-72b-instruct", "xyxy"),
        ("Qwen/Qwen2-VL-2B", "xyxy-1000"),
        ("google/gemini-3-flash", "yxyx-1000"),
        ("OpenGVLab/InternVL3-8B", "xyxy-1000"),
        ("zai-org/GLM-4.5V", "xyxy-1000"),
        ("moonshotai/Kimi-VL-A3B-Instruct", "xyxy-norm"),
        ("llava-hf/llava-1.5-7b-hf", "xyxy-norm"),
        ("THUDM/cogvlm-grounding-generalist-hf", "xyxy-1000"),
    ],
)
def test_a_models_name_tells_its_family(model, reading):
    assert str(reading_for(model)) == reading
    assert str(reading_for(model, "xywh")) == "xywh"


def test_an_unknown_family_is_not_guessed():
    with pytest.raises(DetectorError, match=r"set SCENEWRIGHT_VLM_BOXES to a reading .* or a family") as caught:
        reading_for("my-finetune")
    assert caught.value.exit_code == 2
    with pytest.raises(DetectorError, match="SCENEWRIGHT_VLM_BOXES: bbox = 'zxy'"):
        reading_for("my-finetune", "zxy")
    assert all(str(reading_for("x", family.name)) == str(family.reading) and family.source for family in FAMILIES)


spans = st.lists(st.floats(0, 1), min_size=2, max_size=2).map(sorted).filter(lambda span: span[1] - span[0] > 1e-6)


@given(spans, spans, st.sampled_from(READINGS), st.integers(28, 2000), st.integers(28, 2000))
def test_a_box_written_in_a_reading_is_read_back(across, down, name, width, height):
    box = Box(x0=across[0], y0=down[0], x1=across[1], y1=down[1])
    reading = BoxReading.parse(name)
    back = to_box(written(box, (width, height), name), reading, width, height)
    assert back.xyxy() == pytest.approx(box.xyxy(), abs=1e-9)
    assert ORDER_IN_WORDS[reading.order] in in_words(reading, width, height)


@pytest.mark.parametrize(
    ("first", "said"),
    [
        (grounding([100, 100, 1001, 300]), r"things\[0\].bbox_2d: \[100, 100, 1001, 300\], .* leaves the picture"),
        (grounding([-1, 100, 200, 300]), "leaves the picture"),
        (grounding([300, 100, 200, 300]), "has no area"),
        (grounding([1, 2, 3]), "3 numbers; expected 4"),
        (grounding([1, 2, 3, 4], [5, 6, 7, 8]), r"numbered \[1, 2\]; expected 1 to 1"),
        (grounding(), r"numbered \[\]; expected 1 to 1"),
        (grounding([], further=[DOG]), "kind = 'dog': expected one of ball"),
        (grounding([1, 2, 3, 4]) | {"things": [{**THING, "looks": None}]}, "null with a box"),
        ({"things": [{**THING, "looks": {**LOOKS, "colour": "reddish"}}], "further": []}, "must be one of red"),
        ("I see a ball", "no JSON object"),
    ],
)
def test_an_answer_that_cannot_be_is_an_error_and_goes_back_once(first, said):
    """The VLM hears what was wrong and may correct it; when it does not, nothing is cut to fit."""
    good = grounding([100, 100, 200, 300])
    with FakeOpenAI(says(first), says(good)) as server:
        (found,) = vlm(server, SCENEWRIGHT_VLM_BOXES="xyxy-1000").detect(PICTURE, [Query("ball")])
        heard = server.requests[1].body["messages"][-1]["content"]
    assert found.box.xyxy() == pytest.approx((0.1, 0.1, 0.2, 0.3)) and found.colour == "red" and found.material is None
    with FakeOpenAI(says(first)) as server, pytest.raises(AnswerInvalid, match=said) as caught:
        vlm(server, SCENEWRIGHT_VLM_BOXES="xyxy-1000").detect(PICTURE, [Query("ball")])
    assert len(server.requests) == 3 and caught.value.exit_code == 4
    assert str(heard).count("boxes: ") >= 1


def test_nothing_to_look_for_asks_nobody():
    with FakeOpenAI(fails(500)) as server:
        assert vlm(server, "qwen3-vl").detect_batch([PICTURE, PICTURE], [[], []]) == [[], []]
    assert server.requests == []


def test_what_a_vlm_used_is_summed():
    with FakeOpenAI(says(grounding([]))) as server:
        detector = vlm(server, "qwen3-vl")
        assert detector.detect_batch([PICTURE, PICTURE], [[Query("ball")]] * 2) == [[], []]
    assert detector.usage == {"input_tokens": 200, "output_tokens": 40}


def test_the_key_of_one_service_is_not_sent_to_another():
    with FakeOpenAI(says(grounding([]))) as server:
        vlm(server, "qwen3-vl", OPENAI_API_KEY="sk-of-openai").detect(PICTURE, [Query("ball")])
        vlm(server, "qwen3-vl", SCENEWRIGHT_VLM_API_KEY="sk-own").detect(PICTURE, [Query("ball")])
    first, second = (str(request.headers) for request in server.requests)
    assert "sk-of-openai" not in first and "Bearer sk-own" in second


def test_a_vlm_that_is_not_configured_or_not_there_is_said_in_words():
    with pytest.raises(PlannerError, match="The VLM needs a server: set SCENEWRIGHT_VLM_API_KEY"):
        VlmDetector("qwen3-vl", environ={})
    with pytest.raises(PlannerError, match="SCENEWRIGHT_VLM_MODEL"):
        VlmDetector(environ={"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})
    with FakeOpenAI(says("x")) as server:
        gone = server.url
    detector = VlmDetector("qwen3-vl", attempts=1, environ={"SCENEWRIGHT_VLM_BASE_URL": gone})
    with pytest.raises(Unreachable):
        detector.detect(PICTURE, [Query("ball")])


def marks(fit=4, quality=3, arrangement=5):
    scores = {"fit": fit, "quality": quality, "arrangement": arrangement}
    return {name: {"reason": f"{name} is so", "score": score} for name, score in scores.items()}


def rated(server):
    environ = {"SCENEWRIGHT_VLM_BASE_URL": server.url}
    return rate(vlm_chat("judge", backoff=0.01, environ=environ), PLAN, PICTURE, timeout=20)


def test_a_rater_answers_three_questions_by_the_rubric():
    with FakeOpenAI(says(marks())) as server:
        rating = rated(server)
    assert isinstance(rating, Rating)
    assert (rating.fit.score, rating.quality.score, rating.arrangement.score) == (4, 3, 5)
    (request,) = server.requests
    question = text_of(request)
    assert question.count('- "a red ball"') == 2 and PLAN.caption in question
    assert all(f'"{name}": ' in question for name in ("fit", "quality", "arrangement"))
    assert question.count("\n  1  ") == question.count("\n  5  ") == 3
    assert picture_of(request).size == (448, 448)


@pytest.mark.parametrize("wrong", [marks(fit=0), marks(quality=6), marks(fit=3.5), marks(fit="4"), {"fit": 3}])
def test_a_mark_outside_one_to_five_is_no_mark(wrong):
    with FakeOpenAI(says(wrong), says(marks())) as server:
        assert rated(server).fit.score == 4
    with FakeOpenAI(says(wrong)) as server, pytest.raises(AnswerInvalid, match="rating: "):
        rated(server)


def test_the_commands_take_a_vlm(tmp_path, monkeypatch):
    """check --score-with vlm in a process of its own, and rate."""
    import os
    import subprocess
    import sys

    (tmp_path / "plan.json").write_text(PLAN.to_json())
    PICTURE.save(tmp_path / "image.png")

    def cli(server, *arguments):
        env = {key: value for key, value in os.environ.items() if not key.startswith(("OPENAI_", "SCENEWRIGHT_VLM"))}
        env["SCENEWRIGHT_VLM_BASE_URL"] = server.url
        command = [sys.executable, "-m", "agent.cli", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)

    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    with FakeOpenAI(looks("xyxy-1000")) as server:
        result = cli(server, "check", "plan.json", "image.png", "--score-with", "vlm:qwen3-vl-fake", "--json")
    report = json.loads(result.stdout)
    assert result.returncode in (0, 3), result.stderr
    assert report["detector"] == report["roles"]["scored_with"] == "qwen3-vl-fake (VLM, boxes xyxy-1000)"
    assert report["roles"]["checked_with"] == "tiny" and report["scored"] == 3
    with FakeOpenAI(says(marks())) as server:
        result = cli(server, "rate", "plan.json", "image.png", "--vlm-model", "judge", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["ratings"] == marks()
    assert "Traceback" not in result.stderr
