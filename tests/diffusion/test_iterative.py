"""Edits between plans, and pictures that keep what no edit concerns."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffusion.formats import read_one
from diffusion.iterative import edited_boxes, edits, keep_unchanged, other_words
from diffusion.layout import LayoutError, Point, Scribble
from tests.diffusion.small import CELL, SIDE, box, noise, plan, small_pipeline, thing
from tests.diffusion.test_layout import layouts

DATA = Path(__file__).parents[1] / "data"
DEMOS = [DATA / f"layouts/demo_iterative_r{number}.json" for number in range(1, 6)]


def kinds(before, after) -> dict[str, str]:
    return {edit.id: edit.kind for edit in edits(before, after)}


def test_the_published_example_adds_replaces_and_resizes():
    rounds = [read_one(path, clip=True).layout for path in DEMOS]
    assert [kinds(a, b) for a, b in pairwise(rounds)] == [
        {"flowers-1": "added", "donut-1": "added"},
        {"candle-1": "replaced"},
        {"flowers-1": "resized"},
        {"candle-1": "resized"},
    ]
    boxes = edited_boxes(edits(rounds[2], rounds[3]))
    assert [round(b.x0 * 768) for b in boxes] == [460, 230] and [round(b.x1 * 768) for b in boxes] == [751, 752]


def test_the_example_of_the_tiny_world_does_likewise():
    rounds = [read_one(path).layout for path in sorted((DATA / "iterations").glob("r*.json"))]
    assert [kinds(a, b) for a, b in pairwise(rounds)] == [
        {"tree-1": "added", "cube-1": "added"},
        {"mushroom-1": "replaced"},
        {"tree-1": "moved"},
        {"mushroom-1": "resized"},
    ]


@pytest.mark.parametrize(
    ("after", "kind"),
    [
        ({"box": box((0.5, 0.1, 0.95, 0.6))}, "moved"),
        ({"box": box((0.0, 0.1, 0.6, 0.6))}, "resized"),
        ({"caption": "a blue ball"}, "replaced"),
        ({"caption": "a blue ball", "box": box((0.5, 0.1, 0.95, 0.6))}, "replaced"),
        ({"depth": 3}, "changed"),
        ({"point": Point(x=0.1, y=0.2)}, "changed"),
    ],
)
def test_an_instance_of_the_same_id_is_edited(after, kind):
    assert kinds(plan(thing(0), thing(1)), plan(thing(0).model_copy(update=after), thing(1))) == {"i0": kind}


def test_another_instance_in_the_same_place_replaces_it():
    other = thing(1, box=thing(0).box)
    (edit,) = edits(plan(thing(0)), plan(other))
    assert (edit.kind, edit.before, edit.after) == ("replaced", thing(0), other)


HERE, THERE = Point(x=0.1, y=0.1), Point(x=0.9, y=0.9)
LINE = Scribble(points=(HERE, THERE))


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (thing(0, point=THERE), {"i0": "moved"}),
        (thing(0, point=HERE).model_copy(update={"depth": 3}), {"i0": "changed"}),
        (thing(0), {"i0": "resized"}),
        (thing(1, point=THERE), {"i1": "added", "i0": "removed"}),
        (thing(1, point=HERE), {"i1": "replaced"}),
        (thing(1, scribble=LINE), {"i1": "added", "i0": "removed"}),
    ],
)
def test_points_are_places_too(after, expected):
    assert kinds(plan(thing(0, point=HERE)), plan(after)) == expected


def test_so_are_scribbles():
    assert kinds(plan(thing(0, scribble=LINE)), plan(thing(1, scribble=LINE))) == {"i1": "replaced"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, []),
        ({"background": "grass"}, []),
        ({"background": "snow"}, ["background"]),
        ({"caption": "a red ball in snow", "background": "snow"}, ["caption", "background"]),
        ({"negative_prompt": "birds"}, ["negative prompt"]),
        ({"caption": "in the snow", "negative_prompt": "birds"}, ["caption", "negative prompt"]),
    ],
)
def test_only_words_that_are_drawn_from_count(fields, expected):
    assert other_words(plan(thing(0)), plan(thing(0), **fields)) == expected


def test_one_of_two_equal_instances_is_removed():
    twin = thing(0).model_copy(update={"id": "twin"})
    assert list(kinds(plan(thing(0), twin), plan(twin)).values()) == ["removed"]


@given(layouts(), st.randoms())
def test_order_and_names_are_no_edits(layout, random):
    shuffled = [i.model_copy(update={"id": f"new{n}"}) for n, i in enumerate(layout)]
    random.shuffle(shuffled)
    assert edits(layout, layout.model_copy(update={"instances": tuple(shuffled)})) == []


@given(layouts())
def test_going_back_edits_as_many_boxes(layout):
    empty = layout.model_copy(update={"instances": ()})
    forth, back = edits(empty, layout), edits(layout, empty)
    assert {e.kind for e in forth} <= {"added"} and {e.kind for e in back} <= {"removed"}
    assert [e.after for e in forth] == [e.before for e in back] == list(layout)


def test_canvases_of_different_sizes_are_no_iterations():
    with pytest.raises(LayoutError, match=r"32 x 32 and 64 x 64"):
        edits(plan(thing(0)), plan(thing(0), side=64))


def test_a_point_says_nothing_of_the_region():
    with pytest.raises(LayoutError, match="i1 is added and has neither a box nor a mask"):
        keep_unchanged([plan(thing(0)), plan(thing(0), thing(1, point=Point(x=0.5, y=0.5)))])


def test_what_no_edit_concerns_is_held_and_what_one_concerns_is_not():
    pipeline, seen = small_pipeline(), []
    plans = [plan(thing(0), thing(1)), plan(thing(0), thing(1), thing(2)), plan(thing(0), thing(2))]
    keep = keep_unchanged(plans)

    def watched(*arguments):
        seen.append(keep(*arguments)["latents"])
        return {"latents": seen[-1]}

    start = noise().expand(3, -1, -1, -1)
    drawn = pipeline(plans, latents=start, output_type="latent", callback_on_step_end=watched).images
    for index, edited in ((1, thing(2).box), (2, thing(1).box)):
        held = [(latents[index] == latents[index - 1]).all(0) for latents in seen]
        inside = cells_of(edited)
        assert all(same[~inside].all() and not same[inside].any() for same in held[:3])
        assert not held[3].any()
    assert torch.allclose(drawn[:1], pipeline(plans[0], latents=start[:1], output_type="latent").images, atol=2e-5)


def cells_of(box) -> torch.Tensor:
    cells = SIDE // CELL
    x0, y0, x1, y1 = (side * cells for side in box.xyxy())
    inside = torch.zeros(cells, cells, dtype=torch.bool)
    inside[math.floor(y0) : math.ceil(y1), math.floor(x0) : math.ceil(x1)] = True
    return inside
