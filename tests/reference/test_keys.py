"""Parameter names and shapes: those of the diffusers port, at full size and reduced."""

import math

import pytest
import torch
from torch import nn

from diffusion.unet import InstanceDiffusionUNet
from tests.reference.published import facts


@pytest.fixture(scope="module")
def empty() -> InstanceDiffusionUNet:
    """The published size without memory for its weights."""
    with torch.device("meta"):
        return InstanceDiffusionUNet()


def test_the_published_size_has_the_ports_keys_and_shapes(empty):
    expected = {key: shape for key, (shape, _) in facts("manifest_port").items()}
    assert {key: list(value.shape) for key, value in empty.state_dict().items()} == expected


def test_the_published_checkpoint_has_the_same_tensors_under_other_names(empty):
    ours, names = empty.state_dict(), facts("official_to_port")
    expected = {names[key]: (shape, dtype) for key, (shape, dtype) in facts("manifest_official").items()}
    assert {key: (list(v.shape), str(v.dtype).removeprefix("torch.")) for key, v in ours.items()} == expected


def test_parameter_counts(empty):
    def count(word: str) -> int:
        return sum(p.numel() for name, p in empty.named_parameters() if word in name)

    parts = {"fuser": count(".fuser."), "position_net": count("position_net"), "scaleu": count("scaleu_")}
    assert {"base": count("") - sum(parts.values()), **parts, "convnext": count("convnext")} == facts("params")


def test_every_normalisation_has_the_published_epsilon(empty):
    """Some are too small to show in any recorded number."""
    found: dict[str, set[float]] = {
        "GroupNorm": set(),
        "transformer GroupNorm": set(),
        "LayerNorm": set(),
        "ConvNeXt": set(),
    }
    for name, module in empty.named_modules():
        if isinstance(module, nn.GroupNorm):
            found["transformer GroupNorm" if name.endswith(".norm") else "GroupNorm"].add(module.eps)
        elif isinstance(module, nn.LayerNorm):
            found["ConvNeXt" if "convnext" in name else "LayerNorm"].add(module.eps)
    assert found == {"GroupNorm": {1e-5}, "transformer GroupNorm": {1e-6}, "LayerNorm": {1e-5}, "ConvNeXt": {1e-6}}


def test_the_reduced_size(reduced):
    names = facts("official_to_port")
    expected = {names[key]: math.prod(shape) for key, (shape, _) in facts("manifest_reduced").items()}
    assert {key: value.numel() for key, value in reduced.state_dict().items()} == expected


def test_the_ports_configuration_is_ours(empty):
    with torch.device("meta"):
        port = InstanceDiffusionUNet.from_config(facts("port_config"))
    assert dict(port.config) == dict(empty.config)
    assert port.state_dict().keys() == empty.state_dict().keys()
