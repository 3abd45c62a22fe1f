"""What the offline planner reads out of a text: things, counts, attributes, relations, scene, and what is absent."""

from __future__ import annotations

import pytest

from agent.offline import OfflinePlanner
from agent.parsing.naming import caption_of
from agent.parsing.parse import parse
from agent.planner import PlannerError


def things(prompt: str) -> list[tuple[int, str, str]]:
    """(count, category, caption) of each thing."""
    return [(thing.count, thing.noun, caption_of(thing)) for thing in parse(prompt).things]


def relations(prompt: str) -> list[tuple[str, str, tuple[str, ...]]]:
    scene = parse(prompt)
    names = [caption_of(thing) for thing in scene.things]
    return [(r.kind, names[r.subject], tuple(names[index] for index in r.objects)) for r in scene.relations]


@pytest.mark.parametrize(
    ("words", "count", "noun"),
    [
        ("three cats", 3, "cat"),
        ("3 cats", 3, "cat"),
        ("a pair of boots", 2, "boot"),
        ("a pair of scissors", 1, "scissors"),
        ("two skis", 2, "skis"),
        ("a couple of geese", 2, "goose"),
        ("a dozen eggs", 12, "egg"),
        ("half a dozen eggs", 6, "egg"),
        ("a row of five lanterns", 5, "lantern"),
        ("a small group of three wolves", 3, "wolf"),
        ("two pairs of shoes", 4, "shoe"),
        ("twenty-one sheep", 21, "sheep"),
        ("twenty two mice", 22, "mouse"),
        ("exactly four knives", 4, "knife"),
        ("at least two wine glasses", 2, "wine glass"),
        ("both children", 2, "child"),
        ("a single teddy bear", 1, "teddy bear"),
        ("six people", 6, "person"),
        ("three toothbrushs", 3, "toothbrush"),
        ("four computer mouses", 4, "computer mouse"),
        ("two gnarled walruses", 2, "walrus"),
        ("five cacti", 5, "cactus"),
        ("7 zorbles", 7, "zorble"),
    ],
)
def test_counts_and_plurals(words: str, count: int, noun: str) -> None:
    assert [(c, n) for c, n, _ in things(f"a photo of {words}")] == [(count, noun)]


@pytest.mark.parametrize(
    "words", ["several owls", "a few owls", "owls", "a flock of owls", "many owls", "lots of owls"]
)
def test_an_inexact_count_is_planned_and_said(words: str) -> None:
    scene = parse(words)
    assert scene.things[0].noun == "owl"
    assert 2 <= scene.things[0].count <= 8
    assert any(f"planned {scene.things[0].count}" in note for note in scene.notes)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("an old wooden boat", [(1, "boat", "an old wooden boat")]),
        ("a black and white dog", [(1, "dog", "a black and white dog")]),
        ("a large, furry, grey wolf", [(1, "wolf", "a large furry grey wolf")]),
        ("a red-colored car and a blue coloured dog", [(1, "car", "a red car"), (1, "dog", "a blue dog")]),
        ("a red ball and cube", [(1, "ball", "a red ball"), (1, "cube", "a cube")]),
        ("a red and a blue ball", [(1, "ball", "a red ball"), (1, "ball", "a blue ball")]),
        ("three red and two blue cubes", [(3, "cube", "a red cube"), (2, "cube", "a blue cube")]),
        ("an orange", [(1, "orange", "an orange")]),
        ("an orange orange", [(1, "orange", "an orange orange")]),
        ("a glass vase", [(1, "vase", "a glass vase")]),
        ("a glass on a stone", [(1, "glass", "a glass"), (1, "stone", "a stone")]),
        ("a cup of coffee", [(1, "cup", "a cup of coffee")]),
        ("a slice of pizza", [(1, "pizza", "a slice of pizza")]),
        ("a cat with blue eyes", [(1, "cat", "a cat with blue eyes")]),
        ("a man in a black suit", [(1, "man", "a man in a black suit")]),
        ("the car is red", [(1, "car", "a red car")]),
        ("a ball that is red and a cube which is blue", [(1, "ball", "a red ball"), (1, "cube", "a blue cube")]),
        ("a hair drier and a fire hydrant", [(1, "hair drier", "a hair drier"), (1, "fire hydrant", "a fire hydrant")]),
        ("a red traffic light", [(1, "traffic light", "a red traffic light")]),
        ("a flower pot", [(1, "flower pot", "a flower pot")]),
        ("a dog sleeping", [(1, "dog", "a dog sleeping")]),
        ("only a red ball", [(1, "ball", "a red ball")]),
        ("red ball blue cube", [(1, "ball", "a red ball"), (1, "cube", "a blue cube")]),
        ("a lemon yellow car", [(1, "car", "a lemon yellow car")]),
        ("two cats both sleeping", [(2, "cat", "a cat sleeping")]),
        ("two cats are wearing hats", [(2, "cat", "a cat"), (3, "hat", "a hat")]),
        ("three cats each holding two balloons", [(3, "cat", "a cat"), (6, "balloon", "a balloon")]),
        (
            "three boats: a red one, a blue one and a green one",
            [(1, "boat", "a green boat"), (1, "boat", "a red boat"), (1, "boat", "a blue boat")],
        ),
    ],
)
def test_attributes_stay_with_their_noun(prompt: str, expected: list[tuple[int, str, str]]) -> None:
    assert things(prompt) == expected


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a fox to the left of a well", [("left", "a fox", ("a well",))]),
        ("a fox right of a well", [("right", "a fox", ("a well",))]),
        ("a fox is above a well", [("above", "a fox", ("a well",))]),
        ("a fox underneath a tent", [("under", "a fox", ("a tent",))]),
        ("a fox on top of a barrel", [("on", "a fox", ("a barrel",))]),
        ("a fox stands behind a barrel", [("behind", "a fox", ("a barrel",))]),
        ("a fox next to a barrel", [("near", "a fox", ("a barrel",))]),
        ("a fox between a barrel and a tent", [("between", "a fox", ("a barrel", "a tent"))]),
        ("an egg in a basket", [("inside", "an egg", ("a basket",))]),
        ("In front of the barn stands a cow", [("front", "a cow", ("a barn",))]),
        ("a man riding a camel", [("on", "a man", ("a camel",))]),
        ("a girl holding a kite", [("held", "a kite", ("a girl",))]),
        ("a vase with a rose", [("inside", "a rose", ("a vase",))]),
        ("a dog and a cat. The dog is left of the cat.", [("left", "a dog", ("a cat",))]),
        ("a tent. To its right there is a canoe.", [("right", "a canoe", ("a tent",))]),
        ("a fox left of a well and above a drum", [("left", "a fox", ("a well",)), ("above", "a fox", ("a drum",))]),
        ("a fox and a hen on a bench", [("on", "a fox", ("a bench",)), ("on", "a hen", ("a bench",))]),
        ("a kite, a drum left of a well", [("left", "a drum", ("a well",))]),
        (
            "from left to right: a cup, a heart and a star",
            [("left", "a cup", ("a heart",)), ("left", "a heart", ("a star",))],
        ),
        ("a house with a tree behind it", [("behind", "a tree", ("a house",))]),
        ("a barn with a cow in front", [("front", "a cow", ("a barn",))]),
        ("a barn with a kite in the sky", []),
        (
            "a desk with a lamp, a book and a cup",
            [("on", f"a {noun}", ("a desk",)) for noun in ("lamp", "book", "cup")],
        ),
        (
            "two birds, one red and one blue, above a tree",
            [("above", "a blue bird", ("a tree",)), ("above", "a red bird", ("a tree",))],
        ),
        (
            "a cup, left of it a drum, right of it a harp",
            [("left", "a drum", ("a cup",)), ("right", "a harp", ("a cup",))],
        ),
        ("a vase with a rose on a shelf", [("inside", "a rose", ("a vase",)), ("on", "a vase", ("a shelf",))]),
        ("a woman wearing a hat holding a cup", [("worn", "a hat", ("a woman",)), ("held", "a cup", ("a woman",))]),
        ("two cups on either side of a cat", [("left", "a cup", ("a cat",)), ("right", "a cup", ("a cat",))]),
    ],
)
def test_relations(prompt: str, expected: list[tuple[str, str, tuple[str, ...]]]) -> None:
    assert relations(prompt) == expected


@pytest.mark.parametrize(
    ("prompt", "regions"),
    [
        ("a drum on the left and a harp on the right", {"drum": ["left"], "harp": ["right"]}),
        ("a drum in the top left corner of the image", {"drum": ["top left"]}),
        ("at the bottom of the picture, a drum; at the top, a kite", {"drum": ["bottom"], "kite": ["top"]}),
        ("a drum in the middle", {"drum": ["center"]}),
        ("a drum in the middle of a snowy field", {"drum": ["center"]}),
        ("On the left there is a drum and on the right a kite", {"drum": ["left"], "kite": ["right"]}),
        ("two drums, one on the left and one on the right", {"drum": ["left", "right"]}),
    ],
)
def test_regions(prompt: str, regions: dict[str, list[str]]) -> None:
    found: dict[str, list[str]] = {}
    for thing in parse(prompt).things:
        found.setdefault(thing.noun, []).extend(thing.regions)
    assert {noun: sorted(names) for noun, names in found.items() if names} == regions


NESTED = ("house", "castle", "table", "boat", "barn", "tower")
AROUND = ("behind", "in front of", "next to", "left of", "to the right of")
KINDS = {"behind": "behind", "in front of": "front", "next to": "near", "left of": "left", "to the right of": "right"}


@pytest.mark.parametrize("owner", NESTED)
@pytest.mark.parametrize("joint", [" and ", ", ", ", and "])
@pytest.mark.parametrize("again", ["it", "the {}"])
def test_what_stands_around_a_thing_is_placed_by_it_and_the_thing_itself_nowhere(
    owner: str, joint: str, again: str
) -> None:
    for first in AROUND:
        for second in AROUND:
            prompt = f"a yellow {owner} with a tree {first} it{joint}a red car {second} {again.format(owner)}"
            thing = f"a yellow {owner}"
            assert relations(prompt) == [(KINDS[first], "a tree", (thing,)), (KINDS[second], "a red car", (thing,))]
            assert not parse(prompt).notes, prompt


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a mill with a pond beside it and a cow next to a fence", [("near", "a cow", ("a fence",))]),
        ("a desk with a lamp and a stool next to it",
         [("on", "a lamp", ("a desk",)), ("near", "a stool", ("a desk",))]),
        ("a car with a dog beside it and a cat", [("near", "a dog", ("a car",))]),
        ("a vase with a rose in it and a candle left of the vase",
         [("inside", "a rose", ("a vase",)), ("left", "a candle", ("a vase",))]),
        ("a star above a barn that has a tree beside it and a cow in front of it",
         [("above", "a star", ("a barn",)), ("near", "a tree", ("a barn",)), ("front", "a cow", ("a barn",))]),
    ],
)  # fmt: skip
def test_what_is_listed_after_with_belongs_to_its_owner_until_it_is_placed_elsewhere(
    prompt: str, expected: list[tuple[str, str, tuple[str, ...]]]
) -> None:
    assert relations(prompt) == expected


@pytest.mark.parametrize("scene", ["a lake", "green grass", "a city skyline", "a forest"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_the_side_of_a_part_of_the_scene_is_not_that_of_a_thing_before(scene: str, side: str) -> None:
    assert [thing.regions for thing in parse(f"a dog on a log, {scene} on the {side}").things] == [[], []]
    assert parse(f"a dog in {scene} on the {side}").things[0].regions == [side]


@pytest.mark.parametrize(
    ("prompt", "background"),
    [
        ("a drum on green grass", ["green grass"]),
        ("a drum in a snowy field under a starry sky", ["a snowy field", "a starry sky"]),
        ("two boats at the beach at sunset", ["beach", "sunset"]),
        ("two cups on a wooden table", ["a wooden table"]),
        ("a foggy forest with an owl", ["a foggy forest"]),
        ("an owl in an old cathedral", ["an old cathedral"]),
        ("an owl with mountains in the background", ["mountains"]),
    ],
)
def test_scenes_are_the_background_and_no_things(prompt: str, background: list[str]) -> None:
    scene = parse(prompt)
    assert scene.background == background
    assert len(scene.things) == 1


@pytest.mark.parametrize(
    "prompt",
    [
        "a photo of an owl",
        "A watercolor painting of an owl",
        "An oil painting of an owl in the style of Rembrandt",
        "an owl, digital art, highly detailed, 4k",
        "A realistic photo of a scene with an owl",
        "an image showing an owl",
        "Please draw me a picture of an owl",
        "I want an oil painting of an owl",
    ],
)
def test_styles_are_no_things(prompt: str) -> None:
    scene = parse(prompt)
    assert [thing.noun for thing in scene.things] == ["owl"]
    assert scene.style


@pytest.mark.parametrize(
    ("prompt", "negative", "nouns"),
    [
        ("a street without cars", "cars", []),
        ("an owl, no trees or bushes", "trees, bushes", ["owl"]),
        ("There are no knives in the scene", "knives, knife", []),
        ("there isn't any dog; there are 2 cats", "dog", ["cat"]),
        ("no dogs and two cats", "dogs", ["cat"]),
        ("a tent but no fire", "fire", ["tent"]),
        ("0 tents and an owl", "tents", ["owl"]),
        ("an owl that is not white", "white owl", ["owl"]),
        ("neither cats nor dogs, just three birds", "cats, dogs", ["bird"]),
        ("a scene that does not contain any skis", "skis", []),
        ("no cats, only a dog", "cats", ["dog"]),
        ("a red ball and nothing else", "", ["ball"]),
        ("a tent with nothing on it", "", ["tent"]),
    ],
)
def test_what_is_ruled_out_is_negative_and_no_thing(prompt: str, negative: str, nouns: list[str]) -> None:
    layout = OfflinePlanner().plan(prompt, width=512, height=512, seed=0).layout
    assert layout.negative_prompt == negative
    assert list(dict.fromkeys(instance.category for instance in layout)) == nouns


def test_unknown_words_are_reported_and_kept_in_the_caption() -> None:
    plan = OfflinePlanner().plan("a galloping horse left of a frumious zorble", width=512, height=512, seed=0)
    assert [instance.caption for instance in plan.layout] == ["a galloping horse", "a frumious zorble"]
    notes = "\n".join(plan.notes)
    assert "not understood: 'frumious'" in notes
    assert "'zorble'" in notes


def test_a_contradiction_is_planned_and_said() -> None:
    plan = OfflinePlanner().plan("two cats, no cats", width=512, height=512, seed=0)
    assert len(plan.layout.instances) == 2
    assert plan.layout.negative_prompt == ""
    assert any("ruled out" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("", "empty"),
        ("   \n", "empty"),
        ("?!...", "no thing"),
        ("nothing at all", "no thing"),
        ("a cat\x07", "control character"),
        ("a cat \ud800", "surrogate"),
        ("cat " * 1001, "4000"),
        ("31 cats", "at most 30"),
        ("999999999 cats", "at most 30"),
        ("hundreds of birds", "at most 30"),
        ("-3 dogs", "whole number"),
        ("1.5 apples", "whole number"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_words(prompt: str, words: str) -> None:
    with pytest.raises(PlannerError, match=words):
        parse(prompt)
