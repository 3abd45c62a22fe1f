"""The generator itself, against values that were printed with the golden tensors."""

import numpy as np
import pytest
import torch

from tests.reference.published import drawn, ellipse, facts, golden, grounding, relative_error, uniform, weights


@pytest.mark.parametrize(
    ("key", "first"),
    [
        ("conv_in.weight", [0.09575288, -0.12423263, -0.21150717]),
        (
            "down_blocks.0.attentions.0.transformer_blocks.0.fuser.attn.to_q.weight",
            [-0.004425162, 0.10870902, -0.025789017],
        ),
        ("up_blocks.3.attentions.2.transformer_blocks.0.fuser.alpha_attn", [0.59813946]),
        ("scaleu_b_0", [-0.47716102, 0.030684501, 0.35987625]),
        ("position_net.null_polygon_feature", [0.45377609, 0.14246665, -0.75462747]),
        ("position_net.convnext_tiny_backbone.stages.2.8.gamma", [0.22666411, 0.2359044, 0.22103265]),
    ],
)
def test_weights_are_the_published_ones(key: str, first: list[float]):
    (value,) = weights("full", key).values()
    torch.testing.assert_close(value.flatten()[:3], torch.tensor(first), rtol=1e-6, atol=0)


def test_inputs_are_the_published_ones():
    expected = torch.tensor([-0.42543274, -1.003769, -0.84569055])
    torch.testing.assert_close(drawn("pub.A.x", (1, 4, 64, 64)).flatten()[:3], expected, rtol=1e-6, atol=0)
    assert uniform("pub.A.points", (3, 2)).min() >= 0 and uniform("pub.A.points", (3, 2)).max() < 1


READY = sorted({name.rsplit(".", 1)[0] for name in golden("inputs")})


@pytest.mark.parametrize("tag", READY)
def test_locations_are_the_published_ones(tag: str):
    """Every case with at most three instances, of the full and of the reduced network."""
    layout = tag.replace("red.", "")
    expected, available = golden("inputs"), facts("cases")["available"].get(layout)
    case = grounding(layout, "scribble", tag=tag, available=available)
    count = len(facts("cases")["layouts"][layout])
    for name in ("boxes", "points", "scribbles", "polygons"):
        assert relative_error(getattr(case, name)[0, :count], expected[f"{tag}.{name}"]) < 1e-7
        assert not getattr(case, name)[0, count:].any()
    if f"{tag}.segs_packed" in expected:
        maps = np.unpackbits(expected[f"{tag}.segs_packed"].numpy(), axis=-1)
        np.testing.assert_array_equal(case.maps[0, :count].numpy(), maps)


@pytest.mark.parametrize("layout", facts("cases")["segmentation_popcounts"])
def test_maps_cover_as_many_pixels_as_the_published_ones(layout: str):
    boxes = np.array(facts("cases")["layouts"][layout])
    assert [int(ellipse(box).sum()) for box in boxes] == facts("cases")["segmentation_popcounts"][layout]
