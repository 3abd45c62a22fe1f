"""``scenewright convert``: the published checkpoint, or any other model, as a directory of safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.commands import options
from agent.console import emit, emit_json, say
from diffusion.places import BASE_REPOSITORY


def convert(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="instancediffusion_sd15.pth, or whatever --model takes.", show_default=False
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="A new folder.", show_default=False)],
    base: options.Base = BASE_REPOSITORY,
    json: options.Json = False,
) -> None:
    """Write a model as a folder that --model takes. Nothing in the checkpoint is executed; every tensor must fit."""
    from agent.files import new_folder
    from agent.models import native_size
    from agent.render import quiet_libraries

    native_size(model)
    with new_folder(output) as folder:
        quiet_libraries()
        from diffusion.checkpoints import load_pipeline

        say(f"reading {model}")
        pipeline = load_pipeline(model, device="cpu", base=base)
        say(f"writing {output}")
        pipeline.save_pretrained(folder)
    parameters = {
        name: sum(weight.numel() for weight in getattr(pipeline, name).parameters())
        for name in ("unet", "text_encoder", "vae")
    }
    if json:
        emit_json({"folder": str(output), "parameters": parameters})
    else:
        emit(str(output))
