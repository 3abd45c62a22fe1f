"""The number type of a training: bfloat16 in hardware only, attention and Muon as exact as that asks."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from diffusion.precision import Float32Attention, MuonPrecision, mixed_precision, training_type

CPU = torch.device("cpu")


@pytest.fixture(params=["avx512_bf16", "amx_bf16", None])
def hardware(request, monkeypatch) -> str | None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, request.param: True})
    return request.param


def test_a_cpu_without_bfloat16_trains_in_float32(hardware):
    layer = nn.Linear(8, 8)
    with mixed_precision(CPU):
        made = layer(torch.ones(1, 8))
    expected = torch.bfloat16 if hardware else torch.float32
    assert made.dtype == training_type(CPU) == expected
    assert layer(torch.ones(1, 8)).dtype == torch.float32


def test_a_gpu_trains_in_bfloat16_whatever_its_cpu_can(hardware):
    assert training_type(torch.device("cuda")) == torch.bfloat16


def test_attention_stays_in_float32_under_autocast():
    query = torch.randn(1, 1, 4, 8)
    exact = scaled_dot_product_attention(query, query, query)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = scaled_dot_product_attention(query, query, query)
        with Float32Attention():
            kept = scaled_dot_product_attention(query, query, query)
    assert torch.equal(kept, exact) and not torch.equal(rounded.float(), exact)


@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_steps_the_same_way_in_either_type(nesterov):
    """In bfloat16 it is torch's own Muon; in float32 its steps differ by bfloat16's rounding alone."""

    def moved(context: AbstractContextManager) -> torch.Tensor:
        torch.manual_seed(0)
        weight = nn.Parameter(torch.randn(48, 16))
        start, muon = weight.detach().clone(), torch.optim.Muon([weight], lr=0.1, nesterov=nesterov)
        for _ in range(3):
            weight.grad = torch.randn(48, 16)
            with context:
                muon.step()
        return weight.detach() - start

    exact, rounded = moved(MuonPrecision(torch.float32)), moved(MuonPrecision(torch.bfloat16))
    assert torch.equal(rounded, moved(nullcontext()))
    assert 0 < (exact - rounded).norm() < 0.03 * exact.norm()
