"""Where the weights of the models with a name are. No torch."""

from pathlib import Path

TINY_FOLDER = Path(__file__).parent / "tiny" / "weights"
"""The bundled miniature, as its pipeline saved it."""

SD15_REPOSITORY = "kyeongry/instancediffusion_sd15"
"""InstanceDiffusion on SD 1.5 in diffusers' format, on the hub."""
