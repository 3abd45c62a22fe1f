"""The models a person can name: where each one is, how large its pictures are, and how to get it. No torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.exits import ExitCode, Stop

TINY_FOLDER = Path(__file__).resolve().parent.parent / "diffusion" / "tiny" / "weights"
SD15_REPOSITORY = "kyeongry/instancediffusion_sd15"


@dataclass(frozen=True)
class ModelEntry:
    """A line of ``scenewright models``: ``canvas`` is (width, height) in pixels."""

    name: str
    what: str
    where: str
    canvas: tuple[int, int]
    available: bool
    advice: str = ""


def list_models() -> list[ModelEntry]:
    """The models with a name, and whether they can be used now without a download."""
    bundled = (TINY_FOLDER / "model_index.json").is_file()
    cached = _sd15_in_cache()
    return [
        ModelEntry(
            "tiny",
            "InstanceDiffusion in miniature, trained on the tiny world's words (scenewright models tiny)",
            str(TINY_FOLDER),
            (128, 128),
            bundled,
            "" if bundled else "the weights are missing from this installation: install scenewright again",
        ),
        ModelEntry(
            "sd15",
            "InstanceDiffusion on Stable Diffusion 1.5, any words; 6 GB of weights, better with a GPU",
            str(cached) if cached else f"{SD15_REPOSITORY} on the hub",
            (512, 512),
            cached is not None,
            "" if cached else f"fetched on first use, or before: hf download {SD15_REPOSITORY}",
        ),
    ]


def canvas(model: str) -> tuple[int, int]:
    """(width, height) in pixels that the model was trained on; Stop when there is no such model."""
    for entry in list_models():
        if entry.name == model:
            return entry.canvas
    folder = Path(model)
    if folder.is_file():
        return 512, 512
    try:
        sample_size = _read_config(folder, "unet")["sample_size"]
        factor = 2 ** (len(_read_config(folder, "vae")["block_out_channels"]) - 1)
        return int(sample_size) * factor, int(sample_size) * factor
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Stop(
            f"--model {model}: not tiny, not sd15, no .pth file, and no folder with a saved pipeline ({error})",
            ExitCode.UNAVAILABLE,
        ) from error


def _read_config(folder: Path, component: str) -> dict[str, Any]:
    return json.loads((folder / component / "config.json").read_text(encoding="utf-8"))


def _sd15_in_cache() -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(SD15_REPOSITORY, "model_index.json")
    return Path(found).parent if isinstance(found, str) else None
