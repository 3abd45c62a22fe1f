"""ScaleU: learned scaling of a UNet's backbone features and of the lowest frequencies of its skip features.

InstanceDiffusion (CVPR 2024), section 3.3:

    h = h * (tanh(b) + 1)                  per channel
    r = filter(r, tanh(s) + 1)             frequencies -1 and 0 along each axis
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import nn


class ScaleUHook:
    """Forward pre-hook on the ``index``-th residual block of the decoder, whose input is concat[h, r] over channels.

    It looks its parameters ``scaleu_b_k`` and ``scaleu_s_k`` up in the UNet each time, so that they may be replaced.
    """

    def __init__(self, unet: nn.Module, index: int):
        self.unet, self.index = unet, index

    def __call__(self, module: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        b = getattr(self.unet, f"scaleu_b_{self.index}")
        s = getattr(self.unet, f"scaleu_s_{self.index}")
        h, r = args[0].split([b.numel(), args[0].shape[1] - b.numel()], dim=1)
        return (torch.cat(scale_features(h, r, b, s), dim=1), *args[1:])


@contextlib.contextmanager
def switched_off(unet: nn.Module) -> Iterator[None]:
    """A UNet's ScaleU scales everything by 1 for a while: its parameters are 0 and then what they were."""
    parameters = [p for name, p in unet.named_parameters(recurse=False) if name.startswith("scaleu_")]
    kept = [p.detach().clone() for p in parameters]
    try:
        for p in parameters:
            p.data.zero_()
        yield
    finally:
        for p, value in zip(parameters, kept, strict=True):
            p.data.copy_(value)


def scale_features(
    h: torch.Tensor, r: torch.Tensor, b: torch.Tensor, s: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """ScaleU of backbone h (B, C, H, W) with b (C,) and skip r (B, D, H, W) with s (1,)."""
    return h * (b.tanh() + 1).to(h.dtype)[:, None, None], scale_low_frequencies(r, s.tanh() + 1)


def scale_low_frequencies(r: torch.Tensor, s: torch.Tensor | float) -> torch.Tensor:
    """Multiplies the frequencies -1 and 0 along both axes of (B, C, H, W) by s, and keeps the real part.

    The same as FFT, shift, scale, unshift, inverse FFT, written as a projection on the seven real waves that those four
    frequencies hold. It runs in float32 whatever the input's type.
    """
    height, width = r.shape[-2:]
    waves = _low_waves(height, width, r.device)
    flat = r.float().flatten(2)
    low = (flat @ waves.T) @ waves / (height * width)
    return (flat + (s - 1) * low).unflatten(2, (height, width)).to(r.dtype)


def _low_waves(height: int, width: int, device: torch.device) -> torch.Tensor:
    """(waves, H * W): cosine and sine of each frequency pair in {-1, 0} x {-1, 0}; a side of length 1 has only 0."""
    y = torch.arange(height, device=device, dtype=torch.float32) * (2 * math.pi / height)
    x = torch.arange(width, device=device, dtype=torch.float32) * (2 * math.pi / width)
    # few operations on all four at once: a GPU would spend more time on starting many than on working
    vertical = torch.arange(min(2, height), device=device)[:, None, None, None] * y[:, None]
    phases = vertical + torch.arange(min(2, width), device=device)[:, None, None] * x
    return torch.stack((phases.cos(), phases.sin()), dim=2).flatten(0, 2).flatten(1)
