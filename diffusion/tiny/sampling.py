"""What a random scene of the tiny world holds and where: kinds, looks, boxes and depth, all from a generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from diffusion.layout import Box
from diffusion.tiny.vocabulary import COLOURS, KINDS, TEXTURES

Split = Literal["train", "held_out", "any"]

HELD_OUT: frozenset[tuple[str, str]] = frozenset(
    {
        ("black", "flower"),
        ("black", "balloon"),
        ("white", "mushroom"),
        ("white", "star"),
        ("red", "moon"),
        ("green", "cup"),
        ("green", "heart"),
        ("blue", "cat"),
        ("blue", "apple"),
        ("yellow", "umbrella"),
        ("pink", "car"),
        ("pink", "tree"),
        ("purple", "house"),
    }
)
"""(colour, kind) pairs that no training scene shows and every held-out scene shows at least once."""

_COUNT_WEIGHTS = (0.18, 0.24, 0.22, 0.16, 0.1, 0.05, 0.03, 0.02)
_LARGEST_SIDE = (0.7, 0.6, 0.52, 0.45, 0.4, 0.35, 0.31, 0.28)
_SMALLEST_SIDE = 0.12
_SMALLEST_TEXTURED_SIDE = 0.22
_CAMOUFLAGE = {"grass": "green", "snow": "white", "night": "black", "sea": "blue", "forest": "green", "beach": "yellow"}
_MARGIN = 0.008
_PARTED = 0.35
"""How often a part that may have a colour of its own has one."""


@dataclass(frozen=True)
class Placement:
    """A thing to draw: full extent as a normalised xyxy box, depth 0 nearest."""

    kind: str
    colour: str
    texture: str
    box: Box
    depth: int
    part_colour: str | None = None


def place_things(background: str, horizon: float | None, split: Split, rng: np.random.Generator) -> list[Placement]:
    """One to eight things: free or in a row, of different or of one size, mostly apart and sometimes overlapping."""
    number = 1 + int(rng.choice(len(_COUNT_WEIGHTS), p=_COUNT_WEIGHTS))
    looks = _looks(number, background, split, rng)
    overlap = 0.45 if rng.random() < 0.25 else 0.04
    in_a_row = number > 1 and rng.random() < 0.14
    boxes = _row(looks, rng) if in_a_row else _scattered(looks, horizon, overlap, rng)
    placed = [(look, box) for look, box in zip(looks, boxes, strict=True) if box is not None]
    if rng.random() < 0.85:
        order = sorted(range(len(placed)), key=lambda i: -placed[i][1].y1)
    else:
        order = rng.permutation(len(placed)).tolist()
    depths = {index: depth for depth, index in enumerate(order)}
    return [
        Placement(kind, colour, texture, box, depths[index], part_colour)
        for index, ((kind, colour, texture, part_colour), box) in enumerate(placed)
    ]


Look = tuple[str, str, str, str | None]
"""Kind, colour, texture, colour of the part."""


def _looks(number: int, background: str, split: Split, rng: np.random.Generator) -> list[Look]:
    looks: list[Look] = []
    for _ in range(number):
        if looks and rng.random() < 0.28:
            looks.append(looks[int(rng.integers(len(looks)))])
        else:
            looks.append(_look(background, split, rng))
    if split == "held_out":
        colour, kind = sorted(HELD_OUT)[int(rng.integers(len(HELD_OUT)))]
        looks[0] = (kind, colour, looks[0][2], _part_colour(kind, colour, rng))
    return looks


def _look(background: str, split: Split, rng: np.random.Generator) -> Look:
    texture = str(rng.choice(list(TEXTURES), p=(0.55, 0.15, 0.15, 0.15)))
    while True:
        kind, colour = str(rng.choice(list(KINDS))), str(rng.choice(list(COLOURS)))
        hidden = _CAMOUFLAGE.get(background) == colour and rng.random() < 0.7
        if not hidden and not (split == "train" and (colour, kind) in HELD_OUT):
            return kind, colour, texture, _part_colour(kind, colour, rng)


def _part_colour(kind: str, colour: str, rng: np.random.Generator) -> str | None:
    """Now and then another colour than the thing's own."""
    if not KINDS[kind].part or rng.random() >= _PARTED:
        return None
    return str(rng.choice([other for other in COLOURS if other != colour]))


def _scattered(looks: list[Look], horizon: float | None, overlap: float, rng: np.random.Generator) -> list[Box | None]:
    """A box each that covers at most ``overlap`` of another (of the smaller one); None where there was no room."""
    largest = _LARGEST_SIDE[len(looks) - 1]
    common = _side(largest, rng) if rng.random() < 0.25 else None
    boxes: list[Box | None] = []
    for kind, _, texture, _ in looks:
        side = common or _side(largest, rng) * KINDS[kind].size ** 0.5
        least = _SMALLEST_SIDE if texture == "plain" else _SMALLEST_TEXTURED_SIDE
        found = None
        for attempt in range(36):
            side = min(max(side if attempt % 9 else side * 0.9, least), 0.7)
            candidate = _somewhere(kind, side, horizon, rng)
            if all(box is None or _covered(candidate, box) <= overlap for box in boxes):
                found = candidate
                break
        boxes.append(found)
    return boxes


def _row(looks: list[Look], rng: np.random.Generator) -> list[Box | None]:
    """Things of about one size side by side on one line."""
    slot = (1 - 2 * _MARGIN) / len(looks)
    side = slot * rng.uniform(0.72, 0.95)
    sizes = [_extent(kind, side, rng) for kind, *_ in looks]
    line = rng.uniform(max(height for _, height in sizes) + _MARGIN, 1 - _MARGIN)
    boxes: list[Box | None] = []
    for index, (width, height) in enumerate(sizes):
        x0 = _MARGIN + slot * index + (slot - width) / 2
        boxes.append(Box(x0=x0, y0=line - height, x1=x0 + width, y1=line))
    return boxes


def _side(largest: float, rng: np.random.Generator) -> float:
    return float(_SMALLEST_SIDE * 1.2 * (largest / (_SMALLEST_SIDE * 1.2)) ** (rng.random() ** 0.7))


def _extent(kind: str, side: float, rng: np.random.Generator) -> tuple[float, float]:
    """(width, height) whose longer side is ``side``, in the kind's aspect give or take a quarter, now and then more."""
    stretch = 0.5 if rng.random() < 0.12 else 0.22
    aspect = KINDS[kind].aspect * float(np.exp(rng.uniform(-stretch, stretch)))
    return (side, side / aspect) if aspect > 1 else (side * aspect, side)


def _somewhere(kind: str, side: float, horizon: float | None, rng: np.random.Generator) -> Box:
    """At home (on the ground, in the sky) more often than not, but anything may be anywhere."""
    width, height = _extent(kind, side, rng)
    low, high = _MARGIN, 1 - _MARGIN - height
    if horizon is not None and rng.random() < 0.55:
        home = KINDS[kind].home
        if home == "ground" and horizon + 0.03 - height < high:
            low = max(low, horizon + 0.03 - height)
        elif home == "sky" and horizon - height > low:
            high = min(high, horizon - height)
    x0, y0 = rng.uniform(_MARGIN, 1 - _MARGIN - width), rng.uniform(low, high)
    return Box(x0=x0, y0=y0, x1=x0 + width, y1=y0 + height)


def _covered(a: Box, b: Box) -> float:
    """The intersection as a share of the smaller box."""
    across = min(a.x1, b.x1) - max(a.x0, b.x0)
    down = min(a.y1, b.y1) - max(a.y0, b.y0)
    return max(across, 0.0) * max(down, 0.0) / min(a.area, b.area)
