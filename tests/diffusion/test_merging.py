"""Joining latents after the instances' own updates, and who owns the cells that instances share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffusion.conditions import regions
from diffusion.layout import Instance, Layout, LayoutError, Mask, Point, Scribble
from diffusion.masks import array_to_rle
from diffusion.merging import average, join, nearest_cells, official_cells, paste
from tests.diffusion.small import box, plan, thing

CELLS = torch.tensor([[[1, 1, 0, 0], [1, 1, 0, 0]], [[0, 0, 0, 0], [0, 1, 1, 1]]], dtype=torch.bool)
"""Two instances on 2 rows of 4 cells; they share one cell."""


def inputs(count: int = 2, height: int = 2, width: int = 4) -> torch.Tensor:
    """A global latent of zeros and instances of ones, twos, ..."""
    return torch.arange(count + 1.0)[:, None, None, None].expand(count + 1, 1, height, width)


def two(front: int | None = None, back: int | None = None, **second) -> Layout:
    """Two instances whose boxes are those of CELLS on a canvas of 32 x 32."""
    return plan(
        thing(0, box=box((0.0, 0.0, 0.5, 1.0)), depth=front),
        thing(1, **(second or {"box": box((0.25, 0.5, 1.0, 1.0))}), depth=back),
    )


def test_average_counts_the_global_input_too():
    assert torch.equal(average(inputs()), torch.ones(1, 2, 4))
    assert torch.equal(join("average", two(), inputs()), torch.ones(1, 2, 4))


def test_pasted_instances_stay_in_their_cells_and_the_last_one_covers():
    assert paste(inputs(), CELLS)[0].tolist() == [[1, 1, 0, 0], [1, 2, 2, 2]]
    assert paste(inputs(), CELLS, order=[1, 0])[0].tolist() == [[1, 1, 0, 0], [1, 1, 2, 2]]


def test_nothing_to_paste_leaves_the_global_latent():
    assert torch.equal(paste(inputs(), CELLS[:0]), inputs()[0])


def test_the_official_form_takes_x_for_rows_and_truncates():
    cells = official_cells(torch.tensor([[0.0, 0.3, 0.5, 0.9]]), 4, 4)[0]
    assert cells.nonzero().tolist() == [[0, 1], [0, 2], [1, 1], [1, 2]]


def test_regions_are_the_cells_that_a_box_or_a_mask_touches():
    assert torch.equal(regions(two(), 2, 4), CELLS)
    pixels = np.zeros((32, 32), bool)
    pixels[31, 8] = pixels[0, 31] = True
    masked = two(mask=Mask(rle=array_to_rle(pixels)), box=box((0.0, 0.0, 1.0, 1.0)))
    assert regions(masked, 2, 4)[1].tolist() == [[False, False, False, True], [False, True, False, False]]


def test_points_have_the_cells_around_them():
    found = regions(two(point=Point(x=0.5, y=0.3)), 2, 4)[1]
    assert found.tolist() == [[False, True, True, False], [False, False, False, False]]
    ends = Scribble(points=(Point(x=0.05, y=0.9), Point(x=0.95, y=0.9)))
    assert regions(two(scribble=ends), 2, 4)[1].tolist() == [[False] * 4, [True, False, False, True]]


@pytest.mark.parametrize(("front", "back", "shared"), [(0, 1, 1), (1, 0, 2), (None, 3, 2), (3, None, 1)])
def test_depth_decides_who_covers_whom(front, back, shared):
    assert join("depth", two(front, back), inputs())[0, 1, 1] == shared
    assert join("paste", two(front, back), inputs())[0, 1, 1] == 2


def test_depth_pastes_inside_masks():
    pixels = np.zeros((32, 32), bool)
    pixels[16:, 16:] = True
    layout = two(1, 0, mask=Mask(rle=array_to_rle(pixels)), box=box((0.0, 0.0, 1.0, 1.0)))
    assert join("depth", layout, inputs())[0].tolist() == [[1, 1, 0, 0], [1, 1, 2, 2]]


@pytest.mark.parametrize(
    "location", [{"point": Point(x=0.5, y=0.5)}, {"scribble": Scribble(points=(Point(x=0, y=0),))}]
)
def test_what_has_no_extent_cannot_be_pasted(location):
    for name in ("paste", "depth"):
        with pytest.raises(LayoutError, match="i1 has neither a box nor a mask"):
            join(name, two(**location), inputs())
    assert torch.equal(join("average", two(**location), inputs()), torch.ones(1, 2, 4))


def test_a_shared_patch_goes_to_the_nearest_instance():
    assert nearest_cells(two(0, 1), 2, 4).tolist() == [CELLS[0].tolist(), [[0, 0, 0, 0], [0, 0, 1, 1]]]
    assert nearest_cells(two(1, 0), 2, 4).tolist() == [[[1, 1, 0, 0], [1, 0, 0, 0]], CELLS[1].tolist()]


def test_an_instance_without_a_patch_of_its_own_is_refused():
    layout = plan(thing(0, depth=0, box=box((0.0, 0.0, 1.0, 1.0))), thing(1, depth=1, box=box((0.2, 0.2, 0.5, 0.5))))
    with pytest.raises(LayoutError, match="i1 lies wholly inside nearer instances"):
        nearest_cells(layout, 4, 4)


corner = st.floats(0, 1)
boxes = st.tuples(corner, corner, corner, corner).map(lambda c: (min(c[::2]), min(c[1::2]), max(c[::2]), max(c[1::2])))


@given(
    st.lists(
        st.tuples(boxes.filter(lambda b: b[2] - b[0] > 0.01 and b[3] - b[1] > 0.01), st.integers(0, 3)),
        min_size=1,
        max_size=5,
    )
)
def test_every_covered_cell_has_one_owner_and_none_is_nearer(things):
    layout = plan(
        *(Instance(id=f"i{i}", category="x", caption="x", box=box(b), depth=d) for i, (b, d) in enumerate(things))
    )
    whole = regions(layout, 8, 8)
    try:
        owned = nearest_cells(layout, 8, 8)
    except LayoutError:
        return
    assert torch.equal(owned.sum(0), whole.any(0).long())
    depths = torch.tensor([d for _, d in things])[:, None, None]
    front = torch.where(whole, depths, 99).amin(0)
    assert torch.equal(torch.where(owned, depths, 99).amin(0), front)
    pasted = join("depth", layout, inputs(len(things), 8, 8))[0]
    assert torch.equal(pasted, (owned * torch.arange(1, len(things) + 1)[:, None, None]).sum(0).float())
