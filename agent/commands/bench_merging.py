"""``scenewright bench merging``: from which overlap on a model draws two things as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.commands import options
from agent.console import emit_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

    from diffusion.layout import Layout


def merging(
    pictures: Annotated[int, typer.Option(min=1, help="How many pairs to draw at each overlap.")] = 16,
    model: options.Model = "tiny",
    json: options.Json = False,
) -> None:
    """From which overlap on the bundled model draws two things as one: where the critic's limits come from."""
    from rich.progress import Progress

    from agent.console import messages
    from agent.render import RenderSettings, load_renderer
    from eval.bench.merging import OVERLAPS, bench_merging
    from eval.tiny_detector import TinyDetector

    renderer = load_renderer(model, RenderSettings())
    with Progress(console=messages()) as progress:
        task = progress.add_task("drawing", total=2 * len(OVERLAPS) * pictures)

        def draw(layouts: Sequence[Layout], seeds: Sequence[int]) -> list[Image]:
            images = renderer.render_many(layouts, seeds)
            progress.advance(task, len(images))
            return images

        counted = bench_merging(draw, TinyDetector.load(), pictures)
    emit_json({"model": renderer.describe(), **counted}) if json else _show(counted)


def _show(counted: dict[str, Any]) -> None:
    from rich.table import Table

    from agent.console import results

    table = Table("kinds", "boxes", "both drawn", "both in real pictures", box=None, pad_edge=False)
    for row in counted["rows"]:
        overlap = row["overlap"]
        place = f"IoU {overlap:.2f}" if overlap >= 0 else f"apart by {-overlap:.2f} of their side"
        table.add_row(row["kinds"], place, *(f"{row[name]} of {counted['pictures']}" for name in ("drawn", "real")))
    results().print(table)
