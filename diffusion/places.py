"""Where the weights of the models with a name are, and the error that says one is not there. No torch."""

from pathlib import Path

TINY_FOLDER = Path(__file__).parent / "tiny" / "weights"
"""The bundled miniature, as its pipeline saved it."""

SD15_REPOSITORY = "kyeongry/instancediffusion_sd15"
"""InstanceDiffusion on SD 1.5 in diffusers' format, on the hub."""

BASE_REPOSITORY = "stable-diffusion-v1-5/stable-diffusion-v1-5"
"""SD 1.5 itself: the tokenizer, and whatever else the published checkpoint was stripped of."""

REFINER_REPOSITORY = "stabilityai/stable-diffusion-xl-refiner-1.0"
"""SDXL's refiner, whose half-precision files the published inference takes."""


class ModelUnavailable(OSError):
    """A model that is not here or not what it should be; the message says which, and what was expected."""

    exit_code = 4
