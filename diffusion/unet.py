"""The InstanceDiffusion UNet: diffusers' UNet2DConditionModel with UniFusion, gated instance attention and ScaleU.

The miniature and SD 1.5 differ in configuration only. The state dict's keys and shapes are those of the diffusers port.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from typing import Any

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.modeling_utils import ModelMixin  # noqa: F401  (diffusers finds loading methods through this name)
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import nn

from diffusion.conditions import Slots, masked_cells
from diffusion.gated_attention import GatedInstanceAttention, InstanceTokens, MaskAxes
from diffusion.scaleu import ScaleUHook
from diffusion.unifusion import Grounding, UniFusion


class InstanceDiffusionUNet(UNet2DConditionModel):
    """Predicts noise (or velocity) for (B, in_channels, h, w) latents under text and instances.

    unifusion: keyword arguments of UniFusion beyond the text width, empty for the published size.
    mask_levels: how many resolutions, from the finest down, the instance mask covers: 1 as published, which masks
    64x64 latents only. attention_head_dim is the number of heads, as in every SD 1.x configuration.
    """

    @register_to_config
    def __init__(
        self,
        sample_size: int = 64,
        in_channels: int = 4,
        out_channels: int = 4,
        down_block_types: tuple[str, ...] = (
            "CrossAttnDownBlock2D",
            "CrossAttnDownBlock2D",
            "CrossAttnDownBlock2D",
            "DownBlock2D",
        ),
        up_block_types: tuple[str, ...] = (
            "UpBlock2D",
            "CrossAttnUpBlock2D",
            "CrossAttnUpBlock2D",
            "CrossAttnUpBlock2D",
        ),
        block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280),
        layers_per_block: int = 2,
        norm_num_groups: int = 32,
        cross_attention_dim: int = 768,
        attention_head_dim: int = 8,
        unifusion: dict[str, Any] | None = None,
        mask_levels: int = 1,
    ):
        super().__init__(
            sample_size=sample_size,
            in_channels=in_channels,
            out_channels=out_channels,
            down_block_types=tuple(down_block_types),
            up_block_types=tuple(up_block_types),
            block_out_channels=tuple(block_out_channels),
            layers_per_block=layers_per_block,
            norm_num_groups=norm_num_groups,
            cross_attention_dim=cross_attention_dim,
            attention_head_dim=attention_head_dim,
            attention_type="gated",
        )
        self.position_net = UniFusion(cross_attention_dim, cross_attention_dim, **(unifusion or {}))
        blocks = [block for block in self.modules() if isinstance(block, BasicTransformerBlock)]
        for index, block in enumerate(blocks):
            block.fuser = _as_instance_attention(block.fuser, cross_attention_dim, index)
        resnets = [resnet for block in self.up_blocks for resnet in block.resnets]
        widths = _backbone_widths(block_out_channels, layers_per_block + 1)
        for index, (resnet, width) in enumerate(zip(resnets, widths, strict=True)):
            self.register_parameter(f"scaleu_b_{index}", nn.Parameter(torch.zeros(width)))
            self.register_parameter(f"scaleu_s_{index}", nn.Parameter(torch.zeros(1)))
            resnet.register_forward_pre_hook(ScaleUHook(self, index))

    @classmethod
    def extract_init_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Reads configurations that spell out the stock UNet's other options, as long as they hold its defaults."""
        own, stock = (inspect.signature(c.__init__).parameters for c in (cls, UNet2DConditionModel))
        for key, value in config_dict.items():
            if key in stock and key not in own and key != "attention_type" and value != stock[key].default:
                raise ValueError(f"{key} = {value!r} in the UNet's configuration; InstanceDiffusion has no such option")
        known = {key: value for key, value in config_dict.items() if key in own or key not in stock}
        return super().extract_init_dict(known, **kwargs)

    @functools.cached_property
    def fusers(self) -> list[GatedInstanceAttention]:
        """By their index. Found once: a walk through all modules costs a millisecond of every pass."""
        return [module for module in self.modules() if isinstance(module, GatedInstanceAttention)]

    @property
    def slots(self) -> Slots:
        """What a Grounding for this network must look like."""
        return Slots.of(self.position_net)

    def _set_pos_net_if_use_gligen(self, attention_type: str, cross_attention_dim: Any) -> None:
        """UniFusion takes the place of GLIGEN's box encoder."""

    @apply_forward_hook
    def encode_instances(
        self,
        grounding: Grounding,
        *,
        instance_mask: bool = False,
        mask_axes: MaskAxes = "xy",
        height: int | None = None,
        width: int | None = None,
        cells: torch.Tensor | None = None,
    ) -> InstanceTokens:
        """Tokens and instance mask of B pictures, once for all steps. height, width: of the latent, in cells.

        cells: (B, N, height, width) bool, where the instance mask puts each instance; ``masked_cells`` unless given.
        """
        tokens = self.position_net.encode(grounding)
        if instance_mask and cells is None:
            size = (height or self.config.sample_size, width or self.config.sample_size)
            cells = masked_cells(grounding, *size, axes=mask_axes)
        slots = self.position_net.max_instances
        return InstanceTokens(tokens, slots, grounding.used_slots(), cells, self.config.mask_levels)

    @apply_forward_hook
    def read_instances(self, instances: InstanceTokens) -> None:
        """Has the instances' keys and values computed, which the forward passes then find: a compiled network would
        trace the reading too, and depends on what it finds."""
        instances.for_fusers(self, self.fusers)

    def forward(  # type: ignore[override]
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor | float,
        encoder_hidden_states: torch.Tensor,
        instances: InstanceTokens,
        **kwargs: Any,
    ) -> Any:
        """sample: (B, in_channels, h, w); encoder_hidden_states: (B, tokens, C) of the global prompt."""
        steering = {"gligen": {"objs": instances.for_fusers(self, self.fusers)}}
        attention = {**(kwargs.pop("cross_attention_kwargs", None) or {}), **steering}
        return super().forward(sample, timestep, encoder_hidden_states, cross_attention_kwargs=attention, **kwargs)


def _as_instance_attention(fuser: Any, context_dim: int, index: int) -> GatedInstanceAttention:
    heads = fuser.attn.heads
    width = fuser.linear.out_features
    ours = GatedInstanceAttention(width, context_dim, heads, width // heads)
    ours.index = index
    return ours


def _backbone_widths(block_out_channels: Sequence[int], blocks_per_level: int) -> list[int]:
    """Channels of h in each decoder block's input concat[h, r]: the width it comes with, then the level's own."""
    outputs = list(reversed(block_out_channels))
    arriving = [outputs[0], *outputs[:-1]]
    return [w for before, own in zip(arriving, outputs, strict=True) for w in (before, *[own] * (blocks_per_level - 1))]
