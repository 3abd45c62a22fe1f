"""Puts the trained parts together as the pipeline that is bundled: ``python -m diffusion.tiny.bundle --help``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from diffusers import AutoencoderDC, DDIMScheduler
from transformers import CLIPTextModel, PreTrainedTokenizerFast

from diffusion.pipeline import InstanceDiffusionPipeline
from diffusion.places import TINY_FOLDER as WEIGHTS
from diffusion.unet import InstanceDiffusionUNet

DEFAULTS = {
    "num_inference_steps": 10,
    "guidance_scale": 3.0,
    "alpha": 0.9,
    "mis": 0.36,
    "instance_mask": True,
    "size": 128,
}
"""How the miniature is drawn with unless told otherwise."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--autoencoder", type=Path, required=True, help="folder of the trained autoencoder")
    parser.add_argument("--trained", type=Path, required=True, help="folder that diffusion.tiny.train_unet wrote")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    bundle(options.autoencoder, options.trained, options.out)


def bundle(autoencoder: Path, trained: Path, out: Path) -> None:
    """Writes the pipeline to ``out`` as fp16 safetensors."""
    pipeline = InstanceDiffusionPipeline(
        vae=AutoencoderDC.from_pretrained(autoencoder),
        text_encoder=CLIPTextModel.from_pretrained(trained / "text_encoder"),
        tokenizer=PreTrainedTokenizerFast.from_pretrained(trained / "tokenizer"),
        unet=InstanceDiffusionUNet.from_pretrained(trained / "unet"),
        scheduler=DDIMScheduler.from_pretrained(trained / "scheduler"),
        defaults=DEFAULTS,
    )
    pipeline.to(dtype=torch.float16).save_pretrained(out, safe_serialization=True)
    for file in out.glob("*/config.json"):
        config = json.loads(file.read_text())
        config.pop("_name_or_path", None)
        file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
