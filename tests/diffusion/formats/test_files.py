"""Which format a file is in, and which of its layouts is meant."""

import json

import pytest

from diffusion.formats import Reading, read_any, read_each, read_one
from diffusion.layout import LayoutError


def test_our_own_layouts_are_read_alone_and_by_the_line(tmp_path, read, refusal, official):
    layout = read(official((10, 20, 300, 400))).layout
    assert read(layout.to_dict()) == Reading(layout, (), "in.json")
    path = tmp_path / "plans.jsonl"
    path.write_text(f"{layout.to_json(indent=None)}\n\n{json.dumps(official((10, 20, 300, 400)))}\r\n")
    assert [reading.source for reading in read_any(path)] == [f"{path}: line 1", f"{path}: line 3"]
    assert read_one(path, 3).layout == layout
    assert "--bbox and --canvas are for others" in refusal(layout.to_dict(), bbox="xyxy")


def test_one_of_several_has_to_be_chosen(read, refusal, official):
    text = "\n".join([json.dumps(official((10, 20, 300, 400)))] * 2)
    assert "holds 2 layouts; choose one with --entry (1, 2)" in refusal(text)
    assert "holds no single layout 5; choose one with --entry (1, 2)" in refusal(text, entry=5)
    assert read(text, entry=2).source == "in.json: line 2"


def test_a_broken_line_is_named_and_the_others_are_read(tmp_path, official):
    path = tmp_path / "plans.jsonl"
    good = json.dumps(official((10, 20, 300, 400)))
    path.write_text(f'{good}\n{{"annos": \n{good}\n{{"x": 1}}\n')
    kinds = [str(one) if isinstance(one, LayoutError) else "read" for one in read_each(path)]
    assert kinds[0] == kinds[2] == "read"
    assert "line 2: line 1, column 11: not JSON" in kinds[1]
    assert "line 4: no format that is known here, it holds 'x'" in kinds[3]


@pytest.mark.parametrize("text", ["", "hello", "[1, 2]", '[{"annos": []}]', "null", '"text"'])
def test_what_is_no_layout_file_is_told_what_would_be_one(text, refusal):
    assert "annos (InstanceDiffusion)" in refusal(text)


def test_a_stated_format_is_not_overruled(read, refusal, official):
    assert "instances: Field required" in refusal(official((1, 2, 3, 4)), format="layout")
    assert "images is missing" in refusal(official((1, 2, 3, 4)) | {"annotations": []}, format="coco")
    with pytest.raises(LayoutError, match="expected one of layout, official, lmd, coco"):
        read("{}", format="yolo")
