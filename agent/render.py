"""From a plan to a picture: loads a model once, then draws layouts with fixed settings."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from agent.console import NoteHandler, quiet_transformers
from agent.exits import ExitCode, Stop
from diffusion.schedulers import SAMPLERS, SchedulerName, scheduler_named

if TYPE_CHECKING:
    from PIL.Image import Image

    from diffusion.layout import Layout

OnStep = Callable[[int, int], None]
"""Called with (steps done, steps in all) after each denoising step."""


MergeName = Literal["average", "paste", "depth"]
MaskName = Literal["off", "boxes", "nearest", "official"]

_MASKS: dict[MaskName | None, dict[str, Any]] = {
    None: {},
    "off": {"instance_mask": False},
    "boxes": {"instance_mask": True},
    "nearest": {"instance_mask": "nearest"},
    "official": {"instance_mask": True, "mask_axes": "official"},
}


@dataclass(frozen=True)
class RenderSettings:
    """What a person may set about the drawing; None is the model's own default. Stop for a number that is none."""

    steps: int | None = None
    guidance: float | None = None
    alpha: float | None = None
    mis: float | None = None
    merge: MergeName | None = None
    instance_mask: MaskName | None = None
    device: str = "auto"
    scheduler: SchedulerName | None = None
    refine: float | None = None
    refiner: str | None = None
    lora: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.refiner is not None and self.refine is None:
            raise Stop("--refiner without --refine: say how strongly to refine, such as --refine 0.3")
        if self.mis == 0 and self.merge in ("paste", "depth"):
            raise Stop(f"--merge {self.merge} with --mis 0: no instance is drawn on its own, so there is none to paste")
        for name in ("guidance", "alpha", "mis", "refine"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise Stop(f"--{name} {value}: not a number that can be drawn with")
        self.loras()

    def loras(self) -> list[tuple[str, float]]:
        """The files of LoRA weights with their scales. Stop for a scale that is no number."""
        return [_file_and_scale(text) for text in self.lora or ()]


def _file_and_scale(text: str) -> tuple[str, float]:
    """FILE, or FILE:SCALE; a colon that no number follows belongs to the file's name."""
    file, _, number = text.rpartition(":")
    try:
        scale = float(number)
    except ValueError:
        return text, 1.0
    if not file or not math.isfinite(scale):
        raise Stop(
            f"--lora {text}: expected a file, and after a colon how strongly it works, as in style.safetensors:0.8"
        )
    return file, scale


class Renderer:
    """A loaded model with its settings."""

    def __init__(
        self, model: str, pipeline: Any, settings: RenderSettings, refiner: Any = None, own_scheduler: Any = None
    ) -> None:
        self.model = model
        self._pipeline = pipeline
        self._own_scheduler = self._scheduler = own_scheduler or pipeline.scheduler
        if settings.scheduler is not None:
            self._scheduler = scheduler_named(settings.scheduler, self._own_scheduler)
            settings = replace(settings, steps=settings.steps or SAMPLERS[settings.scheduler].steps)
        self._settings = settings
        self._refiner = refiner

    def render(self, layout: Layout, seed: int, on_step: OnStep | None = None) -> Image:
        """The picture of the layout, of its size in pixels; the same seed gives the same picture on one machine.

        LayoutError when the model cannot draw this canvas, so many instances, or a location as asked.
        """
        return self.render_many([layout], [seed], on_step)[0]

    def render_many(
        self,
        layouts: Sequence[Layout],
        seeds: Sequence[int],
        on_step: OnStep | None = None,
        *,
        rows: int | None = None,
        hold: bool = False,
    ) -> list[Image]:
        """Pictures of several layouts of one size, each from its own seed, drawn together.

        hold: what an edit from one layout to the next leaves alone stays as in the picture before (see
        ``diffusion.iterative.keep_unchanged``).
        rows: of every UNet pass, the last one filled up; a picture then does not depend on which others share the call
        (see ``full_passes`` of the pipeline). Without it passes are as large as the work, which is faster for one.
        """
        import torch

        from diffusion.iterative import keep_unchanged

        settings = self._settings
        held = keep_unchanged(layouts) if hold else None
        steps = settings.steps or self._pipeline.config.defaults["num_inference_steps"]

        def after_step(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            if on_step is not None:
                on_step(min(step + 1, steps), steps)
            return tensors if held is None else held(pipeline, step, timestep, tensors)

        self._pipeline.scheduler = self._scheduler
        images = self._pipeline(
            list(layouts),
            num_inference_steps=settings.steps,
            guidance_scale=settings.guidance,
            alpha=settings.alpha,
            mis=settings.mis,
            merge=settings.merge,
            **_MASKS[settings.instance_mask],
            seed=list(seeds),
            # Noise drawn on the CPU is the same on every device.
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            callback_on_step_end=after_step,
            **({} if rows is None else {"rows_at_once": rows, "full_passes": True}),
        ).images
        if settings.refine is None:
            return images
        from diffusion.refinement import refine

        return refine(self._refiner, images, [layout.prompt for layout in layouts], settings.refine, seeds)

    def changed(self, **fields: Any) -> Renderer:
        """The same model with some of the settings replaced, by ``RenderSettings``' names."""
        settings = replace(self._settings, **fields)
        return Renderer(self.model, self._pipeline, settings, self._refiner, self._own_scheduler)

    def without_scaleu(self) -> AbstractContextManager[None]:
        """While it is entered, everything drawn with this model is drawn with ScaleU switched off."""
        from diffusion.scaleu import switched_off

        return switched_off(self._pipeline.unet)

    def own_settings(self) -> dict[str, Any]:
        """What the model draws with where nothing else is asked for, by ``RenderSettings``' names."""
        defaults, scheduler = self._pipeline.config.defaults, type(self._own_scheduler).__name__
        return {
            "steps": defaults["num_inference_steps"],
            "guidance": defaults["guidance_scale"],
            "alpha": defaults["alpha"],
            "mis": defaults["mis"],
            "scheduler": next((name for name, sampler in SAMPLERS.items() if sampler.kind == scheduler), None),
        }

    def describe(self) -> dict[str, Any]:
        """Plain JSON: the model, the device and the settings that were asked for."""
        return {"model": self.model, **asdict(self._settings), "device": str(self._pipeline.device)}


def load_renderer(model: str, settings: RenderSettings) -> Renderer:
    """Loads a model by name or path; raises what says that it, or the device, is not available (exit code 4)."""
    device = pick_device(settings.device)
    quiet_libraries()
    from diffusion.checkpoints import load_pipeline

    pipeline = load_pipeline(model, device=device)
    pipeline.set_progress_bar_config(disable=True)
    if settings.lora:
        from diffusion.lora import load_loras

        load_loras(pipeline, settings.loras())
    refiner = None
    if settings.refine is not None:
        from diffusion.refinement import load_refiner

        refiner = load_refiner(settings.refiner, device=device)
        refiner.set_progress_bar_config(disable=True)
    return Renderer(model, pipeline, settings, refiner)


def quiet_libraries() -> None:
    """Leaves standard error to our own messages; the engine's warnings become notes."""
    from diffusers.utils import logging as diffusers_logging

    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    quiet_transformers()
    engine = logging.getLogger("diffusion")
    engine.addHandler(NoteHandler())
    engine.propagate = False


def ensure_device(wanted: str) -> None:
    """Raises what ``pick_device`` would raise, before anybody is asked for a plan; torch is loaded only to find out."""
    if wanted not in ("auto", "cpu"):
        pick_device(wanted)


def pick_device(wanted: str) -> str:
    """``auto`` is cuda, then mps, then cpu; Stop when a named device is not there."""
    import torch

    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if available[name])
    if not available.get(wanted.split(":")[0], False):
        there = ", ".join(name for name, is_there in available.items() if is_there)
        raise Stop(f"--device {wanted} is not there; this machine has: {there}", ExitCode.UNAVAILABLE)
    return wanted
