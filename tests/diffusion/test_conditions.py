"""What the network is told of each instance: every location format, defaults, seeds, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from diffusion.conditions import (
    Slots,
    by_distance,
    ground,
    masked_cells,
    polygon_points,
    resize_nearest,
    scribble_points,
    spread,
)
from diffusion.formats import read_one
from diffusion.layout import Layout, LayoutError, Mask, Point, Scribble
from diffusion.masks import array_to_rle, mask_to_array
from tests.diffusion.small import SIDE, box, plan, thing

SLOTS = Slots(max_instances=4, text_dim=3, scribble_points=20, polygon_points=16, map_size=32)
DISC = np.hypot(*np.mgrid[-10:22, -16:16]) < 8
MASK = Mask(rle=array_to_rle(DISC))
SCRIBBLE = Scribble(points=(Point(x=0.9, y=0.5), Point(x=0.1, y=0.25), Point(x=0.5, y=0.5)))


def grounded(*instances, seed: int = 0):
    return ground(plan(*instances), torch.ones(len(instances), 3), SLOTS, seed=seed)


def uses(*instances) -> list[bool]:
    """Boxes, points, scribbles, masks."""
    return grounded(*instances).uses[0].tolist()


def test_a_box_gives_its_corners_and_its_centre():
    given = grounded(thing(0, box=box((0.25, 0.5, 0.75, 1.0))))
    assert given.boxes[0, 0].tolist() == [0.25, 0.5, 0.75, 1.0]
    assert given.points[0, 0].tolist() == [0.5, 0.75]
    assert uses(thing(0)) == [True, True, False, False]


def test_a_box_without_extent_in_the_networks_numbers_is_refused():
    with pytest.raises(LayoutError, match="the box of i0 is too thin"):
        grounded(thing(0, box=box((0.5, 0.2, 0.5 + 1e-12, 0.8))))


def test_a_point_alone_switches_boxes_off():
    given = grounded(thing(0, point=Point(x=0.125, y=0.75)))
    assert given.points[0, 0].tolist() == [0.125, 0.75]
    assert given.uses[0].tolist() == [False, True, False, False]


def test_a_point_beside_a_box_replaces_the_centre():
    given = grounded(thing(0, box=thing(0).box, point=Point(x=0.125, y=0.75)))
    assert given.points[0, 0].tolist() == [0.125, 0.75]


def test_a_scribble_becomes_twenty_points_by_distance_to_the_origin():
    given = grounded(thing(0, scribble=SCRIBBLE))
    points = given.scribbles[0, 0].view(20, 2)
    assert points[0].tolist() == pytest.approx([0.1, 0.25]) and points[-1].tolist() == pytest.approx([0.9, 0.5])
    assert (points.norm(dim=1).diff() >= 0).all()
    assert {tuple(p) for p in points.tolist()} == {tuple(map(np.float32, (p.x, p.y))) for p in SCRIBBLE.points}
    assert given.uses[0].tolist() == [False, True, True, False]


def test_a_mask_gives_map_polygon_scribble_box_and_point():
    given = grounded(thing(0, mask=MASK))
    np.testing.assert_array_equal(given.maps[0, 0].numpy(), DISC)
    assert given.boxes[0, 0].tolist() == list(MASK.extent().xyxy())
    assert given.points[0, 0].tolist() == [MASK.extent().center.x, MASK.extent().center.y]
    assert inside(given.scribbles[0, 0].view(-1, 2)).all()
    assert given.uses[0].tolist() == [True, True, False, True]


def inside(points: torch.Tensor) -> np.ndarray:
    columns, rows = (points.numpy() * SIDE).round().astype(int).T
    return DISC[rows, columns]


def test_a_mixture_switches_on_what_anyone_has():
    assert uses(thing(0), thing(1, point=Point(x=0.5, y=0.5))) == [True, True, False, False]
    assert uses(thing(0, mask=MASK), thing(1, scribble=SCRIBBLE)) == [True, True, True, True]
    given = grounded(thing(0, mask=MASK), thing(1, scribble=SCRIBBLE), thing(2))
    assert not given.maps[0, 1:].any() and not given.polygons[0, 1:].any() and not given.scribbles[0, 2].any()


def test_without_instances_every_slot_is_empty():
    given = grounded()
    assert not any(getattr(given, name).any() for name in ("valid", "text", "boxes", "points", "maps"))


def test_slots_follow_the_order_of_the_instances():
    text = torch.tensor([[1.0, 2, 3], [4, 5, 6]])
    given = ground(plan(thing(1), thing(0)), text, SLOTS)
    assert given.valid.tolist() == [[1, 1, 0, 0]]
    assert torch.equal(given.text[0, :2], text) and not given.text[0, 2:].any()
    assert given.boxes[0, :2].tolist() == [pytest.approx(thing(i).box.xyxy()) for i in (1, 0)]


def test_points_in_masks_are_decided_by_the_seed():
    one, again, other = (grounded(thing(0, mask=MASK), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.scribbles, again.scribbles) and torch.equal(one.polygons, again.polygons)
    assert not torch.equal(one.scribbles, other.scribbles)


def test_equal_masks_get_points_of_their_own():
    given = grounded(thing(0, mask=MASK), thing(1, mask=MASK))
    assert not torch.equal(given.scribbles[0, 0], given.scribbles[0, 1])


def test_points_in_a_mask_stay_when_other_instances_come_and_go():
    alone = grounded(thing(1, mask=MASK), seed=3)
    second = grounded(thing(0), thing(1, mask=MASK), seed=3)
    assert torch.equal(alone.scribbles[0, 0], second.scribbles[0, 1])
    assert torch.equal(alone.polygons[0, 0], second.polygons[0, 1])


def test_masks_of_a_wide_canvas_keep_their_place():
    wide = np.zeros((16, 64), bool)
    wide[4:8, 48:64] = True
    layout = Layout(
        version=1, caption="x", width=64, height=16, instances=(thing(0, mask=Mask(rle=array_to_rle(wide))),)
    )
    given = ground(layout, torch.ones(1, 3), SLOTS)
    assert given.boxes[0, 0].tolist() == [0.75, 0.25, 1.0, 0.5]
    rows, columns = np.nonzero(given.maps[0, 0].numpy())
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (8, 15, 24, 31)
    assert (given.scribbles[0, 0].view(-1, 2)[:, 0] >= 0.75).all()


def test_a_mask_too_thin_for_a_pixel_is_refused():
    corners = (0.5, 0.5), (0.501, 0.5), (0.501, 0.501)
    sliver = Mask(polygons=(tuple(Point(x=x, y=y) for x, y in corners),))
    with pytest.raises(LayoutError, match="mask of i0 covers no pixel of the 32 x 32 canvas"):
        grounded(thing(0, mask=sliver))


def test_a_mask_that_the_models_map_misses_is_refused():
    pixel = np.zeros((64, 64), bool)
    pixel[0, 0] = True
    with pytest.raises(LayoutError, match="mask of i0 falls between the 32 x 32 pixels"):
        ground(plan(thing(0, mask=Mask(rle=array_to_rle(pixel))), side=64), torch.ones(1, 3), SLOTS)


def test_more_instances_than_slots():
    with pytest.raises(LayoutError, match=r"5 instances.*at most 4"):
        grounded(*(thing(i) for i in range(5)))


def covered(given) -> list[list[list[int]]]:
    """The rows and columns of 8 x 8 cells that each instance has in the instance mask."""
    return [
        [sorted(set(axis.tolist())) for axis in np.nonzero(cells.numpy())] for cells in masked_cells(given, 8, 8)[0]
    ]


def test_the_instance_mask_covers_boxes_and_surrounds_points():
    given = grounded(
        thing(0, box=box((0.0, 0.25, 0.5, 0.5))),
        thing(1, point=Point(x=0.9, y=0.5)),
        thing(2, scribble=Scribble(points=(Point(x=0.125, y=0.125), Point(x=0.875, y=0.125)))),
    )
    assert covered(given) == [[[2, 3], [0, 1, 2, 3]], [[3, 4], [6, 7]], [[0, 1], [0, 1, 6, 7]], [[], []]]


def test_a_picture_of_points_is_masked_around_them():
    assert covered(grounded(thing(0, point=Point(x=0.5, y=0.5))))[0] == [[3, 4], [3, 4]]
    assert not masked_cells(grounded(thing(0, point=Point(x=0.5, y=0.5))), 8, 8, "official").any()


def test_the_instance_mask_takes_the_mask_of_an_instance_that_has_one():
    given = grounded(thing(0, box=box((0.0, 0.0, 1.0, 1.0)), mask=MASK), thing(1, box=box((0.0, 0.0, 0.5, 0.125))))
    touched = DISC.reshape(8, SIDE // 8, 8, SIDE // 8).any((1, 3))
    np.testing.assert_array_equal(masked_cells(given, 8, 8)[0, 0].numpy(), touched)
    assert covered(given)[1] == [[0], [0, 1, 2, 3]]


def test_a_scribble_beside_a_box_leaves_the_box():
    given = grounded(thing(0, box=box((0.5, 0.5, 1.0, 1.0)), scribble=Scribble(points=(Point(x=0.1, y=0.1),))))
    assert covered(given)[0] == [[4, 5, 6, 7], [4, 5, 6, 7]]


pixels = arrays.arrays(bool, st.tuples(st.integers(8, 24), st.integers(8, 24))).filter(np.any)


@given(pixels, st.integers(0, 9))
def test_scribble_points_lie_on_the_mask(mask, seed):
    points = scribble_points(mask, 20, np.random.default_rng(seed))
    columns, rows = (points * mask.shape[::-1]).round().astype(int).T
    assert mask[rows, columns].all()
    assert len(set(zip(rows, columns, strict=True))) == 20 or mask.sum() < 20


@given(pixels, st.sampled_from([16, 32, 256]))
def test_polygon_points_lie_on_the_mask_or_next_to_it(mask, count):
    points = polygon_points(mask, count, np.random.default_rng(0))
    assert points.shape == (count, 2) and points.min() >= 0 and points.max() <= 1
    # The published contour runs through the neighbouring background and keeps the padding's offset of one pixel.
    near = np.pad(mask, ((1, 3), (1, 3)))
    grown = np.any([np.roll(near, (dy, dx), (0, 1)) for dy in range(-1, 3) for dx in range(-1, 3)], axis=0)
    columns, rows = (points * mask.shape[::-1]).round().astype(int).T
    assert grown[rows + 1, columns + 1].all()


@given(st.integers(1, 40), st.integers(1, 40))
def test_spreading_keeps_both_ends_and_the_order(available, count):
    chosen = spread(np.arange(available), count)
    assert len(chosen) == count and chosen[0] == 0 and (count == 1 or chosen[-1] == available - 1)
    assert (np.diff(chosen) >= 0).all()


def test_equal_distances_keep_their_order():
    points = np.array([[3.0, 4.0], [1.0, 0.0], [4.0, 3.0], [0.0, 1.0]])
    assert by_distance(points).tolist() == [[1, 0], [0, 1], [3, 4], [4, 3]]


@given(pixels, st.integers(1, 3))
def test_enlarging_repeats_pixels(mask, factor):
    square = mask[:8, :8]
    np.testing.assert_array_equal(resize_nearest(square, 8 * factor), np.kron(square, np.ones((factor, factor))))


def test_every_mask_of_the_published_demo_reaches_the_network():
    layout = read_one(Path(__file__).parents[1] / "data/layouts/demo_corgi_kitchen.json").layout
    large = Slots(max_instances=30, text_dim=3, scribble_points=20, polygon_points=256, map_size=512)
    given = ground(layout, torch.ones(len(layout.instances), 3), large)
    masked = [i for i, instance in enumerate(layout) if instance.mask]
    assert len(masked) >= 3 and given.uses[0].tolist() == [True, True, False, True]
    for i in masked:
        pixels = mask_to_array(layout.instances[i].mask, 512, 512)
        np.testing.assert_array_equal(given.maps[0, i].numpy() > 0, pixels)
        assert given.polygons[0, i].any() and given.scribbles[0, i].any()
    assert not given.maps[0, len(layout.instances) :].any()
