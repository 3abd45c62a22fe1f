"""Loading models: our own directories, the port's form, the hub's cache; everything else is refused in words."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from collections import OrderedDict
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from diffusers import DDIMScheduler, PNDMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file

from diffusion.checkpoints import ModelUnavailable, load_pipeline
from diffusion.places import SD15_REPOSITORY
from tests.diffusion.small import noise, plan, small_pipeline, small_unet, thing

WEIGHTS = "diffusion_pytorch_model.safetensors"
LAYOUT = plan(thing(0), thing(1))


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    small_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


@pytest.fixture
def port(folder: Path) -> Path:
    """The same weights in the port's form: diffusers' class names and configuration, older text keys, its schedule."""
    rewrite(folder / "model_index.json", _class_name="StableDiffusionINSTDIFFPipeline", unet=["diffusers", "UNet"])
    ours = json.loads((folder / "unet" / "config.json").read_text())
    stock = dict(UNet2DConditionModel(**{key: value for key, value in ours.items() if key in STOCK}).config)
    stock |= {"_class_name": "UNet2DConditionModel", "attention_type": "unifusion", "unifusion": ours["unifusion"]}
    (folder / "unet" / "config.json").write_text(json.dumps(stock))
    PNDMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="linear", skip_prk_steps=True).save_pretrained(
        folder / "scheduler"
    )
    rewrite(folder / "model_index.json", scheduler=["diffusers", "PNDMScheduler"], defaults=None)
    text = folder / "text_encoder" / "model.safetensors"
    save_file({f"text_model.{key}": value for key, value in load_file(text).items()}, text, metadata={"format": "pt"})
    return folder


STOCK = (
    "sample_size",
    "down_block_types",
    "up_block_types",
    "block_out_channels",
    "layers_per_block",
    "norm_num_groups",
    "cross_attention_dim",
    "attention_head_dim",
)


def rewrite(path: Path, **changes) -> None:
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def draw(pipeline) -> torch.Tensor:
    pipeline.set_progress_bar_config(disable=True)
    settings = {"num_inference_steps": 2, "guidance_scale": 3.0, "alpha": 0.8, "mis": 0.5}
    return pipeline(LAYOUT, latents=noise(), output_type="latent", **settings).images


def test_a_saved_pipeline_draws_the_same(saved: Path):
    loaded, original = load_pipeline(str(saved), device="cpu"), small_pipeline()
    assert loaded.config.defaults == original.config.defaults
    assert torch.allclose(draw(loaded), draw(original), atol=1e-5)


def test_the_type_is_float32_on_a_cpu_unless_given(saved: Path):
    for given, expected in [(None, torch.float32), (torch.float16, torch.float16)]:
        loaded = load_pipeline(str(saved), device="cpu", dtype=given)
        assert {loaded.unet.dtype, loaded.vae.dtype, loaded.text_encoder.dtype} == {expected}


def test_weights_saved_in_half_precision_are_read_in_full(tmp_path: Path):
    small_pipeline().to(torch.float16).save_pretrained(tmp_path)
    loaded = load_pipeline(str(tmp_path), device="cpu")
    assert {p.dtype for part in (loaded.unet, loaded.vae, loaded.text_encoder) for p in part.parameters()} == {
        torch.float32
    }


@pytest.mark.parametrize(
    "form", [{"variant": "fp16"}, {"max_shard_size": "50KB"}, {"variant": "a", "max_shard_size": "50KB"}]
)
def test_however_save_pretrained_named_the_files(tmp_path: Path, form: dict[str, str]):
    small_pipeline().save_pretrained(tmp_path, **form)
    assert not (tmp_path / "unet" / WEIGHTS).exists()
    assert torch.allclose(draw(load_pipeline(str(tmp_path), device="cpu")), draw(small_pipeline()), atol=1e-5)


def test_the_port_is_read_into_our_network_with_the_schedule_it_was_trained_on(port: Path):
    loaded, original = load_pipeline(str(port), device="cpu"), small_pipeline()
    assert loaded.config.defaults["num_inference_steps"] == 50
    assert loaded.scheduler.config.beta_schedule == "scaled_linear"
    loaded.scheduler = original.scheduler
    assert torch.allclose(draw(loaded), draw(original), atol=1e-5)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch) -> Path:
    """An empty cache of the hub, and no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub" / f"models--{SD15_REPOSITORY.replace('/', '--')}"


def test_sd15_comes_from_the_hubs_cache(port: Path, cache: Path):
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("0123abcd")
    shutil.copytree(port, cache / "snapshots" / "0123abcd")
    assert torch.allclose(draw(load_pipeline("sd15", device="cpu")), draw(load_pipeline(str(port), device="cpu")))


def test_the_port_takes_the_published_samplers_steps(port: Path):
    PNDMScheduler(steps_offset=0, set_alpha_to_one=True, skip_prk_steps=False).save_pretrained(port / "scheduler")
    scheduler = load_pipeline(str(port), device="cpu").scheduler
    scheduler.set_timesteps(50)
    assert scheduler.timesteps.tolist() == [981, 961, *range(961, 0, -20)]
    assert scheduler.final_alpha_cumprod == scheduler.alphas_cumprod[0]
    assert not DDIMScheduler.from_config(scheduler.config).config.clip_sample


def test_half_a_download_does_not_count(port: Path, cache: Path):
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("0123abcd")
    shutil.copytree(port, cache / "snapshots" / "0123abcd")
    (cache / "snapshots" / "0123abcd" / "unet" / WEIGHTS).unlink()
    with pytest.raises(ModelUnavailable, match=f"hf download {SD15_REPOSITORY}"):
        load_pipeline("sd15")


def test_sd15_that_is_not_here_says_how_to_fetch_it(cache: Path):
    with pytest.raises(ModelUnavailable, match=f"hf download {SD15_REPOSITORY}") as caught:
        load_pipeline("sd15")
    assert caught.value.exit_code == 4


def without_a_key(folder: Path) -> None:
    weights = load_file(folder / "unet" / WEIGHTS)
    del weights["scaleu_b_1"]
    save_file(weights, folder / "unet" / WEIGHTS)


def with_a_key_too_many(folder: Path) -> None:
    weights = load_file(folder / "vae" / WEIGHTS)
    save_file({**weights, "stranger": torch.zeros(1)}, folder / "vae" / WEIGHTS)


def with_another_shape(folder: Path) -> None:
    weights = load_file(folder / "unet" / WEIGHTS)
    save_file({**weights, "scaleu_b_1": torch.zeros(3)}, folder / "unet" / WEIGHTS)


def without_a_key_of_the_text(folder: Path) -> None:
    weights = load_file(folder / "text_encoder" / "model.safetensors")
    del weights["final_layer_norm.weight"]
    save_file(weights, folder / "text_encoder" / "model.safetensors", metadata={"format": "pt"})


def truncated(folder: Path) -> None:
    data = (folder / "unet" / WEIGHTS).read_bytes()
    (folder / "unet" / WEIGHTS).write_bytes(data[: len(data) // 2])


def with_a_pointer(folder: Path) -> None:
    (folder / "vae" / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")


def with_pickled_weights(folder: Path) -> None:
    (folder / "unet" / WEIGHTS).rename(folder / "unet" / "diffusion_pytorch_model.bin")


def with_truncated_text(folder: Path) -> None:
    text = folder / "text_encoder" / "model.safetensors"
    text.write_bytes(text.read_bytes()[:1000])


def without_weights(folder: Path) -> None:
    (folder / "vae" / WEIGHTS).unlink()


def without_index(folder: Path) -> None:
    (folder / "model_index.json").unlink()


def with_half_an_index(folder: Path) -> None:
    (folder / "model_index.json").write_text('{"vae": ')


def without_a_part(folder: Path) -> None:
    rewrite(folder / "model_index.json", scheduler=None)


def with_a_stock_unet(folder: Path) -> None:
    rewrite(folder / "unet" / "config.json", _class_name="UNet2DConditionModel")


def with_an_option_we_lack(folder: Path) -> None:
    rewrite(folder / "unet" / "config.json", use_linear_projection=True)


def with_another_class(folder: Path) -> None:
    rewrite(folder / "model_index.json", vae=["os", "system"])


def with_no_scheduler(folder: Path) -> None:
    rewrite(folder / "model_index.json", scheduler=["diffusers", "AutoencoderKL"])


def with_a_width_in_words(folder: Path) -> None:
    rewrite(folder / "text_encoder" / "config.json", hidden_size="wide")


def with_a_number_for_betas(folder: Path) -> None:
    rewrite(folder / "scheduler" / "scheduler_config.json", trained_betas=-1)


def without_a_tokenizer(folder: Path) -> None:
    shutil.rmtree(folder / "tokenizer")


def with_an_empty_tokenizer(folder: Path) -> None:
    (folder / "tokenizer" / "tokenizer.json").unlink()


BROKEN = {
    without_a_key: r"unet: missing keys: scaleu_b_1",
    with_a_key_too_many: r"vae: unexpected keys: stranger",
    with_another_shape: r"scaleu_b_1",
    without_a_key_of_the_text: r"text_encoder: missing keys: .*final_layer_norm.weight",
    truncated: rf"unet/{WEIGHTS}: a safetensors file of [\d,]+ bytes that cannot be read",
    with_truncated_text: r"text_encoder/model.safetensors: .* of 1,000 bytes that cannot be read",
    with_a_pointer: rf"vae/{WEIGHTS}: a Git LFS pointer",
    with_pickled_weights: r"unet: no weights in it; .*model.bin is a pickle, which is not read",
    without_weights: r"vae: no weights in it; expected .safetensors",
    without_index: r"model_index.json is missing",
    with_half_an_index: r"model_index.json: not JSON",
    without_a_part: r"names no scheduler",
    with_a_stock_unet: r"UNet2DConditionModel.*cannot place instances",
    with_an_option_we_lack: r"use_linear_projection = True",
    with_another_class: r"vae is system; expected one of",
    with_no_scheduler: r"AutoencoderKL is no scheduler",
    with_a_width_in_words: r"cannot be loaded as an InstanceDiffusion pipeline: .*hidden_size",
    with_a_number_for_betas: r"cannot be loaded as an InstanceDiffusion pipeline",
    without_a_tokenizer: r"tokenizer/tokenizer_config.json is missing: this is no saved pipeline, or not a whole one",
    with_an_empty_tokenizer: r"tokenizer: no vocabulary in it; expected tokenizer.json, or vocab.json and merges.txt",
}


@pytest.mark.parametrize("damage", BROKEN, ids=lambda damage: damage.__name__)
def test_a_broken_directory_is_refused_by_name(folder: Path, damage):
    damage(folder)
    with pytest.raises(ModelUnavailable, match=BROKEN[damage]) as caught:
        load_pipeline(str(folder), device="cpu")
    assert str(folder) in str(caught.value)


class Trap:
    def __reduce__(self):
        return Path.write_text, (Path("trapped"), "executed")


def test_a_pickle_is_never_opened(folder: Path, monkeypatch):
    monkeypatch.chdir(folder)
    for part, name in [("unet", "diffusion_pytorch_model"), ("vae", "diffusion_pytorch_model")]:
        (folder / part / WEIGHTS).unlink()
        (folder / part / f"{name}.bin").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ModelUnavailable):
        load_pipeline(str(folder), device="cpu")
    assert not (folder / "trapped").exists()


def test_a_path_that_is_no_directory(tmp_path: Path):
    with pytest.raises(ModelUnavailable, match="no such directory"):
        load_pipeline(str(tmp_path / "nowhere"))


def a_stable_diffusion_checkpoint(path: Path) -> None:
    torch.save({"state_dict": {"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(1)}}, path)


def another_network(path: Path) -> None:
    torch.save({"model": {"conv.weight": torch.zeros(1), "fc.weight": torch.zeros(1)}}, path)


def a_list(path: Path) -> None:
    torch.save([torch.zeros(1)], path)


def a_network(path: Path) -> None:
    torch.save(small_unet(), path)


def a_layer(path: Path) -> None:
    torch.save(torch.nn.Linear(1, 1), path)


def a_layer_for_a_network(path: Path) -> None:
    torch.save({"model": torch.nn.Linear(1, 1), "epoch": 3}, path)


class Misfit:
    def __reduce__(self):
        return OrderedDict, (), None, iter([1])


def what_torch_cannot_put_together(path: Path) -> None:
    torch.save(Misfit(), path)


def a_checkpoint_cut_short(path: Path) -> None:
    torch.save({"model": torch.zeros(5000)}, path)
    path.write_bytes(path.read_bytes()[:10_000])


def a_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")


def an_old_pickle(path: Path) -> None:
    torch.save({"model": torch.zeros(1)}, path, _use_new_zipfile_serialization=False)


def safetensors(path: Path) -> None:
    save_file({"a": torch.zeros(1)}, path)


UNMADE = "in place of tensors, and nothing of it was executed"
LINEAR = "torch.nn.modules.linear.Linear"
FILES = {
    a_stable_diffusion_checkpoint: "a Stable Diffusion checkpoint without instance layers",
    another_network: r"its network \(conv.weight, fc.weight\) has no .*position_net",
    a_list: "a torch archive with a list",
    a_network: rf"with pickled objects \(.*Block, .* and \d+ more\) {UNMADE}",
    a_layer: rf"a torch archive with pickled objects \({LINEAR}\) {UNMADE}",
    a_layer_for_a_network: rf"the entries model, epoch with pickled objects \(model: {LINEAR}\) {UNMADE}",
    what_torch_cannot_put_together: r"a zip archive, and cannot be read \(Can only append to lists",
    a_checkpoint_cut_short: "a zip archive whose end is missing after 10,000 bytes",
    a_zip: "a zip archive, and cannot be read",
    an_old_pickle: "a pickle, as torch saved before",
    safetensors: "a safetensors file",
}
CONTENTS = {
    b"": "an empty file",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:00": "a Git LFS pointer",
    b"\n<!DOCTYPE html><title>Sign in</title>": "a web page",
    b"GGUF\x03\0\0\0": "a GGUF file",
    b"weights": r"an unknown kind of file \(7 bytes\)",
}


@pytest.mark.parametrize("write", FILES, ids=lambda write: write.__name__)
def test_a_file_that_is_not_the_published_checkpoint_is_named(tmp_path: Path, write):
    write(tmp_path / "model.pth")
    refused(tmp_path / "model.pth", FILES[write])


@pytest.mark.parametrize("content", CONTENTS)
def test_a_file_that_is_no_checkpoint_at_all_is_named(tmp_path: Path, content: bytes):
    (tmp_path / "model.pth").write_bytes(content)
    refused(tmp_path / "model.pth", CONTENTS[content])


def refused(path: Path, what: str) -> None:
    with pytest.raises(ModelUnavailable, match=rf"model\.pth: .*{what}.*expected .*published checkpoint") as caught:
        load_pipeline(str(path), device="cpu")
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("callable", [Path.write_text, eval, os.system], ids=["ours", "builtin", "system"])
def test_what_a_checkpoint_names_is_never_called(tmp_path: Path, monkeypatch, callable):
    monkeypatch.chdir(tmp_path)
    argument = {Path.write_text: (Path("trapped"), "executed"), eval: ("open('trapped', 'w')",)}

    class Armed:
        def __reduce__(self):
            return callable, argument.get(callable, ("touch trapped",))

    torch.save({"model": {"a": torch.zeros(1)}, "config_dict": Armed()}, "model.pth")
    refused(tmp_path / "model.pth", "")
    assert not (tmp_path / "trapped").exists()


def test_the_bundled_miniature():
    pipeline = load_pipeline("tiny", device="cpu")
    assert pipeline.config.defaults["size"] == 128
    assert pipeline.unet.config.sample_size * pipeline.cell == 128
