"""The published checkpoint's form: loaded key by key, never executed, converted, within memory."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from diffusers import DDIMScheduler

from diffusion.checkpoints import ModelUnavailable, load_pipeline
from diffusion.official import unet_name
from diffusion.pipeline import InstanceDiffusionPipeline
from diffusion.places import BASE_REPOSITORY
from tests.diffusion.small import plan, thing
from tests.reference.published import facts
from tests.reference.published_file import (
    base_folder,
    official_names,
    original_vae,
    small_text_encoder,
    small_vae,
    wrapped_text_encoder,
    write_checkpoint,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return base_folder(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def checkpoint(reduced, tmp_path_factory) -> Path:
    return write_checkpoint(
        tmp_path_factory.mktemp("official") / "instancediffusion_sd15.pth",
        model=official_names(reduced.state_dict()),
        text_encoder=wrapped_text_encoder(small_text_encoder()),
        autoencoder=original_vae(small_vae()),
    )


@pytest.fixture(scope="module")
def loaded(checkpoint, base) -> InstanceDiffusionPipeline:
    return load_pipeline(str(checkpoint), device="cpu", base=str(base))


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    weights = other.state_dict()
    return one.state_dict().keys() == weights.keys() and all(
        torch.equal(value, weights[key]) for key, value in one.state_dict().items()
    )


def test_every_published_name_has_the_ports_name():
    assert {key: unet_name(key) for key in facts("official_to_port")} == facts("official_to_port")


def test_every_tensor_is_where_it_belongs(loaded, reduced):
    assert same(loaded.unet, reduced)
    assert same(loaded.text_encoder, small_text_encoder())
    assert same(loaded.vae, small_vae())


def test_the_networks_are_the_same_functions(loaded, reduced):
    """Heads, epsilons and activations are in no weight: the configurations must agree too."""
    tokens = torch.tensor([[1, 5, 6, 3, 3]])
    assert torch.equal(loaded.text_encoder(tokens).pooler_output, small_text_encoder()(tokens).pooler_output)
    latents = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded.vae.decode(latents).sample, small_vae().decode(latents).sample)
    own = dict(reduced.config)
    assert {**loaded.unet.config, "_use_default_values": None} == {**own, "_use_default_values": None}


def test_it_is_drawn_with_the_published_sampler_and_defaults(loaded):
    loaded.scheduler.set_timesteps(50)
    assert loaded.scheduler.timesteps.tolist() == [981, 961, *range(961, 0, -20)]
    assert not DDIMScheduler.from_config(loaded.scheduler.config).config.clip_sample
    assert loaded.scheduler.alphas_cumprod[981].item() == pytest.approx(0.00578, abs=1e-5)
    assert loaded.config.defaults == {
        "num_inference_steps": 50,
        "guidance_scale": 7.5,
        "alpha": 0.75,
        "mis": 0.36,
        "merge": "average",
        "instance_mask": False,
        "size": 512,
    }


def test_the_averaged_weights_are_preferred(reduced, base, tmp_path):
    averaged = {key: value + 1 for key, value in official_names(reduced.state_dict()).items()}
    parts = {"text_encoder": wrapped_text_encoder(small_text_encoder()), "autoencoder": original_vae(small_vae())}
    path = write_checkpoint(tmp_path / "ema.pth", model={}, ema=averaged, **parts)
    unet = load_pipeline(str(path), device="cpu", base=str(base)).unet
    assert torch.equal(unet.conv_in.bias, reduced.conv_in.bias + 1)


def test_a_stripped_file_takes_the_other_parts_from_the_base(reduced, loaded, base, tmp_path):
    path = write_checkpoint(tmp_path / "stripped.pth", model=official_names(reduced.state_dict()))
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "tokenizer").symlink_to(base / "tokenizer")
    small_text_encoder().save_pretrained(tmp_path / "base" / "text_encoder")
    small_vae().save_pretrained(tmp_path / "base" / "vae")
    other = load_pipeline(str(path), device="cpu", base=str(tmp_path / "base"))
    assert all(same(getattr(other, part), getattr(loaded, part)) for part in ("unet", "text_encoder", "vae"))


def damaged(reduced, path: Path, change) -> Path:
    weights = official_names(reduced.state_dict())
    change(weights)
    parts = {"text_encoder": wrapped_text_encoder(small_text_encoder()), "autoencoder": original_vae(small_vae())}
    return write_checkpoint(path / "model.pth", model=weights, **parts)


BROKEN = {
    "missing keys of 1199: scaleu_s_3": lambda weights: weights.pop("scaleu_s_3"),
    "unexpected keys beyond its 1199: stranger": lambda weights: weights.update(stranger=torch.zeros(1)),
    r"other shapes: scaleu_b_0 is \[3\], not \[128\]": lambda weights: weights.update(scaleu_b_0=torch.zeros(3)),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_network_that_does_not_fit_key_by_key_is_refused(reduced, base, tmp_path, message):
    path = damaged(reduced, tmp_path, BROKEN[message])
    with pytest.raises(ModelUnavailable, match=rf"model\.pth: unet: {message}"):
        load_pipeline(str(path), device="cpu", base=str(base))


def test_so_is_an_autoencoder_or_text_encoder(reduced, base, tmp_path):
    weights = official_names(reduced.state_dict())
    text, vae = wrapped_text_encoder(small_text_encoder()), original_vae(small_vae())
    stranger = {"stranger": torch.zeros(1)}
    for parts, message in [
        ({"text_encoder": text | stranger, "autoencoder": vae}, "text_encoder: unexpected keys .*stranger"),
        ({"text_encoder": text, "autoencoder": vae | stranger}, "vae: unexpected keys .*stranger"),
        ({"text_encoder": stranger, "autoencoder": vae}, "its text_encoder has no 'embeddings.token_embedding.weight'"),
    ]:
        path = write_checkpoint(tmp_path / "model.pth", model=weights, **parts)
        with pytest.raises(ModelUnavailable, match=message):
            load_pipeline(str(path), device="cpu", base=str(base))


def test_a_base_without_the_parts_is_refused(reduced, base, tmp_path):
    path = write_checkpoint(tmp_path / "stripped.pth", model=official_names(reduced.state_dict()))
    with pytest.raises(ModelUnavailable, match="no folder vae in it"):
        load_pipeline(str(path), device="cpu", base=str(base))


def test_without_a_base_the_tokenizer_comes_from_the_hubs_cache(checkpoint, base, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelUnavailable, match=f"hf download {BASE_REPOSITORY}"):
        load_pipeline(str(checkpoint), device="cpu")
    cache = tmp_path / f"models--{BASE_REPOSITORY.replace('/', '--')}"
    tokenizer = shutil.copytree(base / "tokenizer", cache / "snapshots" / "0123" / "tokenizer")
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("0123")
    with pytest.raises(ModelUnavailable, match=f"hf download {BASE_REPOSITORY}"):
        load_pipeline(str(checkpoint), device="cpu")
    for name in ("vocab.json", "merges.txt"):
        (tokenizer / name).touch()
    assert load_pipeline(str(checkpoint), device="cpu").tokenizer("a red ball")["input_ids"]


def test_converted_it_is_the_same_pipeline(checkpoint, base, loaded, tmp_path):
    command = ["convert", str(checkpoint), "-o", str(tmp_path / "converted"), "--base", str(base)]
    subprocess.run([sys.executable, "-m", "agent.cli", *command], check=True, capture_output=True)
    converted = load_pipeline(str(tmp_path / "converted"), device="cpu")
    assert all(same(getattr(converted, part), getattr(loaded, part)) for part in ("unet", "text_encoder", "vae"))
    layout = plan(thing(0), side=64)
    settings = {"num_inference_steps": 2, "output_type": "latent"}
    drawn = [
        pipeline(layout, generator=torch.Generator().manual_seed(0), **settings).images
        for pipeline in (converted, loaded)
    ]
    assert torch.equal(*drawn)


MEASURE = """
import re, sys
import torch
from diffusion.checkpoints import ModelUnavailable, load_pipeline

def status(entry):
    return int(re.search(rf"{entry}:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024

load_pipeline("tiny", device="cpu")  # what is imported does not count
before = status("VmRSS")
pipeline = load_pipeline(sys.argv[1], device="cpu", dtype=getattr(torch, sys.argv[3]), base=sys.argv[2])
for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
    sum(float(p.detach().sum()) for p in part.parameters())  # what is mapped from a file is there once it is read
print(status("VmHWM") - before)
"""


CONVERT = """
import re
try:
    runpy.run_module("agent.cli", run_name="__main__")
except SystemExit as end:
    assert not end.code
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024)
"""


def peak_memory(model: Path, base: Path, dtype: str) -> int:
    """Bytes beyond what the process held before: loaded in a process of its own, every weight read once."""
    command = [sys.executable, "-c", MEASURE, str(model), str(base), dtype]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


on_linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system tells no peak of memory")


@on_linux
@pytest.mark.parametrize(("form", "dtype"), [("file", "float16"), ("directory", "float32")])
def test_loading_takes_less_than_twice_the_weights(checkpoint, base, loaded, tmp_path, form, dtype):
    if form == "directory":
        loaded.save_pretrained(tmp_path)
    weights = sum(p.numel() * 4 for part in (loaded.unet, loaded.vae, loaded.text_encoder) for p in part.parameters())
    assert peak_memory(checkpoint if form == "file" else tmp_path, base, dtype) < 2 * weights


@on_linux
@pytest.mark.full
def test_the_published_size_loads_and_converts_in_less_than_twice_its_weights(base, tmp_path):
    shapes = {official: facts("manifest_port")[port][0] for official, port in facts("official_to_port").items()}
    torch.manual_seed(0)
    checkpoint = write_checkpoint(
        tmp_path / "instancediffusion_sd15.pth",
        model={name: torch.rand(shape) for name, shape in shapes.items()},
        text_encoder=wrapped_text_encoder(small_text_encoder(width=768)),
        autoencoder=original_vae(small_vae()),
    )
    weights = 4 * sum(math.prod(shape) for shape in shapes.values())
    assert weights == 4 * 1_228_333_437
    peaks = {dtype: peak_memory(checkpoint, base, dtype) / weights for dtype in ("float32", "float16")}
    command = ["convert", str(checkpoint), "-o", str(tmp_path / "converted"), "--base", str(base)]
    measured = f"import runpy, sys; sys.argv = ['scenewright', *{command!r}]\n" + CONVERT
    run = subprocess.run([sys.executable, "-c", measured], check=True, stdout=subprocess.PIPE, text=True)
    peaks["converting"] = int(run.stdout.split()[-1]) / weights
    checkpoint.unlink()
    peaks["directory"] = peak_memory(tmp_path / "converted", base, "float32") / weights
    print({what: round(peak, 2) for what, peak in peaks.items()})
    assert max(peaks.values()) < 2, peaks
