"""Writes files like the published checkpoint: real OmegaConf objects, the original names, weights drawn or given."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from omegaconf import OmegaConf
from transformers import CLIPTextConfig, CLIPTextModel

from diffusion.tiny.text import MAX_TOKENS, build_tokenizer
from tests.diffusion.small import WORDS
from tests.reference.published import facts

CONFIGURATION = {
    "model": {"target": "ldm.modules.diffusionmodules.openaimodel.UNetModel", "params": {"image_size": 64}}
}


def write_checkpoint(path: Path, **entries: Any) -> Path:
    """A training checkpoint with those entries beside what else the published code saves."""
    configuration = vars(OmegaConf.create(CONFIGURATION | {"attention": [4, 2, 1], "seed": None}))
    optimizer = {"state": {0: {"exp_avg": torch.ones(1000)}}, "param_groups": [{"lr": 5e-5, "betas": (0.9, 0.999)}]}
    torch.save({"opt": optimizer, "iters": 3, "config_dict": configuration, **entries}, path)
    return path


def official_names(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Our UNet's weights in the published names."""
    return {official: weights[port] for official, port in facts("official_to_port").items()}


def base_folder(folder: Path) -> Path:
    """What stands for SD 1.5: a tokenizer."""
    build_tokenizer(WORDS).save_pretrained(folder / "tokenizer")
    return folder


def small_text_encoder(width: int = 64) -> CLIPTextModel:
    tokenizer = build_tokenizer(WORDS)
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    sizes = {"hidden_size": width, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 1}
    lengths = {"vocab_size": len(tokenizer), "max_position_embeddings": MAX_TOKENS, "projection_dim": width}
    torch.manual_seed(0)
    return CLIPTextModel(CLIPTextConfig(**sizes, **lengths, **ids)).eval()


def wrapped_text_encoder(encoder: CLIPTextModel) -> dict[str, torch.Tensor]:
    """As the published code holds it, with the positions that transformers stored at that time."""
    weights = {f"transformer.text_model.{key}": value for key, value in encoder.state_dict().items()}
    return weights | {"transformer.text_model.embeddings.position_ids": torch.arange(MAX_TOKENS)[None]}


def small_vae() -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(32, 32, 64),
        layers_per_block=2,
        sample_size=512,
    ).eval()


VAE_NAMES = (
    (r"down_blocks\.(\d)\.resnets", r"down.\1.block"),
    (r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample"),
    (r"up_blocks\.(\d)\.resnets", lambda m: f"up.{2 - int(m[1])}.block"),
    (r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{2 - int(m[1])}.upsample"),
    (r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}"),
    (r"mid_block\.attentions\.0", "mid.attn_1"),
    (r"conv_shortcut", "nin_shortcut"),
    (r"conv_norm_out", "norm_out"),
    (r"group_norm", "norm"),
    (r"to_out\.0", "proj_out"),
    (r"to_([qkv])", r"\1"),
)


def original_vae(vae: AutoencoderKL) -> dict[str, torch.Tensor]:
    """The names of the original Stable Diffusion code, whose attention is made of 1x1 convolutions."""
    weights = {}
    for key, value in vae.state_dict().items():
        name = key
        for pattern, replacement in VAE_NAMES:
            name = re.sub(pattern, replacement, name)
        weights[name] = value[:, :, None, None] if ".attn_1." in name and value.ndim == 2 else value
    return weights
