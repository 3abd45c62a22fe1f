"""``scenewright bench tiny``: how well a model draws the tiny world, from what, and what each part is worth."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.commands import options
from agent.console import emit_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image
    from rich.progress import Progress

    from agent.render import RenderSettings
    from diffusion.layout import Layout

SCORES = {
    "mean_iou": "mean IoU, missing as 0",
    "mean_iou_matched": "mean IoU of those found",
    "recall_50": "recall at IoU 0.5",
    "recall_75": "recall at IoU 0.75",
    "ap": "AP",
    "ap_50": "AP50",
    "ar_100": "AR",
    "in_place": "something in its place",
    "kind_in_place": "kind, of those",
    "colour_in_place": "colour, of those",
    "texture_in_place": "texture, of those",
    "colour_by_threshold": "colour by thresholds",
    "part_by_threshold": "part's colour by thresholds",
    "count": "count right",
    "mask_iou": "mask IoU",
    "point_in_mask": "point in mask (PiM)",
    "scribble_in_mask": "scribble in mask (PiM)",
}
"""What the tables call the scores, in their order."""
IN_GALLERY = 40
GALLERY_COLUMNS = 8


def tiny(
    pictures: Annotated[int, typer.Option(min=4, help="How many fresh scenes to draw.")] = 100,
    largest: Annotated[int, typer.Option(min=1, max=8, help="Scenes with at most so many things.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of the first scene; those below 9,000,000 were trained on.")] = (
        9_000_000
    ),
    formats: Annotated[bool, typer.Option("--formats", help="Draw from each kind of location alone, and mixed.")] = (
        False
    ),
    ablations: Annotated[bool, typer.Option("--ablations", help="Change one setting at a time.")] = False,
    gallery: Annotated[Path | None, typer.Option(help=f"Write the first {IN_GALLERY} pictures to this PNG.")] = None,
    steps: options.Steps = None,
    guidance: options.Guidance = None,
    alpha: options.Alpha = None,
    mis: options.Mis = None,
    merge: options.Merge = None,
    instance_mask: options.InstanceMask = None,
    scheduler: options.Scheduler = None,
    model: options.Model = "tiny",
    json: options.Json = False,
) -> None:
    """How well a model draws scenes of the tiny world that it was never trained on.

    Half of them have a pair of colour and kind that training never showed. A detector judges that the loop never asks.
    """
    from rich.progress import Progress

    from agent.console import messages
    from agent.render import RenderSettings
    from eval.bench import tiny as tiny_bench
    from eval.bench import tiny_ablations
    from eval.places import BUNDLED
    from eval.tiny_detector import TinyDetector

    referee, which = TinyDetector.load(BUNDLED["tiny-referee"], "tiny-referee"), (pictures, largest, seed)
    settings = RenderSettings(steps, guidance, alpha, mis, merge, instance_mask, scheduler=scheduler)
    with Progress(console=messages()) as progress:
        artist = _Artist(model, settings, progress)
        if ablations:
            result = tiny_ablations.ablations(artist.draw, referee, *which, own=artist.own(), on_row=progress.print)
            show = _show_ablations
        elif formats:
            result, show = tiny_bench.bench_formats(artist.draw_plainly, referee, *which), _show_formats
        else:
            detectors = [referee, TinyDetector.load()]
            result, show = tiny_bench.bench_tiny(artist.draw_plainly, detectors, *which), _show
    if gallery is not None:
        _write_gallery(gallery, artist.drawn[:IN_GALLERY])
    emit_json({"renderer": artist.renderer.describe(), **result}) if json else show(result)


class _Artist:
    """Draws with one loaded model, and keeps what it has drawn."""

    def __init__(self, model: str, settings: RenderSettings, progress: Progress) -> None:
        from agent.render import load_renderer

        self.renderer = load_renderer(model, settings)
        self.drawn: list[tuple[Layout, Image]] = []
        self._progress, self._task = progress, progress.add_task("pictures", total=None)

    def own(self) -> dict[str, Any]:
        """The settings that everything is drawn with unless ``draw`` changes them."""
        asked = {name: value for name, value in self.renderer.describe().items() if value is not None}
        own = self.renderer.own_settings()
        return {name: asked.get(name, value) for name, value in own.items()}

    def draw_plainly(self, layouts: Sequence[Layout], seeds: Sequence[int]) -> list[Image]:
        return self.draw(layouts, seeds, {})

    def draw(self, layouts: Sequence[Layout], seeds: Sequence[int], changed: dict[str, Any]) -> list[Image]:
        """``changed``: RenderSettings by name, and ``scaleu``: False switches it off."""
        fields = {name: value for name, value in changed.items() if name != "scaleu"}
        with nullcontext() if changed.get("scaleu", True) else self.renderer.without_scaleu():
            images = self.renderer.changed(**fields).render_many(layouts, seeds)
        self._progress.update(self._task, advance=len(images), total=None)
        self.drawn += zip(layouts, images, strict=True)
        return images


def _show(result: dict[str, Any]) -> None:
    from agent.console import results

    columns = {name: result[name] for name in ("drawn", "real", "shuffled")}
    headings = ("score", "drawn", "95 % interval", "of", "real pictures", "shuffled layouts")
    _table(headings, ((name, *_row(name, columns)) for name in SCORES))
    for name, others in result["other_detectors"].items():
        _table((f"by detector {name}", *headings[1:5]), ((n, *_row(n, others)) for n in SCORES if n in others["drawn"]))
    for name, columns in result["pairs"].items():
        shown = [n for n in SCORES if n in columns["drawn"]]
        _table((f"pairs {name}", *headings[1:5]), ((n, *_row(n, columns)) for n in shown))
    for by, groups in result["by"].items():
        rows = ((name, *_cells(g["mean_iou"]), _number(g["recall_50"])) for name, g in groups.items())
        _table((by, "mean IoU", "95 % interval", "of", "recall at IoU 0.5"), rows, names={})
    apart = result["frechet"]
    results().print(
        f"Frechet distance on {result['detector']}'s features over {apart['pictures']} pictures each: "
        f"drawn to real {apart['drawn_to_real']:.3f}, real to other real {apart['real_to_real']:.3f}"
    )
    _denominators(result)


def _show_formats(result: dict[str, Any]) -> None:
    columns = result["formats"]
    _table(("score", *columns), ((name, *(_number(c[name]) for c in columns.values())) for name in SCORES))
    _denominators(result)


def _show_ablations(result: dict[str, Any]) -> None:
    from eval.bench.tiny_ablations import COLUMNS

    headings = ("setting", *(SCORES[c] for c in COLUMNS), "IoU against first", "kind against first", "s")
    rows = (
        (
            row["name"],
            *(_number(row["scores"][column]) for column in COLUMNS),
            *(_difference(row["difference"][name]) for name in ("mean_iou", "kind")),
            f"{row['seconds_a_picture']:.2f}",
        )
        for row in result["rows"]
    )
    _table(headings, rows, names={})
    _denominators(result)


def _table(headings: Sequence[str], rows: Any, names: dict[str, str] = SCORES) -> None:
    from rich.table import Column, Table

    from agent.console import results

    table = Table(Column(headings[0], no_wrap=True), *headings[1:], box=None, pad_edge=False)
    for name, *cells in rows:
        table.add_row(names.get(name, name), *cells)
    results().print(table)
    results().print()


def _row(name: str, columns: dict[str, Any]) -> list[str]:
    first, *others = (column[name] for column in columns.values())
    return [*_cells(first), *(_number(other) for other in others)]


def _cells(estimate: dict[str, Any]) -> tuple[str, str, str]:
    low_high = estimate["ci95"]
    interval = f"{low_high[0]:.3f} to {low_high[1]:.3f}" if low_high else ""
    return _number(estimate), interval, f"{estimate['of']} {estimate['unit']}"


def _number(estimate: dict[str, Any]) -> str:
    return "" if estimate["value"] is None else f"{estimate['value']:.3f}"


def _difference(estimate: dict[str, Any]) -> str:
    value, interval = estimate["value"], estimate["ci95"]
    return f"{value:+.3f} ({interval[0]:+.3f} to {interval[1]:+.3f})" if interval else f"{value:+.3f}"


def _denominators(result: dict[str, Any]) -> None:
    from agent.console import results

    results().print(
        f"{result['things']} things in {result['pictures']} pictures; detector {result['detector']}, "
        f"boxes {result['box_convention']}"
    )


def _write_gallery(path: Path, drawn: Sequence[tuple[Layout, Image]]) -> None:
    """The pictures in rows, in the order in which they were drawn: none is chosen."""
    from PIL import Image

    width, height = (max(image.size[axis] for _, image in drawn) + 2 for axis in (0, 1))
    rows = -(-len(drawn) // GALLERY_COLUMNS)
    sheet = Image.new("RGB", (min(len(drawn), GALLERY_COLUMNS) * width - 2, rows * height - 2), "white")
    for index, (_, image) in enumerate(drawn):
        sheet.paste(image, (index % GALLERY_COLUMNS * width, index // GALLERY_COLUMNS * height))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
