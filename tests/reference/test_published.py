"""The generator itself, against values that were printed with the golden tensors."""

import pytest
import torch

from tests.reference.published import drawn, uniform, weights


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
