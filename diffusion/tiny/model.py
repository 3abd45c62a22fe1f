"""The miniature's sizes: a UNet, a text tower and a scheduler that differ from the full-size ones in numbers only."""

from __future__ import annotations

from diffusers import DDIMScheduler

from diffusion.unet import InstanceDiffusionUNet

LATENT_CHANNELS = 8
LATENT_SIDE = 16
TEXT_WIDTH = 128
MAX_INSTANCES = 10


def build_unet() -> InstanceDiffusionUNet:
    """The miniature's network with random weights; fusers start half open, since so short a training must use them."""
    unet = InstanceDiffusionUNet(
        sample_size=LATENT_SIDE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(64, 128, 176),
        layers_per_block=1,
        norm_num_groups=16,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        mask_levels=3,
        unifusion={
            "mid_dim": 192,
            "max_instances": MAX_INSTANCES,
            "polygon_points": 32,
            "map_size": 128,
            "map_tokens": 16,
            "convnext_depths": (1, 1, 1, 1),
            "convnext_widths": (16, 32, 64, 64),
        },
    )
    for name, parameter in unet.named_parameters():
        if name.endswith(("alpha_attn", "alpha_dense")):
            parameter.data.fill_(0.5)
    for block in unet.position_net.convnext_tiny_backbone.modules():
        if hasattr(block, "gamma"):
            block.gamma.data.fill_(0.5)
    return unet


def build_scheduler() -> DDIMScheduler:
    """SD's noise schedule with velocity prediction."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        set_alpha_to_one=False,
        steps_offset=1,
        clip_sample=False,
    )
