"""The sampler on a toy model: PLMS, Multi-Instance Sampling, the alpha schedule."""

from __future__ import annotations

import pytest
import torch
from diffusers import PNDMScheduler

from diffusion.merging import average, official_cells, paste
from diffusion.sampler import Strength, sample
from tests.reference.published import drawn, facts, golden, relative_error

TOLERANCE = 1.5e-5
RUNS = [name for name, meta in facts("plms_meta").items() if meta["steps"] != 30]


def plms() -> PNDMScheduler:
    """PLMS as Stable Diffusion 1.5 configures it."""
    return PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        steps_offset=1,
        set_alpha_to_one=False,
    )


class Toy:
    """tanh(a x + b + t / 1000 + s / 5), another a and b for every input; it writes down how it is called."""

    def __init__(self, guidance: float):
        self.guidance = guidance
        self.seen: list[tuple[int, float, list[int], torch.Tensor]] = []

    def __call__(self, x, timestep, inputs, scale):
        self.seen.append((int(timestep), scale, [j for _, j in inputs], x.clone()))

        def estimate(a, b):
            return torch.tanh(a * x + b + int(timestep) / 1000 + 0.2 * scale)

        number = torch.tensor([float(j) for _, j in inputs])[:, None, None, None]
        wanted, unwanted = estimate(0.5 + 0.1 * number, 0.15 * number - 0.1), estimate(0.3, -0.2)
        return wanted if self.guidance == 1 else unwanted + self.guidance * (wanted - unwanted)


def run(name: str) -> tuple[Toy, torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """The toy, the latents at the merge, the final latent, and the global latent after every entry."""
    meta = facts("plms_meta")[name]
    toy, merging, trace = Toy(meta["cfg"]), [], []

    def merge(picture, inputs):
        merging.append(inputs)
        if not meta["crop_and_paste"]:
            return average(inputs)
        boxes = torch.tensor(facts("cases")["layouts"][meta["layout"]], dtype=torch.float64)
        return paste(inputs, official_cells(boxes, 8, 8))

    final = sample(
        toy,
        drawn("pub.plms.x", (1, 4, 8, 8)),
        plms(),
        steps=meta["steps"],
        instances=[meta["instances"]],
        strength=Strength(alpha=meta["alpha"], mis=meta["mis"]),
        merge=merge,
        on_update=lambda entry, timestep, latents: trace.append(latents) or latents,
    )
    return toy, merging[0] if merging else torch.empty(0), final, trace


@pytest.mark.parametrize("name", RUNS)
def test_every_latent_of_a_run(name: str):
    expected, meta = golden("plms"), facts("plms_meta")[name]
    toy, merging, final, trace = run(name)
    alone = meta["mis_step"]
    if alone:
        phase1 = expected[f"{name}.phase1"]  # (inputs, updates, C, h, w)
        starts = [x for *_, x in toy.seen]  # PNDM evaluates the first update twice: entry u + 2 starts where u ended
        for update in range(alone - 1):
            assert relative_error(starts[update + 2], phase1[:, update]) < TOLERANCE
        assert relative_error(merging, phase1[:, alone - 1]) < TOLERANCE
    if alone == meta["steps"]:
        # the published code forgets to join them here, and returns the last instance
        assert relative_error(final[0], phase1[:, -1].mean(0)) < TOLERANCE
        return
    if alone:
        assert relative_error(toy.seen[alone + 1][3], expected[f"{name}.merged"]) < TOLERANCE
    assert relative_error(torch.cat(trace[1 + alone :]), expected[f"{name}.phase2"]) < TOLERANCE
    assert relative_error(final, expected[f"{name}.final"]) < TOLERANCE


@pytest.mark.parametrize("name", RUNS)
def test_calls_of_a_run(name: str):
    """As many estimates as published, at the same timesteps and strengths."""
    meta = facts("plms_meta")[name]
    toy, *_ = run(name)
    assert sum(len(inputs) for _, _, inputs, _ in toy.seen) == meta["n_cond"]
    published = [(t, s) for k, t, s in meta["first_calls"] if k == 0]
    ours = [(t, s) for t, s, *_ in toy.seen]
    assert ours[: len(published)] == published
    off = sum(len(inputs) for _, scale, inputs, _ in toy.seen if scale == 0)
    assert off == meta["restores"]


@pytest.mark.parametrize("steps", [10, 20, 25, 50])
def test_timesteps_are_the_published_ones(steps: int):
    scheduler = plms()
    scheduler.set_timesteps(steps)
    ascending = golden("schedule")[f"s{steps}.timesteps_ascending"]
    assert sorted(set(scheduler.timesteps.tolist())) == ascending.tolist()
    products = scheduler.alphas_cumprod
    assert relative_error(products, golden("schedule")["alphas_cumprod_f32"]) < 1e-6
    assert relative_error(products, golden("schedule")["alphas_cumprod_f64"]) < 1e-6
    assert relative_error(scheduler.betas, golden("schedule")["betas_f64"]) < 1e-7
    assert relative_error(products[ascending], golden("schedule")[f"s{steps}.a_t"]) < 1e-6
    before = torch.cat((scheduler.final_alpha_cumprod[None], products[ascending[:-1]]))
    assert relative_error(before, golden("schedule")[f"s{steps}.a_prev"]) < 1e-6


@pytest.mark.parametrize("name", [name for name in golden("schedule") if ".alpha" in name])
def test_strength_of_the_fusers(name: str):
    expected = golden("schedule")[name].tolist()
    assert Strength(alpha=float(name.split("alpha")[1])).fuser_scales(range(len(expected))) == expected


@pytest.mark.parametrize("name", [name for name in golden("schedule") if name.startswith("decay_example")])
def test_fading_fusers(name: str):
    steps, alpha, decay, _ = name.removeprefix("decay_example.L").split("_")
    expected = golden("schedule")[name].tolist()
    assert len(expected) == int(steps)
    assert Strength(alpha=float(alpha), decay=float(decay)).fuser_scales(range(len(expected))) == pytest.approx(
        expected, abs=1e-12
    )


def test_steps_that_do_not_divide_a_thousand():
    """The published sampler makes 31 updates from 991 of 30 steps; diffusers makes 30 from 958, and so do we."""
    assert golden("schedule")["s30.timesteps_ascending"][-1] == 991
    toy, *_ = run("s30_mis0.36_n1")
    assert len({t for t, *_ in toy.seen}) == 30 and toy.seen[0][0] == 958
