"""Other people's layout files: what is read, what is noted, and what is refused with which advice."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from diffusion.formats import (
    BoxReading,
    Reading,
    parse_one,
    read_any,
    read_each,
    read_one,
    resample_points,
    to_official,
)
from diffusion.layout import Layout, LayoutError, Point, layout_from_dict
from diffusion.masks import array_to_rle, mask_to_array

DATA = Path(__file__).parents[1] / "data" / "layouts"
DEMOS = sorted(DATA.glob("demo_*.json"))
GPT4O = DATA / "gpt4o_layouts.jsonl"


def official(*boxes, width=512, height=512, **extra):
    annos = [{"bbox": list(box), "mask": [], "category_name": "cat", "caption": "a cat"} for box in boxes]
    return {"caption": "cats", "width": width, "height": height, "annos": annos, **extra}


def read(data, **options) -> Reading:
    return parse_one(data if isinstance(data, str) else json.dumps(data), "in.json", **options)


def refusal(data, **options) -> str:
    with pytest.raises(LayoutError) as caught:
        read(data, **options)
    assert str(caught.value).startswith("in.json: ")
    return str(caught.value)


# The published files


@pytest.mark.parametrize("path", DEMOS, ids=lambda path: path.stem)
def test_each_published_demo_is_read_as_its_numbers_say(path):
    (reading,) = read_any(path)
    data, layout = json.loads(path.read_text()), reading.layout
    assert len(layout.instances) == len(data["annos"])
    assert (layout.caption, layout.width, layout.height) == (data["caption"], data["width"], data["height"])
    for instance, anno in zip(layout, data["annos"], strict=True):
        assert instance.caption == anno["caption"]
        assert instance.category == (anno["category_name"] or anno["caption"])
        assert (instance.mask is not None) == bool(anno.get("mask"))
        if instance.box is not None:
            x, y, w, h = anno["bbox"]
            scale = np.array([layout.width, layout.height] * 2)
            expected = np.clip([x, y, x + w, y + h], 0, scale)
            assert np.allclose(np.array(instance.box.xyxy()) * scale, expected)


def test_there_are_twelve_demos():
    assert len(DEMOS) == 12


def test_the_demo_box_that_leaves_its_canvas_is_cut_where_its_mask_says_so_and_noted():
    reading = read_one(DATA / "demo_corgi_kitchen.json")
    assert [note for note in reading.notes if "bbox" in note] == [
        "annos[6].bbox = [0, 228, 763, 125] leaves the 512 x 512 canvas by 251 px: "
        "cut from 0, 228, 763, 353 to 0, 228, 512, 353 px, as its mask shows"
    ]


def test_the_demo_box_without_width_and_height_is_the_point_that_the_published_reader_takes():
    reading = read_one(DATA / "demo_rose_garden_painting.json")
    assert reading.layout.instances[27].box is None
    assert reading.layout.instances[27].point == Point(x=0, y=1)
    assert any("annos[27].bbox = [0, 512, 0, 0]" in note for note in reading.notes)


@pytest.mark.parametrize("line", range(1, 64))
def test_each_layout_of_gpt4o_is_refused_naming_line_field_and_the_reading_that_fits(line):
    with pytest.raises(LayoutError) as caught:
        read_one(GPT4O, line)
    message = str(caught.value)
    assert message.startswith(f"{GPT4O}: line {line}: annos[")
    assert ".bbox = [" in message
    assert "read as xywh (left, top, width, height in pixels; the default here)" in message
    assert "boxes leave the 512 x 512 canvas" in message
    assert "--bbox xyxy" in message


def test_all_layouts_of_gpt4o_are_read_when_their_convention_is_stated():
    readings = read_any(GPT4O, bbox="xyxy")
    lines = [json.loads(line) for line in GPT4O.read_text().splitlines()]
    assert len(readings) == 63
    for reading, data in zip(readings, lines, strict=True):
        for instance, anno in zip(reading.layout, data["annos"], strict=True):
            assert [value * 512 for value in instance.box.xyxy()] == anno["bbox"]
        assert reading.notes == ("source is not part of a layout: left out",)


def test_reading_a_whole_file_says_how_many_are_refused():
    with pytest.raises(LayoutError, match=r"63 of 63 layouts are refused\n.*line 1: annos"):
        read_any(GPT4O)


# What four numbers mean

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
def test_every_reading_undoes_its_writing(shares, order, unit):
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


def test_one_box_off_the_canvas_is_enough_when_another_reading_fits_all():
    message = refusal(official((10, 10, 60, 60), (20, 20, 80, 90), (300, 20, 400, 90)))
    assert "annos[2].bbox = [300, 20, 400, 90]" in message
    assert "1 of 3 boxes" in message and "--bbox xyxy" in message


def test_most_boxes_off_the_canvas_contradict_even_when_no_reading_fits():
    message = refusal(official((10, 10, 900, 60), (20, 20, 2800, 90), (600, 20, 60, 90)))
    assert "3 of 3 boxes" in message
    assert "no reading that is known here fits all" in message


def test_a_stated_reading_is_held_against_the_boxes_too():
    message = refusal(official((300, 100, 50, 50), (200, 300, 40, 60)), bbox="xyxy")
    assert "the default" not in message
    assert "read as xywh all 2 fit" in message and "--bbox xywh" in message


def test_shares_of_the_canvas_are_not_pixels():
    message = refusal(official((0.1, 0.2, 0.5, 0.5), (0.3, 0.3, 0.6, 0.7)))
    assert "all 2 boxes lie within one pixel of the 512 x 512 canvas" in message
    assert "--bbox xywh-norm" in message


def test_numbers_to_a_thousand_are_recognised_when_they_leave_the_canvas():
    message = refusal(official((700, 100, 200, 900), (600, 600, 300, 300)))
    assert "read as xywh-1000 all 2 fit" in message


def test_boxes_that_fit_two_readings_are_read_by_the_default_with_a_note():
    reading = read(official((10, 20, 100, 120), (30, 40, 200, 220)))
    assert reading.layout.instances[0].box.x1 == 110 / 512
    assert reading.notes == (
        "read as xywh, the default; the boxes (2) would also fit as xyxy: "
        "if that is meant, ask for it with --bbox xyxy",
    )
    assert read(official((10, 20, 100, 120), (30, 40, 200, 220)), bbox="xywh").notes == ()


def test_boxes_that_fit_two_readings_are_refused_when_a_neighbour_shows_the_other(tmp_path):
    path = tmp_path / "two.jsonl"
    both, only_corners = official((10, 20, 100, 120)), official((300, 20, 400, 120), (250, 250, 500, 500))
    path.write_text(f"{json.dumps(both)}\n{json.dumps(only_corners)}\n")
    refused = list(read_each(path))
    assert [type(one) for one in refused] == [LayoutError, LayoutError]
    assert "line 1: annos[0].bbox: the boxes fit as xywh, the default, and as xyxy, but" in str(refused[0])
    assert "line 2 does not fit as xywh" in str(refused[0])
    assert [type(one) for one in read_each(path, bbox="xyxy")] == [Reading, Reading]


# Boxes that leave the canvas


def test_a_box_that_leaves_the_canvas_is_refused_with_the_way_to_cut_it():
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


def test_two_pixels_are_rounding_and_noted():
    reading = read(official((400, 300, 114, 100), (-1, 100, 50, 50), (200, 300, 40, 60)))
    assert reading.layout.instances[0].box.x1 == 1.0 and reading.layout.instances[1].box.x0 == 0.0
    assert [note.endswith("as rounded") for note in reading.notes] == [True, True]


def test_a_mask_elsewhere_does_not_excuse_a_box():
    data = official((0, 228, 763, 125), (300, 100, 50, 50), (200, 300, 40, 60))
    pixels = np.zeros((512, 512), dtype=bool)
    pixels[228:353, :100] = True
    data["annos"][0]["mask"] = {"size": [512, 512], "counts": array_to_rle(pixels).counts}
    assert "annos[0].bbox" in refusal(data)
    data["annos"][0]["mask"]["counts"] = array_to_rle(np.arange(512)[:, None] + np.zeros((1, 512)) >= 228).counts
    assert "annos[0].bbox" in refusal(data)


def test_cutting_does_not_silence_a_contradiction_unless_the_reading_is_stated():
    data = official((300, 300, 500, 500), (200, 100, 400, 400))
    assert "--bbox xyxy" in refusal(data, clip=True)
    assert all(instance.box.x1 == 1.0 for instance in read(data, clip=True, bbox="xywh").layout)


@pytest.mark.parametrize("box", [(600, 10, 50, 50), (10, -80, 50, 50), (512, 10, 2, 50)])
def test_a_box_without_any_part_on_the_canvas_cannot_be_cut(box):
    assert "lies off the 512 x 512 canvas" in refusal(official(box, (300, 100, 50, 50), (200, 300, 40, 60)), clip=True)


@pytest.mark.parametrize("box", [(10, 10, 0, 50), (10, 10, 50, -5)])
def test_a_box_without_area_is_refused(box):
    assert "annos[0].bbox" in refusal(official(box, (300, 100, 50, 50), (200, 300, 40, 60)))


# InstanceDiffusion's JSON


def anno(**members):
    data = official((10, 20, 300, 400))
    data["annos"][0].update(members)
    return data


@pytest.mark.parametrize("bbox", [[0, 0, 0, 0], [], None])
def test_no_box_is_written_in_three_ways(bbox):
    instance = read(anno(bbox=bbox, point=[256, 128])).layout.instances[0]
    assert instance.box is None and instance.point == Point(x=0.5, y=0.25)


def test_an_annotation_without_any_place_is_refused():
    assert "annos[0]: an instance needs a location" in refusal(anno(bbox=[0, 0, 0, 0]))


@pytest.mark.parametrize("scribble", [[[0, 0], [256, 512]], [0, 0, 256, 512]])
def test_scribbles_are_pairs_or_flat(scribble):
    points = read(anno(scribble=scribble)).layout.instances[0].scribble.points
    assert points == (Point(x=0, y=0), Point(x=0.5, y=1))


def test_long_scribbles_are_refused_unless_resampling_is_asked_for():
    data = anno(scribble=[[x, 2 * x] for x in range(100)])
    assert "annos[0].scribble" in refusal(data) and "--resample" in refusal(data)
    reading = read(data, resample=True)
    points = reading.layout.instances[0].scribble.points
    assert len(points) == 20 and points[0] == Point(x=0, y=0) and points[-1] == Point(x=99 / 512, y=198 / 512)
    assert "annos[0].scribble: resampled from 100 to 20 points, as asked" in reading.notes


@given(st.integers(1, 200), st.integers(2, 40))
def test_resampling_keeps_order_ends_and_even_spacing(length, count):
    points = [Point(x=index / 200, y=0) for index in range(length)]
    chosen = [round(point.x * 200) for point in resample_points(points, count)]
    assert len(chosen) == min(length, count)
    assert chosen[0] == 0 and chosen[-1] == length - 1
    steps = np.diff(chosen)
    assert all(steps >= 1) and (not steps.size or steps.max() - steps.min() <= 1)


def test_an_empty_category_is_the_caption_and_an_empty_caption_the_category():
    reading = read(anno(category_name="", caption="a cat"))
    assert reading.layout.instances[0].category == "a cat"
    assert any("have no category" in note and "annos[0]" in note for note in reading.notes)
    reading = read(anno(category_name="cat", caption=""))
    assert reading.layout.instances[0].caption == "cat"
    assert any("annos[0] has no caption" in note for note in reading.notes)


def test_ids_are_made_of_category_and_count():
    data = official((10, 20, 300, 400), (20, 30, 300, 400), (30, 40, 300, 400))
    data["annos"][1]["category_name"] = "Café table"
    assert [instance.id for instance in read(data).layout] == ["cat-1", "cafe-table-1", "cat-2"]


def test_an_empty_mask_is_left_out_with_a_note():
    for counts in ([512 * 512], "PPP8"):
        reading = read(anno(mask={"size": [512, 512], "counts": counts}))
        assert reading.layout.instances[0].mask is None
        assert "annos[0].mask: the mask has no pixel: left out" in reading.notes


def test_unknown_keys_are_left_out_with_a_note():
    reading = read({**anno(score=0.5), "model": "x"})
    assert "model is not part of a layout: left out" in reading.notes
    assert "annos[].score is not part of a layout: left out" in reading.notes


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"bbox": [1, 2, 3]}, "annos[0].bbox = [1, 2, 3]: expected 4 numbers"),
        ({"bbox": {"x": 1}}, "annos[0].bbox = {'x': 1}: expected 4 numbers"),
        ({"bbox": [1, 2, "3", 4]}, "annos[0].bbox[2] = '3': expected a finite number"),
        ({"bbox": [1, 2, True, 4]}, "annos[0].bbox[2] = True: expected a finite number"),
        ({"bbox": [1, 2, 10**400, 4]}, "annos[0].bbox[2] = 1000"),
        ({"point": [600, 20]}, "annos[0].point = [600, 20]: it = (600, 20) leaves the 512 x 512 canvas"),
        ({"point": "here"}, "annos[0].point = 'here': expected 2 numbers"),
        ({"scribble": [1, 2, 3]}, "annos[0].scribble = [1, 2, 3]: expected pairs of x and y, but there are 3 numbers"),
        ({"scribble": [[1, 2], 3]}, "annos[0].scribble[0] = [1, 2]: expected a finite number"),
        ({"scribble": [1, 2, 3, 900]}, "annos[0].scribble = [1, 2, 3, 900]: point 1 = (3, 900) leaves"),
        ({"mask": {"size": [256, 256], "counts": "1"}}, "annos[0].mask.size = [256, 256]: a mask has the size of the"),
        ({"mask": {"size": [512, 512]}}, "annos[0].mask.counts is missing"),
        ({"mask": {"size": [512, 512], "counts": "zz"}}, "annos[0].mask: counts holds 'z'"),
        ({"mask": {"size": [512, 512], "counts": [1, 2]}}, "annos[0].mask: counts cover 3 pixels"),
        ({"mask": "x"}, "annos[0].mask = 'x': expected a list"),
        ({"caption": 5}, "annos[0].caption = 5: expected text"),
        ({"caption": "", "category_name": ""}, "annos[0].category_name: String should have at least 1 character"),
        ({"category_name": "x" * 500}, "annos[0].category_name: String should have at most 400 characters"),
        ({"depth": 0.5}, "annos[0].depth = 0.5: expected a whole number"),
        ({"id": "a b"}, "annos[0].id: expected 1 to 64 letters"),
        ({"id": True}, "annos[0].id = True: expected"),
    ],
)
def test_what_is_wrong_in_an_annotation_is_named_by_its_own_path(members, message):
    assert message in refusal(anno(**members))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annos": {}}, "annos = {}: expected a list"),
        ({"annos": [3]}, "annos[0] = 3: expected an object"),
        ({"width": 0}, "width = 0: expected 8 to 8192 pixels"),
        ({"width": "512"}, "width = '512': expected a whole number"),
        ({"width": None}, "width is missing: state it with --canvas"),
        ({"caption": ""}, "caption: String should have at least 1 character"),
        ({"caption": None}, "caption is missing"),
        ({"annos": official(*[(1, 2, 300, 400)] * 31)["annos"]}, "annos: 31 of them; a layout has at most 30"),
    ],
)
def test_what_is_wrong_in_the_whole_is_named(changes, message):
    assert message in refusal(official((10, 20, 300, 400)) | changes)


def test_a_canvas_is_stated_once():
    data = official((10, 20, 30, 40))
    del data["width"], data["height"]
    assert read(data, canvas=(100, 200)).layout.width == 100
    assert "width = 512: the file states its canvas" in refusal(official((10, 20, 30, 40)), canvas=(100, 200))


@settings(max_examples=50)
@given(st.data())
def test_a_layout_survives_the_official_format(data):
    width, height = data.draw(st.integers(16, 300)), data.draw(st.integers(16, 300))
    share = st.floats(0, 1)
    point = st.fixed_dictionaries({"x": share, "y": share})
    pixels = np.zeros((height, width), dtype=bool)
    pixels[data.draw(st.integers(0, height - 1)) :, data.draw(st.integers(0, width - 1)) :] = True
    counts = data.draw(st.sampled_from([array_to_rle(pixels).counts, array_to_rle(pixels).runs()]))
    x, y = data.draw(st.floats(0, 0.5)), data.draw(st.floats(0, 0.5))
    w, h = data.draw(st.floats(0.1, 0.5)), data.draw(st.floats(0.1, 0.5))
    layout = layout_from_dict(
        {
            "version": 1,
            "caption": "scene",
            "background": "sea",
            "negative_prompt": "fog",
            "width": width,
            "height": height,
            "instances": [
                {
                    "id": "a",
                    "category": "boat",
                    "caption": "a boat",
                    "box": {"x0": x, "y0": y, "x1": x + w, "y1": y + h},
                },
                {"id": "b", "category": "man", "caption": "a man", "point": data.draw(point), "depth": 2},
                {
                    "id": "c",
                    "category": "kite",
                    "caption": "a kite",
                    "mask": {"rle": {"size": [height, width], "counts": counts}},
                    "scribble": {"points": data.draw(st.lists(point, min_size=1, max_size=20))},
                },
            ],
        }
    )
    reading = read(to_official(layout), bbox="xywh")
    assert reading.notes == ()
    assert_close(reading.layout, layout)


def assert_close(one: Layout, other: Layout):
    """Equal but for the noise of floating point and the spelling of run-length codes."""

    def flatten(value, path=""):
        if isinstance(value, dict):
            pairs = value.items() if path[-5:] != ".size" else ()
            return {
                leaf: end
                for key, part in pairs
                if key != "counts"
                for leaf, end in flatten(part, f"{path}.{key}").items()
            }
        if isinstance(value, list):
            return {leaf: end for i, part in enumerate(value) for leaf, end in flatten(part, f"{path}[{i}]").items()}
        return {path: pytest.approx(value, abs=1e-9) if isinstance(value, float) else value}

    assert flatten(one.to_dict()) == flatten(other.to_dict())
    for a, b in zip(one, other, strict=True):
        if a.mask is not None:
            assert np.array_equal(*(mask_to_array(i.mask, one.height, one.width) for i in (a, b)))


@pytest.mark.parametrize("path", DEMOS, ids=lambda path: path.stem)
def test_what_is_read_from_a_demo_survives_writing(path):
    layout = read_one(path).layout
    assert_close(read(to_official(layout), bbox="xywh").layout, layout)


def test_polygons_are_written_as_the_pixels_they_cover():
    corners = [{"x": x, "y": y} for x, y in ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75))]
    data = layout_from_dict(read(official((10, 20, 30, 40), width=64, height=64)).layout.to_dict()).to_dict()
    data["instances"][0]["mask"] = {"polygons": [corners]}
    layout = layout_from_dict(data)
    written = to_official(layout)["annos"][0]["mask"]
    assert coco.area(written) == 496  # half of 32 x 32, without the diagonal
    data["instances"][0]["mask"] = {"polygons": [[{"x": 0, "y": 0}, {"x": 1e-9, "y": 0}, {"x": 0, "y": 1e-9}]]}
    with pytest.raises(LayoutError, match="covers no pixel of the 64 x 64 canvas"):
        to_official(layout_from_dict(data))


# LMD's text

LMD = """Caption: a car beside a truck, seen from above
Objects: [('a green car', [21, 281, 211, 159]),
          ('a truck', (269, 283, 209.5, 160))]
Background prompt: a landscape
Negative prompt: people
"""


def test_lmd_text_with_all_its_labels():
    reading = read(LMD)
    layout = reading.layout
    assert layout.caption == "a car beside a truck, seen from above"
    assert (layout.background, layout.negative_prompt) == ("a landscape", "people")
    assert (layout.width, layout.height) == (512, 512)
    assert [(i.id, i.category, i.caption) for i in layout] == [
        ("a-green-car-1", "a green car", "a green car"),
        ("a-truck-1", "a truck", "a truck"),
    ]
    assert layout.instances[1].box.xyxy() == (269 / 512, 283 / 512, 478.5 / 512, 443 / 512)


def test_lmd_text_as_the_planner_answers_it():
    layout = read("[('a dog', [1, 2, 300, 400])]\nBackground prompt: a park\nNegative prompt: None\n").layout
    assert (layout.caption, layout.negative_prompt) == ("a park with a dog", "")


@pytest.mark.parametrize("objects", ["[]", "No objects", ""])
def test_lmd_text_without_objects(objects):
    layout = read(f"Objects: {objects}\nBackground prompt: an empty street\nNegative prompt:").layout
    assert layout.caption == "an empty street" and layout.instances == ()


def test_lmd_takes_another_canvas():
    assert read(LMD, canvas=(1024, 768), bbox="xywh").layout.instances[0].box.x1 == 232 / 1024


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[('a dog's bowl', [1, 2, 3, 4])]\nBackground prompt: x", "line 1: the list of objects cannot be read"),
        ("Caption: x\nObjects:\n\n[('a dog',\n [1, 2, 3 4])]", "line 5: the list of objects cannot be read"),
        ("Objects: [('a', f(1))]", "line 1: the list of objects holds something other than texts and numbers"),
        ("Objects: [__import__('os').getcwd()]", "something other than texts and numbers"),
        ("Objects: [('a', [1, 2, 3])]", "objects[0].box = [1, 2, 3]: expected 4 numbers"),
        ("Objects: [('a', 'b', 'c')]", "objects[0] = ('a', 'b', 'c'): expected ('a green car', [x, y, width, height])"),
        ("Objects: [(7, [1, 2, 3, 4])]", "objects[0].caption = 7: expected text"),
        ("Objects: [('a', [1, 2, 3, 4j])]", "objects[0].box[3] = 4j: expected a finite number"),
        ("Objects: [('a', [1, 2, 3, 1e999])]", "objects[0].box[3] = inf: expected a finite number"),
        ("Objects: {'a': 1}", "objects = {'a': 1}: expected a list"),
        ("Background prompt: x\nBackground prompt: y", "line 2: a second 'Background prompt'"),
        ("Objects: []\nBackground prompt: x\nand more", "line 3: expected a label or the end, not 'and more'"),
        ("Background prompt: x", "no list of objects"),
        ("Objects: " + "(" * 300, "line 1: the list of objects"),
        ("Objects: " + "-" * 90_000 + "1", "line 1: the list of objects"),
        ("Objects: [" + "('a', [1, 2, 3, 4])," * 9000 + "]", "at most 100000"),
        ("Objects: []", "caption: String should have at least 1 character"),
    ],
)
def test_what_is_wrong_in_lmd_text_is_named_by_line_or_object(text, message):
    assert message in refusal(text)


def test_lmd_text_in_corners_is_refused_with_the_reading_that_fits():
    message = refusal("[('a dog', [250, 280, 480, 430]), ('a cat', [20, 280, 240, 430])]\nBackground prompt: a park")
    assert "objects[0].box = [250, 280, 480, 430]" in message and "--bbox xyxy" in message


# COCO

SQUARE = [10, 10, 60, 10, 60, 60, 10, 60]


def coco_file(**annotation):
    first = {
        "id": 1,
        "image_id": 7,
        "category_id": 18,
        "bbox": [10, 10, 50, 50],
        "segmentation": [SQUARE],
        "area": 2500,
    }
    return {
        "info": {},
        "images": [
            {"id": 7, "file_name": "dog.jpg", "width": 200, "height": 100},
            {"id": 8, "file_name": "empty.jpg", "width": 200, "height": 100},
            {"id": 9, "file_name": "two.jpg", "width": 100, "height": 100, "caption": "a dog chases a cat"},
        ],
        "annotations": [
            {**first, "iscrowd": 0, **annotation},
            {"id": 2, "image_id": 9, "category_id": 18, "bbox": [60.5, 10, 30, 80]},
            {"id": 3, "image_id": 9, "category_id": 17, "caption": "a fast cat", "bbox": [5, 10, 50, 30]},
        ],
        "categories": [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}],
    }


@pytest.mark.parametrize("entry", [7, "7", "dog.jpg"])
def test_a_coco_image_is_chosen_by_id_or_file_name(entry):
    reading = read(coco_file(), entry=entry)
    (dog,) = reading.layout
    assert dog.box.xyxy() == (0.05, 0.1, 0.3, 0.6)
    assert mask_to_array(dog.mask, 100, 200).sum() == 2500
    assert reading.layout.caption == "dog"
    assert reading.source == "in.json: image dog.jpg"


def test_a_coco_file_is_as_many_layouts_as_images(tmp_path):
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(coco_file(), indent=1))
    dog, empty, two = read_each(path)
    assert isinstance(dog, Reading) and "nothing to draw" in str(empty)
    assert two.layout.caption == "a dog chases a cat"
    assert [instance.caption for instance in two.layout] == ["dog", "a fast cat"]
    with pytest.raises(LayoutError, match="1 of 3 layouts are refused"):
        read_any(path)


def test_coco_run_length_codes_and_crowds():
    pixels = np.zeros((100, 200), dtype=bool)
    pixels[10:60, 10:60] = True
    rle = {"size": [100, 200], "counts": array_to_rle(pixels).runs()}
    reading = read(coco_file(segmentation=rle, iscrowd=1), entry=7)
    assert np.array_equal(mask_to_array(reading.layout.instances[0].mask, 100, 200), pixels)
    assert any("annotations[0].iscrowd" in note for note in reading.notes)


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"category_id": 99}, "annotations[0].category_id = 99: no category has this id"),
        ({"image_id": 99}, "annotations[0].image_id = 99: no image has this id"),
        ({"image_id": [1]}, "annotations[0].image_id = [1]: expected an id"),
        ({"bbox": [10, 10, 500, 50]}, "annotations[0].bbox = [10, 10, 500, 50]"),
        ({"segmentation": [[1, 2, 3]]}, "annotations[0].segmentation[0] = [1, 2, 3]: expected pairs"),
        (
            {"segmentation": [[1, 2, 3, 4]]},
            "annotations[0].segmentation.polygons[0]: Tuple should have at least 3 items",
        ),
        ({"segmentation": [[1, 2, 3, 4, 300, 6]]}, "point 2 = (300, 6) leaves the 200 x 100 canvas by 100 px"),
        ({"segmentation": 3}, "annotations[0].segmentation = 3: expected a list"),
    ],
)
def test_what_is_wrong_in_a_coco_annotation_is_named(annotation, message):
    assert message in refusal(coco_file(**annotation), entry=7)


def test_coco_corners_are_refused_with_the_reading_that_fits():
    assert "--bbox xyxy" in refusal(coco_file(bbox=[150, 10, 190, 60]), entry=7)


# Which format, which layout


def test_our_own_layouts_are_read_alone_and_by_the_line(tmp_path):
    layout = read(official((10, 20, 300, 400))).layout
    assert read(layout.to_dict()) == Reading(layout, (), "in.json")
    path = tmp_path / "plans.jsonl"
    path.write_text(f"{layout.to_json(indent=None)}\n\n{json.dumps(official((10, 20, 300, 400)))}\r\n")
    assert [reading.source for reading in read_any(path)] == [f"{path}: line 1", f"{path}: line 3"]
    assert read_one(path, 3).layout == layout
    assert "--bbox and --canvas are for others" in refusal(layout.to_dict(), bbox="xyxy")


def test_one_of_several_has_to_be_chosen():
    text = "\n".join([json.dumps(official((10, 20, 300, 400)))] * 2)
    assert "holds 2 layouts; choose one with --entry (1, 2)" in refusal(text)
    assert "holds no single layout 5; choose one with --entry (1, 2)" in refusal(text, entry=5)
    assert read(text, entry=2).source == "in.json: line 2"


def test_a_broken_line_is_named_and_the_others_are_read(tmp_path):
    path = tmp_path / "plans.jsonl"
    good = json.dumps(official((10, 20, 300, 400)))
    path.write_text(f'{good}\n{{"annos": \n{good}\n{{"x": 1}}\n')
    kinds = [str(one) if isinstance(one, LayoutError) else "read" for one in read_each(path)]
    assert kinds[0] == kinds[2] == "read"
    assert "line 2: line 1, column 11: not JSON" in kinds[1]
    assert "line 4: no format that is known here, it holds 'x'" in kinds[3]


@pytest.mark.parametrize("text", ["", "hello", "[1, 2]", '[{"annos": []}]', "null", '"text"'])
def test_what_is_no_layout_file_is_told_what_would_be_one(text):
    assert "annos (InstanceDiffusion)" in refusal(text)


def test_a_stated_format_is_not_overruled():
    assert "instances: Field required" in refusal(official((1, 2, 3, 4)), format="layout")
    assert "images is missing" in refusal(official((1, 2, 3, 4)) | {"annotations": []}, format="coco")
    with pytest.raises(LayoutError, match="expected one of layout, official, lmd, coco"):
        read("{}", format="yolo")
