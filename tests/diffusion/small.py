"""A pipeline of real parts with random weights, small enough to draw in a blink, and layouts for it."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, DDIMScheduler
from torch import nn

from diffusion.layout import Box, Instance, Layout
from diffusion.pipeline import InstanceDiffusionPipeline
from diffusion.tiny.text import build_text_encoder, build_tokenizer
from diffusion.unet import InstanceDiffusionUNet

SIDE = 32
CELL = 4
MAX_INSTANCES = 4
WIDTH = 16
BOXES = ((0.0, 0.1, 0.45, 0.6), (0.5, 0.4, 1.0, 0.9), (0.3, 0.0, 0.7, 0.4))
WORDS = ("a red ball", "a blue cube", "a green cone", "on grass in the snow without birds")


def small_unet(**config) -> InstanceDiffusionUNet:
    """All parts awake: fusers open, layer scales, ScaleU and null features random."""
    torch.manual_seed(0)
    defaults = {
        "sample_size": SIDE // CELL,
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "cross_attention_dim": WIDTH,
        "attention_head_dim": 2,
        "unifusion": {
            "mid_dim": 16,
            "max_instances": MAX_INSTANCES,
            "polygon_points": 16,
            "map_size": 32,
            "map_tokens": 4,
            "convnext_depths": (1, 1, 1, 1),
            "convnext_widths": (4, 8, 8, 16),
        },
    }
    unet = InstanceDiffusionUNet(**{**defaults, **config})
    for name, parameter in unet.named_parameters():
        last = name.rsplit(".", 1)[-1]
        if last in ("alpha_attn", "alpha_dense", "gamma"):
            nn.init.constant_(parameter, 0.5)
        elif last.startswith(("null_", "scaleu_")):
            nn.init.normal_(parameter, std=0.5)
    return unet.eval()


def small_pipeline(scheduler=None, **defaults) -> InstanceDiffusionPipeline:
    """Draws pictures of 32 x 32 pixels from latents of 8 x 8 cells, in four steps unless told otherwise."""
    unet = small_unet()
    tokenizer = build_tokenizer(WORDS)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(4,) * 3,
        norm_num_groups=1,
    ).eval()
    settings = {"num_inference_steps": 4, "guidance_scale": 3.0, "alpha": 0.8, "mis": 0.5, "size": SIDE}
    encoder = build_text_encoder(tokenizer, width=WIDTH, layers=1).eval()
    # CLIP's own initial weights are so small that every text reads the same.
    for parameter in encoder.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.5)
    pipeline = InstanceDiffusionPipeline(
        vae, encoder, tokenizer, unet, scheduler or small_scheduler(), {**settings, **defaults}
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def small_scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def box(corners: tuple[float, float, float, float]) -> Box:
    return Box(**dict(zip(("x0", "y0", "x1", "y1"), corners, strict=True)))


def thing(number: int = 0, **location) -> Instance:
    """An instance with a caption of its own; at its box unless another location is given."""
    caption = WORDS[number % 3]
    return Instance(
        id=f"i{number}", category=caption.split()[-1], caption=caption, **(location or {"box": box(BOXES[number % 3])})
    )


def plan(*instances: Instance, caption: str = "a red ball on grass", side: int = SIDE, **fields) -> Layout:
    return Layout(version=1, caption=caption, width=side, height=side, instances=instances, **fields)


def noise(count: int = 1, seed: int = 0, side: int = SIDE // CELL) -> torch.Tensor:
    return torch.randn(count, 4, side, side, generator=torch.Generator().manual_seed(seed))
