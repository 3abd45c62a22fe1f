"""Models of transformers by hub id or folder: found or fetched, and loaded with every weight, none of it pickled."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusion.hub import from_hub
from diffusion.places import ModelUnavailable

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]


def is_place(name: str) -> bool:
    """Whether this can be a model's place: a folder that is there, or an ``owner/name`` on the hub."""
    return Path(name).is_dir() or _HUB_ID.fullmatch(name) is not None


def model_folder(place: str) -> Path:
    """The folder of a model: the folder of that name, or this machine's copy of the hub's, fetched when it has none.

    Raises ModelUnavailable, with the command that fetches it, when there is no copy and the hub cannot be reached.
    """
    return Path(place) if Path(place).is_dir() else from_hub(place, _FILES, ["config.json", "*.safetensors"])


def model_type(folder: Path) -> str:
    """What kind of model the folder holds, as its config.json names it."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelUnavailable(f"{path} is missing: no model of transformers was saved in this folder") from error
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"{path}: cannot be read: {error}") from error
    kind = config.get("model_type") if isinstance(config, dict) else None
    if not isinstance(kind, str):
        raise ModelUnavailable(f"{path}: names no model_type: this is no model of transformers")
    return kind


def load_whole(kind: type[PreTrainedModel], folder: Path, device: str) -> Any:
    """The model in float32, ready to use. Only safetensors are read; a weight that is not there would be random."""
    from safetensors import SafetensorError

    try:
        model, info = kind.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelUnavailable(f"{folder}: cannot be loaded as {kind.__name__}: {error}") from error
    if lacking := sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]])):
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        raise ModelUnavailable(
            f"{folder}: weights that are missing or of another shape: {', '.join(lacking[:3])}{more}"
        )
    return model.float().eval().to(device)
