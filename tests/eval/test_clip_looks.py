"""Colours by CLIP, with a small one that has learned them: it looks at the right pixels and asks in the right words."""

import pytest
from PIL import Image, ImageDraw

from diffusion.layout import Box
from eval.clip_looks import QUESTIONS, ClipLooks
from eval.detectors import load_detector
from eval.fidelity import Acceptance, check
from eval.report import Detection
from tests.eval.oracle import box, scene
from tests.eval.small_models import COLOURS, SAVED, picture

LEFT, RIGHT = (0.05, 0.1, 0.3, 0.5), (0.6, 0.3, 0.85, 0.7)


@pytest.fixture(scope="module")
def clip():
    return ClipLooks("small clip", SAVED / "clip")


def found(corners, label="apple"):
    return Detection(box=box(*corners), label=label, score=0.9)


@pytest.mark.parametrize("colour", COLOURS)
def test_the_colour_is_that_of_the_box_and_not_of_the_rest(clip, colour):
    image = Image.new("RGB", (120, 80), "grey")
    ImageDraw.Draw(image).rectangle((60, 20, 89, 59), COLOURS[colour])
    for noun in ("apple", "pear", "a thing of which no word is known to the text encoder " * 5):
        ((named,),) = clip.name_all([image], [[found((0.5, 0.25, 0.75, 0.75), noun)]])
        assert named.colour == colour
        assert (named.label, named.score, named.box) == (noun, 0.9, box(0.5, 0.25, 0.75, 0.75))
    assert clip.palette()["colour"] == set(COLOURS)


def test_every_attribute_of_the_palette_is_named(clip):
    ((named,),) = clip.name_all([Image.new("RGB", (8, 8), "red")], [[found((0, 0, 1, 1))]])
    for attribute, words in clip.palette().items():
        assert getattr(named, attribute) in words
    assert set(clip.palette()) == set(QUESTIONS) == {"colour", "texture", "material"}


def test_many_pictures_are_named_together_as_each_is_alone(clip):
    colours = [*COLOURS] * 8
    images = [Image.new("RGB", (10 + n, 20), COLOURS[colour]) for n, colour in enumerate(colours)]
    detections = [[found((0, 0, 1, 1))] * (n % 3) for n in range(len(images))]
    together = clip.name_all(images, detections)
    assert [[one.colour for one in named] for named in together] == [
        [colour] * (n % 3) for n, colour in enumerate(colours)
    ]


def test_a_box_thinner_than_a_pixel_has_a_colour(clip):
    thin = Box(x0=0.999, y0=0.999, x1=1.0, y1=1.0)
    ((named,),) = clip.name_all([Image.new("RGB", (30, 30), COLOURS["blue"])], [[found(thin.xyxy())]])
    assert named.colour == "blue"


def test_a_wrong_colour_is_seen_by_the_two_together():
    """A small OWLv2 finds the plum, a small CLIP sees that it is blue."""
    detector = load_detector(str(SAVED / "owlv2"), looks=str(SAVED / "clip"))
    image = picture(128, 128, ("apple", box(*LEFT)), ("plum", box(*RIGHT)))
    plan = scene(("a red apple", LEFT), ("an orange plum", RIGHT))
    report = check(plan, image, detector, Acceptance(min_iou=0.2))
    apple, plum = report.instances
    assert apple.accepted and [(v.found, v.ok) for v in apple.attributes] == [("red", True)]
    assert not plum.accepted and plum.reason == "colour blue, orange wanted"
    assert report.detector == f"{SAVED / 'owlv2'} + {SAVED / 'clip'}"
