"""Scenes of the tiny world that no training saw, and their layouts with one kind of location alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from diffusion.layout import Instance, Layout
from diffusion.tiny.sampling import HELD_OUT
from diffusion.tiny.world import Scene, Thing, sample_scene

FIRST_SEED = 9_000_000
"""Scenes from here on are never trained on, by the model or by a detector."""


def fresh_scenes(count: int, largest: int, seed: int = FIRST_SEED) -> list[Scene]:
    """Scenes of one to ``largest`` things; every other one has a pair of colour and kind that training never showed."""
    scenes: list[Scene] = []
    while len(scenes) < count:
        scene = sample_scene(seed, "train" if len(scenes) % 2 else "held_out")
        if len(scene.things) <= largest:
            scenes.append(scene)
        seed += 1
    return scenes


def is_unseen(thing: Thing) -> bool:
    """Whether training never showed a thing of this kind in this colour."""
    return (thing.colour, thing.kind) in HELD_OUT


def _box(instance: Instance, index: int) -> Instance:
    return _only(instance, "box")


def _point(instance: Instance, index: int) -> Instance:
    return _only(instance, "point")


def _scribble(instance: Instance, index: int) -> Instance:
    return _only(instance, "scribble")


def _mask(instance: Instance, index: int) -> Instance:
    return _only(instance, "box", "mask")


def _mixed(instance: Instance, index: int) -> Instance:
    return (_box, _mask, _scribble, _point)[index % 4](instance, index)


FORMATS: dict[str, Callable[[Instance, int], Instance]] = {
    "box": _box,
    "point": _point,
    "scribble": _scribble,
    "mask": _mask,
    "mixed": _mixed,
}
"""What is left of an instance's locations. A mask keeps its box, as in every dataset that has masks; "mixed" gives the
instances of a layout box, mask, scribble and point in turn."""


def located_by(scenes: Sequence[Scene], name: str) -> list[Layout]:
    """The scenes' layouts with the locations of ``FORMATS[name]`` alone."""
    layouts = [scene.layout(masks=True) for scene in scenes]
    keep = FORMATS[name]
    return [
        layout.model_copy(update={"instances": tuple(keep(instance, i) for i, instance in enumerate(layout))})
        for layout in layouts
    ]


def _only(instance: Instance, *kept: str) -> Instance:
    return instance.model_copy(update=dict.fromkeys({"box", "point", "scribble", "mask"} - set(kept)))
