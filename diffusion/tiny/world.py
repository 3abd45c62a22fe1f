"""The tiny world: scenes drawn from a seed or a Layout, with exact boxes, masks, points, scribbles and captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffusion.layout import MAX_SCRIBBLE_POINTS, Box, Instance, Layout, Mask, Point, RunLength, Scribble
from diffusion.tiny.backgrounds import draw_background
from diffusion.tiny.captions import scene_caption, thing_caption
from diffusion.tiny.painting import DESIGN_SIDE, paint
from diffusion.tiny.sampling import Placement, Split, place_things
from diffusion.tiny.vocabulary import BACKGROUNDS, COLOURS, KINDS, background_of, canonical_kind, describe

LEAST_VISIBLE = 0.5
"""The share of every thing in a sampled scene that nearer things leave visible."""


@dataclass(frozen=True, eq=False)
class Thing:
    """One drawn thing. Boxes are normalised xyxy."""

    id: str
    kind: str
    colour: str
    texture: str
    part_colour: str | None
    """Of the part that the kind has, where it has a colour of its own."""
    caption: str
    box: Box
    """The full extent, hidden parts included, tight to the drawing."""
    visible_box: Box
    mask: NDArray[np.bool_]
    """(H, W): the pixels where this thing is what one sees."""
    depth: int
    """0 = nearest."""
    point: Point
    """Inside the mask."""
    scribble: tuple[Point, ...]
    """At most 20 points inside the mask."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A drawn picture (RGB) and everything that is true of it."""

    seed: int
    image: Image.Image
    caption: str
    background: str
    """A name of ``vocabulary.BACKGROUNDS``."""
    things: tuple[Thing, ...]

    def layout(self, masks: bool = False) -> Layout:
        """The plan of this picture: boxes, points, scribbles and depth, and the visible masks when asked for."""
        return Layout(
            version=1,
            caption=self.caption,
            background=BACKGROUNDS[self.background][0],
            width=self.image.width,
            height=self.image.height,
            instances=tuple(
                Instance(
                    id=thing.id,
                    category=thing.kind,
                    caption=thing.caption,
                    box=thing.box,
                    point=thing.point,
                    scribble=Scribble(points=thing.scribble),
                    mask=Mask(rle=_run_length(thing.mask)) if masks else None,
                    depth=thing.depth,
                )
                for thing in self.things
            ),
        )


def sample_scene(seed: int, split: Split = "train", size: int = DESIGN_SIDE) -> Scene:
    """A random scene of ``size`` x ``size`` pixels, always the same for a seed (>= 0) and split.

    "train" never shows a pair of ``sampling.HELD_OUT``, "held_out" always does, "any" does not care.
    """
    if split not in get_args(Split):
        raise ValueError(f"split {split!r} is not one of {', '.join(get_args(Split))}")
    for attempt in count():
        rng = np.random.default_rng([seed, get_args(Split).index(split), attempt])
        background = str(rng.choice(list(BACKGROUNDS)))
        image, horizon = draw_background(background, (size, size), rng)
        placements = place_things(background, horizon, split, rng)
        captions = [thing_caption(p.kind, p.colour, p.texture, p.box, rng, p.part_colour) for p in placements]
        ids = [f"{p.kind}-{index + 1}" for index, p in enumerate(placements)]
        things, visible = _draw_things(image, placements, captions, ids, rng)
        if min(visible) >= LEAST_VISIBLE:
            return Scene(seed, image, scene_caption(things, background, rng), background, tuple(things))
    raise AssertionError("unreachable")


def draw_layout(layout: Layout, seed: int = 0, size: int | None = None) -> Scene:
    """Draw a plan as it is written: every instance in its box, nearer ones over farther ones.

    ``size`` is the longer side in pixels, the plan's own size when None. An instance without a depth is the nearer
    the lower it stands; one with only points stands around them in its kind's usual size. A colour that the caption
    does not name is drawn from ``seed``, a texture that it does not name is plain.
    ValueError names the instances and words that this world cannot draw, and instances that nothing would show of.
    """
    rng = np.random.default_rng(seed)
    background = _background(layout)
    placements = _placements(layout, rng)
    scale = 1.0 if size is None else size / max(layout.width, layout.height)
    canvas = max(8, round(layout.width * scale)), max(8, round(layout.height * scale))
    image, _ = draw_background(background, canvas, rng)
    captions, ids = [i.caption for i in layout.instances], [i.id for i in layout.instances]
    things, _ = _draw_things(image, placements, captions, ids, rng)
    return Scene(seed, image, layout.caption, background, tuple(things))


def _draw_things(
    image: Image.Image,
    placements: Sequence[Placement],
    captions: Sequence[str],
    ids: Sequence[str],
    rng: np.random.Generator,
) -> tuple[list[Thing], list[float]]:
    """Paint onto ``image``, farthest first; the things and the share of each that stays visible."""
    width, height = image.size
    owner = np.full((height, width), -1, dtype=np.int16)
    full = [0] * len(placements)
    boxes: dict[int, Box] = {}
    for index in sorted(range(len(placements)), key=lambda i: -placements[i].depth):
        p = placements[index]
        sprite = paint(p.kind, p.colour, p.texture, p.box, image.size, rng, p.part_colour)
        image.paste(sprite.rgba, (sprite.left, sprite.top), sprite.rgba)
        covered = np.asarray(sprite.rgba)[..., 3] >= 128
        rows, columns = covered.shape
        owner[sprite.top : sprite.top + rows, sprite.left : sprite.left + columns][covered] = index
        full[index] = int(covered.sum())
        boxes[index] = sprite.box
    things, visible = [], []
    for index, (p, caption, name) in enumerate(zip(placements, captions, ids, strict=True)):
        mask = owner == index
        ys, xs = np.nonzero(mask)
        if not len(ys):
            raise ValueError(f"instance {name!r} ({caption}) is completely hidden behind nearer instances")
        visible.append(len(ys) / full[index])
        seen = Box(
            x0=int(xs.min()) / width,
            y0=int(ys[0]) / height,
            x1=(int(xs.max()) + 1) / width,
            y1=(int(ys[-1]) + 1) / height,
        )
        point, scribble = _point(ys, xs, mask.shape), _scribble(ys, xs, mask.shape)
        looks = p.kind, p.colour, p.texture, p.part_colour
        things.append(Thing(name, *looks, caption, boxes[index], seen, mask, p.depth, point, scribble))
    return things, visible


def _point(ys: NDArray[np.intp], xs: NDArray[np.intp], shape: tuple[int, ...]) -> Point:
    """The mask's pixel that is nearest to its centre of gravity."""
    nearest = int(np.argmin((ys - ys.mean()) ** 2 + (xs - xs.mean()) ** 2))
    return _centre_of_pixel(ys[nearest], xs[nearest], shape)


def _scribble(ys: NDArray[np.intp], xs: NDArray[np.intp], shape: tuple[int, ...]) -> tuple[Point, ...]:
    """The middle pixel of the mask in evenly spaced lines across its longer side."""
    along, across = (ys, xs) if np.ptp(ys) >= np.ptp(xs) else (xs, ys)
    lines = np.unique(along)
    lines = lines[np.linspace(0, len(lines) - 1, min(MAX_SCRIBBLE_POINTS, len(lines))).round().astype(int)]
    points = []
    for line in lines:
        on_line = np.sort(across[along == line])
        middle = on_line[len(on_line) // 2]
        y, x = (line, middle) if along is ys else (middle, line)
        points.append(_centre_of_pixel(y, x, shape))
    return tuple(points)


def _centre_of_pixel(y: np.intp, x: np.intp, shape: tuple[int, ...]) -> Point:
    return Point(x=(float(x) + 0.5) / shape[1], y=(float(y) + 0.5) / shape[0])


def _run_length(mask: NDArray[np.bool_]) -> RunLength:
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return RunLength(size=(mask.shape[0], mask.shape[1]), counts=tuple([0, *runs] if flat[0] else runs))


def _background(layout: Layout) -> str:
    name = background_of(layout.background) if layout.background.strip() else background_of(layout.caption) or "grey"
    if name is None:
        raise ValueError(f"the tiny world has no background {layout.background!r}; it draws {', '.join(BACKGROUNDS)}")
    return name


def _placements(layout: Layout, rng: np.random.Generator) -> list[Placement]:
    wanted, problems = [], []
    for index, instance in enumerate(layout.instances):
        attributes = describe(instance.caption)
        kind = attributes.kind or canonical_kind(instance.category)
        words = list(attributes.unknown_words) + ([instance.category] if kind is None else [])
        if words or kind is None:
            problems.append(f"instances[{index}] {instance.id!r}: {', '.join(dict.fromkeys(words))}")
            continue
        colour = attributes.colour or str(rng.choice(list(COLOURS)))
        looks = kind, colour, attributes.texture or "plain", attributes.part_colour
        wanted.append((instance, looks, _extent_of(instance, kind)))
    if problems:
        raise ValueError("the tiny world cannot draw: " + "; ".join(problems))
    nearest_first = sorted(
        range(len(wanted)), key=lambda i: (wanted[i][0].depth is None, wanted[i][0].depth or 0, -wanted[i][2].y1)
    )
    depths = {index: depth for depth, index in enumerate(nearest_first)}
    return [
        Placement(kind, colour, texture, box, depths[index], part_colour)
        for index, (_, (kind, colour, texture, part_colour), box) in enumerate(wanted)
    ]


def _extent_of(instance: Instance, kind: str) -> Box:
    extent = instance.extent()
    if extent is not None:
        return extent
    points = instance.scribble.points if instance.scribble is not None else (instance.point,)
    xs, ys = [p.x for p in points if p is not None], [p.y for p in points if p is not None]
    side = 0.25 * KINDS[kind].size
    width, height = side * min(KINDS[kind].aspect, 1.0), side / max(KINDS[kind].aspect, 1.0)
    width, height = max(width, max(xs) - min(xs)), max(height, max(ys) - min(ys))
    x0 = min(max((min(xs) + max(xs) - width) / 2, 0.0), 1.0 - width)
    y0 = min(max((min(ys) + max(ys) - height) / 2, 0.0), 1.0 - height)
    return Box(x0=x0, y0=y0, x1=min(x0 + width, 1.0), y1=min(y0 + height, 1.0))
