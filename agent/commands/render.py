"""``scenewright render``: draw a plan."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from agent.commands import options
from agent.console import emit, emit_json, note, say


def render(
    plan: options.PlanFile,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="The run's folder.", show_default=False)
    ],
    model: options.Model = "tiny",
    seed: options.Seed = 0,
    steps: options.Steps = None,
    guidance: options.Guidance = None,
    alpha: options.Alpha = None,
    mis: options.Mis = None,
    merge: options.Merge = None,
    instance_mask: options.InstanceMask = None,
    scheduler: options.Scheduler = None,
    refine: options.Refine = None,
    refiner: options.Refiner = None,
    lora: options.Lora = None,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
    show: options.Show = True,
    json: options.Json = False,
    format: options.Format = None,
    bbox: options.Bbox = None,
    canvas: options.Canvas = None,
    clip: options.Clip = False,
    resample: options.Resample = False,
    entry: options.Entry = None,
) -> None:
    """Draw a plan: DIR gets plan.json, image.png and run.json. Nothing is checked here: see `check` and `generate`."""
    from agent.commands.plan_file import read_plan
    from agent.drawable import surprises
    from agent.progress import step_bar
    from agent.render import RenderSettings, load_renderer
    from agent.run import RunFolder
    from agent.show import preview

    layout = read_plan(plan, format=format, bbox=bbox, canvas=canvas, clip=clip, resample=resample, entry=entry)
    for line in surprises(layout, model):
        note(line)
    settings = RenderSettings(
        steps, guidance, alpha, mis, merge, instance_mask, device, scheduler, refine, refiner, tuple(lora or ()) or None
    )
    record = {
        "command": "render",
        "prompt": layout.caption,
        "seed": seed,
        "options": {"plan": str(plan), "model": model, **asdict(settings)},
    }
    with RunFolder.create(output, record, overwrite=overwrite) as run:
        run.save_plan(layout)
        say(f"loading the model {model}")
        with run.timed("load"):
            renderer = load_renderer(model, settings)
        run.record["renderer"] = renderer.describe()
        with run.timed("render"), step_bar("drawing") as on_step:
            image = renderer.render(layout, seed, on_step)
        run.save_picture(layout, image, seed)
        run.finish("done")
    if show and not json:
        preview(image, sys.stderr)
    path = run.path / "image.png"
    if json:
        emit_json(
            {"image": str(path), "plan": str(run.path / "plan.json"), "folder": str(run.path), "seed": seed}
            | {"timings": run.record["timings"]}
        )
    else:
        emit(str(path))
