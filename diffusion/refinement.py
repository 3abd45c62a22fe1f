"""The optional last pass of the published inference: SDXL's refiner redraws the fine structure of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image

from diffusion.checkpoints import variant_of
from diffusion.hub import from_hub
from diffusion.places import REFINER_REPOSITORY, ModelUnavailable

REFINER_STEPS = 20
"""As published; ``strength`` of them are taken."""

PARTS = ("text_encoder_2", "tokenizer_2", "unet", "vae", "scheduler")


def load_refiner(folder: str | None = None, *, device: str, dtype: torch.dtype | None = None) -> Any:
    """diffusers' StableDiffusionXLImg2ImgPipeline, from a folder or, unless given, the hub's refiner.

    dtype: float32 on CPUs and float16 elsewhere unless given. Raises ModelUnavailable.
    """
    from diffusers import StableDiffusionXLImg2ImgPipeline

    place = _refiner_of_the_hub() if folder is None else Path(folder)
    dtype = dtype or (torch.float32 if device == "cpu" else torch.float16)
    try:
        index = StableDiffusionXLImg2ImgPipeline.load_config(place, local_files_only=True)
        if lacking := [part for part in PARTS if not index.get(part)]:
            raise ValueError(f"it has no {', '.join(lacking)}; expected an SDXL pipeline that diffusers saved")
        refiner = StableDiffusionXLImg2ImgPipeline.from_pretrained(
            place,
            dtype=dtype,
            variant=variant_of(place / "unet"),
            use_safetensors=True,
            local_files_only=True,
            add_watermarker=False,
        )
    except Exception as error:  # the libraries that read the files raise whatever a wrong one leads them to
        raise ModelUnavailable(f"{place}: cannot be loaded as an SDXL refiner: {error}") from error
    return refiner.to(device)


def refine(
    refiner: Any, images: Sequence[Image], captions: Sequence[str], strength: float, seeds: Sequence[int]
) -> list[Image]:
    """The pictures redrawn from the noise of their last steps, each with its own caption and seed, of the same size.

    strength: the share of the noise that is put back, above 0 and at most 1; 0.3 as published. The caption alone is the
    prompt, as published. Noise is drawn on the CPU, so that seeds hold across devices.
    """
    if not 1 / REFINER_STEPS <= strength <= 1:
        raise ValueError(f"strength = {strength} must lie between {1 / REFINER_STEPS} and 1")
    refined = []
    for image, caption, seed in zip(images, captions, seeds, strict=True):
        redrawn = refiner(
            caption,
            image=image,
            strength=strength,
            num_inference_steps=REFINER_STEPS,
            generator=torch.Generator("cpu").manual_seed(seed),
        ).images[0]
        refined.append(redrawn if redrawn.size == image.size else redrawn.resize(image.size))
    return refined


def _refiner_of_the_hub() -> Path:
    weights = ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder_2/model")
    needed = [f"{name}.fp16.safetensors" for name in weights]
    return from_hub(REFINER_REPOSITORY, ["model_index.json", "*/*.json", "*/*.txt", *needed], needed)
