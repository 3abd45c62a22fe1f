"""Good plans with one fault each: the critic finds that fault, and nothing in the plans as they were."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from agent.critic import CODES, critique
from agent.overlap import shared_area
from agent.parsing.nouns import lookup
from diffusion.layout import Box, Instance, Layout
from tests.agent.critic.worlds import STANDING, World, world

WORLDS = 150
TRIED = 60
UNSEEN = 87_000_000
"""The first of the seeds that nothing was tuned on."""

Mutated = tuple[str, Layout, set[str]]
"""The text, the plan with its fault, and the ids that a finding must name (one of them at least)."""


def changed(layout: Layout, instance_id: str, **fields: object) -> Layout:
    instances = (i.model_copy(update=fields) if i.id == instance_id else i for i in layout)
    return layout.model_copy(update={"instances": tuple(instances)})


def box_of(instance: Instance) -> Box:
    assert instance.box is not None
    return instance.box


def standing(made: World) -> list[Instance]:
    return [instance for instance in made.layout if instance.category.lower() in STANDING]


def twins(made: World) -> tuple[Instance, Instance]:
    """The two of a kind, the farther first."""
    far, near = sorted(made.layout.instances[:2], key=lambda instance: box_of(instance).y1)
    return far, near


def is_free(layout: Layout, box: Box, but: str = "") -> bool:
    return all(shared_area(box, box_of(other)) == 0 for other in layout if other.id != but)


def drop(made: World, rng: random.Random) -> Mutated | None:
    lost = rng.choice(made.layout.instances)
    rest = tuple(instance for instance in made.layout if instance is not lost)
    left = {instance.id for instance in rest if instance.category == lost.category}
    return made.text, made.layout.model_copy(update={"instances": rest}), left


def double(made: World, rng: random.Random) -> Mutated | None:
    """One more of a kind, at the same distance beside it."""
    model = rng.choice(made.layout.instances)
    box = box_of(model)
    left = rng.uniform(0, 1 - box.width)
    copy = model.model_copy(update={"id": "more_1", "box": Box(x0=left, y0=box.y0, x1=left + box.width, y1=box.y1)})
    if not is_free(made.layout, box_of(copy)):
        return None
    return made.text, made.layout.model_copy(update={"instances": (*made.layout, copy)}), {"more_1"}


def recolour(made: World, rng: random.Random) -> Mutated | None:
    painted = rng.choice(made.layout.instances)
    colour = painted.caption.split()[1]
    other = "violet" if colour not in ("purple", "violet") else "turquoise"
    return made.text, changed(made.layout, painted.id, caption=painted.caption.replace(colour, other)), {painted.id}


def lift(made: World, rng: random.Random) -> Mutated | None:
    lifted = rng.choice(standing(made))
    box = box_of(lifted)
    bottom = rng.uniform(0.1, 0.28)
    if bottom - box.height < 0.01:
        return None
    above = Box(x0=box.x0, y0=bottom - box.height, x1=box.x1, y1=bottom)
    free = is_free(made.layout, Box(x0=above.x0, y0=above.y0, x1=above.x1, y1=above.y1 + 0.04), but=lifted.id)
    return (made.text, changed(made.layout, lifted.id, box=above), {lifted.id}) if free else None


def shrink_the_nearer(made: World, rng: random.Random) -> Mutated | None:
    far, near = twins(made)
    a, b = box_of(far), box_of(near)
    if b.y1 - a.y1 < 0.07:
        return None
    height = a.height * rng.uniform(0.4, 0.65)
    width = height * a.width / a.height
    if min(height, width) < 0.04:
        return None
    small = Box(x0=b.center.x - width / 2, y0=b.y1 - height, x1=b.center.x + width / 2, y1=b.y1)
    return made.text, changed(made.layout, near.id, box=small), {near.id}


def enlarge(made: World, rng: random.Random) -> Mutated | None:
    """A thing more than twice as high and as large as one that is really half again as large, and no farther away.

    No plant: they grow to any size.
    """
    grown = [instance for instance in standing(made)[2:] if instance.category not in ("Tree", "Cactus")]
    for small in rng.sample(grown, len(grown)):
        for large in standing(made):
            known, other, box, target = lookup(small.category), lookup(large.category), box_of(small), box_of(large)
            really_smaller = known.size * 1.5 < other.size and known.height * 1.5 < other.height
            side = 2.2 * max(target.height / box.height, (target.area / box.area) ** 0.5)
            height, width = side * box.height, side * box.width
            if not really_smaller or box.y1 > target.y1 or height > box.y1 - 0.02 or width > 0.9:
                continue
            left = min(max(box.center.x - width / 2, 0.02), 0.98 - width)
            huge = Box(x0=left, y0=box.y1 - height, x1=left + width, y1=box.y1)
            others = [box_of(other) for other in made.layout if other is not small]
            if side > 1.2 and all(shared_area(huge, other) <= 0.6 * other.area for other in others):
                return made.text, changed(made.layout, small.id, box=huge), {small.id}
    return None


def hide(made: World, rng: random.Random) -> Mutated | None:
    """A thing that is moved sideways until a nearer one covers it."""
    for back in standing(made)[2:]:
        for front in standing(made):
            a, b = box_of(back), box_of(front)
            if (front.depth or 0) < (back.depth or 0) and b.y0 <= a.y0 and a.y1 <= b.y1 and a.width <= b.width:
                left = rng.uniform(b.x0, b.x1 - a.width)
                behind = Box(x0=left, y0=a.y0, x1=left + a.width, y1=a.y1)
                return made.text, changed(made.layout, back.id, box=behind), {back.id}
    return None


def merge(made: World, rng: random.Random) -> Mutated | None:
    far, near = twins(made)
    box = box_of(near)
    shift = rng.uniform(0.0, 0.3) * box.width * rng.choice((-1, 1))
    if not 0.01 <= box.x0 + shift < box.x1 + shift <= 0.99:
        return None
    beside = Box(x0=box.x0 + shift, y0=box.y0, x1=box.x1 + shift, y1=box.y1)
    layout = changed(made.layout, far.id, box=beside)
    alone = is_free(made.layout.model_copy(update={"instances": made.layout.instances[2:]}), beside)
    return (made.text, changed(layout, far.id, depth=near.depth), {near.id, far.id}) if alone else None


def exclude(made: World, rng: random.Random) -> Mutated | None:
    noun = rng.choice([noun for noun in STANDING if noun not in made.text])
    for _ in range(40):
        bottom, left = rng.uniform(made.horizon + 0.05, 0.96), rng.uniform(0.02, 0.6)
        if (box := place(made, noun, bottom, left)) and is_free(made.layout, box):
            unwanted = Instance(id="unwanted_1", category=noun, caption=f"a {noun}", box=box, depth=9)
            layout = made.layout.model_copy(update={"instances": (*made.layout, unwanted)})
            return f"{made.text}, without any {noun}", layout, {"unwanted_1"}
    return None


def place(made: World, noun: str, bottom: float, left: float) -> Box | None:
    known = lookup(noun)
    height = (bottom - made.horizon) * known.height / made.eye
    if not (0.05 < height < bottom - 0.02 and 0.05 < height * known.aspect < 0.97 - left):
        return None
    return made.box(noun, bottom, left)


def too_small(made: World, rng: random.Random) -> Mutated | None:
    """A speck in the sky, where its size says nothing of others."""
    flying = [instance for instance in made.layout if instance not in standing(made)]
    if not flying:
        return None
    box = box_of(flying[0])
    side = rng.uniform(0.3, 0.95) * 16 / made.layout.width
    speck = Box(x0=box.x0, y0=box.y0, x1=box.x0 + side, y1=box.y0 + 2 * side)
    return made.text, changed(made.layout, flying[0].id, box=speck), {flying[0].id}


def cut_off(made: World, rng: random.Random) -> Mutated | None:
    """A thing pushed over the left or the right edge, and its box cut there."""
    pushed = rng.choice(standing(made))
    box = box_of(pushed)
    kept = rng.uniform(0.25, 0.5) * box.width
    if kept < 0.05:
        return None
    rest = {"x0": 0.0, "x1": kept} if rng.random() < 0.5 else {"x0": 1 - kept, "x1": 1.0}
    part = Box(y0=box.y0, y1=box.y1, **rest)
    free = is_free(made.layout, part, but=pushed.id)
    return (made.text, changed(made.layout, pushed.id, box=part), {pushed.id}) if free else None


def swap(made: World, rng: random.Random) -> Mutated | None:
    """Two things whose text says which of them is on the left, the other way round."""
    if len(made.layout.instances) < 4:
        return None
    one, two = sorted(rng.sample(made.layout.instances[2:], 2), key=lambda i: box_of(i).center.x)
    if box_of(two).center.x - box_of(one).center.x < 0.1:
        return None
    nouns = one.category.lower(), two.category.lower()
    words = rng.choice(("The {1} is to the left of the {0}.", "The {0} is to the right of the {1}."))
    return f"{made.text}. {words.format(*nouns)}", made.layout, {one.id, two.id}


MUTATIONS: dict[str, tuple[Callable[[World, random.Random], Mutated | None], str]] = {
    "drop an instance": (drop, "count"),
    "one more of a kind": (double, "count"),
    "another colour": (recolour, "colour"),
    "what the text rules out": (exclude, "excluded"),
    "the other way round": (swap, "relation"),
    "lift off the ground": (lift, "floating"),
    "enlarge the smaller": (enlarge, "size"),
    "shrink the nearer of two": (shrink_the_nearer, "perspective"),
    "hide behind a nearer thing": (hide, "hidden"),
    "a speck": (too_small, "too_small"),
    "two in one place": (merge, "merging"),
    "push over the edge": (cut_off, "cut_off"),
}


def test_every_code_has_a_mutation() -> None:
    assert {code for _, code in MUTATIONS.values()} == set(CODES)


def test_plans_without_a_fault_have_no_finding() -> None:
    found = [
        (made.text, finding)
        for seed in range(UNSEEN, UNSEEN + WORLDS)
        for made in [world(seed)]
        for finding in critique(made.text, made.layout).findings
    ]
    print(f"faultless plans: {len(found)} findings in {WORLDS}")
    assert not found


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_fault_is_found_and_nothing_else(name: str) -> None:
    """Exactly one finding, of the fault's code, that names the instance; measured over unseen worlds."""
    mutate, code = MUTATIONS[name]
    exact, tried, others = 0, 0, []
    for seed in range(UNSEEN, UNSEEN + 10 * WORLDS):
        made = world(seed)
        mutated = mutate(made, random.Random(seed))
        if mutated is None:
            continue
        if tried == TRIED:
            break
        tried += 1
        text, layout, ids = mutated
        findings = critique(text, layout).findings
        if [finding.code for finding in findings] == [code] and (not ids or ids & set(findings[0].ids)):
            exact += 1
        else:
            others.append((seed, text, [f"{finding.code}: {finding.message}" for finding in findings]))
    print(f"{name}: exactly {code} in {exact} of {tried}")
    assert tried >= 20 and exact >= 0.95 * tried, others[:5]
