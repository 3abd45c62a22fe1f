"""What four numbers mean: stated, defaulted, contradicted; and boxes that leave the canvas."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion.formats import BoxReading, Reading, read_each
from diffusion.layout import LayoutError
from diffusion.masks import array_to_rle

ORDERS = ("xywh", "xyxy", "yxyx", "cxcywh")
UNITS = {"px": (200, 100), "norm": (1, 1), "1000": (1000, 1000)}


@given(
    st.lists(
        st.tuples(st.floats(0, 0.85), st.floats(0, 0.85), st.floats(0.05, 0.15), st.floats(0.05, 0.15)),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(ORDERS),
    st.sampled_from(sorted(UNITS)),
)
def test_every_reading_undoes_its_writing(read, official, shares, order, unit):
    width, height = UNITS[unit]
    written = []
    for x, y, w, h in shares:
        x, y, w, h = x * width, y * height, w * width, h * height
        written.append(
            {
                "xywh": (x, y, w, h),
                "xyxy": (x, y, x + w, y + h),
                "yxyx": (y, x, y + h, x + w),
                "cxcywh": (x + w / 2, y + h / 2, w, h),
            }[order]
        )
    layout = read(official(*written, width=200, height=100), bbox=f"{order}-{unit}").layout
    for instance, (x, y, w, h) in zip(layout, shares, strict=True):
        assert instance.box.xyxy() == pytest.approx((x, y, x + w, y + h), abs=1e-9)


def test_pixels_are_the_unit_unless_another_is_named():
    assert BoxReading.parse("yxyx") == BoxReading("yxyx", "px")


@pytest.mark.parametrize("name", ["xyhw", "xyxy-percent", "", "-", "norm"])
def test_an_unknown_reading_is_answered_with_those_there_are(name):
    with pytest.raises(LayoutError, match=r"expected one of xywh, xyxy, yxyx, cxcywh.*xyxy-norm"):
        BoxReading.parse(name)


def test_one_box_off_the_canvas_is_enough_when_another_reading_fits_all(refusal, official):
    message = refusal(official((10, 10, 60, 60), (20, 20, 80, 90), (300, 20, 400, 90)))
    assert "annos[2].bbox = [300, 20, 400, 90]" in message
    assert "1 of 3 boxes" in message and "--bbox xyxy" in message


def test_most_boxes_off_the_canvas_contradict_even_when_no_reading_fits(refusal, official):
    message = refusal(official((10, 10, 900, 60), (20, 20, 2800, 90), (600, 20, 60, 90)))
    assert "3 of 3 boxes" in message
    assert "no reading that is known here fits all" in message


def test_a_stated_reading_is_held_against_the_boxes_too(refusal, official):
    message = refusal(official((300, 100, 50, 50), (200, 300, 40, 60)), bbox="xyxy")
    assert "the default" not in message
    assert "read as xywh all 2 fit" in message and "--bbox xywh" in message


def test_shares_of_the_canvas_are_not_pixels(refusal, official):
    message = refusal(official((0.1, 0.2, 0.5, 0.5), (0.3, 0.3, 0.6, 0.7)))
    assert "all 2 boxes lie within one pixel of the 512 x 512 canvas" in message
    assert "--bbox xywh-norm" in message


def test_numbers_to_a_thousand_are_recognised_when_they_leave_the_canvas(refusal, official):
    message = refusal(official((700, 100, 200, 900), (600, 600, 300, 300)))
    assert "read as xywh-1000 all 2 fit" in message


def test_boxes_that_fit_two_readings_are_read_by_the_default_with_a_note(read, official):
    reading = read(official((10, 20, 100, 120), (30, 40, 200, 220)))
    assert reading.layout.instances[0].box.x1 == 110 / 512
    assert reading.notes == (
        "read as xywh, the default; the boxes (2) would also fit as xyxy: "
        "if that is meant, ask for it with --bbox xyxy",
    )
    assert read(official((10, 20, 100, 120), (30, 40, 200, 220)), bbox="xywh").notes == ()


def test_boxes_that_fit_two_readings_are_refused_when_a_neighbour_shows_the_other(tmp_path, official):
    path = tmp_path / "two.jsonl"
    both, only_corners = official((10, 20, 100, 120)), official((300, 20, 400, 120), (250, 250, 500, 500))
    path.write_text(f"{json.dumps(both)}\n{json.dumps(only_corners)}\n")
    refused = list(read_each(path))
    assert [type(one) for one in refused] == [LayoutError, LayoutError]
    assert "line 1: annos[0].bbox: the boxes fit as xywh, the default, and as xyxy, but" in str(refused[0])
    assert "line 2 does not fit as xywh" in str(refused[0])
    assert [type(one) for one in read_each(path, bbox="xyxy")] == [Reading, Reading]


def test_a_box_that_leaves_the_canvas_is_refused_with_the_way_to_cut_it(read, refusal, official):
    data = official((400, 300, 130, 100), (300, 100, 50, 50), (200, 300, 40, 60))
    message = refusal(data)
    assert "annos[0].bbox = [400, 300, 130, 100]: the box spans 400, 300, 530, 400 px" in message
    assert "leaves the 512 x 512 canvas by 18 px" in message and "--clip" in message
    # Fits by accident: worth a mention, no proof.
    assert "--bbox cxcywh" in message
    reading = read(data, clip=True)
    assert reading.layout.instances[0].box.x1 == 1.0
    assert reading.notes == (
        "annos[0].bbox = [400, 300, 130, 100] leaves the 512 x 512 canvas by 18 px: "
        "cut from 400, 300, 530, 400 to 400, 300, 512, 400 px, as asked",
    )


def test_two_pixels_are_rounding_and_noted(read, official):
    reading = read(official((400, 300, 114, 100), (-1, 100, 50, 50), (200, 300, 40, 60)))
    assert reading.layout.instances[0].box.x1 == 1.0 and reading.layout.instances[1].box.x0 == 0.0
    assert [note.endswith("as rounded") for note in reading.notes] == [True, True]


def test_a_mask_elsewhere_does_not_excuse_a_box(refusal, official):
    data = official((0, 228, 763, 125), (300, 100, 50, 50), (200, 300, 40, 60))
    pixels = np.zeros((512, 512), dtype=bool)
    pixels[228:353, :100] = True
    data["annos"][0]["mask"] = {"size": [512, 512], "counts": array_to_rle(pixels).counts}
    assert "annos[0].bbox" in refusal(data)
    data["annos"][0]["mask"]["counts"] = array_to_rle(np.arange(512)[:, None] + np.zeros((1, 512)) >= 228).counts
    assert "annos[0].bbox" in refusal(data)


def test_cutting_does_not_silence_a_contradiction_unless_the_reading_is_stated(read, refusal, official):
    data = official((300, 300, 500, 500), (200, 100, 400, 400))
    assert "--bbox xyxy" in refusal(data, clip=True)
    assert all(instance.box.x1 == 1.0 for instance in read(data, clip=True, bbox="xywh").layout)


@pytest.mark.parametrize("box", [(600, 10, 50, 50), (10, -80, 50, 50), (512, 10, 2, 50)])
def test_a_box_without_any_part_on_the_canvas_cannot_be_cut(box, refusal, official):
    assert "lies off the 512 x 512 canvas" in refusal(official(box, (300, 100, 50, 50), (200, 300, 40, 60)), clip=True)


@pytest.mark.parametrize("box", [(10, 10, 0, 50), (10, 10, 50, -5)])
def test_a_box_without_area_is_refused(box, refusal, official):
    assert "annos[0].bbox" in refusal(official(box, (300, 100, 50, 50), (200, 300, 40, 60)))
