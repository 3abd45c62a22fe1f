"""The networks that the golden tensors were recorded with, built once; at the end, how far from them each test was."""

from collections import defaultdict

import pytest
import torch

from diffusion.unet import InstanceDiffusionUNet
from tests.reference.published import ERRORS, weights


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(autouse=True)
def error_kept(record_property):
    ERRORS.clear()
    yield
    if ERRORS:
        record_property("relative_error", max(ERRORS))


def pytest_terminal_summary(terminalreporter):
    """The largest relative error of each test function."""
    errors = defaultdict(list)
    for report in terminalreporter.getreports(""):
        for key, value in report.user_properties:
            if key == "relative_error" and report.when == "teardown":
                errors[report.nodeid.split("[")[0]].append(value)
    if errors:
        terminalreporter.section("largest relative errors")
    for name, values in errors.items():
        terminalreporter.write_line(f"{max(values):.1e} in {len(values):3} of {name}")


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
