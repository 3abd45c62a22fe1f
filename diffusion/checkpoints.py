"""Weights to a pipeline: the bundled miniature, the SD 1.5 port on the hub, or a directory that a pipeline saved.

Only safetensors are read and nothing that a file names is imported: each component's class is one of a short list. Keys
must fit exactly.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from diffusion.pipeline import InstanceDiffusionPipeline
from diffusion.places import SD15_REPOSITORY, TINY_FOLDER
from diffusion.unet import InstanceDiffusionUNet

PORT = "unifusion"
"""The attention type by which the port's UNet configuration is known; its class name is diffusers' business."""

SD15_WEIGHTS = (
    "unet/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
    "text_encoder/model.safetensors",
)
"""What a download that was interrupted may lack."""

VAES = ("AutoencoderDC", "AutoencoderKL")


class ModelUnavailable(OSError):
    """A model that is not here or not what it should be; the message says which, and what was expected."""

    exit_code = 4


def load_pipeline(
    model: str, *, device: str | None = None, dtype: torch.dtype | None = None
) -> InstanceDiffusionPipeline:
    """The pipeline of a model: "tiny", "sd15", or the path of a directory that ``save_pretrained`` wrote.

    dtype: float32 on CPUs and float16 elsewhere unless given. Raises ModelUnavailable.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = dtype or (torch.float32 if device == "cpu" else torch.float16)
    folder = TINY_FOLDER if model == "tiny" else _from_hub() if model == "sd15" else Path(model)
    try:
        return _read(folder, dtype).to(device)
    except ModelUnavailable:
        raise
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ModelUnavailable(f"{folder}: cannot be loaded as an InstanceDiffusion pipeline: {error}") from error


def _read(folder: Path, dtype: torch.dtype) -> InstanceDiffusionPipeline:
    import diffusers
    from transformers import AutoTokenizer, CLIPTextModel

    index = _index(folder)
    vae_class = index["vae"][1]
    if vae_class not in VAES:
        raise ModelUnavailable(f"{folder / 'model_index.json'}: vae is {vae_class}; expected one of {', '.join(VAES)}")
    return InstanceDiffusionPipeline(
        vae=_exactly(getattr(diffusers, vae_class), folder / "vae", dtype),
        text_encoder=_exactly(CLIPTextModel, folder / "text_encoder", dtype),
        tokenizer=AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True),
        unet=_exactly(InstanceDiffusionUNet, folder / "unet", dtype),
        scheduler=_scheduler(folder, index["scheduler"][1]),
        defaults=index.get("defaults"),
    )


def _scheduler(folder: Path, name: str) -> Any:
    import diffusers

    kind: Any = getattr(diffusers, name, None)
    if not _is_scheduler(kind):
        raise ModelUnavailable(f"{folder / 'model_index.json'}: {name} is no scheduler of diffusers")
    ported = _json(folder / "unet" / "config.json").get("attention_type") == PORT
    # the port's conversion script writes plain linear betas; the published network was trained on squared ones
    schedule = {"beta_schedule": "scaled_linear"} if ported else {}
    return kind.from_pretrained(folder / "scheduler", **schedule)


def _is_scheduler(kind: Any) -> bool:
    from diffusers import SchedulerMixin

    return isinstance(kind, type) and issubclass(kind, SchedulerMixin)


def _exactly(kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    """A diffusers or transformers model whose weights fit key by key: a missing one would silently be random."""
    model, info = kind.from_pretrained(folder, dtype=dtype, use_safetensors=True, output_loading_info=True)
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if keys := sorted(map(str, info.get(what) or ())):
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            raise ModelUnavailable(f"{folder}: {what.replace('_', ' ')}: {', '.join(keys[:3])}{more}")
    return model.eval()


def _index(folder: Path) -> dict[str, Any]:
    if folder.is_file():
        raise ModelUnavailable(f"{folder} is a file; expected a directory that an InstanceDiffusion pipeline saved")
    if not folder.is_dir():
        raise ModelUnavailable(f"{folder}: no such directory")
    index = _json(folder / "model_index.json")
    parts = ("vae", "text_encoder", "tokenizer", "unet", "scheduler")
    missing = [part for part in parts if not (isinstance(index.get(part), list) and len(index[part]) == 2)]
    if missing:
        raise ModelUnavailable(f"{folder / 'model_index.json'} names no {', '.join(missing)}")
    unet = _json(folder / "unet" / "config.json")
    if unet.get("_class_name") != InstanceDiffusionUNet.__name__ and unet.get("attention_type") != PORT:
        raise ModelUnavailable(
            f"{folder}: its UNet is a {unet.get('_class_name')} without UniFusion: it cannot place instances"
        )
    return index


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelUnavailable(f"{path} is missing: this is no saved pipeline, or not a whole one") from error
    except ValueError as error:
        raise ModelUnavailable(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ModelUnavailable(f"{path}: expected a JSON object")
    return content


def _from_hub() -> Path:
    """The hub's copy on this machine, fetched first where it is not there yet."""
    from huggingface_hub import snapshot_download

    wanted: dict[str, Any] = {"allow_patterns": ["*.json", "*.txt", "*.safetensors"], "ignore_patterns": ["*.fp16.*"]}
    problem = "half of it is here"
    for offline in (True, False):
        try:
            folder = Path(snapshot_download(SD15_REPOSITORY, local_files_only=offline, **wanted))
        except Exception as error:
            problem = type(error).__name__
            continue
        if all((folder / name).is_file() for name in SD15_WEIGHTS):
            return folder
    raise ModelUnavailable(
        f"{SD15_REPOSITORY} is not on this machine and cannot be fetched ({problem}); on a machine that reaches the "
        f"hub: hf download {SD15_REPOSITORY}"
    )
