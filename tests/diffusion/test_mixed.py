"""bfloat16 where it does little harm. How little, ``tests/reference`` measures on the published networks."""

from __future__ import annotations

import re

import pytest
import torch
from peft import LoraConfig
from torch import nn

from diffusion.mixed import KEPT, to_mixed
from tests.diffusion.small import noise, plan, small_pipeline, small_unet, thing

TWO = plan(thing(1), thing(2), caption="snow")


def distance(pipeline, expected: torch.Tensor) -> float:
    drawn = pipeline(TWO, latents=noise(), output_type="latent").images
    assert drawn.dtype == torch.float32
    return ((drawn - expected).norm() / expected.norm()).item()


@pytest.fixture(scope="module")
def expected() -> torch.Tensor:
    return small_pipeline()(TWO, latents=noise(), output_type="latent").images


def mixed_pipeline():
    pipeline = small_pipeline()
    to_mixed(pipeline.unet)
    return pipeline


def test_a_picture_comes_nearer_than_plainly_in_bfloat16(expected):
    plain = small_pipeline().to(torch.bfloat16)
    assert 0 < distance(mixed_pipeline(), expected) < 0.7 * distance(plain, expected)


def test_only_large_layers_are_rounded():
    unet = to_mixed(small_unet())
    rounded = {name for name, module in unet.named_modules() if _type(module) == torch.bfloat16}
    layers = {name: m for name, m in unet.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    assert rounded == {name for name in layers if not KEPT.fullmatch(name)}
    kept = layers.keys() - rounded
    assert {"conv_in", "conv_out", "time_embedding.linear_1", "down_blocks.0.resnets.0.conv1"} <= kept
    for part in ("proj_in", "proj_out", "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv"):
        assert any(name.endswith(part) for name in kept), part
    assert {name for name in kept if re.search(r"\.[12]\.|up_blocks.*attn|fuser|position_net", name)} <= {
        name for name in kept if name.endswith(("proj_in", "proj_out", "conv_shortcut"))
    }
    assert unet.dtype == torch.float32


def test_keys_and_values_of_an_attention_are_of_one_type(monkeypatch):
    """GPUs ask for it."""
    seen, attend = [], nn.functional.scaled_dot_product_attention

    def watching(query, key, value, **kwargs):
        seen.append((query.dtype, key.dtype, value.dtype))
        return attend(query, key, value, **kwargs)

    monkeypatch.setattr(nn.functional, "scaled_dot_product_attention", watching)
    mixed_pipeline()(TWO, latents=noise(), output_type="latent", num_inference_steps=1)
    assert {len(set(types)) for types in seen} == {1}
    assert {types[0] for types in seen} == {torch.float32, torch.bfloat16}


def test_lora_weights_change_nothing_about_which_layers_are_rounded():
    """peft wraps the layers that it adapts, and gives them other names."""
    unet = small_unet()
    unet.add_adapter(LoraConfig(r=2, target_modules=["proj_in", "proj_out", "conv_in", "to_q", "conv_shortcut"]))
    to_mixed(unet)
    types = {name: _type(module) for name, module in unet.named_modules() if _type(module)}
    assert {dtype for name, dtype in types.items() if "conv_in." in name or "proj_" in name} == {torch.float32}
    last = "up_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    assert {dtype for name, dtype in types.items() if name.startswith(last)} == {torch.bfloat16}


def test_saved_and_loaded_it_is_the_same_in_float32(tmp_path, expected):
    pipeline = mixed_pipeline()
    apart = distance(pipeline, expected)
    pipeline.unet.save_pretrained(tmp_path)
    pipeline.unet = to_mixed(type(pipeline.unet).from_pretrained(tmp_path).float())
    assert distance(pipeline, expected) == apart


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_what_is_rounded_already_is_refused(dtype):
    with pytest.raises(ValueError, match=f"weights in {dtype}: load it in float32"):
        to_mixed(small_unet().to(dtype))


def test_twice_is_refused():
    with pytest.raises(ValueError, match="load it in float32"):
        to_mixed(to_mixed(small_unet()))


def _type(module: nn.Module) -> torch.dtype | None:
    return next((p.dtype for p in module.parameters(recurse=False)), None)
