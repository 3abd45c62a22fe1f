"""The pipeline: Layouts in, pictures out. Miniature and full size are the same class with other components."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, get_args

import torch
from diffusers import AutoencoderDC, AutoencoderKL, DiffusionPipeline, ImagePipelineOutput
from diffusers.image_processor import VaeImageProcessor
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from diffusers.utils import logging
from diffusers.utils.torch_utils import randn_tensor
from torch.nn import functional

from diffusion.conditions import ground
from diffusion.gated_attention import InstanceTokens, MaskAxes
from diffusion.layout import Layout, LayoutError
from diffusion.merging import MERGES, MergeName, join, nearest_cells, pasted_cells
from diffusion.sampler import Input, SettingsError, Strength, sample, schedule
from diffusion.unet import InstanceDiffusionUNet
from diffusion.unifusion import Grounding

logger = logging.get_logger(__name__)

PUBLISHED_DEFAULTS = {
    "num_inference_steps": 50,
    "guidance_scale": 7.5,
    "alpha": 0.75,
    "mis": 0.36,
    "merge": "average",
    "instance_mask": False,
    "size": 512,
}
ROWS_AT_ONCE = 16
"""Of 64 x 64 cells; of fewer cells, as many as take the same memory, up to MOST_ROWS."""
MOST_ROWS = 32
"""With more, a row of the miniature takes longer again on a CPU, and no network gains."""
NULL = -1
"""The number of a picture's unconditional input, beside 0 for all instances and j for instance j alone."""

OUTPUT_TYPES = ("pil", "np", "pt", "latent")

InstanceMask = bool | Literal["nearest"]
Condition = tuple[torch.Tensor, InstanceTokens]


class InstanceDiffusionPipeline(DiffusionPipeline, StableDiffusionLoraLoaderMixin):
    """Draws Layouts with InstanceDiffusion. LoRA weights for SD 1.x fit it; loading them needs peft.

    defaults: the settings that this model is drawn with unless the call says otherwise (keys of PUBLISHED_DEFAULTS);
    size is the side in pixels that it was trained at.
    """

    model_cpu_offload_seq = "text_encoder->unet->vae"
    _callback_tensor_inputs: ClassVar[list[str]] = ["latents"]

    def __init__(
        self,
        vae: AutoencoderKL | AutoencoderDC,
        text_encoder: Any,
        tokenizer: Any,
        unet: InstanceDiffusionUNet,
        scheduler: Any,
        defaults: dict[str, Any] | None = None,
    ):
        super().__init__()
        if not hasattr(unet, "encode_instances"):
            raise ValueError(
                f"the UNet is a {type(unet).__name__}, which cannot place instances; "
                "diffusion.checkpoints.load_pipeline reads the port on the hub and the published checkpoint"
            )
        self.register_modules(vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet, scheduler=scheduler)
        if unknown := set(defaults or {}) - set(PUBLISHED_DEFAULTS):
            raise ValueError(f"defaults for {sorted(unknown)}; there are {', '.join(PUBLISHED_DEFAULTS)}")
        self.register_to_config(defaults={**PUBLISHED_DEFAULTS, **(defaults or {})})
        self.image_processor = VaeImageProcessor(vae_scale_factor=self.cell)

    @property
    def cell(self) -> int:
        """Pixels per latent cell along a side."""
        return getattr(self.vae, "spatial_compression_ratio", None) or 2 ** (
            len(self.vae.config.block_out_channels) - 1
        )

    @torch.no_grad()
    def __call__(
        self,
        layouts: Layout | Sequence[Layout],
        *,
        negative_prompt: str | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        alpha: float | None = None,
        mis: float | None = None,
        merge: MergeName | None = None,
        instance_mask: InstanceMask | None = None,
        mask_axes: MaskAxes = "xy",
        num_images_per_prompt: int = 1,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
        seed: int | Sequence[int] = 0,
        rows_at_once: int | None = None,
        full_passes: bool = False,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[..., dict[str, Any]] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> ImagePipelineOutput | tuple[Any]:
        """Draws each Layout ``num_images_per_prompt`` times on its own canvas; all canvases have one size.

        generator: on the CPU, so that seeds hold across devices; one for all pictures or one each. latents: the noise
        itself, (pictures, channels, h, w). seed: for the points drawn inside masks; one for all layouts or one each.
        merge: how the Multi-Instance Sampler joins its latents, see ``diffusion.merging.join``. instance_mask: whether
        patches of an instance attend to that instance only; with "nearest" a patch that several share is the nearest
        one's alone (``Layout.nearest_first``). mask_axes: "official" is the published form, mirrored at the diagonal.
        rows_at_once: how many UNet rows run together at most, by default the fewer the larger the canvas; it bounds
        memory, and float rounding depends on it. full_passes: fill the last pass up, so that all have one shape; a
        picture's bits then do not depend on which others share the call (measured on CPUs).
        callback_on_step_end(pipe, entry, timestep, {"latents"}) may return {"latents"}. Raises LayoutError for a
        canvas, a number of instances or a location that cannot be drawn as asked, SettingsError (a ValueError) for
        settings that contradict each other or the scheduler.
        """
        # diffusers' callback objects say themselves what they want to have
        callback_on_step_end_tensor_inputs = getattr(
            callback_on_step_end, "tensor_inputs", callback_on_step_end_tensor_inputs
        )
        unknown = set(callback_on_step_end_tensor_inputs) - set(self._callback_tensor_inputs)
        if unknown:
            raise ValueError(f"callbacks cannot have {sorted(unknown)}; they can have {self._callback_tensor_inputs}")
        if output_type not in OUTPUT_TYPES:
            raise ValueError(f"output_type = {output_type!r}; it can be {', '.join(OUTPUT_TYPES)}")
        if num_images_per_prompt < 1:
            raise ValueError(f"num_images_per_prompt = {num_images_per_prompt}; at least 1 picture must be drawn")
        if not isinstance(negative_prompt, str | None):
            raise TypeError("negative_prompt is one text for all; without it each layout's own negative_prompt counts")
        given: dict[str, Any] = {"num_inference_steps": num_inference_steps, "guidance_scale": guidance_scale}
        given |= {"alpha": alpha, "mis": mis, "merge": merge, "instance_mask": instance_mask}
        settings = {**self.config.defaults, **{key: value for key, value in given.items() if value is not None}}
        _check_settings(settings, mask_axes)
        plans = [layouts] if isinstance(layouts, Layout) else list(layouts)
        if strangers := {type(plan).__name__ for plan in plans if not isinstance(plan, Layout)}:
            raise TypeError(
                f"this pipeline draws Layouts, not {', '.join(strangers)}; diffusion.layout reads them from files and "
                "makes them of dictionaries"
            )
        if not plans:
            raise ValueError("there is no layout to draw")
        seeds = list(seed) if isinstance(seed, Sequence) else [seed] * len(plans)
        if len(seeds) != len(plans):
            raise ValueError(f"{len(seeds)} seeds for {len(plans)} layouts; give one for all, or one each")
        if any(not isinstance(own, Integral) or own < 0 for own in seeds):
            raise ValueError(f"seed = {seed!r}; seeds are whole numbers from 0 on")
        pictures = [p for p in range(len(plans)) for _ in range(num_images_per_prompt)]
        height, width = self._latent_size(plans)
        noise = self._noise(len(pictures), height, width, generator, latents)
        rows = _rows_at_once(height, width) if rows_at_once is None else rows_at_once
        if rows < 1:
            raise ValueError(f"rows_at_once = {rows}; at least 1 row must run")
        guided = settings["guidance_scale"] != 1
        strength = Strength(alpha=settings["alpha"], mis=settings["mis"])
        merging, masked = settings["merge"], settings["instance_mask"]
        _, _, positions = schedule(self.scheduler, settings["num_inference_steps"])
        alone = strength.alone(positions) > 0
        if merging != "average":
            for plan in plans:
                if not alone and plan.instances:
                    raise SettingsError(
                        f"merge = {merging!r} with mis = {strength.mis} of {len(positions)} updates: no instance takes "
                        "one on its own, so there is none to paste"
                    )
                pasted_cells(plan, height, width, mask_axes)
        masking = {"instance_mask": bool(masked), "mask_axes": mask_axes, "height": height, "width": width}
        negatives = [plan.negative_prompt if negative_prompt is None else negative_prompt for plan in plans if guided]
        self._report_lost_words([*(text for plan in plans for text in (plan.prompt, *_phrases(plan))), *negatives])
        # all texts first: where models are offloaded, the text encoder has to be brought in but once
        phrases = [self.encode_phrases(_phrases(plan)) for plan in plans]
        prompts = [self.encode_prompts([plan.prompt, *(_phrases(plan) if alone else ())]) for plan in plans]
        unwanted_prompts = [self.encode_prompts([text])[0] for text in negatives]
        grounded = [
            ground(plan, text, self.unet.slots, seed=own) for plan, text, own in zip(plans, phrases, seeds, strict=True)
        ]
        tokens = [
            self._tokens(plan, grounding, alone, masking, nearest=masked == "nearest")
            for plan, grounding in zip(plans, grounded, strict=True)
        ]
        conditions = {(b, j): (prompts[p][j], own) for b, p in enumerate(pictures) for j, own in enumerate(tokens[p])}
        if guided:
            empty = self._encode(grounded[0].null(), masking)
            conditions |= {(b, NULL): (unwanted_prompts[p], empty) for b, p in enumerate(pictures)}
        passes = _Passes(conditions, rows, full_passes)
        progress = self.progress_bar(total=len(self.scheduler.timesteps))

        apart = False

        def predict(x: torch.Tensor, timestep: torch.Tensor, inputs: Sequence[Input], scale: float) -> torch.Tensor:
            nonlocal apart
            if not guided:
                return self._unet(x, timestep, list(inputs), scale, passes)
            # the inputs of a picture start from the same noise: its first unconditional estimate serves them all
            count = len(inputs) if apart else len(pictures)
            keys = [*inputs, *((b, NULL) for b, _ in inputs[:count])]
            both = self._unet(torch.cat((x, x[:count])), timestep, keys, scale, passes)
            wanted, unwanted = both.split([len(inputs), count])
            if not apart:
                unwanted = unwanted[[b for b, _ in inputs]]
            apart = True
            return unwanted + settings["guidance_scale"] * (wanted - unwanted)

        def on_update(entry: int, timestep: torch.Tensor, current: torch.Tensor) -> torch.Tensor:
            progress.update()
            if callback_on_step_end is None:
                return current
            state = {name: current for name in callback_on_step_end_tensor_inputs}
            return (callback_on_step_end(self, entry, timestep, state) or {}).get("latents", current)

        with progress:
            denoised = sample(
                predict,
                noise,
                self.scheduler,
                steps=settings["num_inference_steps"],
                instances=[len(plans[p].instances) for p in pictures],
                strength=strength,
                merge=lambda b, inputs: join(merging, plans[pictures[b]], inputs, mask_axes),
                generators=generator if isinstance(generator, Sequence) else [generator] * len(pictures),
                on_update=on_update,
            )
        images = self._decode(denoised, output_type)
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def encode_prompts(self, texts: Sequence[str]) -> torch.Tensor:
        """(n, tokens, C): every token's state, padded to the tokenizer's length."""
        return self._read(texts, padding="max_length").last_hidden_state

    def encode_phrases(self, texts: Sequence[str]) -> torch.Tensor:
        """(n, C): the pooled state at the end of each instance's caption, before any projection."""
        if not texts:
            return torch.zeros(0, self.unet.slots.text_dim)
        return self._read(texts, padding=True).pooler_output

    def _read(self, texts: Sequence[str], padding: bool | str) -> Any:
        length = self.tokenizer.model_max_length
        encoded = self.tokenizer(list(texts), padding=padding, truncation=True, max_length=length, return_tensors="pt")
        return self.text_encoder(encoded.input_ids.to(self._execution_device))

    def _report_lost_words(self, texts: Sequence[str]) -> None:
        length = self.tokenizer.model_max_length
        for text in dict.fromkeys(texts):
            count = len(self.tokenizer(text, truncation=False)["input_ids"])
            if count > length:
                logger.warning(
                    f"the text encoder reads {length} tokens; the last {count - length} of {text!r} are lost"
                )

    def _tokens(
        self, plan: Layout, together: Grounding, alone: bool, masking: dict[str, Any], nearest: bool
    ) -> list[InstanceTokens]:
        """Of input 0 (all instances) and, where instances are drawn alone first, of each of them."""
        if nearest:
            cells = nearest_cells(plan, masking["height"], masking["width"])
            cells = functional.pad(cells, (0, 0, 0, 0, 0, self.unet.slots.max_instances - len(cells)))[None]
            tokens = [self._encode(together, {**masking, "cells": cells.to(self._execution_device)})]
        else:
            tokens = [self._encode(together, masking)]
        return tokens + [self._encode(together.only(j), masking) for j in range(len(plan.instances) if alone else 0)]

    def _encode(self, grounding: Grounding, masking: dict[str, Any]) -> InstanceTokens:
        """Coordinates stay in float32: half precision would move them by more than a Fourier code can bear."""
        return self.unet.encode_instances(grounding.to(self._execution_device), **masking)

    def _unet(
        self, x: torch.Tensor, timestep: torch.Tensor, keys: list[Input], scale: float, passes: _Passes
    ) -> torch.Tensor:
        """(R, C, h, w) in float32: guidance and schedulers work on full precision whatever the network's type."""
        wanted = len(keys)
        if missing := passes.missing(wanted):
            x, keys = torch.cat((x, x[-1:].expand(missing, -1, -1, -1))), keys + keys[-1:] * missing
        estimates = []
        passes.start(keys)
        for rows in passes.split(len(keys)):
            context, tokens = passes[tuple(keys[rows])]
            instances = tokens.at_scale(scale)
            self.unet.read_instances(instances)
            estimate = self.unet(x[rows].to(self.unet.dtype), timestep, context, instances).sample
            # a copy: a compiled network that runs as a CUDA graph writes its next estimate over this one
            estimates.append(estimate.to(torch.float32, copy=True))
            if len(estimate) < len(keys):
                tokens.let_go_of_masks(len(keys))
        return torch.cat(estimates)[:wanted]

    def _latent_size(self, plans: Sequence[Layout]) -> tuple[int, int]:
        sizes = {(plan.width, plan.height) for plan in plans}
        if len(sizes) != 1:
            raise LayoutError(f"one call draws canvases of one size, not {sorted(sizes)}")
        width, height = sizes.pop()
        if width % self.cell or height % self.cell:
            raise LayoutError(f"the canvas is {width} x {height} pixels; this model draws multiples of {self.cell}")
        return height // self.cell, width // self.cell

    def _noise(
        self,
        count: int,
        height: int,
        width: int,
        generator: torch.Generator | Sequence[torch.Generator] | None,
        latents: torch.Tensor | None,
    ) -> torch.Tensor:
        shape = (count, self.unet.config.in_channels, height, width)
        if isinstance(generator, Sequence) and len(generator) != count:
            raise ValueError(f"{len(generator)} generators for {count} pictures; give one for all, or one each")
        if latents is None:
            drawn = randn_tensor(shape, generator=list(generator) if isinstance(generator, Sequence) else generator)
            return drawn.to(self._execution_device)
        if latents.shape != shape:
            raise ValueError(f"latents have shape {tuple(latents.shape)}; these layouts need {shape}")
        return latents.to(self._execution_device, torch.float32)

    def _decode(self, latents: torch.Tensor, output_type: str) -> Any:
        if output_type == "latent":
            return latents
        scaled = (latents / self.vae.config.scaling_factor).to(self.vae.dtype)
        # One at a time: pixels take far more memory than latents, and no picture depends on its company.
        images = torch.cat([self.vae.decode(one).sample.float() for one in scaled.split(1)])
        return self.image_processor.postprocess(images, output_type=output_type)


class _Passes:
    """How rows share UNet passes of at most ``rows`` rows, and the joined conditions of each pass of the present phase.

    full: every pass has exactly that many rows and, whatever instances they hold, as many tokens.
    """

    def __init__(self, conditions: dict[Input, Condition], rows: int, full: bool):
        self.conditions, self.rows, self.full = conditions, rows, full
        self.joined: dict[tuple[Input, ...], tuple[torch.Tensor, InstanceTokens]] = {}
        self.keys: list[Input] = []

    def start(self, keys: list[Input]) -> None:
        """A step with these rows: what others had joined is not needed again."""
        if keys != self.keys:
            self.joined.clear()
            self.keys = keys

    def missing(self, count: int) -> int:
        """How many rows fill the last pass up."""
        return -count % self.rows if self.full else 0

    def split(self, count: int) -> list[slice]:
        """Passes as equal as can be."""
        size = math.ceil(count / math.ceil(count / self.rows))
        return [slice(start, start + size) for start in range(0, count, size)]

    def __getitem__(self, keys: tuple[Input, ...]) -> tuple[torch.Tensor, InstanceTokens]:
        if keys not in self.joined:
            texts, parts = zip(*(self.conditions[key] for key in keys), strict=True)
            tokens = InstanceTokens.cat(parts)
            self.joined[keys] = torch.stack(texts), tokens.each_for_itself() if self.full else tokens
        return self.joined[keys]


def _check_settings(settings: dict[str, Any], mask_axes: str) -> None:
    steps, merging, masked = settings["num_inference_steps"], settings["merge"], settings["instance_mask"]
    if not isinstance(steps, Integral) or steps < 1:
        raise ValueError(f"num_inference_steps = {steps!r}; at least 1 whole step must be taken")
    for name in ("guidance_scale", "alpha", "mis"):
        if not isinstance(settings[name], Real) or not math.isfinite(settings[name]):
            raise ValueError(f"{name} = {settings[name]!r} is not a number that can be drawn with")
    if merging not in MERGES:
        raise ValueError(f"merge = {merging!r}; it can be {', '.join(MERGES)}")
    if mask_axes not in get_args(MaskAxes):
        raise ValueError(f"mask_axes = {mask_axes!r}; it can be {', '.join(get_args(MaskAxes))}")
    if masked not in (True, False, "nearest") or (masked == "nearest" and mask_axes != "xy"):
        raise ValueError(
            f"instance_mask = {masked!r} with mask_axes = {mask_axes!r}: it can be True or False with either axes, "
            "or 'nearest' with 'xy'"
        )


def _rows_at_once(height: int, width: int) -> int:
    return max(1, min(MOST_ROWS, ROWS_AT_ONCE * 64 * 64 // (height * width)))


def _phrases(plan: Layout) -> list[str]:
    return [instance.caption for instance in plan]
