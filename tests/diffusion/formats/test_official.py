"""InstanceDiffusion's JSON, in and out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from diffusion.formats import resample_points, to_official
from diffusion.layout import LayoutError, Point, layout_from_dict
from diffusion.masks import array_to_rle


@pytest.mark.parametrize("bbox", [[0, 0, 0, 0], [], None])
def test_no_box_is_written_in_three_ways(bbox, read, anno):
    instance = read(anno(bbox=bbox, point=[256, 128])).layout.instances[0]
    assert instance.box is None and instance.point == Point(x=0.5, y=0.25)


def test_an_annotation_without_any_place_is_refused(refusal, anno):
    assert "annos[0]: an instance needs a location" in refusal(anno(bbox=[0, 0, 0, 0]))


@pytest.mark.parametrize("scribble", [[[0, 0], [256, 512]], [0, 0, 256, 512]])
def test_scribbles_are_pairs_or_flat(scribble, read, anno):
    points = read(anno(scribble=scribble)).layout.instances[0].scribble.points
    assert points == (Point(x=0, y=0), Point(x=0.5, y=1))


def test_long_scribbles_are_refused_unless_resampling_is_asked_for(read, refusal, anno):
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


def test_an_empty_category_is_the_caption_and_an_empty_caption_the_category(read, anno):
    reading = read(anno(category_name="", caption="a cat"))
    assert reading.layout.instances[0].category == "a cat"
    assert any("have no category" in note and "annos[0]" in note for note in reading.notes)
    reading = read(anno(category_name="cat", caption=""))
    assert reading.layout.instances[0].caption == "cat"
    assert any("annos[0] has no caption" in note for note in reading.notes)


def test_ids_are_made_of_category_and_count(read, official):
    data = official((10, 20, 300, 400), (20, 30, 300, 400), (30, 40, 300, 400))
    data["annos"][1]["category_name"] = "Café table"
    assert [instance.id for instance in read(data).layout] == ["cat-1", "cafe-table-1", "cat-2"]


def test_an_empty_mask_is_left_out_with_a_note(read, anno):
    for counts in ([512 * 512], "PPP8"):
        reading = read(anno(mask={"size": [512, 512], "counts": counts}))
        assert reading.layout.instances[0].mask is None
        assert "annos[0].mask: the mask has no pixel: left out" in reading.notes


def test_unknown_keys_are_left_out_with_a_note(read, anno):
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
def test_what_is_wrong_in_an_annotation_is_named_by_its_own_path(members, message, refusal, anno):
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
        ({"annos": [{"caption": "a", "point": [1, 2]}] * 31}, "annos: 31 of them; at most 30 are allowed"),
    ],
)
def test_what_is_wrong_in_the_whole_is_named(changes, message, refusal, official):
    assert message in refusal(official((10, 20, 300, 400)) | changes)


def test_a_canvas_is_stated_once(read, refusal, official):
    data = official((10, 20, 30, 40))
    del data["width"], data["height"]
    assert read(data, canvas=(100, 200)).layout.width == 100
    assert "width = 512: the file states its canvas" in refusal(official((10, 20, 30, 40)), canvas=(100, 200))


@settings(max_examples=50)
@given(st.data())
def test_a_layout_survives_the_official_format(read, assert_close, data):
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


def test_polygons_are_written_as_the_pixels_they_cover(read, official):
    corners = [{"x": x, "y": y} for x, y in ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75))]
    data = layout_from_dict(read(official((10, 20, 30, 40), width=64, height=64)).layout.to_dict()).to_dict()
    data["instances"][0]["mask"] = {"polygons": [corners]}
    layout = layout_from_dict(data)
    written = to_official(layout)["annos"][0]["mask"]
    assert coco.area(written) == 496  # half of 32 x 32, without the diagonal
    data["instances"][0]["mask"] = {"polygons": [[{"x": 0, "y": 0}, {"x": 1e-9, "y": 0}, {"x": 0, "y": 1e-9}]]}
    with pytest.raises(LayoutError, match="covers no pixel of the 64 x 64 canvas"):
        to_official(layout_from_dict(data))
