"""Detectors for any words: a small trained OWLv2, a small random Grounding DINO, and what may be wrong with a model."""

import random
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion.layout import Box
from diffusion.places import ModelUnavailable
from eval.boxes import iou
from eval.detector import DetectorError, Query
from eval.detectors import load_detector
from eval.fidelity import Acceptance, check
from eval.open_vocabulary import phrases_of
from eval.thresholds import THRESHOLDS, TINY
from tests.eval.oracle import scene
from tests.eval.small_models import COLOUR_OF, SAVED, picture, save_grounding_dino

EVERYTHING = [Query(name) for name in COLOUR_OF]
LEFT, RIGHT = Box(x0=0.05, y0=0.1, x1=0.3, y1=0.5), Box(x0=0.6, y0=0.3, x1=0.85, y1=0.7)


@pytest.fixture(scope="module")
def owl():
    return load_detector(str(SAVED / "owlv2"), looks="none")


@pytest.fixture(scope="module")
def dino(tmp_path_factory):
    return load_detector(str(save_grounding_dino(tmp_path_factory.mktemp("dino"))), looks="none")


@pytest.fixture(params=["owl", "dino"])
def detector(request):
    return request.getfixturevalue(request.param)


def scenes(count):
    """Pictures of one to three shapes and sizes, with a thing on each side."""
    rng = random.Random(5)
    sizes = [(96, 64), (48, 80), (96, 64), (64, 64)]
    names = list(COLOUR_OF)
    return [picture(*sizes[n % 4], (rng.choice(names), LEFT), (rng.choice(names), RIGHT)) for n in range(count)]


@pytest.mark.parametrize("size", [(64, 64), (96, 48), (48, 96), (200, 80)])
def test_boxes_are_shares_of_the_picture_whatever_its_shape(owl, size):
    """OWLv2 looks at a square, padded with black: the picture padded by hand has the same boxes, in other shares."""
    image = picture(*size, ("apple", LEFT), ("plum", RIGHT))
    side = max(size)
    square = Image.new("RGB", (side, side))
    square.paste(image)
    found, padded = owl.detect(image, EVERYTHING), owl.detect(square, EVERYTHING)
    assert [detection.label for detection in found] == [detection.label for detection in padded]
    for one, other in zip(found, padded, strict=True):
        box = other.box
        scaled = [box.x0 * side / size[0], box.y0 * side / size[1], box.x1 * side / size[0], box.y1 * side / size[1]]
        assert list(one.box.xyxy()) == pytest.approx([min(value, 1.0) for value in scaled], abs=1e-5)
    assert max(iou(detection.box, LEFT) for detection in found if detection.label == "apple") > 0.3
    assert max(iou(detection.box, RIGHT) for detection in found if detection.label == "plum") > 0.3
    assert found == sorted(found, key=lambda detection: -detection.score)


def test_only_what_is_asked_for_is_found(owl):
    image = picture(64, 64, ("apple", LEFT), ("plum", RIGHT))
    assert {detection.label for detection in owl.detect(image, [Query("plum")])} == {"plum"}
    assert owl.detect(image, []) == []


def test_a_picture_is_checked_against_its_plan(owl):
    plan = scene(("a red apple", LEFT.xyxy()), ("a small plum", RIGHT.xyxy()), ("a unicorn", (0.1, 0.7, 0.3, 0.9)))
    image = picture(128, 128, ("apple", LEFT), ("plum", RIGHT))
    report = check(plan, image, owl, Acceptance(min_iou=0.2, max_unplanned=99))
    apple, plum, unicorn = report.instances
    assert apple.accepted and plum.accepted and not unicorn.accepted
    assert report.unjudged == () and report.scored == 3
    assert [(verdict.wanted, verdict.ok) for verdict in apple.attributes] == [("red", None)]


def test_the_label_is_the_category_also_where_the_caption_found_it(owl):
    (best, *_) = owl.detect(picture(64, 64, ("apple", LEFT)), [Query("thing", "an apple"), Query("plum")])
    assert best.label == "thing"


def test_a_batch_of_different_sizes_and_queries_is_each_picture_by_itself(detector):
    images = scenes(5)
    queries = [EVERYTHING, [Query("apple", "a small red apple")], [], [Query("plum"), Query("lime")], EVERYTHING]
    together = detector.detect_batch(images, queries)
    assert [len(found) for found in together] == [
        len(detector.detect(i, q)) for i, q in zip(images, queries, strict=True)
    ]
    assert together[2] == []
    for found, image, asked in zip(together, images, queries, strict=True):
        for one, alone in zip(found, detector.detect(image, asked), strict=True):
            assert one.label == alone.label
            assert [*one.box.xyxy(), one.score] == pytest.approx([*alone.box.xyxy(), alone.score], abs=1e-3)


def test_no_two_boxes_of_one_label_overlap_more_than_the_table_says(detector):
    limit = THRESHOLDS["owlv2" if "owlv2" in detector.name else "grounding-dino"].nms_iou
    for found in detector.detect_batch(scenes(4), [EVERYTHING] * 4):
        pairs = [(a, b) for n, a in enumerate(found) for b in found[:n] if a.label == b.label]
        assert found and all(iou(a.box, b.box) <= limit for a, b in pairs)


def test_grounding_dino_agrees_with_transformers_own_reading_of_one_word_labels(dino, monkeypatch):
    """With a token a label, the mean over a label's tokens is the score that transformers' post-processing gives."""
    from transformers import GroundingDinoProcessor

    image = scenes(4)[2]
    net, tokenizer = dino._net, dino._tokenizer
    processor = GroundingDinoProcessor(dino._processor, tokenizer)
    inputs = processor(images=image, text=[list(COLOUR_OF)], return_tensors="pt")
    with torch.inference_mode():
        outputs = net(**inputs)
    (theirs,) = processor.post_process_grounded_object_detection(
        outputs, inputs["input_ids"], threshold=0.25, text_threshold=0.25, target_sizes=[(image.height, image.width)]
    )
    # Theirs also reads the tokens that open, close and separate: only boxes whose best token is a label's.
    best = outputs.logits[0].sigmoid().max(dim=-1)
    labels = torch.tensor(tokenizer.convert_tokens_to_ids(list(COLOUR_OF)))
    is_label = torch.isin(inputs["input_ids"][0], labels)[best.indices[best.values > 0.25]]
    wanted = {
        (label, round(score.item(), 4))
        for label, score, mine in zip(theirs["text_labels"], theirs["scores"], is_label, strict=True)
        if mine and label in COLOUR_OF
    }
    monkeypatch.setitem(THRESHOLDS, "grounding-dino", replace(THRESHOLDS["grounding-dino"], nms_iou=1.0))
    every_box = load_detector(dino.name, looks="none")
    assert len(wanted) >= 3
    assert wanted <= {(found.label, round(found.score, 4)) for found in every_box.detect(image, EVERYTHING)}


def test_phrases_that_do_not_fit_into_one_text_are_asked_for_in_several(tmp_path):
    few = load_detector(str(save_grounding_dino(tmp_path / "short", longest=8)), looks="none")
    (image,) = scenes(1)
    one_by_one = [few.detect(image, [query])[0] for query in EVERYTHING]
    assert {found.label for found in one_by_one} == set(COLOUR_OF)
    together = few.detect(image, [*EVERYTHING, Query("plum", "a red plum of a green lime")])
    assert {found.label for found in together} == set(COLOUR_OF)


def test_dots_and_questions_in_words_do_not_split_them(dino):
    (image,) = scenes(1)
    assert dino.detect(image, [Query("plum. lime?")]) != []
    assert {found.label for found in dino.detect(image, [Query("plum. lime?")])} == {"plum. lime?"}
    assert dino.detect(image, [Query("...")]) == []


def test_each_thing_is_asked_for_by_noun_and_in_its_own_words():
    queries = [Query("Cat", "a black cat on a red sofa"), Query("cat", "a white cat"), Query("sofa", "sofa")]
    assert [(phrase.words, phrase.category) for phrase in phrases_of(queries)] == [
        ("cat", "Cat"),
        ("sofa", "sofa"),
        ("a black cat", "Cat"),
        ("a white cat", "cat"),
    ]


def test_a_caption_that_is_too_long_leaves_the_noun_and_a_noun_that_is_says_so(owl):
    image = picture(64, 64, ("apple", LEFT))
    assert owl.detect(image, [Query("apple", "a photo " * 20)]) == owl.detect(image, [Query("apple")])
    with pytest.raises(DetectorError, match=r"reads 16 tokens at once: give the plan a shorter noun") as caught:
        owl.detect(image, [Query("apple " * 20)])
    assert caught.value.exit_code == 2


def test_pictures_that_are_not_rgb_are_looked_at_all_the_same(owl):
    image = picture(64, 64, ("apple", LEFT))
    assert owl.detect(image.convert("RGBA"), EVERYTHING) == owl.detect(image, EVERYTHING)
    assert isinstance(owl.detect(image.convert("L"), EVERYTHING), list)


def broken(tmp_path, name, content):
    folder = tmp_path / "model"
    shutil.copytree(SAVED / "owlv2", folder)
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    return str(folder)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.json", None, "no model of transformers was saved in this folder"),
        ("config.json", b"[]", "names no model_type"),
        ("config.json", b'{"model_type": "detr"}', "a model of type 'detr'; a detector is one of: owlv2"),
        ("model.safetensors", None, "cannot be loaded as Owlv2ForObjectDetection"),
        ("model.safetensors", b"nonsense", "cannot be loaded as Owlv2ForObjectDetection"),
        ("preprocessor_config.json", None, "preprocessing cannot be loaded"),
        ("tokenizer.json", b"{", "preprocessing cannot be loaded"),
    ],
)
def test_a_broken_model_is_an_unavailable_one(tmp_path, name, content, said):
    with pytest.raises((ModelUnavailable, DetectorError), match=said) as caught:
        load_detector(broken(tmp_path, name, content), looks="none")
    assert caught.value.exit_code == 4


def test_a_missing_weight_is_never_left_random(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = broken(tmp_path, "model.safetensors", b"")
    weights = load_file(SAVED / "owlv2" / "model.safetensors")
    del weights["box_head.dense0.weight"]
    save_file(weights, f"{folder}/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnavailable, match=r"missing or of another shape: box_head\.dense0\.weight"):
        load_detector(folder, looks="none")


def test_pickled_weights_are_not_read(tmp_path):
    folder = broken(tmp_path, "model.safetensors", None)
    torch.save({"box_head.dense0.weight": torch.zeros(1)}, f"{folder}/pytorch_model.bin")
    with pytest.raises(ModelUnavailable):
        load_detector(folder, looks="none")


@pytest.mark.parametrize("name", ["owlv2", "grounding-dino", "nobody/no-such-detector"])
def test_what_cannot_be_fetched_names_the_command_that_does(monkeypatch, tmp_path, name):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        ModelUnavailable, match=r"cannot be fetched \(\w+\).*: hf download \w+[\w.-]*/\w+[\w.-]*$"
    ) as caught:
        load_detector(name)
    assert caught.value.exit_code == 4


def test_a_model_that_is_neither_clip_nor_there_cannot_name_looks():
    with pytest.raises(ModelUnavailable, match="a model of type 'owlv2'; looks are named by one of type 'clip'"):
        load_detector(str(SAVED / "owlv2"), looks=str(SAVED / "owlv2"))


def test_each_threshold_has_its_source():
    for kind, thresholds in {**THRESHOLDS, "tiny": TINY}.items():
        assert 0 < thresholds.report < thresholds.confident < 1, kind
        for name in ("report", "confident", "nms_iou"):
            assert name in thresholds.source, kind


def test_white_noise_is_no_reason_to_fail(detector):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (70, 50, 3), dtype=np.uint8))
    for found in detector.detect(noise, EVERYTHING):
        assert found.label in COLOUR_OF
