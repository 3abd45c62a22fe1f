"""The published checkpoint, ``instancediffusion_sd15.pth``: what is in it under which names, read without running it.

It is a zip archive that torch.save wrote: a dictionary whose ``model`` (or ``ema``) is the UNet's state dict in the
names of the original Stable Diffusion code, with ``text_encoder`` and ``autoencoder`` beside it, and a configuration
pickled as OmegaConf objects. torch's restricted unpickler reads it with an inert object in place of everything that it
names beyond tensors; the tensors stay in the file until they are used.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from diffusion.places import ModelUnavailable

Weights = Mapping[str, torch.Tensor]

EXPECTED = (
    "expected InstanceDiffusion's published checkpoint (instancediffusion_sd15.pth: a torch.save archive with the "
    "UNet's tensors under 'model' or 'ema') or a directory that a pipeline was saved in"
)

TORCH_ADVICE = "WeightsUnpickler error: "
"""Where torch's advice to load a file unsafely ends, and the reason begins."""

TELLING = (
    "input_blocks.0.0.weight",
    "position_net.null_positive_feature",
    "position_net.linears_list.0.0.weight",
)
"""The tensors whose shapes tell the network's widths; without UniFusion's it is another network."""


@dataclass(frozen=True)
class Part:
    """A network of the file: the arguments of its class, told from the weights' shapes, and the weights under the names
    that diffusers or transformers gives them."""

    config: dict[str, Any]
    weights: Weights


def read_official(path: Path) -> dict[str, Part]:
    """The file's "unet", and "text_encoder" and "vae" where it was not stripped of them.

    As the published loader does, the averaged weights (``ema``) are preferred to ``model``. The tensors are mapped from
    the file, so that they cost memory only once they are read. Raises ModelUnavailable, saying what the file is.
    """
    content = _restricted_load(path)
    entries = content if isinstance(content, dict) else {}
    unet = next((entries[name] for name in ("ema", "model") if _is_state_dict(entries.get(name))), None)
    if unet is None:
        raise ModelUnavailable(f"{path}: {_describe_content(content)}; {EXPECTED}")
    if lacking := [name for name in TELLING if name not in unet]:
        raise ModelUnavailable(f"{path}: its network ({_some(unet)}) has no {', '.join(lacking)}; {EXPECTED}")
    readers: dict[str, Callable[[Weights], Part]] = {"text_encoder": _text_encoder, "autoencoder": _vae}
    parts = {"unet": _unet(unet)}
    for entry, reader in readers.items():
        if _is_state_dict(entries.get(entry)):
            try:
                parts["vae" if entry == "autoencoder" else entry] = reader(entries[entry])
            except KeyError as missing:
                raise ModelUnavailable(f"{path}: its {entry} has no {missing}; {EXPECTED}") from missing
    return parts


def _unet(weights: Weights) -> Part:
    """The topology is fixed, the widths are not."""
    width = weights["input_blocks.0.0.weight"].shape[0]
    config = {
        "block_out_channels": (width, 2 * width, 4 * width, 4 * width),
        "cross_attention_dim": weights["position_net.null_positive_feature"].shape[0],
        "unifusion": {"mid_dim": weights["position_net.linears_list.0.0.weight"].shape[0]},
    }
    return Part(config, {unet_name(key): value for key, value in weights.items()})


def _text_encoder(weights: Weights) -> Part:
    """CLIP's text tower as the published code wraps it; older versions of it also stored the positions 0, 1, 2, ..."""
    names = {re.sub(r"^(transformer\.)?(text_model\.)?", "", key): value for key, value in weights.items()}
    own = {key: value for key, value in names.items() if key != "embeddings.position_ids"}
    vocabulary, width = own["embeddings.token_embedding.weight"].shape
    config = {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "projection_dim": width,
        "intermediate_size": own["encoder.layers.0.mlp.fc1.weight"].shape[0],
        "num_hidden_layers": len({key.split(".")[2] for key in own if key.startswith("encoder.layers.")}),
        # every published CLIP's heads are 64 wide
        "num_attention_heads": max(1, width // 64),
        "max_position_embeddings": own["embeddings.position_embedding.weight"].shape[0],
    }
    return Part(config, own)


def _vae(weights: Weights) -> Part:
    """Renamed by diffusers' own converter, which leaves out what it does not know: that is put back to be refused."""
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    levels = len({key.split(".")[2] for key in weights if key.startswith("encoder.down.")})
    config = {
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
        "block_out_channels": tuple(weights[f"encoder.down.{i}.block.0.conv1.weight"].shape[0] for i in range(levels)),
        "layers_per_block": len({key.split(".")[4] for key in weights if key.startswith("encoder.down.0.block.")}),
        "latent_channels": weights["post_quant_conv.weight"].shape[1],
        "sample_size": 512,
    }
    renamed: Weights = convert_ldm_vae_checkpoint(dict(weights), config)
    used = {value.data_ptr() for value in renamed.values()}
    return Part(config, {**renamed, **{key: value for key, value in weights.items() if value.data_ptr() not in used}})


class _Inert:
    """Stands for whatever the file names besides tensors: it takes anything and does nothing. Every name has a class of
    its own, so that what was not made can be told."""

    name: str

    def __new__(cls, *args: Any) -> _Inert:
        return object.__new__(cls)

    def __init__(self, *args: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _stand_in(name: str) -> Any:
    return _empty_dict if name == "collections.defaultdict" else type("_Inert", (_Inert,), {"name": name})


def _empty_dict(*factory: Any) -> dict[Any, Any]:
    """For a defaultdict: the restricted unpickler fills dictionaries only."""
    return {}


def _restricted_load(path: Path) -> Any:
    if not zipfile.is_zipfile(path):
        raise ModelUnavailable(f"{path}: {describe_file(path)}; {EXPECTED}")
    named: list[str] = []
    try:
        named = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(str(path)))
        with torch.serialization.safe_globals([(_stand_in(name), name) for name in named]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, ValueError, UnpicklingError, EOFError, KeyError, TypeError, AttributeError) as error:
        if named and isinstance(error, UnpicklingError):
            raise ModelUnavailable(f"{path}: a torch archive{_pickled(named)}; {EXPECTED}") from error
        reason = str(error).rpartition(TORCH_ADVICE)[2].strip().splitlines()[0]
        raise ModelUnavailable(f"{path}: {describe_file(path)}, and cannot be read ({reason}); {EXPECTED}") from error


def _is_state_dict(entry: Any) -> bool:
    return isinstance(entry, dict) and bool(entry) and all(isinstance(value, torch.Tensor) for value in entry.values())


UNET_NAMES = (
    (r"time_embed\.0\.", "time_embedding.linear_1."),
    (r"time_embed\.2\.", "time_embedding.linear_2."),
    (r"out\.0\.", "conv_norm_out."),
    (r"out\.2\.", "conv_out."),
    (r"middle_block\.1\.", "mid_block.attentions.0."),
    (r"middle_block\.0\.", "mid_block.resnets.0."),
    (r"middle_block\.2\.", "mid_block.resnets.1."),
    (r"input_blocks\.0\.0\.", "conv_in."),
    (r"input_blocks\.(\d+)\.([01])\.(op\.)?", lambda m: _block("down", int(m[1]) - 1, int(m[2]), m[3])),
    (r"output_blocks\.(\d+)\.([012])\.(conv\.)?", lambda m: _block("up", int(m[1]), int(m[2]), m[3])),
)
RESNET_NAMES = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}


def unet_name(official: str) -> str:
    """The name that a tensor of the published UNet has in diffusers' naming; names that both share stay."""
    name = official
    for pattern, replacement in UNET_NAMES:
        name = re.sub(f"^{pattern}", replacement, name)
    layers = "|".join(map(re.escape, RESNET_NAMES))
    return re.sub(rf"(\.resnets\.\d\.)({layers})\.", lambda m: f"{m[1]}{RESNET_NAMES[m[2]]}.", name)


def _block(way: str, number: int, part: int, resampler: str | None) -> str:
    """Three blocks a level, each a residual block and, behind it, a transformer; the level's last one resamples."""
    level, index = divmod(number, 3)
    if resampler:
        return f"{way}_blocks.{level}.{way}samplers.0.conv."
    return f"{way}_blocks.{level}.{('resnets', 'attentions', 'unknown')[part]}.{index}."


def describe_file(path: Path) -> str:
    """What a file is that cannot be read as weights, in words: its first bytes tell."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        return "an empty file"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer in place of the file (git lfs pull fetches it)"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page, not a download"
    if head.startswith(b"PK\x03\x04"):
        if zipfile.is_zipfile(path):
            return "a zip archive"
        return f"a zip archive whose end is missing after {size:,} bytes (an interrupted download: fetch it again)"
    if head[8:9] == b"{":
        return "a safetensors file"
    if head.startswith(b"\x80"):
        return "a pickle, as torch saved before version 1.6 (load and save it again with a newer torch)"
    if head.startswith(b"GGUF"):
        return "a GGUF file"
    return f"an unknown kind of file ({size:,} bytes)"


def _describe_content(content: Any) -> str:
    if isinstance(content, _Inert):
        return f"a torch archive{_pickled([content.name])}"
    if not isinstance(content, dict):
        return f"a torch archive with a {type(content).__name__}"
    keys = content["state_dict"] if isinstance(content.get("state_dict"), dict) else content
    if any(str(key).startswith("model.diffusion_model.") for key in keys):
        return "a Stable Diffusion checkpoint without instance layers"
    objects = [f"{key}: {entry.name}" for key, entry in content.items() if isinstance(entry, _Inert)]
    return f"a torch archive with the entries {_some(content)}{_pickled(objects) if objects else ''}"


def _pickled(objects: Sequence[str]) -> str:
    return f" with pickled objects ({_some(objects)}) in place of tensors, and nothing of it was executed"


def _some(keys: Collection[Any]) -> str:
    """The first few of the keys, and how many there are."""
    first = ", ".join(str(key) for key in list(keys)[:4])
    return first if len(keys) <= 4 else f"{first} and {len(keys) - 4} more"
