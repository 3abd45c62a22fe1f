"""ScaleU and its Fourier filter."""

import pytest
import torch
from diffusers.utils.torch_utils import fourier_filter

from diffusion.scaleu import scale_features, scale_low_frequencies
from tests.reference.published import drawn, golden, relative_error, weights

TOLERANCE = 5e-7


@pytest.mark.parametrize(
    ("index", "backbone", "skip", "side", "h_stride", "skip_stride"),
    [(0, 1280, 1280, 8, 1, 1), (5, 1280, 640, 16, 5, 2), (11, 320, 320, 32, 5, 5)],
)
def test_scaled_features(index: int, backbone: int, skip: int, side: int, h_stride: int, skip_stride: int):
    (b,), (s,) = (weights("full", f"scaleu_{kind}_{index}").values() for kind in "bs")
    h, r = scale_features(
        drawn(f"pub.scaleu{index}.h", (1, backbone, side, side)),
        drawn(f"pub.scaleu{index}.skip", (1, skip, side, side)),
        b,
        s,
    )
    expected = golden("scaleu")
    assert relative_error(h[0, ::h_stride], expected[f"idx{index}.h_out_ch_stride{h_stride}"]) < TOLERANCE
    assert relative_error(r[0, ::skip_stride], expected[f"idx{index}.skip_out_ch_stride{skip_stride}"]) < TOLERANCE


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (6, 10)])
def test_the_filter(size: tuple[int, int]):
    name = "x".join(map(str, size))
    filtered = scale_low_frequencies(drawn(f"pub.fourier_filter.{name}", (1, 4, *size)), 0.4)
    assert relative_error(filtered, golden("scaleu")[f"filter_s0.4.{name}"]) < TOLERANCE


@pytest.mark.parametrize("size", [(1, 7), (2, 3), (8, 8), (12, 5), (33, 64)])
@pytest.mark.parametrize("scale", [0.0, 0.7, 2.0])
def test_the_filter_is_the_fourier_transform_it_stands_for(size: tuple[int, int], scale: float):
    features = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    assert relative_error(scale_low_frequencies(features, scale), fourier_filter(features, 1, scale)) < TOLERANCE
