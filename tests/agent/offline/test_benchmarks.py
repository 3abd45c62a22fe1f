"""Prompts of the kinds that LMD and GenEval ask, over all COCO nouns: do the offline plans satisfy them?

The prompts are made here from the kinds' published descriptions; the checks read the plan alone. Position is judged
as GenEval judges it, from centres and sizes, and as LMD does, by which half of the canvas holds the centre.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator

import inflect
import pytest

from agent.offline import OfflinePlanner
from agent.planner import PlannerError
from diffusion.layout import Box, Layout
from diffusion.tiny.vocabulary import background_of, describe
from diffusion.tiny.world import sample_scene

_COCO = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign, "
    "parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, "
    "handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, "
    "skateboard, surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, "
    "sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining "
    "table, toilet, tv, laptop, computer mouse, tv remote, computer keyboard, cell phone, microwave, oven, "
    "toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear, hair drier, toothbrush"
)
COCO = _COCO.split(", ")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "gray")
WORDS = ("zero", "one", "two", "three", "four", "five")
OPENINGS = (
    "A realistic photo of a scene",
    "A photo-realistic picture of a room",
    "an oil painting of a scene",
    "an image",
)
Case = tuple[str, Callable[[Layout], bool]]

_english = inflect.engine()


def plural(noun: str) -> str:
    return noun if noun in ("skis", "scissors") else _english.plural_noun(noun)


def careless_plural(noun: str) -> str:
    """The plural as a generator of prompts writes it that knows no exceptions."""
    return noun + ("es" if noun.endswith("s") else "s")


def a(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def categories(layout: Layout) -> list[str]:
    return [instance.category for instance in layout]


def box(layout: Layout, noun: str) -> Box:
    return next(instance.box for instance in layout if instance.category == noun and instance.box)


def coloured(layout: Layout, noun: str, colour: str) -> bool:
    return [colour in instance.caption.split() for instance in layout if instance.category == noun] == [True]


def position(first: Box, second: Box) -> set[str]:
    """The directions in which the first lies from the second: more than half of the way, sizes discounted."""
    dx, dy = first.center.x - second.center.x, first.center.y - second.center.y
    distance = math.hypot(dx, dy)
    over_x = max(abs(dx) - 0.1 * (first.width + second.width), 0) / distance
    over_y = max(abs(dy) - 0.1 * (first.height + second.height), 0) / distance
    horizontal = {"left of" if dx < 0 else "right of"} if over_x > 0.5 else set()
    return horizontal | ({"above" if dy < 0 else "below"} if over_y > 0.5 else set())


def geneval(rng: random.Random) -> Iterator[tuple[str, Case]]:
    """One prompt of each of GenEval's six kinds, with what a plan must satisfy."""
    one, two = rng.sample(COCO, 2)
    red, blue = rng.sample(COLOURS, 2)
    count = rng.randint(2, 4)
    where = rng.choice(("left of", "right of", "above", "below"))
    many = rng.choice((plural, careless_plural))(one)
    yield "single object", (f"a photo of {a(one)}", lambda plan: categories(plan) == [one])
    yield "two objects", (f"a photo of {a(one)} and {a(two)}", lambda plan: categories(plan) == [one, two])
    yield "counting", (f"a photo of {WORDS[count]} {many}", lambda plan: categories(plan) == [one] * count)
    yield "colours", (f"a photo of {a(red)} {one}", lambda plan: coloured(plan, one, red) and len(plan.instances) == 1)
    yield (
        "position",
        (
            f"a photo of {a(one)} {where} {a(two)}",
            lambda plan: len(plan.instances) == 2 and where in position(box(plan, one), box(plan, two)),
        ),
    )
    yield (
        "colour attribution",
        (
            f"a photo of {a(red)} {one} and {a(blue)} {two}",
            lambda plan: coloured(plan, one, red) and coloured(plan, two, blue) and len(plan.instances) == 2,
        ),
    )


def lmd(rng: random.Random) -> Iterator[tuple[str, Case]]:
    """One prompt of each of LMD's four kinds."""
    one, two = rng.sample(COCO, 2)
    red, blue = rng.sample(COLOURS, 2)
    count, opening = rng.randint(1, 5), rng.choice(OPENINGS)
    here, there = rng.choice((("left", "right"), ("right", "left"), ("top", "bottom"), ("bottom", "top")))
    without = rng.choice(("{0} without {1}", "{0} with no {1}", "{0}, no {1}", "There are no {1} in the picture"))
    counted = plural(one) if count > 1 else one
    half = {
        "left": lambda b: b.center.x < 0.4, "right": lambda b: b.center.x > 0.6,
        "top": lambda b: b.center.y < 0.4, "bottom": lambda b: b.center.y > 0.6,
    }  # fmt: skip
    yield (
        "negation",
        (
            without.format(opening, plural(one)),
            lambda plan: not plan.instances and plural(one) in plan.negative_prompt,
        ),
    )
    number = rng.choice((WORDS[count], str(count)))
    yield "numeracy", (f"{opening} with {number} {counted}", lambda plan: categories(plan) == [one] * count)
    yield (
        "attribution",
        (
            f"{opening} with {a(red)} {one} and {a(blue)} {two}",
            lambda plan: coloured(plan, one, red) and coloured(plan, two, blue) and len(plan.instances) == 2,
        ),
    )
    yield (
        "spatial",
        (
            f"{opening} with {a(one)} on the {here} and {a(two)} on the {there}",
            lambda plan: len(plan.instances) == 2 and half[here](box(plan, one)) and half[there](box(plan, two)),
        ),
    )


@pytest.mark.parametrize(("suite", "rounds", "needed"), [(lmd, 100, 0.98), (geneval, 90, 0.97)])
def test_plans_satisfy_benchmark_prompts(
    suite: Callable[[random.Random], Iterator[tuple[str, Case]]], rounds: int, needed: float
) -> None:
    rng, planner = random.Random(20), OfflinePlanner()
    passed: dict[str, list[bool]] = {}
    failures = []
    for seed in range(rounds):
        for kind, (prompt, satisfied) in suite(rng):
            try:
                good = satisfied(planner.plan(prompt, width=512, height=512, seed=seed).layout)
            except PlannerError as error:
                good, prompt = False, f"{prompt}: {error}"
            passed.setdefault(kind, []).append(good)
            failures += [] if good else [f"{kind}: {prompt}"]
    total = sum(map(len, passed.values()))
    satisfied_count = sum(map(sum, passed.values()))
    table = ", ".join(f"{kind} {sum(results)}/{len(results)}" for kind, results in passed.items())
    print(f"{suite.__name__}: {satisfied_count}/{total} ({table})")
    assert satisfied_count / total >= needed, failures[:20]


def looks(layout: Layout) -> Counter[tuple[str | None, str | None, str | None]]:
    """Kind, colour and texture of every instance; plain is what things are when nothing is said."""
    found = (describe(instance.caption) for instance in layout)
    return Counter((look.kind, look.colour, None if look.texture == "plain" else look.texture) for look in found)


def test_captions_of_drawn_scenes_are_planned_as_what_was_drawn() -> None:
    planner, failures = OfflinePlanner(), []
    for seed in range(120):
        scene = sample_scene(seed, "any", size=64)
        plan = planner.plan(scene.caption, width=512, height=512, seed=seed).layout
        unknown = [instance.caption for instance in plan if describe(instance.caption).unknown_words]
        if looks(plan) != looks(scene.layout()) or unknown:
            failures.append((scene.caption, [instance.caption for instance in plan]))
        if background_of(plan.background) != background_of(scene.caption):
            failures.append((scene.caption, [plan.background]))
    assert not failures
