"""The networks that the golden tensors were recorded with, built once."""

import pytest
import torch

from diffusion.unet import InstanceDiffusionUNet
from tests.reference.published import weights


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="session")
def reduced() -> InstanceDiffusionUNet:
    """A tenth of the width, the same topology."""
    return build("reduced", block_out_channels=(32, 64, 128, 128), cross_attention_dim=64, unifusion={"mid_dim": 128})


@pytest.fixture(scope="session")
def full() -> InstanceDiffusionUNet:
    """The published size: 5 GB."""
    return build("full")


def build(size: str, **config) -> InstanceDiffusionUNet:
    with torch.device("meta"):
        unet = InstanceDiffusionUNet(**config)
    unet.load_state_dict(weights(size), strict=True, assign=True)
    return unet.eval().requires_grad_(False)
