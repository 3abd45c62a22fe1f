"""The engine draws what the published order of work draws, whatever it leaves out: random plans, settings and seeds."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from diffusers import PNDMScheduler

from diffusion.layout import Instance, Layout, Mask, Point, Scribble
from diffusion.pipeline import InstanceDiffusionPipeline
from eval.bench.published_schedule import PublishedFuser, PublishedRun, published_fusers
from tests.diffusion.small import MAX_INSTANCES, WORDS, box, noise, plan, small_pipeline

STEPS = 5
TOLERANCE = 5e-6


@pytest.fixture(scope="module")
def pipeline() -> InstanceDiffusionPipeline:
    scheduler = PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        steps_offset=1,
        set_alpha_to_one=False,
    )
    return small_pipeline(scheduler)


def random_plan(draw: random.Random, count: int) -> Layout:
    """Instances with a box, a point, a scribble or a mask, or several of these."""
    return plan(*(random_thing(draw, i) for i in range(count)), caption=draw.choice(WORDS))


def random_thing(draw: random.Random, number: int) -> Instance:
    x0, y0 = draw.uniform(0, 0.5), draw.uniform(0, 0.5)
    x1, y1 = x0 + draw.uniform(0.2, 0.5), y0 + draw.uniform(0.2, 0.5)
    corners = [Point(x=x0, y=y0), Point(x=x1, y=y0), Point(x=x1, y=y1)]
    ways = {
        "box": box((x0, y0, x1, y1)),
        "point": Point(x=(x0 + x1) / 2, y=y1),
        "scribble": Scribble(points=tuple(corners[:2])),
        "mask": Mask(polygons=(tuple(corners),)),
    }
    chosen = draw.sample(list(ways), draw.randint(1, 2))
    caption = draw.choice(WORDS)
    return Instance(id=f"i{number}", category="thing", caption=caption, **{name: ways[name] for name in chosen})


def both(pipeline, layout, start, run: PublishedRun) -> tuple[torch.Tensor, torch.Tensor]:
    slow = run.draw(pipeline, layout, start)
    masking = {} if run.mask_axes is None else {"mask_axes": run.mask_axes}
    fast = pipeline(
        layout,
        num_images_per_prompt=len(start),
        latents=start,
        num_inference_steps=run.steps,
        guidance_scale=run.guidance,
        alpha=run.alpha,
        mis=run.mis,
        instance_mask=run.mask_axes is not None,
        seed=run.seed,
        output_type="latent",
        **masking,
    ).images
    return fast, slow


def difference(fast: torch.Tensor, slow: torch.Tensor) -> float:
    return ((fast - slow).norm() / slow.norm()).item()


@pytest.mark.parametrize("seed", range(12))
def test_the_engine_leaves_out_what_changes_nothing(pipeline, seed: int):
    draw = random.Random(seed)
    layout = random_plan(draw, seed % (MAX_INSTANCES + 1))
    run = PublishedRun(
        steps=STEPS,
        guidance=draw.choice([0.5, 1.0, 3.0, 7.5]),
        alpha=draw.choice([0.0, 0.5, 0.8, 1.0]),
        mis=draw.choice([0.0, 0.2, 0.4, 0.6]),
        mask_axes=draw.choice([None, "xy", "official"]),
        seed=seed,
    )
    assert difference(*both(pipeline, layout, noise(draw.choice([1, 2]), seed), run)) < TOLERANCE


def test_a_mistake_would_show(pipeline, monkeypatch):
    """An instance taken for an unused slot moves the picture by far more than the tolerance."""
    layout, run = random_plan(random.Random(1), 2), PublishedRun(steps=STEPS, guidance=7.5, alpha=1.0, mis=0.4)
    encode = pipeline.unet.encode_instances
    monkeypatch.setattr(pipeline.unet, "encode_instances", lambda *a, **k: replace(encode(*a, **k), used=1))
    fast, slow = both(pipeline, layout, noise(), run)
    assert difference(fast, slow) > 20 * TOLERANCE


def test_the_network_is_itself_again_afterwards(pipeline):
    before = pipeline.unet.fusers
    with pytest.raises(RuntimeError, match="stop"), published_fusers(pipeline.unet):
        assert any(isinstance(module, PublishedFuser) for module in pipeline.unet.modules())
        raise RuntimeError("stop")
    assert not any(isinstance(module, PublishedFuser) for module in pipeline.unet.modules())
    assert pipeline.unet.fusers == before
