"""The fuser alone, at width 320: strengths, and the instance mask at 64 x 64 cells."""

import pytest
import torch

from diffusion.gated_attention import GatedInstanceAttention, InstanceTokens, box_cells
from tests.reference.published import SLOTS, drawn, facts, golden, relative_error, weights

TOLERANCE = 5e-7


@pytest.fixture(scope="module")
def fuser() -> GatedInstanceAttention:
    block = GatedInstanceAttention(320, 768, 8, 40).eval()
    block.load_state_dict(weights("full", "down_blocks.0.attentions.0.transformer_blocks.0.fuser."), strict=True)
    return block


@pytest.fixture(scope="module")
def tokens() -> torch.Tensor:
    return drawn("pub.gated.objs", (1, 184, 768))


@pytest.mark.parametrize("scale", [0, 0.5, 1])
def test_a_few_visual_tokens(fuser, tokens, scale: float):
    instances = InstanceTokens(tokens, SLOTS, scale=scale).for_fusers(fuser, [fuser])
    out = fuser(drawn("pub.gated.x64", (1, 64, 320)), instances)
    assert relative_error(out[0], golden("gated_block")[f"n64.scale{scale}"]) < TOLERANCE


@pytest.mark.parametrize(
    "case",
    sorted(name.removesuffix(".row_l2") for name in golden("gated_block") if name.endswith(".row_l2")),
)
def test_64_by_64_cells(fuser, tokens, case: str):
    expected = golden("gated_block")
    _, scale, mask = case.replace("scale0.5", "scale1/2").split(".")
    cells = None if mask == "nomask" else _cells(mask.removeprefix("mask_"))
    strength = {"scale0": 0.0, "scale1/2": 0.5, "scale1": 1.0}[scale]
    instances = InstanceTokens(tokens, SLOTS, cells=cells, scale=strength).for_fusers(fuser, [fuser])
    out = fuser(drawn("pub.gated.x4096", (1, 4096, 320)), instances)[0]
    assert relative_error(out[expected["n4096.rows"]], expected[f"{case}.rows_out"]) < TOLERANCE
    assert relative_error(out.norm(dim=1), expected[f"{case}.row_l2"]) < TOLERANCE


def _cells(layout: str) -> torch.Tensor:
    boxes = torch.tensor(facts("cases")["layouts"][f"pub.{layout}"])
    slots, valid = torch.zeros(1, 30, 4), torch.zeros(1, 30)
    slots[0, : len(boxes)], valid[0, : len(boxes)] = boxes, 1
    return box_cells(slots, valid, 64, 64, axes="official")
