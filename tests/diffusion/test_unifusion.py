"""UniFusion's promises beyond the golden numbers: slots, nulls, formats, batches, precision."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffusion.unifusion import Grounding, UniFusion, fourier_embed
from tests.diffusion.small import MAX_INSTANCES, WIDTH, small_unet

MAPS = slice(4 * MAX_INSTANCES, None)


@pytest.fixture(scope="module")
def net() -> UniFusion:
    return small_unet().position_net.requires_grad_(False)


def grounding(count: int = 3, seed: int = 0, uses=(True, True, True, True)) -> Grounding:
    """Random instances in the first slots."""
    generator = torch.Generator().manual_seed(seed)

    def filled(*shape: int) -> torch.Tensor:
        values = torch.zeros(1, MAX_INSTANCES, *shape)
        values[0, :count] = torch.rand(count, *shape, generator=generator)
        return values

    return Grounding(
        valid=(torch.arange(MAX_INSTANCES)[None] < count).float(),
        text=filled(WIDTH),
        boxes=filled(4),
        points=filled(2),
        scribbles=filled(40),
        polygons=filled(32),
        maps=filled(32, 32).round(),
        uses=torch.tensor([uses]),
    )


def test_tokens_come_in_groups_of_slots(net):
    """Boxes, points, scribbles, polygons, one token a slot each; then the maps'."""
    base = net.encode(grounding())[0]
    assert base.shape == (4 * MAX_INSTANCES + 4, WIDTH)
    for group, name in enumerate(("boxes", "points", "scribbles", "polygons")):
        g = grounding()
        moved = getattr(g, name).clone()
        moved[0, 1] += 0.1
        changed = (net.encode(replace(g, **{name: moved}))[0] != base).any(1)
        assert changed.nonzero().flatten().tolist() == [group * MAX_INSTANCES + 1]


def test_text_reaches_every_group_of_its_slot(net):
    g = grounding()
    text = g.text.clone()
    text[0, 2] = 0
    changed = (net.encode(replace(g, text=text)) != net.encode(g))[0].any(1).nonzero().flatten().tolist()
    assert changed == [group * MAX_INSTANCES + 2 for group in range(4)]


def test_a_map_reaches_the_map_tokens_only(net):
    g = grounding()
    maps = g.maps.clone()
    maps[0, 0] = 0
    changed = (net.encode(replace(g, maps=maps)) != net.encode(g))[0].any(1)
    assert not changed[: MAPS.start].any() and changed[MAPS].all()


def test_what_stands_in_an_unused_slot_does_not_matter(net):
    g = grounding(2)
    noisy = replace(g, text=g.text.clone(), boxes=g.boxes.clone(), points=g.points.clone())
    for tensor in (noisy.text, noisy.boxes, noisy.points):
        tensor[0, 2:] = 0.5
    assert torch.equal(net.encode(noisy), net.encode(g))


@pytest.mark.parametrize(
    ("name", "fields"), [(0, ["boxes"]), (1, ["points"]), (2, ["scribbles"]), (3, ["polygons", "maps"])]
)
def test_a_format_that_is_off_is_not_read(net, name: int, fields: list[str]):
    g = grounding(uses=tuple(i != name for i in range(4)))
    without = replace(g, **{field: torch.zeros_like(getattr(g, field)) for field in fields})
    assert torch.equal(net.encode(without), net.encode(g))


def test_boxes_are_on_when_everything_is_off(net):
    off, boxes = (grounding(uses=uses) for uses in ((False,) * 4, (True, False, False, False)))
    assert torch.equal(net.encode(off), net.encode(boxes))


def test_a_valid_slot_without_a_scribble_is_not_null(net):
    """It is coded as zeros, as the published network was trained; null would be the token of an unused slot."""
    g = replace(grounding(2), scribbles=torch.zeros(1, MAX_INSTANCES, 40), text=torch.zeros(1, MAX_INSTANCES, WIDTH))
    tokens = net.encode(replace(g, text=net.null_positive_feature.expand_as(g.text)))[0].view(-1, MAX_INSTANCES, WIDTH)
    assert not torch.allclose(tokens[2, 0], tokens[2, 3]) and torch.allclose(tokens[2, 2], tokens[2, 3])


def test_a_drawing_counts_where_its_coordinates_and_its_slot_add_up_to_more_than_nothing(net):
    """The published rule, which no recorded number shows: it differs from the slot's validity in odd inputs only."""
    g = replace(grounding(2), scribbles=torch.zeros(1, MAX_INSTANCES, 40))
    stray, negative = g.scribbles.clone(), g.scribbles.clone()
    stray[0, 3, 0] = 0.5
    negative[0, 1, 0] = -1.5
    base, strayed, negated = (
        net.encode(replace(g, scribbles=s))[0].view(-1, MAX_INSTANCES, WIDTH)[2] for s in (g.scribbles, stray, negative)
    )
    assert not torch.allclose(strayed[3], base[3])
    alone = replace(g, valid=g.valid.clone(), scribbles=negative, text=g.text.clone())
    alone.text[:] = net.null_positive_feature
    null = net.encode(alone)[0].view(-1, MAX_INSTANCES, WIDTH)[2]
    assert torch.allclose(null[1], null[2]) and not torch.allclose(negated[1], base[1])


def test_a_batch_equals_single_runs(net):
    parts = [
        grounding(3, seed=1),
        grounding(1, seed=2, uses=(True, True, False, False)),
        grounding(0),
        replace(grounding(2, seed=3), maps=torch.zeros(1, MAX_INSTANCES, 32, 32)),
    ]
    together = net.encode(Grounding.cat(parts))
    for row, part in zip(together, parts, strict=True):
        assert torch.allclose(row[None], net.encode(part), atol=1e-5)


def test_null_forgets_everything_but_the_formats(net):
    assert torch.equal(net.encode(grounding(3, seed=1).null()), net.encode(grounding(1, seed=2).null()))
    assert torch.equal(
        grounding(uses=(True, False, True, False)).null().uses[0], torch.tensor([True, False, True, False])
    )


def test_an_instance_alone_stands_in_slot_0(net):
    g = grounding(3)
    alone, tokens = net.encode(g.only(2))[0].view(-1, MAX_INSTANCES, WIDTH)[:4], net.encode(g)[0]
    tokens = tokens.view(-1, MAX_INSTANCES, WIDTH)[:4]
    assert torch.allclose(alone[:, 0], tokens[:, 2], atol=1e-5) and torch.allclose(alone[:, 1], tokens[:, 3], atol=1e-5)


def test_maps_of_another_size_are_resized(net):
    g = grounding()
    large = replace(g, maps=g.maps.repeat_interleave(2, -1).repeat_interleave(2, -2))
    assert torch.equal(net.encode(large), net.encode(g))


def test_half_precision_keeps_small_moves_of_a_box(net):
    """Coordinates in half precision would lose a move of a thousandth."""
    half = small_unet().position_net.to(torch.bfloat16).requires_grad_(False)
    g = grounding()
    moved = replace(g, boxes=g.boxes + 0.001)
    assert half.encode(g).dtype == torch.bfloat16
    exact, rounded = ((n.encode(moved).float() - n.encode(g).float()).norm() for n in (net, half))
    assert rounded == pytest.approx(exact.item(), rel=0.2)


@given(
    st.lists(st.sampled_from(["valid", "scribble", "polygon", "box", "nothing"]), min_size=2, max_size=MAX_INSTANCES)
)
def test_slots_after_the_last_used_one_hold_the_same_token(net, slots):
    """Whatever stands in them: an invalid box is not read, a stray drawing is."""
    g = grounding(0)
    for slot, what in enumerate(slots):
        if what == "valid":
            g.valid[0, slot] = 1
        elif what != "nothing":
            {"scribble": g.scribbles, "polygon": g.polygons, "box": g.boxes}[what][0, slot, 0] = 0.5
    used = g.used_slots()
    assert used == max((i + 1 for i, what in enumerate(slots) if what not in ("nothing", "box")), default=0)
    tokens = net.encode(g)[0, : MAPS.start].view(4, MAX_INSTANCES, WIDTH)
    assert torch.allclose(tokens[:, used:], tokens[:, -1:].expand_as(tokens[:, used:]), atol=1e-6)


def test_the_fullest_picture_decides_how_many_slots_are_used():
    assert [grounding(n).used_slots() for n in (0, 2, MAX_INSTANCES)] == [0, 2, MAX_INSTANCES]
    assert Grounding.cat([grounding(1), grounding(3), grounding(0)]).used_slots() == 3


def test_moving_to_a_type_leaves_the_formats_alone():
    moved = grounding().to("cpu", torch.float16)
    assert moved.boxes.dtype == torch.float16 and moved.uses.dtype == torch.bool
    assert grounding().to(dtype=torch.float16).uses.dtype == torch.bool


@given(st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=8))
def test_fourier_codes_are_sines_and_cosines_of_each_number(values):
    code = fourier_embed(torch.tensor(values))
    d = len(values)
    pairs = code.view(16, 2, d)
    assert torch.allclose(pairs.square().sum(1), torch.ones(16, d), atol=1e-5)
    assert torch.allclose(pairs[0, 0], torch.tensor(values).sin(), atol=1e-6)


@pytest.mark.parametrize("sizes", [{"map_size": 40}, {"map_size": 64, "map_tokens": 7}])
def test_sizes_that_do_not_fit_are_refused(sizes):
    with pytest.raises(ValueError, match="map_size"):
        UniFusion(8, 8, 8, **sizes)
