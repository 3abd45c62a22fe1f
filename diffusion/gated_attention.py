"""Gated self-attention between visual tokens and instance tokens, with the instance mask.

InstanceDiffusion (CVPR 2024), section 3.2 and its appendix on instance-masked attention. The sublayer stands between
a transformer block's self-attention and its cross-attention:

    x = x + s * tanh(alpha_attn) * SelfAttention(norm1([x, linear(tokens)]))[visual]
    x = x + s * tanh(alpha_dense) * FeedForward(norm2(x))

The same numbers come with less work. Only visual tokens ask: the instance tokens' own outputs are thrown away. The
instance tokens' keys and values are computed once a picture: they depend on no timestep. Unused slots hold the same
token over and over: one of them stands for all, with the logarithm of their number added to its scores.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from diffusers.models.attention import GatedSelfAttentionDense
from torch import nn
from torch.nn import functional

MaskAxes = Literal["xy", "official"]
FORMAT_GROUPS = 4
"""Boxes, points, scribbles, polygons: one token a slot each; the map tokens follow."""
KEPT_MASKS = 256 * 1024 * 1024
"""Bytes of instance masks that the passes of a step may keep for the next one. A row of 64 x 64 cells has 67 MB in
float32, and building them again costs far less than the pass; those of the miniature take little."""


@dataclass(frozen=True)
class InstanceKeys:
    """What the fusers of one network read of B pictures at every step.

    pairs: for each fuser, by its index, keys and values (B, heads, K, head width). copies: (K,) the logarithm of how
    many alike tokens each key stands for, None where each stands for itself. masks: by the number L of visual tokens,
    (B, 1, L, L + K) to add to the scores: -inf where a visual token may not attend, copies included; None while they
    are let go of. scale: the fusers' strength, 1 as trained, 0 off.
    """

    pairs: Sequence[tuple[torch.Tensor, torch.Tensor]] = ()
    copies: torch.Tensor | None = None
    masks: dict[int, torch.Tensor] | None = field(default_factory=dict)
    scale: float = 1.0

    def bias(self, visual_tokens: int) -> torch.Tensor | None:
        """(B or 1, 1, L or 1, L + K) to add to the scores, or None."""
        if self.masks and visual_tokens in self.masks:
            return self.masks[visual_tokens]
        return None if self.copies is None else functional.pad(self.copies, (visual_tokens, 0))[None, None, None]


class GatedInstanceAttention(GatedSelfAttentionDense):
    """The fuser. Parameters are those of diffusers' GLIGEN block; ``index`` is its place among its network's fusers."""

    index = 0

    def forward(self, x: torch.Tensor, objs: InstanceKeys) -> torch.Tensor:
        """x: (B, L, C) visual tokens."""
        if objs.scale == 0:
            return x
        attended = self._attend(self.norm1(x), objs)
        x = x + objs.scale * self.alpha_attn.tanh() * attended
        return x + objs.scale * self.alpha_dense.tanh() * self.ff(self.norm2(x))

    def keys_and_values(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Instance tokens (B, K, C) -> (B, heads, K, head width) each."""
        tokens = self.norm1(self.linear(tokens))
        return self._heads(self.attn.to_k(tokens)), self._heads(self.attn.to_v(tokens))

    def _attend(self, x: torch.Tensor, objs: InstanceKeys) -> torch.Tensor:
        instance_keys, instance_values = objs.pairs[self.index]
        keys = torch.cat((self._heads(self.attn.to_k(x)), instance_keys), dim=2)
        values = torch.cat((self._heads(self.attn.to_v(x)), instance_values), dim=2)
        out = functional.scaled_dot_product_attention(
            self._heads(self.attn.to_q(x)), keys, values, attn_mask=objs.bias(x.shape[1])
        )
        return self.attn.to_out[1](self.attn.to_out[0](out.transpose(1, 2).flatten(2)))

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(2, (self.attn.heads, -1)).transpose(1, 2)


@dataclass(frozen=True)
class InstanceTokens:
    """Encoded instances of B pictures.

    tokens: (B, 4 N + map tokens, C) from UniFusion. slots: N. used: a format's slots from this one on are unused in
    every picture, hence all alike; None to take each for itself. cells: (B, N, h, w) bool at the latent's resolution,
    True where an instance lies; all False in a picture without instance mask; None when no picture has one.
    masked_levels: how many resolutions the instance mask covers, from that of the cells down, each half as wide as the
    one before. scale: the fusers' strength, 1 as trained, 0 off.
    """

    tokens: torch.Tensor
    slots: int
    used: int | None = None
    cells: torch.Tensor | None = None
    masked_levels: int = 1
    scale: float = 1.0
    _keys: weakref.WeakKeyDictionary = field(default_factory=weakref.WeakKeyDictionary, compare=False, repr=False)

    def __len__(self) -> int:
        return self.tokens.shape[0]

    def at_scale(self, scale: float) -> InstanceTokens:
        """The same tokens, keys and masks at another strength."""
        return replace(self, scale=scale)

    def each_for_itself(self) -> InstanceTokens:
        """The same with as many keys whatever the slots hold: not the same bits, and more work."""
        return replace(self, used=None, _keys=weakref.WeakKeyDictionary())

    @staticmethod
    def cat(parts: Sequence[InstanceTokens]) -> InstanceTokens:
        """One batch of several pictures of one network."""
        if len(parts) == 1:
            return parts[0]
        cells = [part.cells for part in parts if part.cells is not None]
        if len(cells) not in (0, len(parts)):
            raise ValueError("a batch holds tokens either all with cells or all without: all-False cells mask nothing")
        used = [part.used for part in parts if part.used is not None]
        return replace(
            parts[0],
            tokens=torch.cat([part.tokens for part in parts]),
            used=max(used) if len(used) == len(parts) else None,
            cells=torch.cat(cells) if cells else None,
            _keys=weakref.WeakKeyDictionary(),
        )

    def for_fusers(self, network: nn.Module, fusers: Sequence[GatedInstanceAttention]) -> InstanceKeys:
        """What the network's fusers read at every step; remembered where no gradient needs it anew."""
        if self.scale == 0:
            return InstanceKeys(scale=0)
        if torch.is_grad_enabled():
            return self._read(fusers)
        keys = self._keys.get(network) or self._read(fusers)
        if keys.masks is None:
            keys = replace(keys, masks=self._masks(*self._distinct()))
        self._keys[network] = keys
        return replace(keys, scale=self.scale)

    def let_go_of_masks(self, rows: int) -> None:
        """Frees instance masks where those of so many rows take much memory; the next reading builds them again."""
        for network, keys in list(self._keys.items()):
            own = sum(mask.nbytes for mask in (keys.masks or {}).values())
            if own / len(self) * rows > KEPT_MASKS:
                self._keys[network] = replace(keys, masks=None)

    def _read(self, fusers: Sequence[GatedInstanceAttention]) -> InstanceKeys:
        kept, copies = self._distinct()
        tokens = self.tokens[:, kept]
        return InstanceKeys(
            pairs=[fuser.keys_and_values(tokens) for fuser in fusers],
            copies=copies if copies.any() else None,
            masks=self._masks(kept, copies),
            scale=self.scale,
        )

    def _masks(self, kept: torch.Tensor, copies: torch.Tensor) -> dict[int, torch.Tensor]:
        masks: dict[int, torch.Tensor] = {}
        if self.cells is None:
            return masks
        cells = self.cells
        for _ in range(self.masked_levels):
            visual = cells.shape[-2] * cells.shape[-1]
            patches, tokens = allowed_pairs(cells, self.tokens.shape[1]).tensor_split([visual], dim=-1)
            allowed = torch.cat((patches, tokens[..., kept]), dim=-1)
            # an added mask: kernels would turn a boolean one into this at every step
            masks[visual] = functional.pad(copies, (visual, 0)).masked_fill(~allowed, -math.inf)
            cells = functional.max_pool2d(cells.float(), 2, ceil_mode=True) > 0
        return masks

    def _distinct(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(K,) the tokens to keep, and the logarithm of how many each stands for, in the type of the masks.

        On a GPU every token stays: the fastest attention kernels take no bias, and the keys are a few per cent there.
        A CPU's kernels read masks in float32 beside queries of any type, a GPU's want both of one type.
        """
        on_cpu = self.tokens.device.type == "cpu"
        dtype = torch.float32 if on_cpu else self.tokens.dtype
        kept = torch.arange(self.tokens.shape[1], device=self.tokens.device)
        if self.used is None or self.used + 1 >= self.slots or not on_cpu:
            return kept, torch.zeros(len(kept), dtype=dtype, device=kept.device)
        slot = torch.where(kept < FORMAT_GROUPS * self.slots, kept % self.slots, -1)
        kept, slot = kept[slot <= self.used], slot[slot <= self.used]
        return kept, (slot == self.used).to(dtype) * math.log(self.slots - self.used)


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
        start, stop = (edges[..., :2] + 1e-4).floor(), (edges[..., 2:] - 1e-4).ceil()
        thin = (stop == start) & (edges[..., 2:] > edges[..., :2])
        edges = torch.cat((start, stop + thin), dim=-1)
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
