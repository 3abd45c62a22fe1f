"""A network in bfloat16 but for the layers whose rounding all the others amplify: those stay in float32.

Plainly in bfloat16 the published network is two to three hundredths away from itself in float32, most of it from few
layers: both ends, the norms, the projections and resamplings that every feature passes, and the first block.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn

from diffusion.unet import InstanceDiffusionUNet

KEPT = re.compile(
    r"(conv_in|conv_out|time_embedding\..*"
    r"|down_blocks\.0\.(resnets|attentions)\.0\.(?!.*\.fuser\.).*"
    r"|.*\.(proj_in|proj_out|conv_shortcut|(down|up)samplers\.0\.conv))"
)
"""Linear and convolutional layers that stay in float32: a twelfth of the published network's weights."""
ADAPTER = re.compile(r"\.(base_layer|lora_[AB]\.\w+)$")
"""What peft adds to the name of a layer that LoRA weights are loaded for."""


def to_mixed(unet: InstanceDiffusionUNet) -> InstanceDiffusionUNet:
    """Converts the network in place, and returns it: it reads and answers float32, and its ``dtype`` says so.

    Norms and single parameters stay in float32, too. Raises ValueError where the weights are not in float32: what
    rounding has taken from them cannot be kept.
    """
    if rounded := {str(p.dtype) for p in unet.parameters() if p.dtype != torch.float32}:
        raise ValueError(f"the network holds weights in {', '.join(sorted(rounded))}: load it in float32, then mix")
    for name, module in unet.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and not KEPT.fullmatch(ADAPTER.sub("", name)):
            module.to(torch.bfloat16)
        if isinstance(module, nn.Linear | nn.Conv2d | nn.LayerNorm | nn.GroupNorm):
            module.register_forward_pre_hook(_in_its_type)
    return unet


def _in_its_type(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Sums of both types are in float32: each layer casts what it reads."""
    return (args[0].to(module.weight.dtype), *args[1:])
