"""The instance mask: which keys each visual token may attend, at 64 x 64 cells."""

import numpy as np
import pytest
import torch

from diffusion.gated_attention import allowed_pairs, box_cells
from tests.reference.published import DATA, SLOTS

CELLS = 64
TOKENS = 4 * SLOTS + 64


@pytest.mark.parametrize("layout", ["A", "disjoint", "border"])
def test_the_official_mask(layout: str):
    with np.load(DATA / "attmask.npz") as file:
        boxes = torch.from_numpy(file[f"{layout}.boxes"])
        corners = torch.from_numpy(file[f"{layout}.boxmask_int_x1y1x2y2"])
        expected = np.unpackbits(file[f"{layout}.packed"], axis=1, count=CELLS**2 + TOKENS)[: CELLS**2].astype(bool)
    slots, valid = torch.zeros(1, SLOTS, 4), torch.zeros(1, SLOTS)
    slots[0, : len(boxes)], valid[0, : len(boxes)] = boxes, 1
    cells = box_cells(slots, valid, CELLS, CELLS, axes="official")
    for (x0, y0, x1, y1), inside in zip(corners, cells[0], strict=False):
        assert inside[x0:x1, y0:y1].all() and inside.sum() == (x1 - x0) * (y1 - y0)
    allowed = allowed_pairs(cells, TOKENS)[0, 0].numpy()
    np.testing.assert_array_equal(allowed, expected)
