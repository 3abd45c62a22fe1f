"""Training an InstanceDiffusion network: loss, moving average, checkpoints to resume from, several processes."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from diffusers import DDPMScheduler
from torch import nn
from torch.nn.functional import mse_loss


def diffusion_loss(
    predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    latents: torch.Tensor,
    scheduler: DDPMScheduler,
    generator: torch.Generator,
    emphasis: torch.Tensor | None = None,
) -> torch.Tensor:
    """Squared error of velocity or noise, mean over the batch; high noise is drawn more often (see ``draw_timesteps``).

    predict(noisy, timesteps) -> (B, C, h, w). latents: (B, C, h, w). Noise and timesteps come from the CPU generator.
    emphasis: (B, 1, h, w), how much each cell counts; all the same unless given. Velocity is not weighted by its
    signal-to-noise ratio: what a thing is and where shows in the loss at high noise, which such weights play down.
    """
    steps = scheduler.config.num_train_timesteps
    timesteps = draw_timesteps(len(latents), steps, generator).to(latents.device)
    noise = torch.randn(latents.shape, generator=generator).to(latents.device)
    noisy = scheduler.add_noise(latents, noise, timesteps)
    velocity = scheduler.config.prediction_type == "v_prediction"
    target = scheduler.get_velocity(latents, noise, timesteps) if velocity else noise
    error = mse_loss(predict(noisy, timesteps).float(), target, reduction="none")
    if emphasis is None:
        return error.mean()
    return (error * emphasis).mean() / emphasis.mean()


def draw_timesteps(count: int, steps: int, generator: torch.Generator) -> torch.Tensor:
    """(count,) timesteps below ``steps``, each the larger of two: three of four in the noisier half.

    What kind of thing an instance is changes a prediction there: at low noise the latent itself shows it.
    """
    return torch.randint(0, steps, (2, count), generator=generator).amax(0)


class Ema:
    """An exponential moving average of modules, with a warm-up so that a short run is not held back by its start."""

    def __init__(self, modules: dict[str, nn.Module], decay: float):
        self.decay, self.updates = decay, 0
        self.modules: dict[str, Any] = {
            name: copy.deepcopy(module).eval().requires_grad_(False) for name, module in modules.items()
        }

    @torch.no_grad()
    def update(self, modules: dict[str, nn.Module]) -> None:
        self.updates += 1
        decay = min(self.decay, self.updates / (self.updates + 20))
        for name, average in self.modules.items():
            torch._foreach_lerp_(list(average.parameters()), list(modules[name].parameters()), 1 - decay)


def learning_rate(step: int, total: int, peak: float, warmup: int) -> float:
    """Linear warm-up, constant to the middle, then a cosine to 2 % of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    late = max(0.0, (step - total / 2) / (total / 2))
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, late))))


def save_checkpoint(path: Path, step: int, modules: dict[str, nn.Module], ema: Ema, *optimizers: torch.optim.Optimizer):
    """Everything that training needs to go on as if it had never stopped; the file appears whole or not at all."""
    state = {
        "step": step,
        "modules": {name: module.state_dict() for name, module in modules.items()},
        "ema": {name: module.state_dict() for name, module in ema.modules.items()},
        "ema_updates": ema.updates,
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
    }
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)


def load_checkpoint(path: Path, modules: dict[str, nn.Module], ema: Ema, *optimizers: torch.optim.Optimizer) -> int:
    """Restores what save_checkpoint wrote and returns the step to go on with."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    for name, module in modules.items():
        module.load_state_dict(state["modules"][name])
        ema.modules[name].load_state_dict(state["ema"][name])
    ema.updates = state["ema_updates"]
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return state["step"]


def join_processes() -> tuple[int, int]:
    """(rank, number of processes), joined where torchrun started several."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return 0, 1
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return dist.get_rank(), dist.get_world_size()


def wait_for_all() -> None:
    """Goes on when every process has come this far."""
    if dist.is_initialized():
        dist.barrier()


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Averages the gradients over all processes, where there are several; a layer that a batch did not use adds 0."""
    if not dist.is_initialized():
        return
    parameters = list(parameters)
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([grad.flatten() for grad in grads])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        parameter.grad = part.view_as(parameter)
