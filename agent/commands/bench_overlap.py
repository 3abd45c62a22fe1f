"""``scenewright bench overlap``: what averaging, pasting and depth make of two things that overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.commands import options
from agent.console import emit, emit_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

    from diffusion.layout import Layout
    from eval.bench.overlap import Way

COLUMNS = {"both_found": "both found", "mean_iou": "mean IoU", "kind": "kind right", "front": "nearer in front"}


def overlap(
    pairs: Annotated[int, typer.Option(min=2, help="How many pairs of things; 40 pictures each.")] = 6,
    steps: options.Steps = None,
    guidance: options.Guidance = None,
    alpha: options.Alpha = None,
    mis: options.Mis = None,
    model: options.Model = "tiny",
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Two things moved together step by step, each in front once: averaged, pasted, and pasted by depth.

    Prints Markdown tables; every score with the ceiling of real pictures and the floor of shuffled plans.
    """
    from rich.progress import Progress

    from agent.console import messages
    from agent.render import RenderSettings, load_renderer
    from eval.bench.overlap import APPROACHES, WAYS, bench_overlap
    from eval.tiny_detector import TinyDetector

    renderer = load_renderer(model, RenderSettings(steps, guidance, alpha, mis, device=device))
    with Progress(console=messages()) as progress:
        task = progress.add_task("drawing", total=pairs * len(APPROACHES) * 2 * len(WAYS))

        def draw(layouts: Sequence[Layout], seeds: Sequence[int], way: Way) -> list[Image]:
            chosen = renderer.changed(merge=way.merge, instance_mask=way.instance_mask)
            images = chosen.render_many(layouts, seeds)
            progress.advance(task, len(images))
            return images

        study = bench_overlap(draw, TinyDetector.load(), pairs)
    emit_json({"model": renderer.describe(), **study}) if json else _show(study)


def _show(study: dict[str, Any]) -> None:
    overall = [row for row in study["rows"] if row["approach"] is None]
    _table(
        ["drawn", *COLUMNS.values()],
        [[row["way"], *(_number(row[column], with_interval=True) for column in COLUMNS)] for row in overall],
    )
    units = ", ".join(f"{COLUMNS[name]} over {overall[0][name]['of']} {overall[0][name]['unit']}" for name in COLUMNS)
    emit(
        f"\n{study['pairs']} pairs, {study['pictures']} pictures a way: {units}; detector {study['detector']}, boxes "
        f"{study['box_convention']}\n"
    )
    for column in ("both_found", "front"):
        by_way = {
            row["way"]: [
                _number(r[column]) for r in study["rows"] if r["way"] == row["way"] and r["approach"] is not None
            ]
            for row in overall
        }
        _table(
            [f"{COLUMNS[column]}, come together by", *map(str, study["approaches"])],
            [[w, *n] for w, n in by_way.items()],
        )
        emit("")


def _number(score: dict[str, Any], with_interval: bool = False) -> str:
    if score["value"] is None:
        return "-"
    interval = "" if not with_interval or score["ci95"] is None else " [{:.2f}, {:.2f}]".format(*score["ci95"])
    return f"{score['value']:.3f}{interval}"


def _table(header: list[str], rows: list[list[str]]) -> None:
    for cells in (header, ["---"] * len(header), *rows):
        emit(f"| {' | '.join(cells)} |")
