"""The samplers that can be asked for by name, and how many steps each of them takes. No torch.

pndm without Runge-Kutta steps is the published PLMS. unipc (Zhao et al., NeurIPS 2023) and dpm++ (DPM-Solver++ 2M, Lu
et al., 2022) are multistep solvers of a higher order, which come as near with fewer steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

SchedulerName = Literal["pndm", "ddim", "unipc", "dpm++"]


@dataclass(frozen=True)
class Sampler:
    """A scheduler of diffusers: its class, the steps it takes unless told otherwise, and what its class would else set
    in another way than the published network needs."""

    kind: str
    steps: int
    options: dict[str, Any] = field(default_factory=dict)


SAMPLERS: dict[SchedulerName, Sampler] = {
    "pndm": Sampler("PNDMScheduler", 50, {"skip_prk_steps": True, "set_alpha_to_one": False}),
    # latents are not pictures: their values are not clipped to -1 ... 1
    "ddim": Sampler("DDIMScheduler", 50, {"clip_sample": False, "set_alpha_to_one": False}),
    # without Karras' steps both end with a leap from visible noise to none, which costs them what they gain
    "unipc": Sampler("UniPCMultistepScheduler", 20, {"use_karras_sigmas": True}),
    "dpm++": Sampler("DPMSolverMultistepScheduler", 25, {"algorithm_type": "dpmsolver++", "use_karras_sigmas": True}),
}


def scheduler_named(name: SchedulerName, present: Any) -> Any:
    """That scheduler, with the noise schedule and the kind of prediction of the one that the model came with."""
    import diffusers

    sampler = SAMPLERS[name]
    return getattr(diffusers, sampler.kind).from_config(present.config, **sampler.options)
