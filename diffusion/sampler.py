"""The Multi-Instance Sampler (InstanceDiffusion, CVPR 2024, section 3.4) over any diffusers scheduler.

Every picture starts as n + 1 inputs from the same noise: number 0 holds all instances and the global prompt, number j
instance j alone. After k = int(mis * steps) updates their latents are merged, and number 0 does what is left alone with
its own history. The model is any callable; noise is given, never drawn here, except by a stochastic scheduler's own
generator.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from diffusers import SchedulerMixin
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import retrieve_timesteps

from diffusion.merging import average

Input = tuple[int, int]
Predict = Callable[[torch.Tensor, torch.Tensor, Sequence[Input], float], torch.Tensor]
Merge = Callable[[int, torch.Tensor], torch.Tensor]


LATE = 0.15
"""How much of the training's noise may lie above a schedule that starts from pure noise."""


class SettingsError(ValueError):
    """Settings that contradict each other, or the scheduler."""

    exit_code = 2


@dataclass(frozen=True)
class Strength:
    """How long instances steer: alpha, the share of updates with fusers fully on; decay, the share of updates in which
    they fade out linearly after that; mis, the share of updates that instances take alone."""

    alpha: float = 0.75
    mis: float = 0.36
    decay: float = 0.0

    def __post_init__(self) -> None:
        for name in ("alpha", "mis", "decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} = {getattr(self, name)} must lie between 0 and 1")

    def fuser_scales(self, positions: Sequence[float]) -> list[float]:
        """One scale per update: 1 for int(alpha * updates), then (n-1)/n ... 0 over the decay, then 0.

        positions: of the updates in time, counted in even updates; ``range(updates)`` where they are even.
        """
        updates = len(positions)
        full = _within(self.alpha, positions)
        fading = min(int(self.decay * updates), updates - full)
        fade = [(fading - i - 1) / fading for i in range(fading)]
        return [1.0] * full + fade + [0.0] * (updates - full - fading)

    def alone(self, positions: Sequence[float]) -> int:
        """k: how many updates the inputs take on their own; all of them with mis = 1."""
        return _within(self.mis, positions)


def _within(share: float, positions: Sequence[float]) -> int:
    """How many updates end within that share of the time: int(share * updates) where they are even."""
    return sum(position + 1 <= share * len(positions) for position in positions)


def sample(
    predict: Predict,
    latents: torch.Tensor,
    scheduler: SchedulerMixin,
    *,
    steps: int,
    instances: Sequence[int],
    strength: Strength,
    merge: Merge | None = None,
    generators: Sequence[torch.Generator | None] | None = None,
    on_update: Callable[[int, torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
) -> torch.Tensor:
    """Denoises B pictures together: noise (B, C, h, w) -> latents (B, C, h, w).

    predict(x (R, C, h, w), timestep, inputs, fuser scale) -> (R, C, h, w): the guided estimate for each row, where
    inputs names the (picture, number) of each row: number 0 of every picture first, in order. instances: how many each
    picture has. merge(picture, inputs (n + 1, C, h, w)) -> (C, h, w) at the end of the first phase, the average unless
    given. on_update(entry, timestep, global latents) may return other latents.
    """
    timesteps, update_of, positions = schedule(scheduler, steps, latents.device)
    scales, alone = strength.fuser_scales(positions), strength.alone(positions)
    pictures = range(len(latents))
    inputs: list[Input] = [(b, 0) for b in pictures]
    if alone:
        inputs += [(b, j) for b in pictures for j in range(1, instances[b] + 1)]
    rows = torch.stack([latents[b] for b, _ in inputs]) * scheduler.init_noise_sigma
    schedulers = {key: copy.deepcopy(scheduler) for key in inputs}
    generators = generators or [None] * len(latents)

    for entry, (timestep, update) in enumerate(zip(timesteps, update_of, strict=True)):
        if alone and update == alone:
            merged = torch.stack([_merged(merge, b, rows, inputs) for b in pictures])
            inputs, alone = inputs[: len(latents)], 0
            rows = _replaced(rows[: len(latents)], merged, [schedulers[key] for key in inputs])
        scaled = torch.cat(
            [schedulers[key].scale_model_input(row[None], timestep) for key, row in zip(inputs, rows, strict=True)]
        )
        estimates = predict(scaled, timestep, inputs, scales[update]).float()
        rows = torch.cat(
            [
                _step(schedulers[key], estimate[None], timestep, row[None], generators[key[0]])
                for key, estimate, row in zip(inputs, estimates, rows, strict=True)
            ]
        )
        if on_update is not None:
            own = inputs[: len(latents)]
            before = rows[: len(own)].clone()
            after = on_update(entry, timestep, rows[: len(own)])
            rows[: len(own)] = _replaced(before, after, [schedulers[key] for key in own])
    return torch.stack([_merged(merge, b, rows, inputs) for b in pictures]) if alone else rows


def schedule(
    scheduler: SchedulerMixin, steps: int, device: torch.device | str | None = None
) -> tuple[torch.Tensor, list[int], list[float]]:
    """The timesteps that the scheduler takes, the update that each belongs to, and where the updates lie in time.

    Raises SettingsError for a number of steps with which the scheduler would take pure noise for much less noise: many
    space them evenly by whole timesteps, and 400 of 1,000 would begin at 799.
    """
    timesteps, _ = retrieve_timesteps(scheduler, steps, device)
    trained, first = scheduler.config.num_train_timesteps, float(timesteps[0])
    above, apart = trained - first, first / (steps - 1) if steps > 1 else trained
    if above > LATE * trained and above > 3 * apart:
        raise SettingsError(
            f"with {steps} steps {type(scheduler).__name__} would begin at timestep {first:.0f} of {trained}, where "
            f"little noise is expected: take at most {trained // 3}, or a number that divides {trained}"
        )
    update_of = _updates(scheduler, timesteps, steps)
    return timesteps, update_of, _positions(timesteps, update_of)


def _replaced(before: torch.Tensor, after: torch.Tensor, schedulers: Sequence[SchedulerMixin]) -> torch.Tensor:
    """The latents after, with schedulers that know of it: UniPC and SA-Solver start from the sample before the present
    one, and PNDM's second evaluation of its first update from the one before that, which would undo what took place:
    the first two do without it, PNDM's is moved as far as the latents were."""
    for scheduler, old, new in zip(schedulers, before, after, strict=True):
        if torch.allclose(old, new):
            continue
        if getattr(scheduler, "last_sample", None) is not None:
            scheduler.last_sample = None
        if getattr(scheduler, "cur_sample", None) is not None:
            scheduler.cur_sample = scheduler.cur_sample + (new - old)
    return after


def _merged(merge: Merge | None, picture: int, rows: torch.Tensor, inputs: Sequence[Input]) -> torch.Tensor:
    own = torch.stack([row for row, (b, _) in zip(rows, inputs, strict=True) if b == picture])
    return average(own) if merge is None else merge(picture, own)


def _step(
    scheduler: SchedulerMixin,
    estimate: torch.Tensor,
    timestep: torch.Tensor,
    row: torch.Tensor,
    generator: torch.Generator | None,
) -> torch.Tensor:
    accepts = "generator" in inspect.signature(scheduler.step).parameters
    kwargs = {"generator": generator} if accepts and generator is not None else {}
    return scheduler.step(estimate, timestep, row, return_dict=False, **kwargs)[0]


def _positions(timesteps: torch.Tensor, update_of: Sequence[int]) -> list[float]:
    """Where the updates lie in time, counted in even updates.

    The published shares are of even steps. Of Karras' steps most lie where little noise is left: the same share of
    them would end a phase at another level of noise, so there it is the share of the time that counts.
    """
    updates = update_of[-1] + 1
    times = [float(timesteps[update_of.index(update)]) for update in range(updates)]
    span = (times[0] - times[-1]) or 1.0
    positions = [(times[0] - time) / span * (updates - 1) for time in times]
    even = all(abs(position - update) <= 0.5 for update, position in enumerate(positions))
    return [float(update) for update in range(updates)] if even else positions


def _updates(scheduler: SchedulerMixin, timesteps: torch.Tensor, steps: int) -> list[int]:
    """Which update each of the scheduler's entries belongs to; the inputs are joined between updates only.

    Second-order schedulers evaluate twice an update, PNDM's Runge-Kutta steps four times; PNDM without them evaluates
    its first update twice. An update of a singlestep solver begins with an entry of order 1, to whose latents the
    update's other entries return.
    """
    entries = range(len(timesteps))
    if orders := getattr(scheduler, "order_list", ()):
        return [begun - 1 for begun in accumulate(order == 1 for order in orders)]
    if scheduler.order == 2:
        return [entry // 2 for entry in entries]
    runge_kutta = len(getattr(scheduler, "prk_timesteps", ()))
    if runge_kutta:
        return [entry // 4 if entry < runge_kutta else runge_kutta // 4 + entry - runge_kutta for entry in entries]
    extra = max(0, len(timesteps) - steps)
    return [max(entry - extra, 0) for entry in entries]
