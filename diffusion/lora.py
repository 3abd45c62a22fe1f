"""LoRA weights from files: every tensor of a file must find its place in the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from diffusion.official import describe_file
from diffusion.places import ModelUnavailable

SAVED_AS = "pytorch_lora_weights.safetensors"
"""What ``save_lora_weights`` calls its file."""


def load_loras(pipeline: Any, loras: Sequence[tuple[str, float]]) -> None:
    """Adds LoRA weights for SD 1.x, in diffusers' or kohya's format, each with the scale that it works at.

    loras: (safetensors file, or a folder that ``save_lora_weights`` wrote; scale). Raises ModelUnavailable.
    """
    try:
        import peft  # noqa: F401
    except ImportError as error:
        raise ModelUnavailable('LoRA weights need the library peft: pip install -e ".[lora]"') from error
    names = [f"lora_{number}" for number in range(len(loras))]
    for name, (path, _) in zip(names, loras, strict=True):
        file = Path(path) / SAVED_AS if Path(path).is_dir() else Path(path)
        _check_file(file)
        try:
            _load(pipeline, file, name)
        except Exception as error:  # diffusers and peft raise whatever wrong weights lead them to
            raise ModelUnavailable(f"{file}: cannot be loaded as LoRA weights of this model: {error}") from error
    pipeline.set_adapters(names, [scale for _, scale in loras])


def _check_file(file: Path) -> None:
    if not file.is_file():
        raise ModelUnavailable(f"{file}: no such file; expected LoRA weights as safetensors")
    try:
        with safe_open(file, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise ModelUnavailable(f"{file}: {describe_file(file)}; expected LoRA weights as safetensors") from error


def _load(pipeline: Any, file: Path, name: str) -> None:
    """diffusers only warns of tensors that fit nowhere: they are counted."""
    from peft.utils import get_peft_model_state_dict

    where = {"weight_name": file.name, "use_safetensors": True, "local_files_only": True}
    given, _ = pipeline.lora_state_dict(str(file.parent), unet_config=pipeline.unet.config, **where)
    pipeline.load_lora_weights(str(file.parent), adapter_name=name, **where)
    networks = [net for net in (pipeline.unet, pipeline.text_encoder) if name in getattr(net, "peft_config", {})]
    placed = sum(len(get_peft_model_state_dict(net, adapter_name=name)) for net in networks)
    if placed != len(given):
        raise ValueError(f"{len(given) - placed} of its {len(given)} tensors fit nowhere")
