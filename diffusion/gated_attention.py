"""Gated self-attention between visual tokens and instance tokens, with the instance mask.

InstanceDiffusion (CVPR 2024), section 3.2 and its appendix on instance-masked attention. The sublayer stands between
a transformer block's self-attention and its cross-attention:

    x = x + s * tanh(alpha_attn) * SelfAttention(norm1([x, linear(tokens)]))[visual]
    x = x + s * tanh(alpha_dense) * FeedForward(norm2(x))

Only visual tokens ask (the instance tokens' own outputs are thrown away), and the instance tokens' keys and values are
computed once a picture: they depend on no timestep.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from diffusers.models.attention import GatedSelfAttentionDense
from torch.nn import functional

MaskAxes = Literal["xy", "official"]


@dataclass(frozen=True)
class InstanceTokens:
    """Encoded instances of B pictures, ready for every step.

    tokens: (B, 4 N + map tokens, C) from UniFusion. cells: (B, N, h, w) bool at the latent's resolution, True where an
    instance lies; all False in a picture without instance mask; None when no picture has one. scale: the fusers'
    strength, 1 as trained, 0 off.
    """

    tokens: torch.Tensor
    cells: torch.Tensor | None = None
    scale: float = 1.0
    _keys: weakref.WeakKeyDictionary = field(default_factory=weakref.WeakKeyDictionary, compare=False, repr=False)
    _masks: dict[int, torch.Tensor] = field(default_factory=dict, compare=False, repr=False)

    def __len__(self) -> int:
        return self.tokens.shape[0]

    def at_scale(self, scale: float) -> InstanceTokens:
        """The same tokens, keys and masks at another strength."""
        return replace(self, scale=scale)

    @staticmethod
    def cat(parts: Sequence[InstanceTokens]) -> InstanceTokens:
        """One batch of several; keys and masks that are known already are joined, not computed again."""
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        cells = [part.cells for part in parts if part.cells is not None]
        if len(cells) not in (0, len(parts)):
            raise ValueError("a batch holds tokens either all with cells or all without: all-False cells mask nothing")
        joined = InstanceTokens(
            torch.cat([part.tokens for part in parts]), torch.cat(cells) if cells else None, first.scale
        )
        joined._masks.update({size: torch.cat([part._masks[size] for part in parts]) for size in first._masks})
        return joined

    def mask(self, visual_tokens: int) -> torch.Tensor | None:
        """(B, 1, L, L + T) bool, True where a visual token may attend; None where this resolution is not masked."""
        return self._masks.get(visual_tokens)

    def with_masks(self, levels: int) -> InstanceTokens:
        """Builds the masks of the finest ``levels`` resolutions, each half as wide as the one before."""
        if self.cells is not None:
            cells = self.cells
            for _ in range(levels):
                self._masks[cells.shape[-2] * cells.shape[-1]] = allowed_pairs(cells, self.tokens.shape[1])
                cells = functional.max_pool2d(cells.float(), 2, ceil_mode=True) > 0
        return self


class GatedInstanceAttention(GatedSelfAttentionDense):
    """The fuser. Parameters are those of diffusers' GLIGEN block; scale and instance mask come with the tokens."""

    def forward(self, x: torch.Tensor, objs: InstanceTokens) -> torch.Tensor:
        """x: (B, L, C) visual tokens."""
        if objs.scale == 0:
            return x
        attended = self._attend(self.norm1(x), objs)
        x = x + objs.scale * self.alpha_attn.tanh() * attended
        return x + objs.scale * self.alpha_dense.tanh() * self.ff(self.norm2(x))

    def _attend(self, x: torch.Tensor, objs: InstanceTokens) -> torch.Tensor:
        instance_keys, instance_values = self._instance_keys_and_values(objs)
        keys = torch.cat((self._heads(self.attn.to_k(x)), instance_keys), dim=2)
        values = torch.cat((self._heads(self.attn.to_v(x)), instance_values), dim=2)
        out = functional.scaled_dot_product_attention(
            self._heads(self.attn.to_q(x)), keys, values, attn_mask=objs.mask(x.shape[1])
        )
        return self.attn.to_out[1](self.attn.to_out[0](out.transpose(1, 2).flatten(2)))

    def _instance_keys_and_values(self, objs: InstanceTokens) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, heads, T, head width) each; remembered where no gradient needs them anew."""
        if self in objs._keys:
            return objs._keys[self]
        tokens = self.norm1(self.linear(objs.tokens))
        pair = self._heads(self.attn.to_k(tokens)), self._heads(self.attn.to_v(tokens))
        if not torch.is_grad_enabled():
            objs._keys[self] = pair
        return pair

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(2, (self.attn.heads, -1)).transpose(1, 2)


def box_cells(boxes: torch.Tensor, valid: torch.Tensor, height: int, width: int, axes: MaskAxes = "xy") -> torch.Tensor:
    """The latent cells that each box covers: (B, N, 4) normalised xyxy -> (B, N, height, width) bool.

    "xy" takes every cell that a box touches. "official" is the published form: edges rounded (halves to even) and the
    first array axis filled with the x range, which mirrors the box at the diagonal.
    """
    scale = torch.tensor([width, height, width, height], dtype=torch.float32, device=boxes.device)
    if axes == "official":
        edges = (boxes.float() * scale[[1, 0, 1, 0]]).round()[..., [1, 0, 3, 2]]
    else:
        # a box that ends on a cell's border must not touch the next cell by a rounding error
        edges = boxes.float() * scale
        edges = torch.cat(((edges[..., :2] + 1e-4).floor(), (edges[..., 2:] - 1e-4).ceil()), dim=-1)
    x0, y0, x1, y1 = edges[..., None, None].unbind(-3)
    rows = torch.arange(height, device=boxes.device)[:, None]
    columns = torch.arange(width, device=boxes.device)[None, :]
    inside = (rows >= y0) & (rows < y1) & (columns >= x0) & (columns < x1)
    return inside & (valid > 0)[..., None, None]


def allowed_pairs(cells: torch.Tensor, tokens: int) -> torch.Tensor:
    """Which keys each visual token may attend: cells (B, N, h, w) -> (B, 1, h w, h w + tokens) bool.

    A visual token sees itself, the visual tokens that share an instance with it, the box and polygon slots of the
    instances it lies in, and all point, scribble and map tokens. A picture whose cells are all False is not masked.
    """
    inside = cells.flatten(2)  # (B, N, L)
    slots, visual = inside.shape[1:]
    together = torch.einsum("bnp,bnq->bpq", inside.float(), inside.float()) > 0
    together |= torch.eye(visual, dtype=torch.bool, device=cells.device)
    own = inside.transpose(1, 2)
    everyone = torch.ones_like(own)
    maps = torch.ones(len(cells), visual, tokens - 4 * slots, dtype=torch.bool, device=cells.device)
    allowed = torch.cat((together, own, everyone, everyone, own, maps), dim=-1)
    return (allowed | ~inside.any(2).any(1)[:, None, None]).unsqueeze(1)
