"""LMD's text form."""

import pytest

LMD = """Caption: a car beside a truck, seen from above
Objects: [('a green car', [21, 281, 211, 159]),
          ('a truck', (269, 283, 209.5, 160))]
Background prompt: a landscape
Negative prompt: people
"""


def test_lmd_text_with_all_its_labels(read):
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


def test_lmd_text_as_the_planner_answers_it(read):
    layout = read("[('a dog', [1, 2, 300, 400])]\nBackground prompt: a park\nNegative prompt: None\n").layout
    assert (layout.caption, layout.negative_prompt) == ("a park with a dog", "")


@pytest.mark.parametrize("objects", ["[]", "No objects", ""])
def test_lmd_text_without_objects(objects, read):
    layout = read(f"Objects: {objects}\nBackground prompt: an empty street\nNegative prompt:").layout
    assert layout.caption == "an empty street" and layout.instances == ()


def test_lmd_takes_another_canvas(read):
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
        ("Objects: [" + "('a', [1, 2, 3, 4])," * 31 + "]", "at most 30 are allowed"),
        ("Objects: []", "caption: String should have at least 1 character"),
    ],
)
def test_what_is_wrong_in_lmd_text_is_named_by_line_or_object(text, message, refusal):
    assert message in refusal(text)


def test_lmd_text_in_corners_is_refused_with_the_reading_that_fits(refusal):
    message = refusal("[('a dog', [250, 280, 480, 430]), ('a cat', [20, 280, 240, 430])]\nBackground prompt: a park")
    assert "objects[0].box = [250, 280, 480, 430]" in message and "--bbox xyxy" in message
