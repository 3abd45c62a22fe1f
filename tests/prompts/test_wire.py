"""An LLM's answer on the wire: a schema that strict servers take, and a strict way from the answer to a Layout."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion.layout import Box
from prompts.answers import InvalidAnswer
from prompts.wire import read_answer, to_wire, wire_schema

ANSWER: dict[str, Any] = {
    "reasoning": {"ground": "a table", "sizes": "a cup is 8 cm wide", "arrangement": "one cup"},
    "caption": "a cup on a table",
    "background": "a kitchen",
    "negative_prompt": "",
    "instances": [
        {
            "id": "cup_1",
            "category": "cup",
            "caption": "a blue cup",
            "box": {"x0": 100, "y0": 250, "x1": 500, "y1": 900.5},
            "depth": 0,
        }
    ],
    "notes": ["the table is background"],
}


def read(text: str | dict[str, Any]) -> Any:
    return read_answer(text if isinstance(text, str) else json.dumps(text), width=640, height=480)


def changed(path: str, value: Any) -> dict[str, Any]:
    """ANSWER with one field, given by its path, set to the value."""
    answer = copy.deepcopy(ANSWER)
    node: Any = answer
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        node = node[part]
    node[last] = value
    return answer


def test_a_valid_answer_becomes_a_layout_in_shares_of_the_canvas() -> None:
    answer = read(ANSWER)
    assert answer.notes == ("the table is background",)
    assert (answer.layout.width, answer.layout.height) == (640, 480)
    assert answer.layout.instance("cup_1").box == Box(x0=0.1, y0=0.25, x1=0.5, y1=0.9005)


JSON = json.dumps(ANSWER, indent=1)


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{JSON}\n```",
        f"```\n{JSON}\n```\n",
        f"Here is the plan:\n{JSON}\nI hope it helps.",
        f"<think>First {{a box}}, then {JSON}? No.</think>\n{JSON}",
        f"a box of {{x0}}, then</think>{JSON}",
        f"The cup {{blue}} goes left, at {{x0, y0}}.\n{JSON}\nThat {{cup}} is all.",
        f"The cup {{blue}} goes left.\n```json\n{JSON}\n```",
    ],
    ids=[
        "fenced",
        "fenced, no language",
        "prose",
        "thinking",
        "thinking without its opening mark",
        "braces in the prose",
        "braces before a fence",
    ],
)
def test_what_servers_put_around_the_object_is_accepted(text: str) -> None:
    assert read(text) == read(ANSWER)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no JSON object"),
        ("I can't.", r"no JSON object \(it begins: \"I can't"),
        (f"[{JSON}]", "JSON list"),
        (f"{JSON}\n{JSON}", "not JSON: Extra data"),
        (f"```json\n{JSON}\n```\nor\n```json\n{JSON}\n```", "not JSON"),
        (JSON[:-40], "not JSON"),
        (JSON.replace("900.5", "NaN"), "NaN"),
        (JSON.replace('"x0": 100', '"x0": 100, "x0": 120'), "'x0' appears twice"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
        (f"<think>{JSON}</think>", "no JSON object"),
    ],
    ids=["empty", "prose", "list", "two", "two fenced", "cut off", "NaN", "repeated key", "deep", "thoughts only"],
)
def test_anything_but_one_object_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidAnswer, match=problem):
        read(text)


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("instances.0.box.x1", 1200, r"instances\[0\]\.box\.x1: must lie on the grid, from 0 to 1000 \(got 1200"),
        ("instances.0.box.y0", -3, r"instances\[0\]\.box\.y0: must lie on the grid"),
        ("instances.0.box.x1", 80, r"instances\[0\]\.box: x0 = 100 must be smaller than x1 = 80"),
        ("instances.0.box.x0", "100", r"instances\[0\]\.box\.x0: .*number.*'100'"),
        ("instances.0.box.x0", True, r"instances\[0\]\.box\.x0"),
        ("instances.0.box", [1, 2, 3, 4], r"instances\[0\]\.box: .*object"),
        ("instances.0.box", None, r"instances\[0\]\.box"),
        ("instances.0.colour", "blue", r"instances\[0\]\.colour: Extra inputs"),
        ("instances.0.depth", -1, r"instances\[0\]\.depth"),
        ("instances.0.id", "cup 1", r"instances\[0\]\.id"),
        ("instances.0.caption", " ", r"instances\[0\]\.caption"),
        ("instances", [ANSWER["instances"][0]] * 2, r"instances\[1\]\.id = 'cup_1' is already used"),
        ("instances", [{**ANSWER["instances"][0], "id": f"c{i}"} for i in range(31)], "instances: .*30"),
        ("caption", "", "caption"),
        ("notes", "none", "notes"),
    ],
)
def test_an_invalid_field_is_named_by_its_path_in_the_units_of_the_grid(path: str, value: Any, problem: str) -> None:
    with pytest.raises(InvalidAnswer, match=problem):
        read(changed(path, value))


@pytest.mark.parametrize("key", ANSWER)
def test_a_missing_field_is_named(key: str) -> None:
    with pytest.raises(InvalidAnswer, match=f"plan: {key}: Field required"):
        read({name: value for name, value in ANSWER.items() if name != key})


def test_the_schema_accepts_the_answer_and_asks_only_what_strict_servers_take() -> None:
    schema = wire_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(ANSWER, schema)
    known = {"type", "properties", "required", "additionalProperties", "items", "description"}

    def check(node: dict[str, Any]) -> None:
        assert set(node) <= known
        if node["type"] == "object":
            assert node["additionalProperties"] is False
            assert node["required"] == [*node["properties"]]
            for child in node["properties"].values():
                check(child)
        elif node["type"] == "array":
            check(node["items"])
        else:
            assert node["type"] in ("string", "number", "integer")

    check(schema)
    assert next(iter(schema["properties"])) == "reasoning"


def test_a_layout_goes_to_the_wire_and_back() -> None:
    layout = read(changed("instances.0.box.y1", 900)).layout
    again = read({**ANSWER, **to_wire(layout)}).layout
    assert again == layout


corners = st.tuples(*[st.floats(0, 1, allow_nan=False)] * 2).map(sorted).filter(lambda pair: pair[0] < pair[1])


@given(corners, corners)
def test_any_box_is_quoted_within_one_unit_and_as_a_box_that_an_answer_may_hold(xs: Any, ys: Any) -> None:
    layout = read(ANSWER).layout
    box = Box(x0=xs[0], y0=ys[0], x1=xs[1], y1=ys[1])
    drawn = layout.model_copy(update={"instances": (layout.instances[0].model_copy(update={"box": box}),)})
    again = read({**ANSWER, **to_wire(drawn)}).layout.instances[0].box
    assert max(abs(a - b) for a, b in zip(again.xyxy(), box.xyxy(), strict=True)) <= 0.001
