"""``scenewright bench``: numbers that the model card and the README quote, printed with their denominators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.commands import options
from agent.console import emit_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

    from diffusion.layout import Layout

bench = typer.Typer(name="bench", help="Measure what is bundled here.", no_args_is_help=True)


@bench.command()
def tiny(
    pictures: Annotated[int, typer.Option(min=2, help="How many held-out scenes to draw.")] = 100,
    largest: Annotated[int, typer.Option(min=1, max=8, help="Scenes with at most so many things.")] = 5,
    steps: options.Steps = None,
    guidance: options.Guidance = None,
    alpha: options.Alpha = None,
    mis: options.Mis = None,
    merge: options.Merge = None,
    instance_mask: options.InstanceMask = None,
    model: options.Model = "tiny",
    json: options.Json = False,
) -> None:
    """How well the bundled model draws scenes it was never trained on, as the bundled detector sees it."""
    from rich.progress import Progress

    from agent.console import messages
    from agent.render import RenderSettings, load_renderer
    from eval.tiny_bench import bench_tiny
    from eval.tiny_detector import TinyDetector

    settings = RenderSettings(steps, guidance, alpha, mis, merge, instance_mask)
    renderer = load_renderer(model, settings)
    with Progress(console=messages()) as progress:
        task = progress.add_task("drawing", total=pictures)

        def draw(layouts: Sequence[Layout], seeds: Sequence[int]) -> list[Image]:
            images = renderer.render_many(layouts, seeds)
            progress.advance(task, len(images))
            return images

        scores = bench_tiny(draw, TinyDetector.load(), pictures, largest=largest)
    emit_json({"model": renderer.describe(), **scores}) if json else _show(scores)


def _show(scores: dict[str, Any]) -> None:
    from rich.table import Table

    from agent.console import results

    table = Table("score", "drawn", "95 % interval", "real pictures", "shuffled layouts", box=None, pad_edge=False)
    for name, drawn in scores["drawn"].items():
        low, high = drawn["ci95"]
        others = (f"{scores[column][name]['value']:.3f}" for column in ("real", "shuffled"))
        table.add_row(name, f"{drawn['value']:.3f}", f"{low:.3f} to {high:.3f}", *others)
    results().print(table)
    results().print(
        f"over {scores['things']} things in {scores['pictures']} pictures; detector {scores['detector']}, "
        f"boxes {scores['box_convention']}"
    )
