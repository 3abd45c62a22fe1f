"""The models a person can name: where each one is, how large its pictures are, and how to get it. No torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from agent.exits import ExitCode, Stop
from diffusion.places import SD15_REPOSITORY, TINY_FOLDER

NATIVE_SIDES = {"tiny": 128, "sd15": 512}
"""The side in pixels of the pictures that a named model was trained on."""


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
    cached = in_cache(SD15_REPOSITORY)
    return [
        ModelEntry(
            "tiny",
            "InstanceDiffusion in miniature, trained on the tiny world's words (scenewright models tiny)",
            str(TINY_FOLDER),
            native_size("tiny"),
            bundled,
            "" if bundled else "the weights are missing from this installation: install scenewright again",
        ),
        ModelEntry(
            "sd15",
            "InstanceDiffusion on Stable Diffusion 1.5, any words; best with a GPU",
            str(cached) if cached else f"{SD15_REPOSITORY} on the hub",
            native_size("sd15"),
            cached is not None,
            "" if cached else f"fetched on first use, or before: hf download {SD15_REPOSITORY}",
        ),
    ]


def native_size(model: str) -> tuple[int, int]:
    """(width, height) in pixels that the model was trained on; Stop when there is no such model."""
    if model in NATIVE_SIDES:
        return NATIVE_SIDES[model], NATIVE_SIDES[model]
    if Path(model).is_file():
        return NATIVE_SIDES["sd15"], NATIVE_SIDES["sd15"]
    index = Path(model) / "model_index.json"
    try:
        side = json.loads(index.read_text(encoding="utf-8")).get("defaults", {}).get("size", NATIVE_SIDES["sd15"])
        return int(side), int(side)
    except FileNotFoundError:
        known = ", ".join(NATIVE_SIDES)
        raise Stop(
            f"{model}: no such model: give {known}, a folder that a pipeline was saved in, or the published checkpoint",
            ExitCode.UNAVAILABLE,
        ) from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise Stop(f"{index}: cannot be read ({error})", ExitCode.UNAVAILABLE) from error


def in_cache(repository: str) -> Path | None:
    """The folder that this machine has of a pipeline on the hub, if it has one."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, "model_index.json")
    return Path(found).parent if isinstance(found, str) else None
