"""Memory savers of diffusers and accelerate: every weight may be elsewhere until the moment it is used.

They move weights between a CPU and an accelerator; here the CPU stands for both, and the hooks run all the same.
"""

from __future__ import annotations

import itertools

import pytest
import torch
from accelerate import cpu_offload

from tests.diffusion.small import noise, plan, small_pipeline, thing

LAYOUTS = [plan(thing(0)), plan(thing(1), thing(2), caption="snow")]


def draw(pipeline) -> torch.Tensor:
    return pipeline(LAYOUTS, latents=noise(2), output_type="pt").images


@pytest.fixture(scope="module")
def expected() -> torch.Tensor:
    return draw(small_pipeline())


def test_model_offload(expected):
    pipeline = small_pipeline()
    pipeline.enable_model_cpu_offload(device="cpu")
    assert torch.equal(draw(pipeline), expected)


def test_models_are_offloaded_in_the_order_of_their_use():
    pipeline = small_pipeline()
    pipeline.enable_model_cpu_offload(device="cpu")
    hooks = [getattr(pipeline, name)._hf_hook for name in ("text_encoder", "unet", "vae")]
    assert hooks[0].prev_module_hook is None
    assert [hook.prev_module_hook.hook for hook in hooks[1:]] == hooks[:-1]


def test_every_model_is_brought_in_but_once():
    pipeline, calls = small_pipeline(), []
    for name in ("text_encoder", "unet", "vae"):
        part = getattr(pipeline, name)
        for method in ("forward", "encode_instances", "decode"):
            if hasattr(part, method):
                setattr(part, method, _telling(calls, name, getattr(part, method)))
    draw(pipeline)
    assert [name for name, _ in itertools.groupby(calls)] == ["text_encoder", "unet", "vae"]


def _telling(calls: list[str], name: str, method):
    def told(*args, **kwargs):
        calls.append(name)
        return method(*args, **kwargs)

    return told


def test_sequential_offload(expected):
    """As ``enable_sequential_cpu_offload`` does it, which takes no CPU for an accelerator."""
    pipeline = small_pipeline()
    for part in (pipeline.text_encoder, pipeline.unet, pipeline.vae):
        cpu_offload(part, torch.device("cpu"), offload_buffers=len(part._parameters) > 0)
    for _ in range(2):
        assert torch.equal(draw(pipeline), expected)
        assert {parameter.device.type for parameter in pipeline.unet.parameters()} == {"meta"}


def test_group_offload(expected):
    pipeline = small_pipeline()
    cpu = torch.device("cpu")
    pipeline.enable_group_offload(onload_device=cpu, offload_device=cpu, offload_type="leaf_level")
    assert torch.equal(draw(pipeline), expected)


def test_slices_of_the_autoencoder_change_nothing(expected):
    pipeline = small_pipeline()
    pipeline.vae.enable_slicing()
    assert torch.equal(draw(pipeline), expected)


def test_tiles_of_the_autoencoder_change_little(expected):
    pipeline = small_pipeline()
    pipeline.vae.enable_tiling()
    pipeline.vae.tile_latent_min_size, pipeline.vae.tile_sample_min_size = 4, 16
    tiled = draw(pipeline)
    assert not torch.equal(tiled, expected)
    assert (tiled - expected).abs().mean() < 0.15
