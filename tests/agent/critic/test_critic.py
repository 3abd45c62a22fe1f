"""Single judgements of the critic, and that it takes whatever a Layout and a text can be."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.critic import CODES, critique
from diffusion.layout import MAX_INSTANCES, Box, Instance, Layout, Point
from tests.eval.oracle import scene

NUMBERS = st.floats(0, 1, allow_nan=False)
WORDS = st.one_of(
    st.text(min_size=1, max_size=30).filter(str.strip),
    st.sampled_from(
        ("dog", "two red dogs", "no cats", "a man on a horse", "a cup of tea left of a plate", "PERSON", "-")
    ),
)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x0, x1 = sorted((draw(NUMBERS), draw(NUMBERS)))
    y0, y1 = sorted((draw(NUMBERS), draw(NUMBERS)))
    return Box(x0=x0 * 0.9, y0=y0 * 0.9, x1=x0 * 0.9 + max(x1 - x0, 1e-6) * 0.1, y1=y0 * 0.9 + max(y1 - y0, 1e-6) * 0.1)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    instances = []
    for number in range(draw(st.integers(0, min(6, MAX_INSTANCES)))):
        box = draw(st.one_of(st.none(), boxes()))
        instances.append(
            Instance(
                id=f"i{number}",
                category=draw(WORDS),
                caption=draw(WORDS),
                box=box,
                point=None if box else Point(x=0.5, y=0.5),
                depth=draw(st.one_of(st.none(), st.integers(0, 9))),
            )
        )
    side = st.integers(8, 4000)
    return Layout(version=1, caption="a", width=draw(side), height=draw(side), instances=tuple(instances))


@given(text=WORDS, layout=layouts())
@settings(max_examples=150)
def test_any_plan_and_text_get_a_verdict_in_plain_json(text: str, layout: Layout) -> None:
    said = critique(text, layout)
    for finding in said.findings:
        assert finding.code in CODES and finding.message
        assert set(finding.ids) <= {instance.id for instance in layout}
        assert all(math.isfinite(number) for number in finding.numbers.values())
        json.dumps(finding.to_dict(), allow_nan=False)
    assert critique(text, layout) == said


def codes(text: str, *things: tuple[str, tuple[float, float, float, float]]) -> list[str]:
    return [finding.code for finding in critique(text, scene(*things, width=512, height=512)).findings]


CAR, FAR_LEFT, RIGHT = (0.6, 0.6, 0.95, 0.8), (0.05, 0.55, 0.3, 0.8), (0.65, 0.5, 0.9, 0.8)


@pytest.mark.parametrize(
    "text", ["a dog", "a small dog", "a dog in a city", "a crowd", "zorbles and a dog", "trees", ""]
)
def test_what_a_text_leaves_open_is_no_fault(text: str) -> None:
    assert codes(text, ("a small brown dog", FAR_LEFT), ("a tree", RIGHT), ("a tree", (0.35, 0.2, 0.6, 0.8))) == []


@pytest.mark.parametrize("text", ["several dogs", "a city with dogs", "about three dogs", "two dogs"])
def test_one_is_not_several(text: str) -> None:
    assert codes(text, ("a brown dog", FAR_LEFT)) == ["count"]
    assert codes(text, ("a brown dog", FAR_LEFT), ("a white dog", RIGHT)) == []


@pytest.mark.parametrize(
    ("caption", "said"),
    [("a crimson car", []), ("a car painted dark red", []), ("a blue car", ["colour"]), ("a car", ["colour"])],
)
def test_a_colour_is_asked_for_by_family(caption: str, said: list[str]) -> None:
    things = ((caption, CAR),) if caption.endswith("car") else ((f"{caption} car", CAR),)
    assert codes("a red car", *things) == said


def test_colours_are_given_to_the_instances_so_that_as_few_as_possible_are_wrong() -> None:
    left, middle, right = ((x, 0.5, x + 0.2, 0.7) for x in (0.05, 0.35, 0.65))
    text = "two red balls and a blue ball"
    assert codes(text, ("a blue ball", left), ("a red ball", middle), ("a red ball", right)) == []
    assert codes(text, ("a blue ball", left), ("a blue ball", middle), ("a red ball", right)) == ["colour"]


@pytest.mark.parametrize("names", [("puppy", "dog"), ("man", "person"), ("sofa", "couch"), ("sports car", "car")])
def test_another_word_for_what_the_text_names_is_no_other_thing(names: tuple[str, str]) -> None:
    planned, asked = names
    assert codes(f"a {asked}", (f"a {planned}", (0.3, 0.4, 0.7, 0.8))) == []


def test_a_thing_that_its_caption_or_the_text_holds_up_does_not_float() -> None:
    top = (0.4, 0.05, 0.6, 0.22)
    assert codes("a car", ("a car", top)) == ["floating"]
    assert codes("a car", ("a flying car", top)) == []
    assert codes("a car at the top", ("a car", top)) == []
    assert codes("a car seen from above", ("a car", top)) == []
    assert codes("a dog flying a kite", ("a dog", top), ("a kite", (0.7, 0.02, 0.8, 0.1))) == ["floating"]


def test_sizes_that_the_text_asks_for_are_right() -> None:
    mouse, elephant = (0.05, 0.2, 0.5, 0.9), (0.6, 0.6, 0.95, 0.9)
    assert codes("a dog and an elephant", ("a dog", mouse), ("an elephant", elephant)) == ["size"]
    assert codes("a giant dog and an elephant", ("a giant dog", mouse), ("an elephant", elephant)) == []
    assert codes("a dog and a tiny elephant", ("a dog", mouse), ("an elephant", elephant)) == []


def test_a_text_that_cannot_be_read_is_said_and_the_boxes_are_judged_all_the_same() -> None:
    said = critique("900 dogs", scene(("a car", (0.4, 0.05, 0.6, 0.22)), width=512, height=512))
    assert [finding.code for finding in said.findings] == ["floating"]
    assert "not compared with its text" in said.notes[0]
