"""A picture drawn in the order in which the published code works: what the engine is measured and tested against.

One condition at a time, two passes for guidance, UniFusion in every pass and its backbone even where no map is given,
every token asking in the fusers although the instance tokens' answers are thrown away, fusers that are off multiplied
by zero, the sampler written out step by step. It shares with the engine the weights, the parts of diffusers' UNet, what
UniFusion computes, and PyTorch's fused attention; nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from diffusers.models.attention import BasicTransformerBlock
from torch import nn
from torch.nn import functional

from diffusion.conditions import ground, masked_cells
from diffusion.gated_attention import GatedInstanceAttention, MaskAxes, allowed_pairs
from diffusion.layout import Layout
from diffusion.pipeline import InstanceDiffusionPipeline
from diffusion.unet import InstanceDiffusionUNet
from diffusion.unifusion import Grounding
from eval.bench.hardware import now

Estimate = Callable[[torch.Tensor, int, float], torch.Tensor]
"""(x (B, C, h, w), timestep, fuser scale) -> (B, C, h, w): the guided noise estimate of one input."""


@dataclass
class Spent:
    """Passes of the UNet, and the seconds that UniFusion took of them."""

    passes: int = 0
    unifusion: float = 0.0


@dataclass(frozen=True)
class PublishedRun:
    """The settings of a run. mask_axes: None leaves the instance mask out. reads_empty_maps: the published code runs
    UniFusion's backbone even where no map is given, and throws the result away.
    """

    steps: int = 50
    guidance: float = 7.5
    alpha: float = 0.75
    mis: float = 0.36
    mask_axes: MaskAxes | None = None
    reads_empty_maps: bool = True
    seed: int = 0
    spent: Spent = field(default_factory=Spent)

    @torch.no_grad()
    def draw(self, pipeline: InstanceDiffusionPipeline, layout: Layout, noise: torch.Tensor) -> torch.Tensor:
        """The latents of as many pictures of the layout as there are noises: (P, C, h, w) -> (P, C, h, w)."""
        captions = [instance.caption for instance in layout]
        together = ground(layout, pipeline.encode_phrases(captions), pipeline.unet.slots, seed=self.seed)
        groundings = [together]
        texts = [layout.prompt]
        if self.mis > 0:
            groundings += [together.only(j) for j in range(len(captions))]
            texts += captions
        contexts, unwanted = pipeline.encode_prompts(texts), pipeline.encode_prompts([layout.negative_prompt])

        def estimator(context: torch.Tensor, grounding: Grounding) -> Estimate:
            def estimate(x: torch.Tensor, timestep: int, scale: float) -> torch.Tensor:
                wanted = self.one_pass(pipeline.unet, x, timestep, context[None], grounding, scale)
                if self.guidance == 1:
                    return wanted
                without = self.one_pass(pipeline.unet, x, timestep, unwanted, grounding.null(), scale)
                return without + self.guidance * (wanted - without)

            return estimate

        inputs = [estimator(*pair) for pair in zip(contexts, groundings, strict=True)]
        with published_fusers(pipeline.unet):
            return sample(inputs, noise, pipeline.scheduler.alphas_cumprod, self.steps, self.alpha, self.mis)

    def one_pass(
        self,
        unet: InstanceDiffusionUNet,
        x: torch.Tensor,
        timestep: int,
        context: torch.Tensor,
        grounding: Grounding,
        scale: float,
    ) -> torch.Tensor:
        """The UNet's estimate for (B, C, h, w) under one context (1, tokens, C) and grounding, in published fusers."""
        device, batch = x.device, len(x)
        grounding = Grounding.cat([grounding.to(device)] * batch)
        started = now(device)
        tokens = unet.position_net.encode(grounding)
        if self.reads_empty_maps and not grounding.maps.any():
            unet.position_net.map_features(grounding.maps)
        self.spent.unifusion += now(device) - started
        self.spent.passes += 1
        allowed = None if self.mask_axes is None else _allowed(unet, grounding, x.shape[2], x.shape[3], self.mask_axes)
        instances = EveryToken(tokens, allowed, scale)
        context = context.to(device).expand(batch, -1, -1)
        return unet(x.to(unet.dtype), torch.tensor(timestep, device=device), context, instances).sample.float()


def sample(
    inputs: Sequence[Estimate], noise: torch.Tensor, alphas: torch.Tensor, steps: int, alpha: float, mis: float
) -> torch.Tensor:
    """PLMS with Multi-Instance Sampling: input 0 holds all instances, the others one each; all start from the noise.

    alphas: (1000,) cumulative products. steps: a divisor of 1000.
    """
    timesteps = list(range(1, 1001, 1000 // steps))[::-1]
    scales = [1.0 if i < int(alpha * steps) else 0.0 for i in range(steps)]
    alone = int(steps * mis)
    latents, histories = [], []
    for estimate in inputs if alone else inputs[:1]:
        x, history = noise, list[torch.Tensor]()
        for i in range(alone):
            x = _plms(estimate, x, i, history, timesteps, scales, alphas)
        latents.append(x)
        histories.append(history)
    x, history = torch.stack(latents).mean(0), histories[0]
    for i in range(alone, steps):
        x = _plms(inputs[0], x, i, history, timesteps, scales, alphas)
    return x


def _plms(
    estimate: Estimate,
    x: torch.Tensor,
    i: int,
    history: list[torch.Tensor],
    timesteps: Sequence[int],
    scales: Sequence[float],
    alphas: torch.Tensor,
) -> torch.Tensor:
    following = timesteps[i + 1] if i + 1 < len(timesteps) else 0
    a, a_next = alphas[timesteps[i]], alphas[following]

    def update(e: torch.Tensor) -> torch.Tensor:
        clean = (x - (1 - a).sqrt() * e) / a.sqrt()
        return a_next.sqrt() * clean + (1 - a_next).sqrt() * e

    e = estimate(x, timesteps[i], scales[i])
    if not history:
        improved = (e + estimate(update(e), following or timesteps[i], scales[i])) / 2
    elif len(history) == 1:
        improved = (3 * e - history[-1]) / 2
    elif len(history) == 2:
        improved = (23 * e - 16 * history[-1] + 5 * history[-2]) / 12
    else:
        improved = (55 * e - 59 * history[-1] + 37 * history[-2] - 9 * history[-3]) / 24
    history.append(e)
    return update(improved)


@dataclass(frozen=True)
class EveryToken:
    """What PublishedFuser reads: all tokens (B, T, C); allowed: (B, 1, L, L + T) for the L finest visual tokens."""

    tokens: torch.Tensor
    allowed: torch.Tensor | None
    scale: float

    def for_fusers(self, network: nn.Module, fusers: Sequence[GatedInstanceAttention]) -> EveryToken:
        return self


class PublishedFuser(nn.Module):
    """A fuser's formula with nothing left out."""

    def __init__(self, fuser: GatedInstanceAttention):
        super().__init__()
        self.fuser = fuser

    def forward(self, x: torch.Tensor, objs: EveryToken) -> torch.Tensor:
        fuser, visual = self.fuser, x.shape[1]
        joined = fuser.norm1(torch.cat((x, fuser.linear(objs.tokens)), dim=1))
        query, key, value = (
            project(joined).unflatten(2, (fuser.attn.heads, -1)).transpose(1, 2)
            for project in (fuser.attn.to_q, fuser.attn.to_k, fuser.attn.to_v)
        )
        mask = objs.allowed
        if mask is not None:
            everything = torch.ones(len(x), 1, objs.tokens.shape[1], mask.shape[-1], dtype=torch.bool, device=x.device)
            mask = torch.cat((mask, everything), dim=2) if mask.shape[2] == visual else None
        out = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        attended = fuser.attn.to_out[0](out.transpose(1, 2).flatten(2))[:, :visual]
        x = x + objs.scale * fuser.alpha_attn.tanh() * attended
        return x + objs.scale * fuser.alpha_dense.tanh() * fuser.ff(fuser.norm2(x))


@contextmanager
def published_fusers(unet: InstanceDiffusionUNet) -> Iterator[None]:
    """The UNet with every fuser in its published form, as long as the context lasts."""
    blocks = [block for block in unet.modules() if isinstance(block, BasicTransformerBlock)]
    ours = [block.fuser for block in blocks]
    for block, fuser in zip(blocks, ours, strict=True):
        block.fuser = PublishedFuser(fuser)
    try:
        yield
    finally:
        for block, fuser in zip(blocks, ours, strict=True):
            block.fuser = fuser


def _allowed(
    unet: InstanceDiffusionUNet, grounding: Grounding, height: int, width: int, axes: MaskAxes
) -> torch.Tensor:
    cells = masked_cells(grounding, height, width, axes)
    return allowed_pairs(cells, 4 * unet.position_net.max_instances + unet.position_net.map_tokens)
