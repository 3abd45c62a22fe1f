"""Forward passes at the published size: 5 GB of weights, minutes of a CPU."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from diffusion.mixed import to_mixed
from diffusion.precision import training_type
from diffusion.unet import InstanceDiffusionUNet
from tests.reference.published import drawn, facts, golden, grounding, relative_error

pytestmark = pytest.mark.full

TOLERANCE = 1.5e-5
HALF = 3.5e-2
CASES = {case["name"]: case for case in facts("cases")["full"]}

SOME = ["box_t981_unmasked", "mask_t981_masked", "mixed_t501_masked", "null_t501"]


@pytest.fixture(scope="module")
def half(full) -> InstanceDiffusionUNet:
    """The same weights in bfloat16: another 2.5 GB."""
    skip_where_emulated()
    with torch.device("meta"):
        unet = InstanceDiffusionUNet()
    unet.load_state_dict({name: value.bfloat16() for name, value in full.state_dict().items()}, assign=True)
    return unet.eval().requires_grad_(False)


@pytest.mark.parametrize("name", CASES)
def test_64_by_64_cells(full, name: str):
    assert relative_error(predict(full, CASES[name]), golden("unet_full")[name]) < TOLERANCE


@pytest.fixture(scope="module")
def rounded(full) -> InstanceDiffusionUNet:
    """The same weights rounded to bfloat16, to compute with in float32: another 5 GB."""
    with torch.device("meta"):
        unet = InstanceDiffusionUNet()
    unet.load_state_dict({name: value.bfloat16().float() for name, value in full.state_dict().items()}, assign=True)
    return unet.eval().requires_grad_(False)


@pytest.mark.parametrize("name", SOME)
def test_how_far_rounding_the_weights_to_bfloat16_goes_alone(rounded, name: str):
    assert 1e-2 < relative_error(predict(rounded, CASES[name]), golden("unet_full")[name]) < 2e-2


@pytest.mark.parametrize("name", SOME)
def test_how_far_rounding_what_is_multiplied_to_bfloat16_goes_alone(rounded, name: str):
    """Weights and inputs of the linear and convolutional layers; attention, sums and what is kept are in float32."""
    layers = [module for module in rounded.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    handles = [layer.register_forward_pre_hook(lambda layer, args: (args[0].bfloat16().float(),)) for layer in layers]
    try:
        assert 1.5e-2 < relative_error(predict(rounded, CASES[name]), golden("unet_full")[name]) < 2e-2
    finally:
        for handle in handles:
            handle.remove()


@pytest.fixture(scope="module")
def mixed(full) -> InstanceDiffusionUNet:
    """Another 2.7 GB."""
    skip_where_emulated()
    with torch.device("meta"):
        unet = InstanceDiffusionUNet()
    unet.load_state_dict(full.state_dict(), assign=True)
    return to_mixed(unet.eval().requires_grad_(False))


@pytest.mark.parametrize("name", SOME)
def test_bfloat16_where_it_does_little_harm(mixed, name: str):
    assert relative_error(predict(mixed, CASES[name]), golden("unet_full")[name]) < 2e-2


@pytest.mark.parametrize("name", SOME)
def test_half_precision(half, name: str):
    assert relative_error(predict(half, CASES[name]), golden("unet_full")[name]) < HALF


@pytest.mark.parametrize("name", sorted(golden("unet_full_32x32")))
def test_32_by_32_cells(full, name: str):
    configuration, timestep = name.split("_t")
    null = configuration == "null"
    case = grounding("pub.A", "box" if null else configuration)
    instances = full.encode_instances(case.null() if null else case, height=32, width=32)
    x, context = drawn("pub.A.x32", (1, 4, 32, 32)), drawn("pub.A.context", (1, 77, 768))
    out = full(x, torch.tensor(int(timestep)), context, instances).sample
    assert relative_error(out, golden("unet_full_32x32")[name]) < TOLERANCE


@pytest.mark.parametrize("name", ["box_t981_unmasked", "box_t981_masked"])
def test_every_block(full, name: str):
    """Mean, standard deviation, largest magnitude and 64 samples of each block's output."""
    outputs: dict[str, torch.Tensor] = {}
    handles = [
        module.register_forward_hook(lambda module, args, out, block=block: outputs.update({block: _first(out)}))
        for block, module in blocks(full)
    ]
    predict(full, CASES[name])
    for handle in handles:
        handle.remove()
    expected = {key.removeprefix(f"{name}."): v for key, v in golden("unet_full_blockstats").items() if name in key}
    assert outputs.keys() == expected.keys()
    for block, out in outputs.items():
        flat = out.flatten()
        samples = flat[:: flat.numel() // 64][:64]
        measured = torch.cat((torch.stack((flat.mean(), flat.std(), flat.abs().max())), samples))
        assert relative_error(measured, expected[block]) < TOLERANCE, block


def skip_where_emulated() -> None:
    if training_type(torch.device("cpu")) != torch.bfloat16:
        pytest.skip("a CPU that emulates bfloat16 takes more than ten times as long; test_forward.py does it in small")


def predict(unet, case) -> torch.Tensor:
    tag = case["tag"]
    available = facts("cases")["available"].get(tag)
    given = grounding(tag, case["configuration"], available=available)
    instances = unet.encode_instances(
        given.null() if case["null_input"] else given,
        instance_mask=case["instance_mask_given"],
        mask_axes="official",
        height=64,
        width=64,
    ).at_scale(case["fuser_scale"])
    x, context = drawn(f"{tag}.x", (1, 4, 64, 64)), drawn(f"{tag}.context", (1, 77, 768))
    return unet(x.to(unet.dtype), torch.tensor(case["timestep"]), context.to(unet.dtype), instances).sample


def blocks(unet) -> Iterator[tuple[str, nn.Module]]:
    """The published names of the blocks with the modules that end them here."""
    yield "time_embed", unet.time_embedding
    yield "middle_block", unet.mid_block
    ends = [unet.conv_in]
    for block in unet.down_blocks:
        ends += getattr(block, "attentions", block.resnets)
        ends += block.downsamplers or []
    yield from ((f"input_blocks.{i}", module) for i, module in enumerate(ends))
    ends = []
    for block in unet.up_blocks:
        ends += getattr(block, "attentions", block.resnets)
        ends[-1:] = block.upsamplers or ends[-1:]
    yield from ((f"output_blocks.{i}", module) for i, module in enumerate(ends))


def _first(output) -> torch.Tensor:
    return output[0] if isinstance(output, tuple) else output
