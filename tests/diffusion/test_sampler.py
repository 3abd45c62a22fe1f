"""The Multi-Instance Sampler over diffusers' schedulers."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    KDPM2DiscreteScheduler,
    LMSDiscreteScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)

from diffusion.sampler import Strength, sample
from tests.diffusion.small import noise

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SCHEDULERS = {
    "ddim": DDIMScheduler(**BETAS, clip_sample=False),
    "ddim, velocity": DDIMScheduler(**BETAS, clip_sample=False, prediction_type="v_prediction"),
    "pndm": PNDMScheduler(**BETAS, skip_prk_steps=True, steps_offset=1),
    "pndm, runge-kutta": PNDMScheduler(**BETAS),
    "dpm++": DPMSolverMultistepScheduler(**BETAS),
    "dpm++, karras": DPMSolverMultistepScheduler(**BETAS, use_karras_sigmas=True),
    "unipc": UniPCMultistepScheduler(**BETAS),
    "deis": DEISMultistepScheduler(**BETAS),
    "lms": LMSDiscreteScheduler(**BETAS),
    "euler": EulerDiscreteScheduler(**BETAS),
    "heun": HeunDiscreteScheduler(**BETAS),
    "dpm2": KDPM2DiscreteScheduler(**BETAS),
}
STOCHASTIC = {
    "euler ancestral": EulerAncestralDiscreteScheduler(**BETAS),
    "ddpm": DDPMScheduler(**BETAS, clip_sample=False),
    "sde-dpm++": DPMSolverMultistepScheduler(**BETAS, algorithm_type="sde-dpmsolver++"),
}
STEPS = 10


def same_for_all(x, timestep, inputs, scale):
    return torch.tanh(x + int(timestep) / 1000)


def different(x, timestep, inputs, scale):
    return torch.tanh(x + torch.tensor([0.3 * j + 0.1 * b for b, j in inputs])[:, None, None, None])


def draw(scheduler, predict, instances=(2,), strength=None, **options) -> torch.Tensor:
    return sample(
        predict,
        noise(len(instances)),
        copy.deepcopy(scheduler),
        steps=STEPS,
        instances=instances,
        strength=strength or Strength(),
        **options,
    )


@pytest.mark.parametrize("name", SCHEDULERS)
def test_without_instances_alone_it_is_diffusers_own_loop(name: str):
    scheduler = copy.deepcopy(SCHEDULERS[name])
    scheduler.set_timesteps(STEPS)
    latents = noise() * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        estimate = same_for_all(scheduler.scale_model_input(latents, timestep), timestep, (), 1.0)
        latents = scheduler.step(estimate, timestep, latents).prev_sample
    assert torch.allclose(draw(SCHEDULERS[name], same_for_all, strength=Strength(mis=0)), latents, atol=1e-6)


@pytest.mark.parametrize("mis", [0.1, 0.2, 0.35, 0.7, 1.0])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_inputs_that_predict_the_same_average_to_nothing_new(name: str, mis: float):
    """The second phase goes on with the global input's own history."""
    plain = draw(SCHEDULERS[name], same_for_all, strength=Strength(mis=0))
    assert torch.allclose(draw(SCHEDULERS[name], same_for_all, strength=Strength(mis=mis)), plain, atol=1e-5)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_inputs_are_joined_after_their_share_of_the_updates(name: str):
    """Never within an update: where the inputs are joined, each has made exactly k updates."""
    seen: list[int] = []
    merged_at: list[int] = []

    def count(x, timestep, inputs, scale):
        seen.append(len(inputs))
        return different(x, timestep, inputs, scale)

    def merge(picture, inputs):
        merged_at.append(len(seen))
        return inputs.mean(0)

    draw(SCHEDULERS[name], count, strength=Strength(mis=0.2), merge=merge)
    entries = {"pndm": 3, "pndm, runge-kutta": 8, "heun": 4, "dpm2": 4}.get(name, 2)
    assert merged_at == [entries]
    assert seen == [3] * entries + [1] * (len(seen) - entries)


def test_inputs_that_are_alone_all_the_time_are_joined_in_the_end():
    ends = []

    def merge(picture, inputs):
        ends.append(inputs)
        return inputs.mean(0)

    drawn = draw(SCHEDULERS["ddim"], different, strength=Strength(mis=1), merge=merge)
    assert [len(inputs) for inputs in ends] == [3] and torch.equal(drawn[0], ends[0].mean(0))


@pytest.mark.parametrize("name", STOCHASTIC)
def test_a_stochastic_scheduler_draws_from_the_generators(name: str):
    def run(*seeds: int) -> torch.Tensor:
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        return draw(STOCHASTIC[name], different, (2, 1), generators=generators)

    assert torch.equal(run(1, 2), run(1, 2))
    first, second = run(1, 2), run(1, 3)
    assert torch.equal(first[0], second[0]) and not torch.allclose(first[1], second[1])


def test_pictures_of_a_batch_do_not_touch_each_other():
    start = noise(2)
    both = draw(SCHEDULERS["pndm"], different, (3, 1))
    for b, count in enumerate((3, 1)):

        def alone(x, timestep, inputs, scale, b=b):
            return different(x, timestep, [(b, j) for _, j in inputs], scale)

        single = sample(
            alone,
            start[b : b + 1],
            copy.deepcopy(SCHEDULERS["pndm"]),
            steps=STEPS,
            instances=(count,),
            strength=Strength(),
        )
        assert torch.allclose(both[b : b + 1], single, atol=1e-6)


def test_the_fusers_are_on_for_alphas_share_of_the_updates():
    scales: list[float] = []

    def predict(x, timestep, inputs, scale):
        scales.append(scale)
        return x

    draw(SCHEDULERS["ddim"], predict, strength=Strength(alpha=0.5, decay=0.3, mis=0))
    assert scales == pytest.approx([1] * 5 + [2 / 3, 1 / 3, 0] + [0] * 2)


@pytest.mark.parametrize("name", ["alpha", "mis", "decay"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_shares_lie_between_0_and_1(name: str, value: float):
    with pytest.raises(ValueError, match=f"{name} = .* between 0 and 1"):
        Strength(**{name: value})
