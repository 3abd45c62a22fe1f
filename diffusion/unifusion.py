"""UniFusion: every location format of an instance becomes tokens that the gated self-attention reads.

InstanceDiffusion (Wang et al., CVPR 2024), section 3.2. Parameter names are those of the diffusers port, so its
weights load as they are. Token order: boxes, points, scribbles, polygons (one token a slot each), then the tokens
of the segmentation maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import nn

from diffusion.convnext import ConvNeXt
from diffusion.gated_attention import InstanceKeys

FORMATS = ("boxes", "points", "scribbles", "masks")
FOURIER_FREQUENCIES = 16
FOURIER_BASE = 100.0


@dataclass(frozen=True)
class Grounding:
    """What UniFusion reads: B pictures with N slots each; unused slots are zero and not valid.

    valid: (B, N) 1 where a slot holds an instance. text: (B, N, C) pooled text embeddings.
    boxes: (B, N, 4) normalised xyxy. points: (B, N, 2) normalised x, y. scribbles: (B, N, 2 * points) and
    polygons: (B, N, 2 * points) normalised x, y, x, y, ...; zeros where an instance has none.
    maps: (B, N, S, S) segmentation maps in [0, 1]. uses: (B, 4) bool, which of FORMATS are on for each picture.
    """

    valid: torch.Tensor
    text: torch.Tensor
    boxes: torch.Tensor
    points: torch.Tensor
    scribbles: torch.Tensor
    polygons: torch.Tensor
    maps: torch.Tensor
    uses: torch.Tensor

    def __len__(self) -> int:
        return self.valid.shape[0]

    def used_slots(self) -> int:
        """All slots from this one on are unused in every picture: no valid instance, and no drawing either."""
        something = self.valid != 0
        for drawing in (self.scribbles, self.polygons):
            something = something | (drawing != 0).any(-1)
        return int((something.any(0) * torch.arange(1, self.valid.shape[1] + 1, device=self.valid.device)).amax())

    def to(self, *args, **kwargs) -> Grounding:
        """Moves the tensors; a dtype applies to the floating ones only."""
        return replace(self, **{f.name: _move(getattr(self, f.name), *args, **kwargs) for f in fields(self)})

    def null(self) -> Grounding:
        """The unconditional input of the same shape: all zeros, no slot valid, the same formats on."""
        zeros = {f.name: torch.zeros_like(getattr(self, f.name)) for f in fields(self) if f.name != "uses"}
        return Grounding(**zeros, uses=self.uses)

    def only(self, slot: int) -> Grounding:
        """The instance of that slot alone, in slot 0."""

        def alone(tensor: torch.Tensor) -> torch.Tensor:
            moved = torch.zeros_like(tensor)
            moved[:, 0] = tensor[:, slot]
            return moved

        return Grounding(
            **{f.name: alone(getattr(self, f.name)) for f in fields(self) if f.name != "uses"}, uses=self.uses
        )

    @staticmethod
    def cat(parts: Sequence[Grounding]) -> Grounding:
        return Grounding(**{f.name: torch.cat([getattr(p, f.name) for p in parts]) for f in fields(Grounding)})


def fourier_embed(values: torch.Tensor) -> torch.Tensor:
    """Fourier code of the last axis, (..., d) -> (..., 32 d): sin(f_k v), cos(f_k v), for f_k = 100^(k/16), k < 16."""
    exponents = torch.arange(FOURIER_FREQUENCIES, dtype=torch.float32, device=values.device) / FOURIER_FREQUENCIES
    angles = FOURIER_BASE**exponents * values.float().unsqueeze(-1)
    code = torch.stack((angles.sin(), angles.cos()), dim=-1)  # (..., d, 16, 2)
    return code.movedim(-3, -1).flatten(-3)


class UniFusion(nn.Module):
    """Instance tokens from text and locations: (B, 4 N + map_tokens, out_dim).

    text_dim: width of the instances' text embeddings. mid_dim: hidden width of the MLPs. map_size: side of the
    segmentation maps in pixels, a multiple of 32. map_tokens: how many tokens the maps become.
    """

    def __init__(
        self,
        text_dim: int = 768,
        out_dim: int = 768,
        mid_dim: int = 3072,
        max_instances: int = 30,
        scribble_points: int = 20,
        polygon_points: int = 256,
        map_size: int = 512,
        map_tokens: int = 64,
        convnext_depths: Sequence[int] = (3, 3, 9, 3),
        convnext_widths: Sequence[int] = (96, 192, 384, 768),
    ):
        super().__init__()
        positions = (map_size // 32) ** 2
        if map_size % 32 or convnext_widths[-1] * positions % map_tokens:
            raise ValueError(
                f"map_size {map_size} must be a multiple of 32 and its features divide into {map_tokens} tokens"
            )
        self.map_size, self.map_tokens, self.max_instances = map_size, map_tokens, max_instances
        self.scribble_points, self.polygon_points, self.text_dim = scribble_points, polygon_points, text_dim
        widths = [2 * FOURIER_FREQUENCIES * d for d in (4, 2, 2 * scribble_points, 2 * polygon_points)]
        map_features = convnext_widths[-1] * positions // map_tokens

        self.null_positive_feature = nn.Parameter(torch.zeros(text_dim))
        self.null_position_feature = nn.Parameter(torch.zeros(widths[0]))
        self.null_point_feature = nn.Parameter(torch.zeros(widths[1]))
        self.null_scribble_feature = nn.Parameter(torch.zeros(widths[2]))
        self.null_polygon_feature = nn.Parameter(torch.zeros(widths[3]))
        self.null_seg_feature = nn.Parameter(torch.zeros(map_features))
        self.pos_embedding = nn.Parameter(torch.randn(1, map_tokens, map_features) * 0.02)
        self.in_conv = nn.Conv2d(max_instances, 3, 3, padding=1)
        self.convnext_tiny_backbone = ConvNeXt(convnext_depths, convnext_widths)
        self.linears_list = nn.ModuleList(
            nn.Sequential(
                nn.Linear(width, mid_dim),
                nn.SiLU(),
                nn.Linear(mid_dim, mid_dim),
                nn.SiLU(),
                nn.Linear(mid_dim, out_dim),
            )
            for width in [*(text_dim + width for width in widths), map_features]
        )

    def forward(self, objs: InstanceKeys) -> InstanceKeys:
        """The hook that diffusers' UNet calls at every step: tokens do not depend on the step, so they come encoded."""
        return objs

    @apply_forward_hook
    def encode(self, g: Grounding) -> torch.Tensor:
        """(B, 4 N + map_tokens, out_dim), every slot as the network was trained: nothing skipped, nulls included."""
        dtype = self.null_positive_feature.dtype
        valid = g.valid.to(dtype).unsqueeze(-1)
        boxes, points, scribbles, masks = (used[:, None, None] for used in _effective(g.uses).unbind(1))
        text = valid * g.text.to(dtype) + (1 - valid) * self.null_positive_feature

        def drawn(coordinates: torch.Tensor, used: torch.Tensor) -> torch.Tensor:
            """A valid slot without a drawing is coded as zeros, not as null: the network was trained so."""
            return used & (coordinates.sum(-1, keepdim=True) + valid > 0)

        groups = (
            (g.boxes, boxes & (valid > 0), self.null_position_feature),
            (g.points, points & (valid > 0), self.null_point_feature),
            (g.scribbles, drawn(g.scribbles, scribbles), self.null_scribble_feature),
            (g.polygons, drawn(g.polygons, masks), self.null_polygon_feature),
        )
        encoded = [
            mlp(torch.cat((text, torch.where(present, fourier_embed(coordinates).to(dtype), null)), dim=-1))
            for mlp, (coordinates, present, null) in zip(self.linears_list, groups, strict=False)
        ]
        return torch.cat((*encoded, self._map_tokens(g.maps, masks)), dim=1)

    def _map_tokens(self, maps: torch.Tensor, used: torch.Tensor) -> torch.Tensor:
        """(B, N, S, S) -> (B, map_tokens, out_dim); pictures without a map get null features."""
        rows = (used.flatten() & (maps.flatten(1).sum(1) != 0)).nonzero().flatten()
        features = self.null_seg_feature.expand(len(maps), self.map_tokens, -1)
        if len(rows):
            features = features.index_copy(0, rows, self.map_features(maps[rows]).to(features.dtype))
        return self.linears_list[4](features + self.pos_embedding)

    def map_features(self, maps: torch.Tensor) -> torch.Tensor:
        """ConvNeXt features reinterpreted in memory as the published network does: (B, map_tokens, features)."""
        size = (self.map_size, self.map_size)
        maps = maps.to(self.in_conv.weight.dtype)
        if maps.shape[-2:] != size:
            maps = nn.functional.interpolate(maps, size)
        features = self.convnext_tiny_backbone(self.in_conv(maps))
        return features.reshape(len(maps), -1, self.map_tokens).transpose(1, 2)


def _effective(uses: torch.Tensor) -> torch.Tensor:
    """Boxes are switched back on where every format is off."""
    boxes_only = torch.tensor([True, False, False, False], device=uses.device)
    return torch.where(uses.any(1, keepdim=True), uses, boxes_only)


def _move(tensor: torch.Tensor, *args, **kwargs) -> torch.Tensor:
    if not tensor.is_floating_point():
        kwargs.pop("dtype", None)
        args = tuple(a for a in args if not isinstance(a, torch.dtype))
    return tensor.to(*args, **kwargs)
