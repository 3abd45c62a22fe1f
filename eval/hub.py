"""Models of transformers by hub id or folder: found or fetched, and loaded with every weight, none of it pickled."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]


class ModelMissing(OSError):
    """A model that is not here or not what it should be; the message says which, and what to do."""

    exit_code = 4


def is_place(name: str) -> bool:
    """Whether this can be a model's place: a folder that is there, or an ``owner/name`` on the hub."""
    return Path(name).is_dir() or _HUB_ID.fullmatch(name) is not None


def model_folder(place: str) -> Path:
    """The folder of a model: the folder of that name, or this machine's copy of the hub's, fetched when it has none.

    Raises ModelMissing, with the command that fetches it, when there is no copy and the hub cannot be reached.
    """
    if Path(place).is_dir():
        return Path(place)
    from huggingface_hub import snapshot_download

    problem = "half of it is here"
    for offline in (True, False):
        try:
            folder = Path(snapshot_download(place, local_files_only=offline, allow_patterns=_FILES))
        except Exception as error:
            problem = type(error).__name__
            continue
        if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")):
            return folder
    raise ModelMissing(
        f"{place} is not on this machine and cannot be fetched ({problem}); on a machine that reaches the hub: "
        f"hf download {place}"
    )


def model_type(folder: Path) -> str:
    """What kind of model the folder holds, as its config.json names it."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelMissing(f"{path} is missing: no model of transformers was saved in this folder") from error
    except (OSError, ValueError) as error:
        raise ModelMissing(f"{path}: cannot be read: {error}") from error
    kind = config.get("model_type") if isinstance(config, dict) else None
    if not isinstance(kind, str):
        raise ModelMissing(f"{path}: names no model_type: this is no model of transformers")
    return kind


def load_whole(kind: type[PreTrainedModel], folder: Path, device: str) -> Any:
    """The model in float32, ready to use. Only safetensors are read; a weight that is not there would be random."""
    from safetensors import SafetensorError

    try:
        model, info = kind.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelMissing(f"{folder}: cannot be loaded as {kind.__name__}: {error}") from error
    if lacking := sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]])):
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        raise ModelMissing(f"{folder}: weights that are missing or of another shape: {', '.join(lacking[:3])}{more}")
    return model.float().eval().to(device)
