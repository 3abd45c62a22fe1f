"""Whole forward passes of the reduced network: every location format, instance mask, sizes, timesteps, strengths."""

import copy
import re

import pytest
import torch

from diffusion.mixed import to_mixed
from diffusion.unifusion import Grounding
from tests.reference.published import drawn, facts, golden, grounding, relative_error

TOLERANCE = 1.5e-5
SIZES = {"r16": ("16", 16, 16), "r64": ("64", 64, 64), "r24x40": ("24x40", 24, 40)}
LAYOUTS = {"box1": ("S", "box"), "mask30": ("G30", "mask"), "mixed": ("M", "scribble"), "null": ("A", "box")}
NAMES = sorted(name for name in golden("reduced") if name.startswith("r"))


@pytest.mark.parametrize("name", NAMES)
def test_forward(reduced, name: str):
    assert relative_error(predict(reduced, *inputs(name)), golden("reduced")[name]) < TOLERANCE


def test_a_batch_of_different_inputs_equals_single_runs(reduced):
    """Conditional and null, with maps and without, all formats and few, in one batch."""
    names = ["r16.mask_t501", "r16.null_t501", "r16.point_t501"]
    cases, noise, timesteps, contexts, *_ = zip(*(inputs(name) for name in names), strict=True)
    batch = (Grounding.cat(cases), torch.cat(noise), timesteps[0], torch.cat(contexts))
    for row, name in zip(predict(reduced, *batch), names, strict=True):
        assert relative_error(row[None], golden("reduced")[name]) < TOLERANCE


SOME = ["r16.box_t981", "r16.null_t501"]


@pytest.mark.parametrize("name", SOME)
def test_float16(reduced, name: str):
    assert error_in(torch.float16, reduced, name) < 1e-2


@pytest.mark.parametrize("name", SOME)
def test_bfloat16(reduced, name: str):
    assert error_in(torch.bfloat16, reduced, name) < 6e-2


@pytest.fixture(scope="module")
def mixed(reduced):
    return to_mixed(copy.deepcopy(reduced))


@pytest.mark.parametrize("name", NAMES[::4])
def test_bfloat16_where_it_does_little_harm(mixed, name: str):
    assert relative_error(predict(mixed, *inputs(name)), golden("reduced")[name]) < 2e-2


@pytest.mark.parametrize("name", SOME)
def test_how_far_rounding_the_weights_to_bfloat16_goes_alone(reduced, name: str):
    """What comes nearer is not in bfloat16 alone."""
    rounded = copy.deepcopy(reduced).bfloat16().float()
    assert 2e-2 < relative_error(predict(rounded, *inputs(name)), golden("reduced")[name]) < 3e-2


def error_in(dtype: torch.dtype, unet, name: str) -> float:
    half = copy.deepcopy(unet).to(dtype)
    case, x, timestep, context, scale, masking = inputs(name)
    out = predict(half, case, x.to(dtype), timestep, context.to(dtype), scale, masking)
    assert out.dtype == dtype
    return relative_error(out, golden("reduced")[name])


def predict(unet, case, x, timestep, context, scale=1.0, masking=None):
    size = {"height": x.shape[2], "width": x.shape[3]}
    instances = unet.encode_instances(case, **size, **(masking or {})).at_scale(scale)
    return unet(x, timestep, context, instances).sample


def inputs(name: str):
    size, label, timestep = re.fullmatch(r"(\w+)\.(.+)_t(\d+)", name).groups()
    side, height, width = SIZES[size]
    first, _, variant = label.partition("_")
    layout, configuration = LAYOUTS.get(first, ("A", first))
    available = facts("cases")["available"].get(f"pub.{layout}")
    if variant == "empty":
        available = [()] * 3
    tag = f"pub.red.{layout}"
    case = grounding(f"pub.{layout}", configuration, tag=tag, text_dim=64, available=available)
    return (
        case.null() if first == "null" else case,
        drawn(f"{tag}.x{side}", (1, 4, height, width)),
        torch.tensor(int(timestep)),
        drawn(f"{tag}.context", (1, 77, 64)),
        float(variant.removeprefix("scale")) if variant.startswith("scale") else 1.0,
        {"instance_mask": variant == "masked", "mask_axes": "official"},
    )
