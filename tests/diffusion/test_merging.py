"""Joining latents after the instances' own updates."""

from __future__ import annotations

import torch

from diffusion.merging import average, paste, paste_cells

BOXES = torch.tensor([[0.0, 0.0, 0.5, 1.0], [0.25, 0.5, 1.0, 1.0]])


def inputs() -> torch.Tensor:
    """A global latent of zeros and two instances of ones and twos, 2 rows of 4 cells."""
    return torch.arange(3.0)[:, None, None, None].expand(3, 1, 2, 4)


def test_average_counts_the_global_input_too():
    assert torch.equal(average(inputs()), torch.ones(1, 2, 4))


def test_pasted_instances_stay_in_their_boxes_and_the_last_one_covers():
    cells = paste_cells(BOXES, 2, 4)
    assert paste(inputs(), cells)[0].tolist() == [[1, 1, 0, 0], [1, 2, 2, 2]]
    assert paste(inputs(), cells, order=[1, 0])[0].tolist() == [[1, 1, 0, 0], [1, 1, 2, 2]]


def test_nothing_to_paste_leaves_the_global_latent():
    assert torch.equal(paste(inputs(), paste_cells(BOXES[:0], 2, 4)), inputs()[0])


def test_the_official_form_takes_x_for_rows_and_truncates():
    cells = paste_cells(torch.tensor([[0.0, 0.3, 0.5, 0.9]]), 4, 4, axes="official")[0]
    assert cells.nonzero().tolist() == [[0, 1], [0, 2], [1, 1], [1, 2]]
