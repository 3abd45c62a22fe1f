"""Gated instance attention against diffusers' own block and against the mask written out pair by pair."""

from __future__ import annotations

import weakref

import pytest
import torch
from diffusers.models.attention import GatedSelfAttentionDense
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from diffusion.gated_attention import KEPT_MASKS, GatedInstanceAttention, InstanceTokens, allowed_pairs, box_cells

SLOTS, MAPS, WIDTH, CONTEXT = 3, 4, 16, 8
TOKENS = 4 * SLOTS + MAPS
SIDE = 6
FOUR, MANY = 4, 5
BOXES = torch.tensor([[[0.0, 0.0, 0.5, 0.5], [0.34, 0.34, 1.0, 0.84], [0, 0, 0, 0]]])
VALID = torch.tensor([[1.0, 1.0, 0.0]])


@pytest.fixture(scope="module")
def fuser() -> GatedInstanceAttention:
    torch.manual_seed(0)
    block = GatedInstanceAttention(WIDTH, CONTEXT, 2, WIDTH // 2).eval().requires_grad_(False)
    nn.init.constant_(block.alpha_attn, 0.7)
    nn.init.constant_(block.alpha_dense, -0.4)
    return block


def visual(batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, SIDE * SIDE, WIDTH, generator=torch.Generator().manual_seed(1))


def tokens(batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, TOKENS, CONTEXT, generator=torch.Generator().manual_seed(2))


def read(fuser: GatedInstanceAttention, x: torch.Tensor, instances: InstanceTokens) -> torch.Tensor:
    return fuser(x, instances.for_fusers(fuser, [fuser]))


def cells() -> torch.Tensor:
    return box_cells(BOXES, VALID, SIDE, SIDE)


def test_without_a_mask_it_is_diffusers_gligen_block(fuser):
    expected = GatedSelfAttentionDense.forward(fuser, visual(2), tokens(2))
    assert torch.allclose(read(fuser, visual(2), InstanceTokens(tokens(2), SLOTS)), expected, atol=1e-6)


def test_strength_0_leaves_the_features_as_they_are(fuser):
    assert torch.equal(read(fuser, visual(), InstanceTokens(tokens(), SLOTS, scale=0)), visual())


@torch.no_grad()
def test_keys_are_computed_once_a_picture_and_change_nothing(fuser):
    instances = InstanceTokens(tokens(), SLOTS)
    first = read(fuser, visual(), instances)
    calls = []
    handle = fuser.linear.register_forward_hook(lambda *_: calls.append(1))
    assert torch.equal(read(fuser, visual(), instances.at_scale(1.0)), first)
    handle.remove()
    assert not calls


@torch.no_grad()
@pytest.mark.parametrize("rows", [1, KEPT_MASKS])
def test_masks_that_take_much_memory_are_let_go_of_and_built_again(fuser, rows: int):
    instances = InstanceTokens(tokens(), SLOTS, cells=cells())
    first = read(fuser, visual(), instances)
    masks = weakref.ref(instances.for_fusers(fuser, [fuser]).masks[SIDE * SIDE])
    instances.at_scale(0.5).let_go_of_masks(rows)
    assert (masks() is None) == (rows > 1)
    assert torch.equal(read(fuser, visual(), instances), first)


def alike(used: int, batch: int = 2) -> torch.Tensor:
    """Tokens whose slots from ``used`` on hold the same token in each format."""
    drawn = torch.randn(batch, FOUR * MANY + MAPS, CONTEXT, generator=torch.Generator().manual_seed(3))
    slots = drawn[:, : FOUR * MANY].view(batch, FOUR, MANY, CONTEXT)
    slots[:, :, used:] = slots[:, :, -1:].clone()
    return drawn


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("used", range(MANY + 1))
def test_one_token_stands_for_all_unused_slots(fuser, used: int, masked: bool):
    """By the logarithm of their number, also where the mask hides them."""
    boxes = torch.rand(2, MANY, 4, generator=torch.Generator().manual_seed(4)).sort(-1).values
    lying = box_cells(boxes, (torch.arange(MANY) < used).expand(2, -1), SIDE, SIDE) if masked else None
    folded = InstanceTokens(alike(used), MANY, used, lying)
    expected = read(fuser, visual(2), folded.each_for_itself())
    assert torch.allclose(read(fuser, visual(2), folded), expected, atol=1e-6)
    kept = folded.for_fusers(fuser, [fuser]).pairs[0][0].shape[2]
    assert kept == FOUR * min(used + 1, MANY) + MAPS


def test_in_a_batch_the_fullest_picture_decides_how_many_slots_are_kept(fuser):
    parts = [InstanceTokens(alike(used, 1), MANY, used) for used in (1, 3, 0)]
    joined = InstanceTokens.cat(parts)
    assert joined.used == 3
    for row, x, part in zip(read(fuser, visual(3), joined), visual(3), parts, strict=True):
        assert torch.allclose(row[None], read(fuser, x[None], part), atol=1e-6)


def test_where_slots_are_not_known_to_be_alike_every_token_counts():
    parts = [InstanceTokens(alike(1, 1), MANY, 1), InstanceTokens(alike(1, 1), MANY)]
    assert InstanceTokens.cat(parts).used is None


def test_keys_are_not_remembered_where_gradients_are_needed(fuser):
    needed = tokens().requires_grad_()
    instances = InstanceTokens(needed, SLOTS)
    for _ in range(2):
        (gradient,) = torch.autograd.grad(read(fuser, visual(), instances).sum(), needed)
        assert gradient.abs().sum() > 0


def test_the_mask_keeps_an_instance_inside_its_box(fuser):
    """Another box token for instance 1 moves the visual tokens inside its box, and no other."""
    changed = tokens()
    changed[0, 1] += 1.0
    before, after = (read(fuser, visual(), InstanceTokens(t, SLOTS, cells=cells())) for t in (tokens(), changed))
    moved = ((before - after)[0].abs().amax(1) > 1e-6).view(SIDE, SIDE)
    assert torch.equal(moved, cells()[0, 1])


def test_the_mask_needs_no_other_attention_than_the_fused_one(fuser):
    """Forced to the fused kernel, masked and folded: the published fast path leaves the mask out."""
    instances = InstanceTokens(alike(2, 1), MANY, 2, cells=functional.pad(cells(), (0, 0, 0, 0, 0, MANY - SLOTS)))
    results = []
    for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.MATH):
        with sdpa_kernel(backend):
            results.append(read(fuser, visual(), instances))
    assert torch.allclose(*results, atol=1e-6)


def test_points_scribbles_and_maps_are_seen_everywhere(fuser):
    for index in (SLOTS, 2 * SLOTS + 1, 4 * SLOTS):
        changed = tokens()
        changed[0, index] += 1.0
        before, after = (read(fuser, visual(), InstanceTokens(t, SLOTS, cells=cells())) for t in (tokens(), changed))
        assert ((before - after)[0].abs().amax(1) > 1e-6).all()


def test_other_resolutions_are_not_masked(fuser):
    instances = InstanceTokens(tokens(), SLOTS, cells=cells())
    few = visual()[:, :9]
    assert instances.for_fusers(fuser, [fuser]).bias(9) is None
    assert torch.equal(read(fuser, few, instances), read(fuser, few, InstanceTokens(tokens(), SLOTS)))


def test_coarser_levels_cover_what_the_finer_one_covers(fuser):
    keys = InstanceTokens(tokens(), SLOTS, cells=cells(), masked_levels=2).for_fusers(fuser, [fuser])
    fine, coarse = keys.bias(SIDE**2) == 0, keys.bias((SIDE // 2) ** 2) == 0
    assert fine.shape == (1, 1, 36, 36 + TOKENS) and coarse.shape == (1, 1, 9, 9 + TOKENS)
    slot = fine[0, 0, :, 36].view(SIDE, SIDE)
    pooled = slot.view(3, 2, 3, 2).any(3).any(1)
    assert torch.equal(coarse[0, 0, :, 9].view(3, 3), pooled)


def test_allowed_pairs_by_the_rule():
    inside = cells()[0].flatten(1)
    allowed = allowed_pairs(cells(), TOKENS)[0, 0]
    for p in range(SIDE**2):
        for q in range(SIDE**2):
            together = any(inside[i, p] and inside[i, q] for i in range(SLOTS))
            assert allowed[p, q] == (together or p == q)
        box_slots, point_and_scribble_slots, polygon_slots, maps = allowed[p, SIDE**2 :].split(
            [SLOTS, 2 * SLOTS, SLOTS, MAPS]
        )
        assert torch.equal(box_slots, inside[:, p]) and torch.equal(polygon_slots, inside[:, p])
        assert point_and_scribble_slots.all() and maps.all()


def test_a_picture_without_cells_in_a_masked_batch_is_not_masked(fuser):
    both = torch.cat((cells(), torch.zeros_like(cells())))
    masked, free = read(fuser, visual(2), InstanceTokens(tokens(2), SLOTS, cells=both))
    alone = InstanceTokens(tokens(2)[1:], SLOTS), InstanceTokens(tokens(2)[:1], SLOTS, cells=cells())
    assert torch.allclose(free[None], read(fuser, visual(2)[1:], alone[0]), atol=1e-6)
    assert torch.allclose(masked[None], read(fuser, visual(2)[:1], alone[1]), atol=1e-6)


def test_joined_tokens_equal_a_batch(fuser):
    parts = [InstanceTokens(row[None], SLOTS, cells=cells(), masked_levels=2) for row in tokens(3)]
    joined = InstanceTokens.cat(parts)
    assert len(joined) == 3
    for row, x, part in zip(read(fuser, visual(3), joined), visual(3), parts, strict=True):
        assert torch.allclose(row[None], read(fuser, x[None], part), atol=1e-6)


def test_tokens_with_and_without_cells_do_not_join():
    with pytest.raises(ValueError, match="all with cells or all without"):
        InstanceTokens.cat([InstanceTokens(tokens(), SLOTS, cells=cells()), InstanceTokens(tokens(), SLOTS)])


corner = st.floats(0, 1, width=32)


@given(st.tuples(corner, corner, corner, corner), st.integers(1, 9), st.integers(1, 9))
def test_a_box_covers_the_cells_that_it_touches(corners, height, width):
    (x0, x1), (y0, y1) = sorted(corners[::2]), sorted(corners[1::2])
    covered = box_cells(torch.tensor([[[x0, y0, x1, y1]]]), torch.ones(1, 1), height, width)[0, 0]
    shrink = 2e-4  # a box that ends on a border must not touch the next cell by a rounding error
    for row in range(height):
        for column in range(width):
            overlap_x = min(x1 * width, column + 1) - max(x0 * width, column)
            overlap_y = min(y1 * height, row + 1) - max(y0 * height, row)
            if min(overlap_x, overlap_y) > shrink:
                assert covered[row, column]
            elif min(overlap_x, overlap_y) < -shrink:
                assert not covered[row, column]


@given(st.tuples(corner, corner, corner, corner), st.integers(2, 9))
def test_the_official_axes_mirror_the_box(corners, side):
    (x0, x1), (y0, y1) = sorted(corners[::2]), sorted(corners[1::2])
    one = torch.ones(1, 1)
    box, mirrored = torch.tensor([[[x0, y0, x1, y1]]]), torch.tensor([[[y0, x0, y1, x1]]])
    official = box_cells(box, one, side, side, axes="official")
    assert torch.equal(official.mT, box_cells(mirrored, one, side, side, axes="official"))


def test_unused_slots_cover_nothing():
    assert not box_cells(torch.tensor([[[0.0, 0.0, 1.0, 1.0]]]), torch.zeros(1, 1), 4, 4).any()
