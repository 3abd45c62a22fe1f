"""``scenewright iterate``: a plan drawn again after each edit, with the rest of the picture as it was."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.commands import options
from agent.console import emit, emit_json, note, say
from agent.exits import Stop

if TYPE_CHECKING:
    from PIL.Image import Image

    from diffusion.iterative import Edit

MOST_PLANS = 99
FREE_WORDS = "which concerns the whole picture"
HELD_WORDS = (
    "but what lies outside the edited boxes is held as it was, so that the new text has little effect there; --free "
    "lets it change"
)
SAME_WORDS = "which changes nothing: with the caption it makes the same words to draw from"


def iterate(
    plans: Annotated[
        list[Path], typer.Argument(metavar="PLAN.json PLAN.json ...", help="The versions of a plan, in order.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="The run's folder.", show_default=False)
    ],
    hold: Annotated[
        bool,
        typer.Option(
            "--hold/--free",
            help="Keep what lies outside the edited boxes as it was in the picture before; --free only repeats the "
            "noise, as published.",
        ),
    ] = True,
    model: options.Model = "tiny",
    seed: options.Seed = 0,
    steps: options.Steps = None,
    guidance: options.Guidance = None,
    alpha: options.Alpha = None,
    mis: options.Mis = None,
    merge: options.Merge = None,
    instance_mask: options.InstanceMask = None,
    device: options.Device = "auto",
    scheduler: options.Scheduler = None,
    refine: options.Refine = None,
    refiner: options.Refiner = None,
    lora: options.Lora = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    format: options.Format = None,
    bbox: options.Bbox = None,
    canvas: options.Canvas = None,
    clip: options.Clip = False,
    resample: options.Resample = False,
) -> None:
    """Draw the versions of a plan from the same noise: instances added, removed, replaced, moved or resized.

    DIR gets every picture and plan (rounds/01, rounds/02, ...), the last ones beside run.json, and how far each picture
    is from the one before, inside and outside the boxes of what was edited.
    """
    from agent.commands.plan_file import read_plan
    from agent.drawable import surprises
    from agent.progress import step_bar
    from agent.render import RenderSettings, load_renderer
    from agent.run import RunFolder
    from diffusion.iterative import edited_boxes, edits, other_words

    if not 2 <= len(plans) <= MOST_PLANS:
        raise Stop(f"give 2 to {MOST_PLANS} plans: the picture to start from, and what becomes of it, step by step")
    layouts = [read_plan(path, format=format, bbox=bbox, canvas=canvas, clip=clip, resample=resample) for path in plans]
    found = [edits(before, after) for before, after in pairwise(layouts)]
    for number, (change, (before, after)) in enumerate(zip(found, pairwise(layouts), strict=True), start=2):
        if hold:
            edited_boxes(change)
        words = [f"another {name}" for name in other_words(before, after)]
        told = [f"{edit.id} {edit.kind}" for edit in change] + words
        say(f"picture {number}: {', '.join(told) or 'nothing edited'}")
        if words:
            note(f"picture {number}: {' and '.join(words)}, {HELD_WORDS if hold else FREE_WORDS}")
        if before.background != after.background and before.prompt == after.prompt:
            note(f"picture {number}: another background, {SAME_WORDS}")
    for line in dict.fromkeys(line for layout in layouts for line in surprises(layout, model)):
        note(line)
    settings = RenderSettings(
        steps, guidance, alpha, mis, merge, instance_mask, device, scheduler, refine, refiner, tuple(lora or ()) or None
    )
    record = {
        "command": "iterate",
        "prompt": layouts[0].caption,
        "seed": seed,
        "options": {"plans": [str(path) for path in plans], "model": model, "hold": hold, **asdict(settings)},
    }
    with RunFolder.create(output, record, overwrite=overwrite) as run:
        say(f"loading the model {model}")
        with run.timed("load"):
            renderer = load_renderer(model, settings)
        run.record["renderer"] = renderer.describe()
        with run.timed("render"), step_bar("drawing") as on_step:
            images = renderer.render_many(layouts, [seed] * len(layouts), on_step, hold=hold)
        measured = [{}, *map(_measured, found, pairwise(images))]
        for number, (layout, image, entry) in enumerate(zip(layouts, images, measured, strict=True), start=1):
            run.save_unchecked(number, layout, image, seed, **entry)
        run.save_plan(layouts[-1])
        run.save_picture(layouts[-1], images[-1], seed)
        run.finish("done")
    if json:
        emit_json({"folder": str(run.path), "seed": seed, "hold": hold, "pictures": run.record["rounds"]})
    else:
        _show(run.record["rounds"])
        emit(str(run.path))


def _measured(found: list[Edit], images: tuple[Image, Image]) -> dict[str, Any]:
    """The edits between two pictures and how far these are apart; no distances where an edit has no extent."""
    from diffusion.iterative import edited_boxes
    from eval.closeness import closeness

    entry: dict[str, Any] = {"edits": [{"id": edit.id, "edit": edit.kind} for edit in found]}
    missing = [edit.id for edit in found if edit.boxes() is None]
    if missing:
        note(f"{', '.join(missing)}: neither a box nor a mask, so that inside and outside cannot be told apart")
        return entry
    return entry | asdict(closeness(*images, edited_boxes(found)))


def _show(pictures: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from agent.console import printable, results

    table = Table("picture", "edits", "edited", "inside", "outside", "SSIM outside", box=None, pad_edge=False)
    for picture in pictures[1:]:
        numbers = (picture.get(name) for name in ("edited", "inside", "outside", "ssim_outside"))
        told = ", ".join(f"{one['id']} {one['edit']}" for one in picture["edits"])
        shown = ("-" if number is None else f"{number:.3f}" for number in numbers)
        table.add_row(str(picture["round"]), printable(told), *shown)
    results().print(table)
    emit(
        "edited: the share of the canvas in the edited boxes; inside, outside: mean absolute difference to the picture "
        "before, 0 to 1; SSIM: 1 is equal"
    )
