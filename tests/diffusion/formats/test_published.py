"""The published files: the twelve demos are read as their numbers say, GPT-4o's layouts only when asked rightly."""

import json
from pathlib import Path

import numpy as np
import pytest

from diffusion.formats import read_any, read_one, to_official
from diffusion.layout import LayoutError, Point

DATA = Path(__file__).parents[2] / "data" / "layouts"
DEMOS = sorted(DATA.glob("demo_*.json"))
GPT4O = DATA / "gpt4o_layouts.jsonl"


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


@pytest.mark.parametrize("path", DEMOS, ids=lambda path: path.stem)
def test_what_is_read_from_a_demo_survives_writing(path, read, assert_close):
    layout = read_one(path).layout
    assert_close(read(to_official(layout), bbox="xywh").layout, layout)
