"""``scenewright bench tiny``: how well the bundled model draws, part by part, and what each part is worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.commands import options
from agent.console import emit_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image
    from rich.progress import Progress

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
    "point_in_mask": "point in mask",
    "scribble_in_mask": "scribble in mask",
}
"""What the tables call the scores, in their order."""


def tiny(
    pictures: Annotated[int, typer.Option(min=2, help="How many fresh scenes to draw.")] = 100,
    largest: Annotated[int, typer.Option(min=1, max=8, help="Scenes with at most so many things.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of the first scene.")] = 9_000_000,
    formats: Annotated[bool, typer.Option("--formats", help="Each kind of location alone and mixed.")] = False,
    ablations: Annotated[bool, typer.Option("--ablations", help="One setting changed at a time.")] = False,
    gallery: Annotated[Path | None, typer.Option(help="Write the first 40 pictures as one PNG here.")] = None,
    model: options.Model = "tiny",
    json: options.Json = False,
) -> None:
    """How well the bundled model draws scenes it was never trained on, as a detector apart from the loop's sees it.

    Half of the scenes show a pair of colour and kind that training never did.
    """
    from rich.progress import Progress

    from agent.console import messages
    from eval.tiny_ablations import ablations as run_ablations
    from eval.tiny_bench import bench_formats, bench_tiny
    from eval.tiny_detector import TinyDetector

    referee = TinyDetector.referee()
    with Progress(console=messages()) as progress:
        artist = _Artist(model, progress)
        if ablations:
            result = run_ablations(artist.draw, referee, pictures, largest=largest, seed=seed)
        elif formats:
            result = bench_formats(artist.draw_plainly, referee, pictures, largest=largest, seed=seed)
        else:
            detectors = [referee, TinyDetector.load()]
            result = bench_tiny(artist.draw_plainly, detectors, pictures, largest=largest, seed=seed)
        if gallery is not None:
            _write_gallery(gallery, artist)
    show = _show_ablations if ablations else _show_formats if formats else _show
    emit_json({"model": model, **result}) if json else show(result)


class _Artist:
    """Draws with one loaded model under changing settings, and counts what it has drawn."""

    def __init__(self, model: str, progress: Progress) -> None:
        from agent.render import RenderSettings, load_renderer

        self._pipeline = load_renderer(model, RenderSettings()).pipeline
        self._scheduler = self._pipeline.scheduler
        self._progress = progress
        self._task = progress.add_task("drawing", total=None)
        self.drawn: list[tuple[Layout, Image]] = []

    def draw_plainly(self, layouts: Sequence[Layout], seeds: Sequence[int]) -> list[Image]:
        return self.draw(layouts, seeds, {})

    def draw(self, layouts: Sequence[Layout], seeds: Sequence[int], settings: dict[str, Any]) -> list[Image]:
        """Pictures under the pipeline's settings, and two more: ``scheduler``, a name; ``scaleu``, False for without."""
        import torch

        given = dict(settings)
        self._pipeline.scheduler = _scheduler(given.pop("scheduler", None), self._scheduler)
        with _without_scaleu(self._pipeline.unet, given.pop("scaleu", True)):
            generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
            images = self._pipeline(list(layouts), seed=list(seeds), generator=generators, **given).images
        self._progress.advance(self._task, len(images))
        self.drawn += zip(layouts, images, strict=True)
        return images
