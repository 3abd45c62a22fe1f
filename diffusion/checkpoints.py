"""Weights to a pipeline: the bundled miniature, the SD 1.5 port on the hub, a directory that a pipeline saved, or the
published checkpoint.

Nothing that a file names is imported or executed: directories are read as safetensors only, and each component's class
is one of a short list. Keys must fit exactly. Where the port's files differ from the published code, which they do in
the noise schedule and the sampler, the published code is followed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from diffusion.hub import from_hub
from diffusion.official import describe_file, read_official
from diffusion.pipeline import InstanceDiffusionPipeline
from diffusion.places import BASE_REPOSITORY, SD15_REPOSITORY, TINY_FOLDER, ModelUnavailable
from diffusion.unet import InstanceDiffusionUNet

PORT = "unifusion"
"""The attention type by which the port's UNet configuration is known; its class name is diffusers' business."""

WEIGHTS = {
    "unet": "unet/diffusion_pytorch_model.safetensors",
    "vae": "vae/diffusion_pytorch_model.safetensors",
    "text_encoder": "text_encoder/model.safetensors",
}
"""What a download that was interrupted may lack."""

VAES = ("AutoencoderDC", "AutoencoderKL")

PUBLISHED_SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "skip_prk_steps": True,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "clip_sample": False,
}
"""Under which diffusers' PNDM takes the steps of the published PLMS sampler. The last one is for DDIM and DDPM, which
would clip latents like pictures when they are made of this configuration."""


def load_pipeline(
    model: str, *, device: str | None = None, dtype: torch.dtype | None = None, base: str = BASE_REPOSITORY
) -> InstanceDiffusionPipeline:
    """The pipeline of a model: "tiny", "sd15", the path of a directory that ``save_pretrained`` wrote, or that of the
    published checkpoint.

    dtype: float32 on CPUs and float16 elsewhere unless given. base: for the published checkpoint, the directory or hub
    repository of SD 1.5 in diffusers' format that the tokenizer comes from, and any other part the file lacks.
    Raises ModelUnavailable.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = dtype or (torch.float32 if device == "cpu" else torch.float16)
    place = TINY_FOLDER if model == "tiny" else _sd15() if model == "sd15" else Path(model)
    try:
        pipeline = _read_published(place, dtype, base) if place.is_file() else _read(place, dtype)
        return pipeline.to(device)
    except ModelUnavailable:
        raise
    except Exception as error:  # the libraries that read the files raise whatever a wrong one leads them to
        raise ModelUnavailable(f"{place}: cannot be loaded as an InstanceDiffusion pipeline: {error}") from error


def _read(folder: Path, dtype: torch.dtype) -> InstanceDiffusionPipeline:
    import diffusers
    from transformers import CLIPTextModel

    index = _index(folder)
    vae_class = index["vae"][1]
    if vae_class not in VAES:
        raise ModelUnavailable(f"{folder / 'model_index.json'}: vae is {vae_class}; expected one of {', '.join(VAES)}")
    return InstanceDiffusionPipeline(
        vae=_exactly(getattr(diffusers, vae_class), folder / "vae", dtype),
        text_encoder=_exactly(CLIPTextModel, folder / "text_encoder", dtype),
        tokenizer=_tokenizer(folder / "tokenizer"),
        unet=_exactly(InstanceDiffusionUNet, folder / "unet", dtype),
        scheduler=_scheduler(folder, index["scheduler"][1]),
        defaults=index.get("defaults"),
    )


def _tokenizer(folder: Path) -> Any:
    """Its files are looked for first: transformers takes a folder without them for a repository's name."""
    from transformers import AutoTokenizer

    _json(folder / "tokenizer_config.json")
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise ModelUnavailable(f"{folder}: no vocabulary in it; expected tokenizer.json, or vocab.json and merges.txt")
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _scheduler(folder: Path, name: str) -> Any:
    import diffusers

    kind: Any = getattr(diffusers, name, None)
    if not _is_scheduler(kind):
        raise ModelUnavailable(f"{folder / 'model_index.json'}: {name} is no scheduler of diffusers")
    config = _json(folder / "scheduler" / "scheduler_config.json")
    if _json(folder / "unet" / "config.json").get("attention_type") == PORT:
        # the port's conversion script writes plain linear betas; the published network was trained on squared ones
        config |= PUBLISHED_SCHEDULE
    return kind.from_config(config)


def _is_scheduler(kind: Any) -> bool:
    from diffusers import SchedulerMixin

    return isinstance(kind, type) and issubclass(kind, SchedulerMixin)


def _exactly(kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    """A diffusers or transformers model whose weights fit key by key: a missing one would silently be random."""
    _check_files(folder)
    model, info = kind.from_pretrained(
        folder, dtype=dtype, variant=variant_of(folder), use_safetensors=True, output_loading_info=True
    )
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        _refuse(str(folder), what.replace("_", " "), info.get(what) or ())
    return model.eval()


def _check_files(folder: Path) -> None:
    """Names the file that cannot be read: the libraries name it in some cases only."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickled = ", ".join(path.name for path in sorted(folder.glob("*.bin")))
        why = f": {pickled} is a pickle, which is not read; save it again with safe_serialization" if pickled else ""
        raise ModelUnavailable(f"{folder}: no weights in it; expected .safetensors{why}")
    for path in files:
        try:
            with safe_open(path, framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise ModelUnavailable(
                f"{path}: {describe_file(path)} of {path.stat().st_size:,} bytes that cannot be read ({error}); "
                "expected whole safetensors weights: fetch it again"
            ) from error


def variant_of(folder: Path) -> str | None:
    """What weights in the folder are called beside their name, as "fp16" in model.fp16.safetensors; None where there
    are some without."""
    names = [re.sub(r"-\d+-of-\d+", "", path.name).split(".") for path in folder.glob("*.safetensors")]
    variants = {name[1] if len(name) == 3 else None for name in names}
    return variants.pop() if len(variants) == 1 else None


def _refuse(where: str, what: str, keys: Collection[Any]) -> None:
    if keys:
        first = ", ".join(sorted(map(str, keys))[:3])
        more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
        raise ModelUnavailable(f"{where}: {what}: {first}{more}")


def _read_published(path: Path, dtype: torch.dtype, base: str) -> InstanceDiffusionPipeline:
    """Weights are mapped from the file into networks that were built without any: none of them is held twice."""
    from accelerate import init_empty_weights
    from diffusers import AutoencoderKL, PNDMScheduler
    from transformers import CLIPTextConfig, CLIPTextModel

    parts = read_official(path)
    lacking = [part for part in ("vae", "text_encoder") if part not in parts]
    folder = _base(base, lacking)
    tokenizer = _tokenizer(folder / "tokenizer")
    special = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    builders: dict[str, Callable[..., Any]] = {
        "unet": InstanceDiffusionUNet,
        "text_encoder": lambda **config: CLIPTextModel(CLIPTextConfig(**config, **special)),
        "vae": AutoencoderKL,
    }
    models = {}
    for name, part in parts.items():
        with init_empty_weights(include_buffers=False):
            models[name] = builders[name](**part.config)
        _fill(models[name], part.weights, f"{path}: {name}", dtype)
    for name in lacking:
        models[name] = _exactly(AutoencoderKL if name == "vae" else CLIPTextModel, folder / name, dtype)
    return InstanceDiffusionPipeline(
        **models, tokenizer=tokenizer, scheduler=PNDMScheduler.from_config(PUBLISHED_SCHEDULE)
    )


def _fill(model: torch.nn.Module, weights: Mapping[str, torch.Tensor], where: str, dtype: torch.dtype) -> None:
    own = {key: value.shape for key, value in model.state_dict().items()}
    _refuse(where, f"missing keys of {len(own)}", own.keys() - weights.keys())
    _refuse(where, f"unexpected keys beyond its {len(own)}", weights.keys() - own.keys())
    given = {key: weights[key].shape for key in own}
    other = [f"{key} is {list(given[key])}, not {list(own[key])}" for key in own if given[key] != own[key]]
    _refuse(where, "other shapes", other)
    model.load_state_dict({key: value.to(dtype) for key, value in weights.items()}, assign=True)
    model.eval()


def _index(folder: Path) -> dict[str, Any]:
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


def _sd15() -> Path:
    patterns = ["*.json", "*.txt", "*.safetensors"]
    return from_hub(SD15_REPOSITORY, patterns, list(WEIGHTS.values()), ignored=["*.fp16.*"])


def _base(base: str, lacking: list[str]) -> Path:
    """The folder that holds SD 1.5's tokenizer and the parts that are lacking."""
    if not Path(base).is_dir():
        weights = [WEIGHTS[part] for part in lacking]
        patterns = ["tokenizer/*", *(f"{part}/config.json" for part in lacking), *weights]
        return from_hub(base, patterns, ["tokenizer/vocab.json", "tokenizer/merges.txt", *weights])
    for part in ("tokenizer", *lacking):
        if not (Path(base) / part).is_dir():
            raise ModelUnavailable(f"{base}: no folder {part} in it; expected SD 1.5 as diffusers saves it")
    return Path(base)
