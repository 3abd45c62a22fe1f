"""Scenes as a level camera over a flat ground sees them, with the text that asks for them: plans without a fault.

Sizes and places follow the pinhole camera exactly, so that whatever the critic finds in them is a false finding, and a
mutation of one has the one fault that it was given.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache

from agent.overlap import iou, shared_area
from agent.parsing.nouns import lookup
from diffusion.layout import Box, Instance, Layout
from tests.agent.critic.prompts import COLOURS, PLACES, a, many

_STANDING = (
    "dog cat horse cow sheep elephant giraffe zebra lion rabbit fox penguin car truck bus tractor bicycle motorcycle "
    "tree house barn bench chair table man woman boy girl robot snowman cactus barrel suitcase"
)
STANDING = _STANDING.split()
FLYING = ("bird", "owl", "butterfly", "airplane", "helicopter", "kite", "balloon", "moon")


@dataclass(frozen=True)
class World:
    """A text and its faultless plan; ``horizon`` is the y of the horizon, ``eye`` the camera's height in metres."""

    text: str
    layout: Layout
    horizon: float
    eye: float

    def box(self, noun: str, bottom: float, left: float) -> Box:
        """Where a thing is seen that stands so low in the picture, its left edge at ``left``."""
        known = lookup(noun)
        height = (bottom - self.horizon) * known.height / self.eye
        return Box(x0=left, y0=bottom - height, x1=left + height * known.aspect, y1=bottom)


@lru_cache(maxsize=4096)
def world(seed: int, size: int = 512) -> World:
    """A world with two of one kind and one to three other things on the ground, at times with one in the sky."""
    rng = random.Random(seed)
    while True:
        made = _attempt(rng, size)
        if made is not None:
            return made


def _attempt(rng: random.Random, size: int) -> World | None:
    empty = Layout(version=1, caption="empty", width=size, height=size, instances=())
    camera = World("", empty, rng.uniform(0.32, 0.5), rng.uniform(1.2, 4.0))
    twins, *others = rng.sample(STANDING, rng.randint(2, 4))
    colour = {noun: rng.choice(COLOURS) for noun in (twins, *others)}
    placed: list[tuple[str, Box]] = []
    for noun in (twins, twins, *others):
        box = _stand(camera, noun, rng, [other for _, other in placed])
        if box is None:
            return None
        placed.append((noun, box))
    listed = [f"two {colour[twins]} {many(twins, 2)}", *(a(f"{colour[noun]} {noun}") for noun in others)]
    if rng.random() < 0.5:
        noun = rng.choice(FLYING)
        box = Box(x0=0.45, y0=0.05, x1=0.6, y1=0.16)
        if any(shared_area(box, other) for _, other in placed):
            return None
        colour[noun] = rng.choice(COLOURS)
        placed.append((noun, box))
        listed.append(a(f"{colour[noun]} {noun}"))
    text = f"{', '.join(listed[:-1])} and {listed[-1]}{rng.choice(PLACES)}"
    return World(text, _layout(text, placed, colour, size), camera.horizon, camera.eye)


def _stand(camera: World, noun: str, rng: random.Random, others: list[Box]) -> Box | None:
    """A place where a thing is seen whole, neither tiny nor huge, and hides little of the others."""
    known = lookup(noun)
    for _ in range(30):
        bottom = rng.uniform(camera.horizon + 0.06, 0.97)
        height = (bottom - camera.horizon) * known.height / camera.eye
        width = height * known.aspect
        if not 0.06 <= height < bottom - 0.02 or not 0.06 <= width <= 0.7:
            continue
        left = rng.uniform(0.02, 0.98 - width)
        box = camera.box(noun, bottom, left)
        if all(
            shared_area(box, other) <= 0.2 * min(box.area, other.area) and iou(box, other) < 0.1 for other in others
        ):
            return box
    return None


def _layout(text: str, placed: list[tuple[str, Box]], colour: dict[str, str], size: int) -> Layout:
    nearest = sorted(range(len(placed)), key=lambda index: -placed[index][1].y1)
    instances = tuple(
        Instance(
            id=f"{noun}_{index + 1}",
            category=noun.capitalize(),
            caption=f"{a(f'{colour[noun]} {noun}')} seen from the side",
            box=box,
            depth=nearest.index(index),
        )
        for index, (noun, box) in enumerate(placed)
    )
    return Layout(version=1, caption=text, width=size, height=size, instances=instances)
