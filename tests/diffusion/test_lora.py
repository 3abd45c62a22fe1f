"""LoRA weights: loaded, weighed, fused and taken out again; files that do not fit are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file

from diffusion.lora import load_loras
from diffusion.pipeline import InstanceDiffusionPipeline
from diffusion.places import ModelUnavailable
from tests.diffusion.small import noise, plan, small_pipeline, thing

FILE = "pytorch_lora_weights.safetensors"
UNET_LAYERS = r".*transformer_blocks\.0\.(attn[12]\.(to_q|to_k|to_v|to_out\.0)|ff\.net\.2)"
TEXT_LAYERS = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]


def draw(pipeline) -> torch.Tensor:
    return pipeline(plan(thing(0), thing(1)), latents=noise(), output_type="latent").images


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, atol=2e-5, rtol=1e-4)


@pytest.fixture(scope="module")
def plain() -> torch.Tensor:
    return draw(small_pipeline())


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, torch.Tensor]:
    """A folder with LoRA weights of the UNet and the text encoder, and what the model they were made for draws."""
    pipeline = small_pipeline()
    settings = {"r": 2, "lora_alpha": 2, "init_lora_weights": False}
    pipeline.unet.add_adapter(LoraConfig(target_modules=UNET_LAYERS, **settings))
    pipeline.text_encoder.add_adapter(LoraConfig(target_modules=TEXT_LAYERS, **settings))
    folder = tmp_path_factory.mktemp("lora")
    InstanceDiffusionPipeline.save_lora_weights(
        folder,
        unet_lora_layers=get_peft_model_state_dict(pipeline.unet),
        text_encoder_lora_layers=get_peft_model_state_dict(pipeline.text_encoder),
    )
    return folder, draw(pipeline)


def test_loaded_weights_draw_what_they_were_trained_to(trained, plain):
    folder, expected = trained
    pipeline = small_pipeline()
    pipeline.load_lora_weights(folder)
    assert not close(expected, plain)
    assert close(draw(pipeline), expected)


def test_they_can_be_weighed_fused_and_taken_out(trained, plain):
    folder, expected = trained
    pipeline = small_pipeline()
    pipeline.load_lora_weights(folder, adapter_name="style")
    pipeline.set_adapters(["style"], [0.0])
    assert close(draw(pipeline), plain)
    pipeline.set_adapters(["style"], [1.0])
    pipeline.fuse_lora()
    assert close(draw(pipeline), expected)
    pipeline.unfuse_lora()
    pipeline.unload_lora_weights()
    assert close(draw(pipeline), plain)


def test_text_encoder_keys_of_older_files_fit(trained, tmp_path):
    folder, expected = trained
    weights = load_file(folder / FILE)
    save_file(
        {key.replace("text_encoder.", "text_encoder.text_model."): weights[key] for key in weights}, tmp_path / FILE
    )
    pipeline = small_pipeline()
    pipeline.load_lora_weights(tmp_path)
    assert close(draw(pipeline), expected)


def test_from_files_each_at_its_own_scale(trained, plain):
    folder, expected = trained
    assert close(loaded((str(folder / FILE), 1.0)), expected)
    assert close(loaded((str(folder), 0.4), (str(folder / FILE), 0.6)), expected)
    assert close(loaded((str(folder), 0.0)), plain)


def test_kohyas_names_and_alphas_are_read(trained, plain, tmp_path):
    """Their strength is alpha over rank: 1 of 2 here, which is the scale 0.5 of the same weights."""
    weights, kohya = load_file(trained[0] / FILE), {}
    for name, value in weights.items():
        network, layer, side = name.replace(".lora_", " lora_").replace(".", " ", 1).split(" ")
        own = layer if network == "unet" else layer.replace("encoder", "text_model.encoder", 1)
        prefix = f"lora_{'unet' if network == 'unet' else 'te'}_{own.replace('.', '_')}"
        kohya[f"{prefix}.{side.replace('_A', '_down').replace('_B', '_up')}"] = value
        kohya[f"{prefix}.alpha"] = torch.tensor(1.0)
    save_file(kohya, tmp_path / "kohya.safetensors")
    assert close(loaded((str(tmp_path / "kohya.safetensors"), 1.0)), loaded((str(trained[0]), 0.5)))


def loaded(*loras: tuple[str, float]) -> torch.Tensor:
    pipeline = small_pipeline()
    load_loras(pipeline, loras)
    return draw(pipeline)


def other_shapes(weights):
    return {name: torch.cat((value, value)) for name, value in weights.items()}


def a_layer_too_many(weights):
    (key,) = [key for key in weights if "mid_block" in key and key.endswith("attn1.to_q.lora_A.weight")]
    return weights | {key.replace("mid_block", "side_block"): weights[key].clone()}


def no_lora(weights):
    return {"conv_in.weight": torch.zeros(1)}


@pytest.mark.parametrize("damage", [other_shapes, a_layer_too_many, no_lora])
def test_weights_that_do_not_fit_are_refused(trained, tmp_path, damage):
    file = tmp_path / "other.safetensors"
    save_file(damage(load_file(trained[0] / FILE)), file)
    with pytest.raises(ModelUnavailable, match=r"other\.safetensors: cannot be loaded as LoRA weights"):
        loaded((str(file), 1.0))


@pytest.mark.parametrize("content", [b"", b"\x80\x02}q\x00.", b"<html>"])
def test_a_file_that_is_no_safetensors_is_named(tmp_path, content: bytes):
    file = tmp_path / "style.safetensors"
    file.write_bytes(content)
    with pytest.raises(ModelUnavailable, match=r"style\.safetensors: .*; expected LoRA weights as safetensors"):
        loaded((str(file), 1.0))
    with pytest.raises(ModelUnavailable, match="no such file"):
        loaded((str(tmp_path / "absent.safetensors"), 1.0))
