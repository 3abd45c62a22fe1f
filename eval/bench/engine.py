"""How fast the engine is: the published order of work and ours, on the same random weights, with the same result.

Both draw the same plans from the same noise, in turns within one process, so that whatever else the machine does meets
both. The VAE is left out, and the text encoder is as good as none: they are the same on both sides.
"""

from __future__ import annotations

import random
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, PNDMScheduler
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel

from diffusion.conditions import ground
from diffusion.layout import Box, Instance, Layout, load_json, read_text
from diffusion.pipeline import InstanceDiffusionPipeline
from diffusion.places import TINY_FOLDER
from diffusion.tiny.text import build_tokenizer
from diffusion.unet import InstanceDiffusionUNet
from eval.bench.hardware import PeakMemory, busy, describe_device, now
from eval.bench.published_schedule import PublishedRun, published_fusers

CELL = 8
"""Pixels of a latent cell along a side."""
SLOTS = 30
PROMPT_TOKENS = 77
TOLERANCE = {torch.float32: 1e-4, torch.float16: 5e-2, torch.bfloat16: 1e-1}
"""The largest relative difference between the two results; in half precision rounding alone goes far in many steps."""
REDUCED = {"block_out_channels": (32, 64, 128, 128), "cross_attention_dim": 64, "unifusion": {"mid_dim": 128}}
"""A tenth of the published width; UniFusion's backbone and maps keep their size."""
SIZES = ("tiny", "reduced", "full")
MOST_STEPS = 500
"""The steps begin at 1 of 1000: with as many as there are the first would lie beyond them."""
MOST_CELLS = 1024


class NetworkError(ValueError):
    """A size that no network of the bench can be made of; the message names it and what is wrong."""

    exit_code = 2


Schedule = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class EngineSettings:
    """size: one of SIZES or the path of a UNet's config.json; tiny is the bundled network with 30 slots. cells: the
    latent's side, the network's own unless given. pictures: of one plan, drawn together. steps: a divisor of 1000, of
    at most MOST_STEPS.
    """

    size: str = "tiny"
    cells: int | None = None
    pictures: int = 1
    steps: int = 10
    guidance: float = 7.5
    alpha: float = 0.75
    mis: float = 0.36
    repeats: int = 3
    warm_up: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= MOST_STEPS or 1000 % self.steps:
            raise ValueError(
                f"steps = {self.steps}: both schedules make the same steps for divisors of 1000 up to {MOST_STEPS} only"
            )


@dataclass
class Side:
    """What one of the two took: seconds and busy seconds (``hardware.busy``) of each run for all its pictures, the work
    of one run in floating-point operations, the peak of memory in bytes, and the seconds that UniFusion took where it
    is told apart.
    """

    seconds: list[float] = field(default_factory=list)
    busy_seconds: list[float] = field(default_factory=list)
    work: int = 0
    peak_memory: int | None = None
    unifusion: list[float] = field(default_factory=list)


def bench_engine(
    counts: Sequence[int],
    settings: EngineSettings,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    on_run: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Both schedules for each number of instances. on_run(runs done, runs in all) after each.

    Raises ArithmeticError when the two results differ by more than TOLERANCE, NetworkError or LayoutError for a size
    that cannot be built.
    """
    pipeline = random_pipeline(settings.size, settings.cells).to(device, dtype)
    hardware = describe_device(torch.device(device), dtype)
    unet = pipeline.unet
    per_count = 2 * (settings.warm_up + settings.repeats)
    on_run(0, per_count * len(counts))
    runs = []
    for i, count in enumerate(counts):

        def ran(done: int, before: int = i * per_count) -> None:
            on_run(before + done, per_count * len(counts))

        runs.append(_compare(pipeline, count, settings, ran))
    _tell_shares([run[side] for run in runs for side in ("published", "ours")], hardware["matmul_peak_tflops"])
    return {
        "device": hardware,
        "network": {
            "size": settings.size,
            "cells": unet.config.sample_size,
            "parameters": sum(p.numel() for p in unet.parameters()),
        },
        "settings": {key: value for key, value in asdict(settings).items() if key not in ("size", "cells")},
        "runs": runs,
        "busy_seconds_per_added_instance": [_added(a, b) for a, b in pairwise(runs)],
    }


def random_pipeline(size: str, cells: int | None = None, seed: int = 0) -> InstanceDiffusionPipeline:
    """Random weights with every part awake: fusers half open, ScaleU and null features off their zeros."""
    torch.manual_seed(seed)
    unet = _network(size, cells).eval()
    for name, parameter in unet.named_parameters():
        last = name.rsplit(".", 1)[-1]
        if last in ("alpha_attn", "alpha_dense", "gamma"):
            nn.init.constant_(parameter, 0.5)
        elif last.startswith(("null_", "scaleu_")):
            nn.init.normal_(parameter, std=0.3)
    tokenizer = build_tokenizer(_caption(i) for i in range(SLOTS + 1))
    tokenizer.model_max_length = PROMPT_TOKENS
    width = unet.config.cross_attention_dim
    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=width,
            num_hidden_layers=1,
            num_attention_heads=1,
            max_position_embeddings=PROMPT_TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    ).eval()
    # CLIP's own initial weights are so small that every text reads the same
    nn.init.normal_(encoder.get_input_embeddings().weight)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4,) * 4,
        norm_num_groups=1,
    )
    scheduler = PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        steps_offset=1,
        set_alpha_to_one=False,
    )
    pipeline = InstanceDiffusionPipeline(vae, encoder, tokenizer, unet, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def random_plan(count: int, cells: int, seed: int = 0) -> Layout:
    """That many instances in random boxes."""
    draw = random.Random(seed)

    def span() -> tuple[float, float]:
        low = draw.uniform(0, 0.7)
        return low, low + draw.uniform(0.15, 0.3)

    def instance(number: int) -> Instance:
        (x0, x1), (y0, y1) = span(), span()
        box = Box(x0=x0, y0=y0, x1=x1, y1=y1)
        return Instance(id=f"i{number}", category="thing", caption=_caption(number), box=box)

    side = cells * CELL
    things = tuple(instance(i) for i in range(count))
    return Layout(version=1, caption=_caption(SLOTS), width=side, height=side, instances=things)


def _compare(
    pipeline: InstanceDiffusionPipeline,
    count: int,
    settings: EngineSettings,
    ran: Callable[[int], None],
) -> dict[str, Any]:
    unet, device = pipeline.unet, pipeline.device
    plan = random_plan(count, unet.config.sample_size)
    shape = (settings.pictures, unet.config.in_channels, *[unet.config.sample_size] * 2)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(count)).to(device)
    asked = (settings.steps, settings.guidance, settings.alpha, settings.mis)
    published, ours = Side(), Side()
    differences = []
    for repeat in range(settings.warm_up + settings.repeats):
        run = PublishedRun(*asked)
        slow = _clocked(published, device, partial(run.draw, pipeline, plan), noise)
        published.unifusion.append(run.spent.unifusion)
        ran(2 * repeat + 1)
        with counted_rows(unet) as rows:
            fast = _clocked(ours, device, partial(_draw, pipeline, plan, settings), noise)
        ran(2 * repeat + 2)
        differences.append(((fast - slow).norm() / slow.norm()).item())
    if max(differences) > TOLERANCE[unet.dtype]:
        raise ArithmeticError(
            f"the two schedules differ by {max(differences):.1e} with {count} instances, more than "
            f"{TOLERANCE[unet.dtype]:.0e}: the engine does not draw what the published order of work draws"
        )
    for side in (published, ours):
        for values in (side.seconds, side.busy_seconds, side.unifusion):
            del values[: settings.warm_up]
    published.work = run.spent.passes * _pass_work(pipeline, plan, noise)
    ours.work = sum(n * _row_work(pipeline, plan, noise, *kind) for kind, n in rows.items())
    slow_seconds, unifusion = published.seconds, published.unifusion
    return {
        "instances": count,
        "published": {
            **_report(published, settings.pictures),
            "unifusion_share": _share(unifusion, slow_seconds),
        },
        "ours": _report(ours, settings.pictures),
        "ratio": _ratio(slow_seconds, ours.seconds),
        "busy_ratio": _ratio(published.busy_seconds, ours.busy_seconds),
        "ratio_without_unifusion": _ratio([s - u for s, u in zip(slow_seconds, unifusion, strict=True)], ours.seconds),
        "work_ratio": published.work / ours.work,
        "difference": max(differences),
    }


def _clocked(side: Side, device: torch.device, draw: Schedule, noise: torch.Tensor) -> torch.Tensor:
    memory = PeakMemory(device)
    started, busy_started = now(device), busy(device)
    latents = draw(noise)
    side.seconds.append(now(device) - started)
    side.busy_seconds.append(busy(device) - busy_started)
    peak = memory.bytes()
    side.peak_memory = peak if side.peak_memory is None or peak is None else max(side.peak_memory, peak)
    return latents


def _draw(
    pipeline: InstanceDiffusionPipeline, plan: Layout, settings: EngineSettings, noise: torch.Tensor
) -> torch.Tensor:
    (latents,) = pipeline(
        plan,
        num_images_per_prompt=len(noise),
        latents=noise,
        num_inference_steps=settings.steps,
        guidance_scale=settings.guidance,
        alpha=settings.alpha,
        mis=settings.mis,
        output_type="latent",
        return_dict=False,
    )
    return latents


@contextmanager
def counted_rows(unet: InstanceDiffusionUNet) -> Iterator[Counter[tuple[bool, int | None]]]:
    """How many rows went through the UNet, by whether fusers were on and how many slots were kept apart."""
    rows: Counter[tuple[bool, int | None]] = Counter()

    def count(module: nn.Module, args: tuple[Any, ...]) -> None:
        sample, _, _, instances = args
        rows[instances.scale != 0, instances.used] += len(sample)

    handle = unet.register_forward_pre_hook(count)
    try:
        yield rows
    finally:
        handle.remove()


@torch.no_grad()
def _row_work(
    pipeline: InstanceDiffusionPipeline, plan: Layout, noise: torch.Tensor, on: bool, used: int | None
) -> int:
    """Operations of one row in our schedule, the instances' keys being known."""
    unet = pipeline.unet
    context, grounding = _one(pipeline, plan)
    instances = replace(unet.encode_instances(grounding.to(pipeline.device)), used=used).at_scale(float(on))
    instances.for_fusers(unet, unet.fusers)
    x = noise[:1].to(unet.dtype)
    return _operations(lambda: unet(x, torch.tensor(500), context, instances))


@torch.no_grad()
def _pass_work(pipeline: InstanceDiffusionPipeline, plan: Layout, noise: torch.Tensor) -> int:
    """Operations of one pass in the published schedule."""
    context, grounding = _one(pipeline, plan)
    with published_fusers(pipeline.unet):
        one = _operations(lambda: PublishedRun().one_pass(pipeline.unet, noise[:1], 500, context, grounding, 1.0))
    return one * len(noise)


def _one(pipeline: InstanceDiffusionPipeline, plan: Layout) -> tuple[torch.Tensor, Any]:
    captions = [instance.caption for instance in plan]
    grounding = ground(plan, pipeline.encode_phrases(captions), pipeline.unet.slots)
    return pipeline.encode_prompts([plan.prompt]), grounding


def _operations(call: Callable[[], Any]) -> int:
    """Of matrix products and convolutions; attention written out, since the counter does not know every fused form."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def _report(side: Side, pictures: int) -> dict[str, Any]:
    busy_seconds = statistics.median(side.busy_seconds)
    return {
        "seconds_per_picture": statistics.median(side.seconds) / pictures,
        "busy_seconds_per_picture": busy_seconds / pictures,
        "seconds": side.seconds,
        "busy_seconds": side.busy_seconds,
        "tflop_per_picture": side.work / pictures / 1e12,
        "peak_memory_bytes": side.peak_memory,
    }


def _tell_shares(reports: Sequence[dict[str, Any]], peak_tflops: float) -> None:
    """Adds which share of a large matrix product's speed each reaches; None in all where one is faster, as in a type
    that the processor multiplies slowly: that product is no peak then."""
    shares = [report["tflop_per_picture"] / report["busy_seconds_per_picture"] / peak_tflops for report in reports]
    known = max(shares, default=0) <= 1
    for report, share in zip(reports, shares, strict=True):
        report["share_of_matmul_peak"] = share if known else None


def _ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    """The median over pairs of runs that stood next to each other."""
    return statistics.median(s / f for s, f in zip(slow, fast, strict=True))


def _share(part: Sequence[float], whole: Sequence[float]) -> float:
    return statistics.median(p / w for p, w in zip(part, whole, strict=True))


def _added(fewer: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    def per_instance(side: str) -> float:
        extra = more[side]["busy_seconds_per_picture"] - fewer[side]["busy_seconds_per_picture"]
        return extra / (more["instances"] - fewer["instances"])

    return {
        "from": fewer["instances"],
        "to": more["instances"],
        "published": per_instance("published"),
        "ours": per_instance("ours"),
    }


def _network(size: str, cells: int | None) -> InstanceDiffusionUNet:
    config = _config(size)
    try:
        config["unifusion"] = {**(config.get("unifusion") or {}), "max_instances": SLOTS}
        unet = InstanceDiffusionUNet.from_config({**config, **({"sample_size": cells} if cells else {})})
    except Exception as error:  # the libraries raise whatever a wrong configuration leads them to
        raise NetworkError(f"{size}: no UNet can be built from it: {error}") from error
    side, channels, predicted = (unet.config[name] for name in ("sample_size", "in_channels", "out_channels"))
    if not isinstance(side, int) or not 1 <= side <= MOST_CELLS:
        raise NetworkError(f"{size}: sample_size is {side!r}; expected 1 to {MOST_CELLS} cells")
    if channels != predicted:
        raise NetworkError(f"{size}: in_channels is {channels}, out_channels {predicted}; noise has as many as latents")
    return unet


def _config(size: str) -> dict[str, Any]:
    if size == "full":
        return {}
    if size == "reduced":
        return dict(REDUCED)
    path = TINY_FOLDER / "unet" / "config.json" if size == "tiny" else Path(size)
    config = load_json(read_text(path), str(path))
    if not isinstance(config, dict):
        raise NetworkError(f"{path}: expected a UNet's configuration, a JSON object")
    return config


def _caption(number: int) -> str:
    return f"thing{number}"
