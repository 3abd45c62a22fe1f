"""ScaleU: neutral at zero, one pair of parameters for each decoder block, safe to copy."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from diffusion.scaleu import scale_features, scale_low_frequencies
from tests.diffusion.small import small_unet
from tests.diffusion.test_unet import predict


def test_at_zero_nothing_is_scaled():
    h, r = torch.randn(2, 4, 6, 8), torch.randn(2, 3, 6, 8)
    scaled_h, scaled_r = scale_features(h, r, torch.zeros(4), torch.zeros(1))
    assert torch.equal(scaled_h, h) and torch.equal(scaled_r, r)


def test_a_flat_map_is_multiplied_and_a_fast_wave_is_not():
    flat = torch.full((1, 1, 8, 8), 3.0)
    assert torch.allclose(scale_low_frequencies(flat, 0.25), flat / 4, atol=1e-6)
    checkered = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(4, 4)[None, None]
    assert torch.allclose(scale_low_frequencies(checkered, 0.25), checkered, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_goes_in_and_out(dtype: torch.dtype):
    """On any size and on a CPU, where the Fourier transform it stands for does not exist."""
    h, r = torch.randn(1, 4, 6, 5, dtype=dtype), torch.randn(1, 3, 6, 5, dtype=dtype)
    b, s = torch.full((4,), 0.5, dtype=dtype), torch.full((1,), -0.5, dtype=dtype)
    scaled = scale_features(h, r, b, s)
    exact = scale_features(h.float(), r.float(), b.float(), s.float())
    for out, expected in zip(scaled, exact, strict=True):
        assert out.dtype == dtype and torch.allclose(out.float(), expected, atol=5e-2)


@torch.no_grad()
def test_every_decoder_block_is_scaled():
    unet = small_unet()
    names = [name for name, _ in unet.named_parameters() if name.startswith("scaleu_")]
    assert len(names) == 2 * sum(len(block.resnets) for block in unet.up_blocks)
    base = predict(unet)
    for name in names:
        changed = copy.deepcopy(unet)
        nn.init.constant_(getattr(changed, name), 2.0)
        assert not torch.allclose(predict(changed), base, atol=1e-6), name


@torch.no_grad()
def test_a_copy_is_scaled_by_its_own_parameters():
    unet = small_unet()
    twin, base = copy.deepcopy(unet), predict(unet)
    for name, parameter in twin.named_parameters():
        if name.startswith("scaleu_"):
            nn.init.constant_(parameter, 1.0)
    assert torch.equal(predict(unet), base)
    assert not torch.allclose(predict(twin), base)
    assert torch.equal(predict(copy.deepcopy(twin)), predict(twin))
