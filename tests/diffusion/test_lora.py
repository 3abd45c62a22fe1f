"""LoRA weights in diffusers' format: loaded, weighed, fused and taken out again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file

from diffusion.pipeline import InstanceDiffusionPipeline
from tests.diffusion.small import noise, plan, small_pipeline, thing

FILE = "pytorch_lora_weights.safetensors"


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
    pipeline.unet.add_adapter(LoraConfig(target_modules=["to_q", "to_k", "to_v", "to_out.0"], **settings))
    pipeline.text_encoder.add_adapter(LoraConfig(target_modules=["q_proj", "v_proj"], **settings))
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
