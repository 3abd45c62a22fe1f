"""``scenewright export``: a run's pictures as a dataset with labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from agent.commands import options
from agent.console import emit, emit_json, say
from agent.exits import Stop


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder of generate or batch.", show_default=False)],
    to: Annotated[
        Literal["coco", "yolo", "imagefolder", "webdataset"],
        typer.Option("--to", help="The form of the dataset.", show_default=False),
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="DIR", help="The dataset's folder, a new one.", show_default=False),
    ],
    labels: Annotated[
        Literal["matched", "planned", "detected"],
        typer.Option(
            "--labels",
            help="matched: the detected box of each planned thing that was found; planned: the planned boxes; "
            "detected: all that the detector found. The other boxes are kept beside the label where the form has room.",
        ),
    ] = "matched",
    min_iou: Annotated[
        float, typer.Option("--min-iou", min=0.0, max=1.0, help="Pictures with a lower mean IoU are left out.")
    ] = 0.5,
    everything: Annotated[bool, typer.Option("--all", help="Every picture, whatever its score.")] = False,
    val: Annotated[
        float, typer.Option("--val", min=0.0, max=1.0, help="Share of the pictures set apart for validation, by id.")
    ] = 0.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the dataset that DIR holds.")] = False,
    json: options.Json = False,
) -> None:
    """Write a run's pictures as a dataset: images, boxes, captions, attributes, masks, and a card with the scores."""
    from agent.export import card, coco, imagefolder, samples, webdataset, yolo
    from agent.files import new_folder
    from agent.kept import read_run

    write, boxes = {
        "coco": (coco.write_coco, coco.BOXES),
        "yolo": (yolo.write_yolo, yolo.BOXES),
        "imagefolder": (imagefolder.write_imagefolder, imagefolder.BOXES),
        "webdataset": (webdataset.write_webdataset, webdataset.BOXES),
    }[to]
    _refuse_what_is_there(output, overwrite)
    kept = read_run(run)
    threshold = None if everything else min_iou
    selection = samples.select(kept, labels, threshold, val)
    with new_folder(output, replace=overwrite) as folder:
        write(folder, selection)
        text = card.card(kept, selection, to, boxes, labels, threshold)
        (folder / "README.md").write_text(text, encoding="utf-8")
    for reason, count in selection.left_out.items():
        say(f"left out: {count} {reason}")
    if json:
        emit_json(
            {
                "folder": str(output),
                "form": to,
                "exported": len(selection.samples),
                "of": kept.expected,
                "labels": sum(len(sample.labels) for sample in selection.samples),
                "left_out": selection.left_out,
            }
        )
    else:
        emit(f"{len(selection.samples)} of {kept.expected} items as {to} in {output}")


def _refuse_what_is_there(output: Path, overwrite: bool) -> None:
    from agent.export.card import MARK

    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    readme = output / "README.md"
    ours = readme.is_file() and MARK in readme.read_text(encoding="utf-8", errors="replace")
    if not ours:
        raise Stop(f"{output}: is there already and is no dataset of ours: choose another folder")
    if not overwrite:
        raise Stop(f"{output}: there is a dataset in this folder; choose another, or --overwrite it")
