"""Fourier codes and UniFusion's tokens."""

from dataclasses import replace

import pytest
import torch
from diffusers.models.embeddings import Timesteps

from diffusion.unifusion import FOURIER_BASE, FOURIER_FREQUENCIES, Grounding, UniFusion, fourier_embed
from tests.reference.published import facts, golden, grounding, relative_error, weights

TOKENS = 5e-6


@pytest.mark.parametrize("kind", ["boxes", "points", "scribbles", "polygons"])
def test_fourier_codes(kind: str):
    expected = golden("fourier")
    assert relative_error(fourier_embed(expected[f"{kind}.in"]), expected[f"{kind}.out"]) < 1e-6


def test_frequencies_and_timesteps(reduced):
    """The sinusoid of a timestep is that of the full width, cosines first."""
    expected = golden("fourier")
    frequencies = torch.tensor([FOURIER_BASE ** (k / FOURIER_FREQUENCIES) for k in range(FOURIER_FREQUENCIES)])
    assert relative_error(frequencies, expected["freqs"]) < 1e-7
    projected = Timesteps(320, flip_sin_to_cos=True, downscale_freq_shift=0)(expected["timesteps"])
    assert relative_error(projected, expected["timestep_embedding_320"]) < 1e-5
    own = reduced.time_proj
    assert (own.flip_sin_to_cos, own.downscale_freq_shift) == (True, 0)


@pytest.mark.parametrize("case", [name for name in golden("unifusion") if name.endswith(".drop_box_mask")])
def test_the_instance_mask_is_left_out_where_boxes_and_masks_are_off(reduced, case: str):
    layout, configuration, _ = case.rsplit(".", 2)
    given = grounding(layout, configuration, tag="pub.red.A", text_dim=64)
    cells = reduced.encode_instances(
        replace(given, maps=given.maps * 0), instance_mask=True, mask_axes="official"
    ).cells
    assert cells.any().item() != bool(golden("unifusion")[case])


@pytest.mark.parametrize("configuration", ["box", "point", "scribble", "mask"])
def test_tokens_of_the_reduced_network(reduced, configuration: str):
    case = grounding("pub.A", configuration, tag="pub.red.A", text_dim=64)
    tokens = reduced.encode_instances(case).tokens[0]
    assert relative_error(tokens, golden("reduced")[f"tokens.A.{configuration}"]) < TOKENS


def test_the_null_input_has_no_instance_in_it(reduced):
    """Whatever was planned, the unconditional tokens are the same, and identical slot by slot."""
    nulls = [
        reduced.encode_instances(grounding(layout, configuration, tag="pub.red.A", text_dim=64).null()).tokens[0]
        for layout, configuration in [("pub.A", "box"), ("pub.M", "scribble")]
    ]
    assert torch.equal(*nulls)
    slots = nulls[0][:120].view(4, 30, -1)
    assert torch.equal(slots, slots[:, :1].expand_as(slots))


@pytest.fixture(scope="session")
def unifusion() -> UniFusion:
    with torch.device("meta"):
        net = UniFusion()
    net.load_state_dict(weights("full", "position_net."), strict=True, assign=True)
    return net.eval().requires_grad_(False)


CASES = sorted(name.removesuffix(".row_l2") for name in golden("unifusion") if name.endswith(".row_l2"))


@pytest.mark.full
@pytest.mark.parametrize("case", CASES)
def test_tokens_at_full_width(unifusion: UniFusion, case: str):
    """Boxes, points, scribbles, masks of 1, 3 and 30 instances, a mixture, and the null input."""
    expected = golden("unifusion")
    tokens = unifusion.encode(_grounding(case))[0]
    assert relative_error(tokens[:, ::8], expected[f"{case}.cols_stride8"]) < TOKENS
    assert relative_error(tokens.norm(dim=1), expected[f"{case}.row_l2"]) < TOKENS
    if f"{case}.full" in expected:
        assert relative_error(tokens, expected[f"{case}.full"]) < TOKENS


@pytest.mark.full
def test_segmentation_maps_at_full_width(unifusion: UniFusion):
    expected = golden("unifusion")
    maps = grounding("pub.A", "mask").maps
    first = unifusion.in_conv(maps)
    samples = torch.stack(
        (first.mean(), first.std(), first[0, 0, 100, 100], first[0, 1, 300, 200], first[0, 2, 511, 511])
    )
    assert relative_error(samples, expected["pub.A.seg_in_conv_stats"]) < 1e-5
    backbone = unifusion.convnext_tiny_backbone(first)[0]
    assert relative_error(backbone[::16], expected["pub.A.convnext_out_ch_stride16"]) < TOKENS
    features = unifusion.map_features(maps)[0]
    assert relative_error(features[:, ::64], expected["pub.A.seg_feature_cols_stride64"]) < TOKENS


def _grounding(case: str) -> Grounding:
    if case == "null":
        return grounding("pub.A", "box").null()
    layout, configuration = case.rsplit(".", 1)
    return grounding(layout, configuration, available=facts("cases")["available"].get(layout))
