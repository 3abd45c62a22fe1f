"""Samplers by name: with its own number of steps each reaches the picture that a known ideal network leads to."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, DEISMultistepScheduler, DPMSolverSinglestepScheduler, PNDMScheduler

from diffusion.checkpoints import PUBLISHED_SCHEDULE
from diffusion.places import TINY_FOLDER
from diffusion.sampler import SettingsError, Strength, sample, schedule
from diffusion.schedulers import SAMPLERS, scheduler_named
from tests.diffusion.small import noise

MODELS = {
    "published": PNDMScheduler.from_config(PUBLISHED_SCHEDULE),
    "miniature": DDIMScheduler.from_pretrained(TINY_FOLDER / "scheduler"),
}


MEAN, SPREAD = 0.7, 0.5


NEAR = {"pndm": 0.03, "ddim": 0.03, "unipc": 0.005, "dpm++": 0.005}
"""The relative distance from the limit that a sampler's own number of steps may leave."""


def denoise(scheduler, steps: int, mis: float = 0.0, merge=None, entries: list | None = None) -> torch.Tensor:
    """With the ideal network for values that are spread normally about MEAN (about its double for instance 1, ...)."""

    def predict(x, timestep, inputs, scale):
        if entries is not None:
            entries.append(timestep)
        a = scheduler.alphas_cumprod[int(timestep)]
        mean = MEAN * torch.tensor([1.0 + j for _, j in inputs])[:, None, None, None]
        clean = mean + SPREAD**2 * a.sqrt() * (x - a.sqrt() * mean) / (a * SPREAD**2 + 1 - a)
        noise = (x - a.sqrt() * clean) / (1 - a).sqrt()
        if scheduler.config.prediction_type == "v_prediction":
            return a.sqrt() * noise - (1 - a).sqrt() * clean
        return noise

    strength = Strength(alpha=0.8, mis=mis)
    return sample(predict, noise(2), scheduler, steps=steps, instances=[1, 2], strength=strength, merge=merge)


def ideal(scheduler, steps: int, entry: int = 0, start: torch.Tensor | None = None) -> torch.Tensor:
    """Where the probability flow leads exactly from the latents at that entry: they keep their place among all."""
    scheduler.set_timesteps(steps)
    a = scheduler.alphas_cumprod[int(scheduler.timesteps[entry])]
    return MEAN + SPREAD * ((noise(2) if start is None else start) - a.sqrt() * MEAN) / (a * SPREAD**2 + 1 - a).sqrt()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", SAMPLERS)
def test_with_its_own_number_of_steps_a_sampler_gets_there(model: str, name: str):
    scheduler, steps = scheduler_named(name, MODELS[model]), SAMPLERS[name].steps
    expected = ideal(scheduler, steps)
    assert (denoise(scheduler, steps) - expected).norm() / expected.norm() < NEAR[name]


OTHERS = {"DEIS": DEISMultistepScheduler, "DPM++ 2S": DPMSolverSinglestepScheduler}


@pytest.mark.parametrize("mis", [0.5, 0.525])
@pytest.mark.parametrize("name", [*SAMPLERS, *OTHERS])
def test_every_sampler_goes_on_from_the_merged_latents(name: str, mis: float):
    """Some remember the latents before the last; what they do with them must not undo the merge."""
    present = MODELS["published"]
    scheduler = OTHERS[name].from_config(present.config) if name in OTHERS else scheduler_named(name, present)
    merged: list[tuple[int, torch.Tensor]] = []
    entries: list[torch.Tensor] = []

    def merge(picture: int, inputs: torch.Tensor) -> torch.Tensor:
        merged.append((len(entries), inputs.mean(0)))
        return merged[-1][1]

    drawn = denoise(scheduler, 40, mis=mis, merge=merge, entries=entries)
    expected = ideal(scheduler, 40, merged[0][0], torch.stack([latents for _, latents in merged]))
    assert (
        (drawn - expected).norm() / expected.norm()
        < 0.03
        < (denoise(scheduler, 40) - expected).norm() / expected.norm()
    )


@pytest.mark.parametrize("name", SAMPLERS)
def test_shares_mean_the_same_levels_of_noise_under_every_sampler(name: str):
    seen = []

    def predict(x, timestep, inputs, scale):
        seen.append((float(timestep), scale, len(inputs)))
        return x

    strength = Strength(alpha=0.75, mis=0.36)
    scheduler = scheduler_named(name, MODELS["published"])
    sample(predict, noise(1), scheduler, steps=SAMPLERS[name].steps, instances=[2], strength=strength)
    assert {scale for timestep, scale, _ in seen if timestep >= 300} == {1.0}
    assert {scale for timestep, scale, _ in seen if timestep <= 240} == {0.0}
    assert {count for timestep, _, count in seen if timestep >= 700} == {3}
    assert {count for timestep, _, count in seen if timestep <= 600} == {1}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", SAMPLERS)
def test_the_noise_schedule_and_the_prediction_stay_the_models(model: str, name: str):
    scheduler = scheduler_named(name, MODELS[model])
    assert torch.allclose(scheduler.alphas_cumprod, MODELS[model].alphas_cumprod)
    assert scheduler.config.prediction_type == MODELS[model].config.prediction_type


@pytest.mark.parametrize("model", MODELS)
def test_a_scheduler_made_of_the_models_own_does_not_clip_latents(model: str):
    """DDIM clips unless the configuration says otherwise, which PNDM's own options don't."""
    swapped = DDIMScheduler.from_config(MODELS[model].config)
    expected = ideal(swapped, 50)
    assert (denoise(swapped, 50) - expected).norm() / expected.norm() < NEAR["ddim"]


def test_pndm_is_the_published_sampler():
    scheduler = scheduler_named("pndm", MODELS["miniature"])
    scheduler.set_timesteps(50)
    assert scheduler.timesteps.tolist() == [981, 961, *range(961, 0, -20)]


@pytest.mark.parametrize("name", SAMPLERS)
def test_pure_noise_is_not_taken_for_less(name: str):
    """A number of steps reaches the picture, or is refused: whole timesteps between 501 of them begin halfway."""
    present = MODELS["published"]
    refused = []
    for steps in (1, 2, 3, 7, 20, 50, 100, 150, 250, 300, 333, 334, 400, 500, 501, 999):
        scheduler = scheduler_named(name, present)
        try:
            timesteps, _, _ = schedule(scheduler, steps)
        except SettingsError:
            refused.append(steps)
        else:
            assert steps < 4 or timesteps[0] >= 850
    assert refused == ([334, 400, 501] if name in ("pndm", "ddim") else [])
