"""The tiny world's pictures against everything that its scenes claim about them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusion.layout import Box, Instance, Layout, Point
from diffusion.tiny.captions import relation
from diffusion.tiny.sampling import HELD_OUT
from diffusion.tiny.vocabulary import BACKGROUNDS, COLOURS, KINDS, TEXTURES, background_of, describe
from diffusion.tiny.world import draw_layout, sample_scene
from eval.colours import colour_names

SIDE = 128


def plan(*instances: Instance, background: str = "grey background", side: int = SIDE) -> Layout:
    return Layout(version=1, caption="a plan", background=background, width=side, height=side, instances=instances)


def thing(
    caption: str, x0: float, y0: float, x1: float, y1: float, name: str = "a", depth: int | None = None
) -> Instance:
    return Instance(id=name, category="thing", caption=caption, box=Box(x0=x0, y0=y0, x1=x1, y1=y1), depth=depth)


@pytest.mark.parametrize("split", ["train", "held_out", "any"])
def test_a_seed_always_gives_the_same_scene(split):
    first, again, other = sample_scene(7, split), sample_scene(7, split), sample_scene(8, split)
    assert first.image.tobytes() == again.image.tobytes() != other.image.tobytes()
    assert first.layout(masks=True) == again.layout(masks=True)


def test_training_scenes_never_show_a_held_out_pair_and_held_out_scenes_always_do():
    for seed in range(150):
        assert not HELD_OUT & {(t.colour, t.kind) for t in sample_scene(seed, "train").things}
        assert HELD_OUT & {(t.colour, t.kind) for t in sample_scene(seed, "held_out").things}


@pytest.mark.parametrize("kind", KINDS)
def test_a_box_is_tight_to_what_was_drawn(kind):
    for texture, x0, y0, x1, y1 in (("plain", 0.2, 0.1, 0.62, 0.57), ("dotted", 0.503, 0.417, 0.987, 0.793)):
        scene = draw_layout(plan(thing(f"a {texture} purple {kind}", x0, y0, x1, y1)), seed=3)
        empty = draw_layout(plan(), seed=3)
        changed = (np.asarray(scene.image) != np.asarray(empty.image)).any(axis=2)
        ys, xs = np.nonzero(changed)
        drawn = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
        claimed = np.array(scene.things[0].box.xyxy()) * SIDE
        assert np.abs(drawn - claimed).max() <= 1.0
        assert np.abs(claimed - np.array([x0, y0, x1, y1]) * SIDE).max() <= 0.7


def test_nearer_things_hide_farther_ones():
    for near, far in (("a", "b"), ("b", "a")):
        ball = thing("a red ball", 0.1, 0.2, 0.6, 0.7, "a", depth=int(near != "a"))
        cube = thing("a blue cube", 0.4, 0.3, 0.9, 0.8, "b", depth=int(near != "b"))
        things = {t.id: t for t in draw_layout(plan(ball, cube)).things}
        alone = draw_layout(plan(ball if near == "a" else cube)).things[0]
        assert np.array_equal(things[near].mask, alone.mask)
        assert things[far].mask.sum() < draw_layout(plan(cube if near == "a" else ball)).things[0].mask.sum()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**40))
def test_what_a_scene_says_of_its_things_is_true(seed):
    scene = sample_scene(seed, "any")
    pixels, layout = np.asarray(scene.image), scene.layout(masks=True)
    assert 1 <= len(scene.things) <= 8
    assert not (np.sum([t.mask for t in scene.things], axis=0) > 1).any()
    assert background_of(scene.caption) in (scene.background, None)
    for t, instance in zip(scene.things, layout.instances, strict=True):
        attributes = describe(t.caption)
        assert (attributes.kind, attributes.colour, attributes.texture or "plain") == (t.kind, t.colour, t.texture)
        assert attributes.unknown_words == ()
        assert instance.mask is not None and instance.mask.extent() == t.visible_box
        ys, xs = np.nonzero(t.mask)
        assert xs.min() >= t.box.x0 * SIDE - 1 and xs.max() + 1 <= t.box.x1 * SIDE + 1
        assert ys.min() >= t.box.y0 * SIDE - 1 and ys.max() + 1 <= t.box.y1 * SIDE + 1
        assert 1 <= len(t.scribble) <= 20
        assert all(t.mask[int(p.y * SIDE), int(p.x * SIDE)] for p in (t.point, *t.scribble))
        names, counts = np.unique(colour_names(pixels[t.mask]).astype(str), return_counts=True)
        shares = dict(zip(names.tolist(), (counts / len(ys)).tolist(), strict=True))
        shown = [share for name, share in shares.items() if name and name != t.part_colour]
        assert shares[t.colour] == max(shown), (t.caption, shares)


@pytest.mark.parametrize("kind", KINDS)
def test_the_named_colour_covers_most_of_a_thing(kind):
    for texture, least in (("plain", 0.6), ("striped", 0.52), ("dotted", 0.52), ("checkered", 0.52)):
        for colour in COLOURS:
            scene = draw_layout(plan(thing(f"a {texture} {colour} {kind}", 0.2, 0.2, 0.7, 0.7)))
            share = (colour_names(np.asarray(scene.image)[scene.things[0].mask]) == colour).mean()
            assert share >= least, (colour, texture, share)


def test_a_texture_changes_the_picture():
    pictures = {draw_layout(plan(thing(f"a {t} red ball", 0.2, 0.2, 0.8, 0.8))).image.tobytes() for t in TEXTURES}
    assert len(pictures) == len(TEXTURES)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**40))
def test_a_scene_survives_being_drawn_from_its_own_layout(seed):
    scene = sample_scene(seed, "any")
    again = draw_layout(scene.layout())
    assert again.background == scene.background
    for t, u in zip(scene.things, again.things, strict=True):
        assert (t.id, t.kind, t.colour, t.texture, t.caption, t.depth) == (
            u.id,
            u.kind,
            u.colour,
            u.texture,
            u.caption,
            u.depth,
        )
        assert np.abs(np.subtract(t.box.xyxy(), u.box.xyxy())).max() < 1 / SIDE


def test_a_plan_is_drawn_at_the_size_that_is_asked_for():
    layout = Layout(version=1, caption="c", width=512, height=384, instances=(thing("a red star", 0.1, 0.1, 0.5, 0.9),))
    assert draw_layout(layout).image.size == (512, 384)
    small = draw_layout(layout, size=128)
    assert small.image.size == (128, 96)
    assert np.abs(np.subtract(small.things[0].box.xyxy(), (0.1, 0.1, 0.5, 0.9))).max() < 0.01


def test_points_alone_place_a_thing_around_them():
    instance = Instance(id="a", category="ball", caption="a red ball", point=Point(x=0.98, y=0.5))
    box = draw_layout(plan(instance)).things[0].box
    assert box.x0 < 0.98 <= box.x1 <= 1 and box.y0 < 0.5 < box.y1


def test_what_cannot_be_drawn_is_named():
    with pytest.raises(ValueError, match=r"instances\[1\] 'b': shiny, dragon"):
        draw_layout(plan(thing("a red ball", 0, 0, 0.5, 0.5), thing("a shiny dragon", 0.5, 0.5, 1, 1, "b")))
    with pytest.raises(ValueError, match="no background 'a kitchen'"):
        draw_layout(plan(background="a kitchen"))
    with pytest.raises(ValueError, match=r"'a' .a red ball. is completely hidden"):
        near, far = thing("a blue cube", 0, 0, 1, 1, "b", depth=0), thing("a red ball", 0.4, 0.4, 0.5, 0.5, depth=1)
        draw_layout(plan(far, near))


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_every_background_leaves_every_colour_visible(background):
    for index, colour in enumerate(COLOURS):
        scene = draw_layout(plan(thing(f"a {colour} ball", 0.3, 0.3, 0.7, 0.7), background=background), seed=index)
        empty = draw_layout(plan(background=background), seed=index)
        difference = np.abs(np.asarray(scene.image).astype(int) - np.asarray(empty.image))
        assert difference[scene.things[0].mask].mean() > 10


def test_relations_follow_the_boxes():
    left = draw_layout(
        plan(thing("a red ball", 0.1, 0.4, 0.3, 0.6), thing("a blue cube", 0.6, 0.4, 0.8, 0.6, "b"))
    ).things
    stacked = draw_layout(plan(thing("a red ball", 0.4, 0.1, 0.6, 0.3), thing("a cat", 0.4, 0.6, 0.6, 0.9, "b"))).things
    assert [relation(*left), relation(*left[::-1])] == ["left of", "right of"]
    assert [relation(*stacked), relation(*stacked[::-1])] == ["above", "below"]
