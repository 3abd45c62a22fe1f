"""How the Multi-Instance Sampler joins its inputs' latents: averaged whole, or pasted where the instances lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from diffusion.conditions import regions
from diffusion.gated_attention import MaskAxes
from diffusion.layout import Layout, LayoutError

MergeName = Literal["average", "paste", "depth"]
MERGES: tuple[MergeName, ...] = ("average", "paste", "depth")


def join(name: MergeName, layout: Layout, inputs: torch.Tensor, axes: MaskAxes = "xy") -> torch.Tensor:
    """The latents of a layout's inputs joined: (n + 1, C, h, w) -> (C, h, w).

    "average" is the published way. "paste" lays each instance's latents inside its own mask or box, later instances
    over earlier ones; "depth" does the same from back to front, as ``Layout.nearest_first`` says. axes: "official" is
    the published crop, mirrored and of boxes only.
    Raises LayoutError where an instance to be pasted has neither box nor mask.
    """
    if name == "average":
        return average(inputs)
    order = layout.nearest_first()[::-1] if name == "depth" else range(len(layout.instances))
    height, width = inputs.shape[-2:]
    return paste(inputs, pasted_cells(layout, height, width, axes).to(inputs.device), order)


def pasted_cells(layout: Layout, height: int, width: int, axes: MaskAxes = "xy") -> torch.Tensor:
    """The cells that each instance is pasted in: (n, height, width) bool; LayoutError where one has no extent."""
    extents = [instance.extent() for instance in layout]
    for instance, extent in zip(layout, extents, strict=True):
        if extent is None:
            raise LayoutError(
                f"{instance.id} has neither a box nor a mask, so that nothing says how far its latents reach: give it "
                "one, or let the latents be averaged (merge = average)"
            )
    if axes == "official":
        corners = [extent.xyxy() for extent in extents if extent is not None]
        return official_cells(torch.tensor(corners).reshape(-1, 4), height, width)
    return regions(layout, height, width)


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


def official_cells(boxes: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The published crop: (n, 4) normalised xyxy -> (n, height, width) bool, edges truncated, and the first array axis
    filled with the x range, which mirrors the box at the diagonal."""
    rows, columns = (torch.arange(side, device=boxes.device) for side in (height, width))
    scale = torch.tensor([height, width, height, width], device=boxes.device)
    x0, y0, x1, y1 = (boxes * scale).trunc()[:, None].unbind(-1)
    return ((rows >= x0) & (rows < x1))[:, :, None] & ((columns >= y0) & (columns < y1))[:, None, :]


def nearest_cells(layout: Layout, height: int, width: int) -> torch.Tensor:
    """The cells of each instance's mask or box without those of nearer ones: (n, height, width) bool.

    Raises LayoutError for an instance that nearer ones cover whole: nothing could attend to it.
    """
    cells = regions(layout, height, width)
    taken = torch.zeros(height, width, dtype=torch.bool)
    for index in layout.nearest_first():
        whole = cells[index].clone()
        cells[index] &= ~taken
        if whole.any() and not cells[index].any():
            raise LayoutError(
                f"{layout.instances[index].id} lies wholly inside nearer instances, so that no patch is left to it: "
                "draw the nearer ones with masks, change a depth, or let instances share patches"
            )
        taken |= whole
    return cells
