"""``scenewright batch``: many scenes into one folder, which any number of runs may finish together."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agent.commands import options
from agent.console import emit_json, note, say, warn
from agent.exits import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.batch.engine import Worker
    from agent.batch.folder import BatchFolder
    from agent.batch.inputs import Input
    from agent.checkers import CheckSettings
    from agent.render import RenderSettings

SHOWN = 20
"""Bad lines that are listed one by one."""

WORK = "How the work is done"


def batch(
    scenes: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="A text file with a prompt a line, JSON Lines or CSV (id, prompt, seed, options, layout), a file or "
            "folder of layouts, or - for standard input.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="The batch's folder.", show_default=False)
    ],
    input_format: Annotated[
        Literal["text", "jsonl", "csv"] | None,
        typer.Option("--input-format", help="By the file's ending or content when not given.", show_default=False),
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Draw the rest when some lines cannot be read.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try the items that failed once more.")] = False,
    rounds: options.Rounds = 3,
    planner: options.PlannerName = "auto",
    llm_model: options.LlmModel = None,
    llm_timeout: options.LlmTimeout = 120.0,
    cache: options.Cache = True,
    model: options.Model = "tiny",
    check_with: options.CheckWith = "tiny",
    score_with: options.ScoreWith = None,
    looks: options.Looks = "clip",
    seed: options.Seed = 0,
    width: options.Width = None,
    height: options.Height = None,
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
    anyway: options.Anyway = False,
    engine: Annotated[
        Literal["local", "ray", "null"],
        typer.Option(
            "--engine",
            rich_help_panel=WORK,
            help="local: processes on this machine, one a GPU or a core; ray: actors of a Ray cluster (extra 'ray'); "
            "null: draws nothing, for measuring what everything else costs.",
        ),
    ] = "local",
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, max=1024, rich_help_panel=WORK, help="How many draw at a time."),
    ] = None,
    planners: Annotated[
        int, typer.Option("--planners", min=1, max=256, rich_help_panel=WORK, help="Plans asked for at a time.")
    ] = 8,
    rows: Annotated[
        int | None,
        typer.Option(
            "--rows",
            min=1,
            max=1024,
            rich_help_panel=WORK,
            help="Rows of every UNet pass; halved when they do not fit into memory.",
            show_default=False,
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Generate every scene of INPUT; DIR gets images, plans, reports, and manifest.jsonl with a line an item.

    Whatever ends it, the same command finishes what is missing, with the same pictures; several may run at once. An
    item that fails is marked with the reason and the rest goes on. Seeds come from the items' ids, not their order.
    """
    from agent.batch.engine import Engine
    from agent.batch.folder import BatchFolder
    from agent.batch.inputs import read_input
    from agent.batch.planning import criticised
    from agent.batch.runner import Batch
    from agent.batch.scene import BatchSettings
    from agent.batch.telling import Tally, exit_code, progress, show_summary, summary
    from agent.checkers import CheckSettings, ensure_there
    from agent.choose import choose_planner
    from agent.llm import LLMPlanner
    from agent.models import native_size
    from agent.render import RenderSettings
    from agent.weights import weights

    native = native_size(model)
    checking = CheckSettings(check_with, score_with, looks)
    render = RenderSettings(
        steps, guidance, alpha, mis, merge, instance_mask, device, scheduler, refine, refiner, tuple(lora or ()) or None
    )
    settings = BatchSettings(model, (width or native[0], height or native[1]), rounds, render, anyway)
    if engine != "null":
        ensure_there(checking)
    read = read_input(scenes, batch_seed=seed, format=input_format)
    _tell_problems(read, keep_going)
    chosen, line = choose_planner(planner, model=llm_model, timeout=llm_timeout, cached=cache)
    say(line)
    told = {
        "planner": chosen.name,
        "llm_model": chosen.chat.endpoint.model if isinstance(chosen, LLMPlanner) else None,
        "model": model,
        **asdict(checking),
        "draws": engine != "null",
        "seed": seed,
        "rounds": rounds,
        "width": settings.size[0],
        "height": settings.size[1],
        "anyway": anyway,
        "rows": rows,
        **asdict(render),
    }
    folder = BatchFolder.open(output, told, weights(model, checking, render) if engine != "null" else {})
    folder.check(read.items)
    folder.note_items(read.items)
    if retry_failed and (again := folder.forget_failed(read.items)):
        say(f"trying {again} failed items again")
    finished = sum(item.id in folder.known for item in read.items)
    if finished:
        say(f"{finished} of {len(read.items)} items are finished in {folder.path}")
    tally = Tally(chosen.usage)
    unrecorded = {}
    if finished < len(read.items):
        start = _workers(engine, model, checking, render, workers)
        hands = Engine(start, folder.record["rows"] or rows, on_rows=lambda now: _remember_rows(folder, now))
        with criticised(chosen, planners) as planning, progress(len(read.items), finished, tally) as on_entry:
            work = Batch(folder, read.items, planning, hands, settings, planners=planners, on_entry=on_entry)
            work.run()
        hands.close()
        unrecorded = work.unrecorded
    ended = summary(folder, read.items, unrecorded, len(read.problems), tally)
    emit_json(ended) if json else show_summary(ended)
    raise typer.Exit(exit_code(folder, read.items, unrecorded, len(read.problems)))


def _workers(
    engine: str, model: str, checking: CheckSettings, settings: RenderSettings, count: int | None
) -> Sequence[Callable[[], Worker]]:
    if engine == "null":
        from agent.batch.engine import NullWorker

        return [NullWorker] * (count or 1)
    if engine == "ray":
        from agent.batch.on_ray import ray_workers

        return ray_workers(model, checking, settings, count)
    from agent.batch.processes import local_workers

    return local_workers(model, checking, settings, count)


def _tell_problems(read: Input, keep_going: bool) -> None:
    for line in read.notes:
        note(line)
    for problem in read.problems[:SHOWN]:
        warn(str(problem))
    if len(read.problems) > SHOWN:
        warn(f"and {len(read.problems) - SHOWN} other lines that cannot be read")
    if read.problems and not (keep_going and read.items):
        raise Stop(
            f"{len(read.problems)} of {len(read.problems) + len(read.items)} items cannot be read, nothing was started"
            + ("; --keep-going draws the rest" if read.items else "")
        )


def _remember_rows(folder: BatchFolder, rows: int) -> None:
    note(f"memory was used up: passes have {rows} rows from now on")
    folder.save_record(rows=rows)
