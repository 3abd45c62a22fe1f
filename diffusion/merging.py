"""How the Multi-Instance Sampler joins its inputs' latents: averaged whole, or pasted where the instances lie."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from diffusion.gated_attention import MaskAxes, box_cells


def average(inputs: torch.Tensor) -> torch.Tensor:
    """The published merge: (n + 1, C, h, w) -> (C, h, w), the global input and n instances with equal weight."""
    return inputs.mean(0)


def paste(inputs: torch.Tensor, cells: torch.Tensor, order: Sequence[int] | None = None) -> torch.Tensor:
    """The published alternative, crop and paste: an instance's latents inside its own cells, the global ones elsewhere.

    inputs: (n + 1, C, h, w), the global input first. cells: (n, h, w) bool. order: of the instances, the last
    one covers those before; 0 ... n - 1 unless given.
    """
    merged = inputs[0]
    for j in range(len(cells)) if order is None else order:
        merged = torch.where(cells[j], inputs[j + 1], merged)
    return merged


def paste_cells(boxes: torch.Tensor, height: int, width: int, axes: MaskAxes = "xy") -> torch.Tensor:
    """Where to paste: (n, 4) normalised xyxy -> (n, height, width) bool.

    "xy" takes every cell that a box touches. "official" is the published form: edges truncated, and the first array
    axis filled with the x range.
    """
    if axes == "official":
        rows, columns = (torch.arange(side, device=boxes.device) for side in (height, width))
        scale = torch.tensor([height, width, height, width], device=boxes.device)
        x0, y0, x1, y1 = (boxes * scale).trunc()[:, None].unbind(-1)
        return ((rows >= x0) & (rows < x1))[:, :, None] & ((columns >= y0) & (columns < y1))[:, None, :]
    return box_cells(boxes[None], torch.ones(1, len(boxes), device=boxes.device), height, width)[0]
