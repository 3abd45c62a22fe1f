"""The number type that a training computes in: bfloat16 where the device multiplies it itself, else float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack

import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode


def training_type(device: torch.device) -> torch.dtype:
    """bfloat16, or float32 on a CPU that would have to emulate it and then takes many times as long."""
    capable = torch.cpu.get_capabilities()
    emulated = device.type == "cpu" and not (capable.get("avx512_bf16") or capable.get("amx_bf16"))
    return torch.float32 if emulated else torch.bfloat16


def mixed_precision(device: torch.device) -> AbstractContextManager:
    """Autocast to ``training_type``, with attention in float32 on a CPU. For a forward pass and its loss."""
    contexts = ExitStack()
    if training_type(device) == torch.bfloat16:
        contexts.enter_context(torch.autocast(device.type, torch.bfloat16))
        if device.type == "cpu":
            contexts.enter_context(Float32Attention())
    return contexts


class Float32Attention(TorchFunctionMode):
    """Attention in float32 under autocast: on CPUs the bfloat16 backward is three times slower."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is not scaled_dot_product_attention:
            return func(*args, **kwargs)
        query, key, value, *rest = args
        with torch.autocast(query.device.type, enabled=False):
            return func(query.float(), key.float(), value.float(), *rest, **kwargs).to(query.dtype)


class MuonPrecision(TorchFunctionMode):
    """Muon's iterations in ``dtype``: torch's own are in bfloat16 whatever the device. For an optimizer's step."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.Tensor.bfloat16:
            return args[0].to(self.dtype, copy=True)
        return func(*args, **(kwargs or {}))
