"""``scenewright bench batch``: what a batch gains over one scene after another, in turns on one machine."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.commands import options
from agent.console import emit_json, say

if TYPE_CHECKING:
    from agent.batch.engine import Engine
    from agent.batch.items import Item
    from agent.checkers import Checkers
    from agent.planner import Planner, Reviser
    from agent.render import Renderer

PLANNERS = 8
"""As of the batch command."""
FIRST_SEED = 9_300_000
"""Scenes of the tiny world from here on are held out and drawn by no other measurement."""


@dataclass
class _Side:
    """One of the two ways: what it has drawn so far, and in how many seconds by the clock."""

    scenes: int = 0
    pictures: int = 0
    seconds: float = 0.0

    def add(self, scenes: int, pictures: int, seconds: float) -> None:
        self.scenes += scenes
        self.pictures += pictures
        self.seconds += seconds

    @property
    def per_minute(self) -> float:
        return 60 * self.pictures / self.seconds

    def told(self) -> dict[str, Any]:
        seconds, rate = round(self.seconds, 2), round(self.per_minute, 2)
        return {"scenes": self.scenes, "pictures": self.pictures, "seconds": seconds, "pictures_per_minute": rate}


def batch(
    scenes: Annotated[int, typer.Option(min=2, help="How many scenes each way draws.")] = 200,
    turn: Annotated[int, typer.Option(min=1, help="Scenes that one way draws before the other takes its turn.")] = 50,
    rounds: options.Rounds = 3,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="As of the batch command.")] = None,
    steps: options.Steps = None,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Pictures a minute of a batch, and of the same scenes generated one by one with the model already loaded.

    Both plan without an LLM, check and replan alike, and write their folders. They take turns, so that other load on
    the machine falls on both; loading the models counts for neither. Memory is that of the processes that plan and draw
    for the batch, together, after each turn.
    """
    from agent.batch.engine import Engine
    from agent.batch.planning import criticised
    from agent.batch.processes import cores, local_workers
    from agent.checkers import CheckSettings, load_checkers
    from agent.offline import OfflinePlanner
    from agent.render import RenderSettings, load_renderer, pick_device

    items, planner, settings = _items(scenes + 1), OfflinePlanner(), RenderSettings(steps=steps, device=device)
    engine = Engine(local_workers("tiny", CheckSettings(), settings, workers))
    renderer, checkers = load_renderer("tiny", settings), load_checkers(CheckSettings(), pick_device(device))
    sides = {"single": _Side(), "batch": _Side()}
    memory: list[int] = []
    with tempfile.TemporaryDirectory() as folder, criticised(planner, PLANNERS) as planning:
        # What is only done once must not count for either way.
        _single(items[:1], planner, renderer, checkers, rounds, Path(folder) / "warm")
        _warm(engine, items[0], planner, settings)
        for start in range(1, scenes + 1, turn):
            part = items[start : start + turn]
            # The way that goes first changes, too.
            for way in sorted(sides, reverse=start // turn % 2 == 0):
                to, started = Path(folder) / f"{way}-{start}", time.perf_counter()
                if way == "single":
                    pictures = _single(part, planner, renderer, checkers, rounds, to)
                else:
                    pictures = _batch(part, planning, engine, settings, rounds, to)
                sides[way].add(len(part), pictures, time.perf_counter() - started)
            single, together = sides["single"].per_minute, sides["batch"].per_minute
            memory.append(_memory())
            say(
                f"{start + len(part) - 1} of {scenes}: one by one {single:.1f}, batch {together:.1f} pictures a "
                f"minute; the processes of the batch hold {memory[-1]} MiB"
            )
    engine.close()
    told = {
        **{way: side.told() for way, side in sides.items()},
        "ratio": round(sides["batch"].per_minute / sides["single"].per_minute, 3),
        "cores": cores(),
        "load": os.getloadavg()[0],
        "rounds": rounds,
        "memory_mib": memory,
    }
    emit_json(told) if json else _show(told)


def _memory() -> int:
    """MiB that the processes of the batch hold now, together."""
    import multiprocessing

    import psutil

    held = [psutil.Process(worker.pid).memory_info().rss for worker in multiprocessing.active_children()]
    return round(sum(held) / 2**20)


def _items(count: int) -> list[Item]:
    from agent.batch.items import Item, ItemOptions
    from diffusion.tiny.world import sample_scene

    captions = [sample_scene(FIRST_SEED + n, "held_out").layout().caption for n in range(count)]
    return [Item(f"scene-{n}", text, None, n, ItemOptions(), "") for n, text in enumerate(captions)]


def _single(
    items: Sequence[Item], planner: Reviser, renderer: Renderer, checkers: Checkers, rounds: int, folder: Path
) -> int:
    """Each scene as ``generate`` does it; how many pictures that took."""
    from agent.criticised import CriticisedPlanner
    from agent.loop import Event, Finished, run_loop
    from agent.models import native_size
    from agent.run import RunFolder

    pictures = 0
    width, height = native_size("tiny")
    for item in items:
        with RunFolder.create(folder / item.name, {"prompt": item.prompt}, overwrite=False) as run:

            def tell(event: Event, run: RunFolder = run) -> None:
                if isinstance(event, Finished):
                    run.save_round(event.round)
                    if event.result.best is event.round:
                        run.save_best(event.round)

            result = run_loop(
                item.text,
                CriticisedPlanner(planner),
                renderer.render,
                checkers.check,
                rounds=rounds,
                seed=item.seed,
                width=width,
                height=height,
                on_event=tell,
            )
            run.finish("done" if result.accepted else "not_accepted")
            pictures += len(result.rounds)
    return pictures


def _batch(items: Sequence[Item], planner: Planner, engine: Engine, settings: Any, rounds: int, to: Path) -> int:
    from agent.batch.folder import BatchFolder
    from agent.batch.runner import Batch
    from agent.batch.scene import BatchSettings
    from agent.models import native_size

    folder = BatchFolder.open(to, {})
    Batch(folder, items, planner, engine, BatchSettings("tiny", native_size("tiny"), rounds, settings)).run()
    pictures = sum(known.pictures for known in folder.known.values())
    folder.close()
    return pictures


def _warm(engine: Engine, item: Item, planner: Reviser, settings: Any) -> None:
    """A picture for every worker, so that each has loaded its model."""
    from dataclasses import replace

    from agent.batch.studio import Job

    layout = planner.plan(item.text, width=128, height=128, seed=0).layout
    few = replace(settings, steps=1)
    for future in [engine.submit(Job(layout, n, few), 0) for n in range(engine.in_flight)]:
        future.result()


def _show(told: dict[str, Any]) -> None:
    from rich.table import Table

    from agent.console import emit, results

    table = Table("way", "scenes", "pictures", "seconds", "pictures a minute", box=None, pad_edge=False)
    for name, label in (("single", "one by one"), ("batch", "batch")):
        side = told[name]
        table.add_row(label, *(str(side[key]) for key in ("scenes", "pictures", "seconds", "pictures_per_minute")))
    results().print(table)
    emit(f"{told['ratio']:.2f} times as many pictures a minute, on {told['cores']} cores (load {told['load']:.1f})")
    emit(f"the processes of the batch held {', '.join(map(str, told['memory_mib']))} MiB after the turns")
