"""What a training has learned so far, to be looked at: the same few fresh scenes drawn again and again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderDC
from PIL import Image
from transformers import PreTrainedTokenizerFast

from diffusion.pipeline import InstanceDiffusionPipeline
from diffusion.tiny.bundle import DEFAULTS
from diffusion.tiny.model import build_scheduler
from diffusion.tiny.world import sample_scene

FIRST_SEED = 9_000_000
COUNT = 8


def write_samples(
    path: Path, modules: Mapping[str, Any], tokenizer: PreTrainedTokenizerFast, autoencoder: Path
) -> None:
    """A PNG of ``COUNT`` scenes that no training sees: above as the world draws them, below as the UNet and the text
    encoder in ``modules`` do."""
    scenes = [sample_scene(FIRST_SEED + n) for n in range(COUNT)]
    unet = modules["unet"]
    pipeline = InstanceDiffusionPipeline(
        vae=AutoencoderDC.from_pretrained(autoencoder, torch_dtype=torch.float32).to(unet.device),
        text_encoder=modules["text_encoder"],
        tokenizer=tokenizer,
        unet=unet,
        scheduler=build_scheduler(),
        defaults=DEFAULTS,
    )
    pipeline.set_progress_bar_config(disable=True)
    noise = [torch.Generator("cpu").manual_seed(scene.seed) for scene in scenes]
    (drawn,) = pipeline([scene.layout() for scene in scenes], generator=noise, return_dict=False)
    side = scenes[0].image.width
    sheet = Image.new("RGB", (COUNT * side, 2 * side))
    for column, (scene, image) in enumerate(zip(scenes, drawn, strict=True)):
        sheet.paste(scene.image, (column * side, 0))
        sheet.paste(image, (column * side, side))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
