"""The Layout: what it accepts survives a round trip, what it refuses is named by path and value."""

import copy
import json
import subprocess
import sys

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusion.layout import (
    MAX_COUNTS,
    Box,
    Instance,
    Layout,
    LayoutError,
    Mask,
    Point,
    RunLength,
    Scribble,
    json_schema,
    layout_from_dict,
    parse_layout,
    read_layout,
)

number = st.floats(0, 1, allow_nan=False)
points = st.builds(Point, x=number, y=number)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
words = text.map(lambda words: words + "x")


@st.composite
def boxes(draw):
    x0, x1 = sorted(draw(st.lists(number, min_size=2, max_size=2, unique=True)))
    y0, y1 = sorted(draw(st.lists(number, min_size=2, max_size=2, unique=True)))
    return Box(x0=x0, y0=y0, x1=x1, y1=y1)


@st.composite
def masks(draw, width, height):
    if draw(st.booleans()):
        inner = st.integers(1, width * height - 1)
        first, length = draw(inner), draw(inner)
        length = min(length, width * height - first)
        runs = (first, length, width * height - first - length)
        return Mask(rle=RunLength(size=(height, width), counts=runs[: 3 if runs[2] else 2]))
    ring = st.lists(points, min_size=3, max_size=6).filter(
        lambda ring: len({p.x for p in ring}) > 1 and len({p.y for p in ring}) > 1
    )
    return Mask(polygons=tuple(map(tuple, draw(st.lists(ring, min_size=1, max_size=2)))))


@st.composite
def layouts(draw):
    width, height = draw(st.integers(8, 1024)), draw(st.integers(8, 1024))
    ids = draw(st.lists(st.from_regex(r"\A[A-Za-z0-9_é猫][A-Za-z0-9_.\-é猫]{0,20}\Z"), max_size=5, unique=True))
    instances = []
    for name in ids:
        box = draw(st.none() | boxes())
        instances.append(
            Instance(
                id=name,
                category=draw(words),
                caption=draw(words),
                box=box,
                point=draw(points if box is None else st.none() | points),
                scribble=draw(
                    st.none() | st.lists(points, min_size=1, max_size=20).map(lambda p: Scribble(points=tuple(p)))
                ),
                mask=draw(st.none() | masks(width, height)),
                depth=draw(st.none() | st.integers(0, 10_000)),
            )
        )
    return Layout(
        version=1,
        caption=draw(words),
        background=draw(text),
        negative_prompt=draw(text),
        width=width,
        height=height,
        instances=tuple(instances),
    )


@settings(max_examples=150)
@given(layouts())
def test_a_layout_survives_its_json_and_the_schema_accepts_it(layout):
    assert parse_layout(layout.to_json()) == layout
    assert parse_layout(layout.to_json(indent=None).encode()) == layout
    assert layout_from_dict(layout.to_dict()) == layout
    VALIDATOR.validate(json.loads(layout.to_json()))


VALIDATOR = jsonschema.Draft202012Validator(json_schema())


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(json_schema())


GOOD = {
    "version": 1,
    "caption": "two balls",
    "background": "grass",
    "negative_prompt": "",
    "width": 512,
    "height": 256,
    "instances": [
        {"id": "a", "category": "ball", "caption": "a red ball", "box": {"x0": 0.1, "y0": 0.2, "x1": 0.4, "y1": 0.5}},
        {
            "id": "b",
            "category": "ball",
            "caption": "a blue ball",
            "point": {"x": 0.5, "y": 0.5},
            "scribble": {"points": [{"x": 0, "y": 1}]},
            "mask": {"rle": {"size": [256, 512], "counts": [10, 20, 131042]}},
            "depth": 3,
        },
    ],
}
BOX, MASK = ("instances", 0, "box"), ("instances", 1, "mask")
ABSENT = object()


@pytest.mark.parametrize(
    ("caption", "background", "prompt"),
    [
        ("a red ball", "", "a red ball"),
        ("a red ball on grass.", "Grass", "a red ball on grass."),
        ("Two sheep.", "a green hillside under a light sky", "Two sheep, a green hillside under a light sky"),
        ("a boat at night", "sea, night, , fog", "a boat at night, sea, fog"),
        ("a red mushroom", "room", "a red mushroom, room"),
        ("a boat in a snowy field", "snow", "a boat in a snowy field"),
    ],
)
def test_the_prompt_says_all_of_the_background_once(caption, background, prompt):
    layout = Layout(version=1, caption=caption, background=background, width=8, height=8, instances=())
    assert layout.prompt == prompt


def changed(path, value):
    data = copy.deepcopy(GOOD)
    target = data
    for step in path[:-1]:
        target = target[step]
    if value is ABSENT:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return data


def test_the_example_is_good():
    assert layout_from_dict(GOOD).to_dict() == GOOD


# Each line: where, what it becomes, what the message must say.
REFUSED = [
    (("version",), 2, "version: Input should be 1 (got 2)"),
    (("version",), ABSENT, "version: Field required"),
    (("caption",), "  ", "caption: expected words, not blanks (got '  ')"),
    (("caption",), 7, "caption: Input should be a valid string (got 7)"),
    (("caption",), "x" * 5000, "caption: String should have at most 4000 characters (got 'xxx"),
    (("width",), 512.5, "width: Input should be a valid integer"),
    (("width",), "512", "width: Input should be a valid integer (got '512')"),
    (("width",), True, "width: Input should be a valid integer (got True)"),
    (("width",), 10**30, "width: "),
    (("height",), 4, "height: Input should be greater than or equal to 8 (got 4)"),
    (("extra",), 1, "extra: Extra inputs are not permitted (got 1)"),
    (("instances",), {}, "instances: Input should be a valid array"),
    (
        ("instances",),
        [GOOD["instances"][0]] * 31,
        "instances: Tuple should have at most 30 items after validation, not 31",
    ),
    (("instances",), [GOOD["instances"][0]] * 2, "instances[1].id = 'a' is already used by instances[0]"),
    (("instances", 1, "id"), "a", "instances[1].id = 'a' is already used by instances[0]"),
    (("instances", 0, "id"), "", "instances[0].id: expected 1 to 64 letters, digits"),
    (("instances", 0, "id"), "a b", "instances[0].id: expected 1 to 64 letters, digits"),
    (("instances", 0, "id"), "a/b", "instances[0].id: expected 1 to 64 letters, digits"),
    (("instances", 0, "id"), "x" * 65, "instances[0].id: expected 1 to 64 letters, digits"),
    (("instances", 0, "id"), "a\n", "instances[0].id: expected 1 to 64 letters, digits"),
    (("instances", 0, "category"), "", "instances[0].category: String should have at least 1 character"),
    (("instances", 0, "color"), "red", "instances[0].color: Extra inputs are not permitted (got 'red')"),
    (("instances", 0, "depth"), -1, "instances[0].depth: Input should be greater than or equal to 0 (got -1)"),
    (("instances", 0, "depth"), 0.5, "instances[0].depth: Input should be a valid integer"),
    (BOX, None, "instances[0]: an instance needs a location: a box, or a point, a scribble or a mask"),
    (BOX, [0.1, 0.2, 0.4, 0.5], "instances[0].box: Input should be an object"),
    ((*BOX, "x1"), 1.2, "instances[0].box.x1: Input should be less than or equal to 1 (got 1.2)"),
    ((*BOX, "x0"), -0.01, "instances[0].box.x0: Input should be greater than or equal to 0 (got -0.01)"),
    ((*BOX, "x1"), 410, "instances[0].box.x1: Input should be less than or equal to 1 (got 410)"),
    ((*BOX, "x1"), "0.4", "instances[0].box.x1: Input should be a valid number (got '0.4')"),
    ((*BOX, "x1"), 0.1, "instances[0].box: x0 = 0.1 must be smaller than x1 = 0.1"),
    ((*BOX, "y1"), 0.05, "instances[0].box: y0 = 0.2 must be smaller than y1 = 0.05"),
    ((*BOX, "y1"), ABSENT, "instances[0].box.y1: Field required"),
    ((*BOX, "w"), 0.3, "instances[0].box.w: Extra inputs are not permitted (got 0.3)"),
    (("instances", 1, "point", "y"), 1.5, "instances[1].point.y: Input should be less than or equal to 1 (got 1.5)"),
    (("instances", 1, "scribble", "points"), [], "instances[1].scribble.points: Tuple should have at least 1 item"),
    (
        ("instances", 1, "scribble", "points"),
        [{"x": 0, "y": 0}] * 21,
        "instances[1].scribble.points: Tuple should have at most 20 items",
    ),
    (MASK, {}, "instances[1].mask: give exactly one of rle and polygons"),
    (
        (*MASK, "rle", "counts"),
        [10, 20],
        "instances[1].mask.rle: counts cover 30 pixels, but size 256 x 512 has 131072",
    ),
    ((*MASK, "rle", "counts"), [131072], "instances[1].mask.rle: the mask is empty"),
    ((*MASK, "rle", "counts"), [10, -20, 131082], "instances[1].mask.rle.counts[1]: Input should be greater than"),
    ((*MASK, "rle", "counts"), "!!", "instances[1].mask.rle: counts holds '!', which is no COCO run-length character"),
    ((*MASK, "rle", "counts"), "oooooooooooo0", "instances[1].mask.rle: counts holds a run of more than 45 bits"),
    ((*MASK, "rle", "counts"), "0o", "instances[1].mask.rle: counts ends in the middle of a number"),
    ((*MASK, "rle", "counts"), "0" * (MAX_COUNTS + 1), "instances[1].mask.rle.counts: String should have at most"),
    ((*MASK, "rle", "counts"), 5, "instances[1].mask.rle.counts: Input should be a valid string (got 5)"),
    ((*MASK, "rle", "size"), [512, 256], "instances[1].mask.rle.size = [512, 256] must be the canvas [height, width]"),
    (
        MASK,
        {"polygons": [[{"x": 0, "y": 0}, {"x": 0, "y": 1}, {"x": 0, "y": 0.5}]]},
        "instances[1].mask: polygons[0] has no area",
    ),
]


@pytest.mark.parametrize(("path", "value", "message"), REFUSED, ids=[line[2][:60] for line in REFUSED])
def test_what_is_refused_is_named_by_path_and_value(path, value, message):
    with pytest.raises(LayoutError) as caught:
        layout_from_dict(changed(path, value), source="plan.json")
    assert str(caught.value).startswith("plan.json: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "line 1, column 1: not JSON"),
        (b'{"version": 1,\n "caption": }', "line 2, column 13: not JSON"),
        (b'{"version": NaN}', "NaN is not a number"),
        (b'{"version": -Infinity}', "-Infinity is not a number"),
        (b'{"a": 1, "a": 2}', "the key 'a' appears twice in one object"),
        (b'{"instances": [{"id": 1, "id": 2}]}', "the key 'id' appears twice"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b"7" * 10_000, "not JSON"),
        (b"[]", "Input should be an object"),
        (b'{"version": 1e999}', "version: Input should be 1 (got inf)"),
        (json.dumps(GOOD).encode("utf-16"), "not UTF-8 text (byte 0xff at offset 0): save it as UTF-8"),
        (b'{"caption": "caf\xe9"}', "not UTF-8 text (byte 0xe9 at offset 16)"),
        (json.dumps({**GOOD, "caption": "\ud800"}).encode(), "Invalid JSON"),
    ],
)
def test_files_that_are_no_json_are_refused_with_the_place(tmp_path, data, message):
    path = tmp_path / "plan.json"
    path.write_bytes(data)
    with pytest.raises(LayoutError) as caught:
        read_layout(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_a_byte_order_mark_is_no_error(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(GOOD), encoding="utf-8-sig")
    assert read_layout(path).to_dict() == GOOD


@pytest.mark.parametrize("name", ["missing.json", ".", "nul\0.json"])
def test_files_that_cannot_be_read_are_named(tmp_path, name):
    with pytest.raises(LayoutError, match="cannot be read"):
        read_layout(f"{tmp_path}/{name}")


def test_an_endless_file_is_refused():
    with pytest.raises(LayoutError, match="larger than 32 MiB"):
        read_layout("/dev/zero")


def test_messages_stay_on_printable_lines():
    with pytest.raises(LayoutError) as caught:
        layout_from_dict({**GOOD, "\x1b[31m\nkey" * 50: "value\x1b[0m\n" * 50})
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_many_errors_are_counted_not_listed():
    with pytest.raises(LayoutError, match="and 15 more"):
        layout_from_dict({**GOOD, **{f"key{index}": 1 for index in range(20)}})


def test_python_objects_that_are_no_json_are_refused():
    loop: list = []
    loop.append(loop)
    for data in (loop, {1j: 2}, {"a": object()}, float("nan")):
        with pytest.raises(LayoutError, match="not JSON"):
            layout_from_dict(data)


def test_extent_is_the_box_else_that_of_the_mask():
    layout = layout_from_dict(GOOD)
    assert layout.instance("a").extent() == layout.instance("a").box
    # 20 pixels of the first column, from row 10 on
    assert layout.instance("b").extent() == Box(x0=0, y0=10 / 256, x1=1 / 512, y1=30 / 256)
    assert Instance(id="c", category="c", caption="c", point=Point(x=0, y=0)).extent() is None


def test_who_is_nearest():
    """By depth; then the lower it stands; without a depth behind all that have one."""
    below, above = Box(x0=0, y0=0.5, x1=1, y1=0.9), Box(x0=0, y0=0, x1=1, y1=0.6)
    things = [
        {"depth": 1, "box": above},
        {"box": below},
        {"depth": 0, "box": above},
        {"point": Point(x=0, y=1)},
        {"depth": 1, "scribble": Scribble(points=(Point(x=0, y=0), Point(x=0, y=0.7)))},
    ]
    instances = tuple(Instance(id=f"i{i}", category="x", caption="x", **thing) for i, thing in enumerate(things))
    assert Layout(version=1, caption="x", width=8, height=8, instances=instances).nearest_first() == [2, 4, 0, 3, 1]


def test_the_contract_and_the_formats_need_neither_numpy_nor_torch():
    heavy = "numpy", "torch", "diffusers"
    code = f"import sys, diffusion.layout, diffusion.formats; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
