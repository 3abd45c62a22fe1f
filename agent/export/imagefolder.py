"""Hugging Face's ``imagefolder``: ``SPLIT/NAME.png`` and ``SPLIT/metadata.jsonl``, one line a picture.

``objects`` holds a list for each property of the things, all in the same order; ``bbox`` is [left, top, width, height]
in pixels. The folder loads with ``datasets.load_dataset("imagefolder", data_dir=...)``.

No list holds a null, for which an empty text, an empty box or 0 stands: pyarrow, which reads the lines, puts nulls of
nested lists in other places, and fails where all are null.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from agent.export.coco import segmentation
from agent.export.samples import Sample, Selection, pixels, splits

BOXES = (
    "`objects.bbox` is `[left, top, width, height]` in pixels; `objects.planned_bbox` and `objects.detected_bbox` are "
    "written the same way; `objects.segmentation` is COCO's, as JSON text; an empty text or box, or 0, is none"
)
FOLDERS = {"train": "train", "val": "validation"}


def write_imagefolder(folder: Path, selection: Selection) -> None:
    numbers = {name: number for number, name in enumerate(selection.categories)}
    for split, samples in splits(selection.samples).items():
        here = folder / FOLDERS[split]
        here.mkdir()
        with (here / "metadata.jsonl").open("w", encoding="utf-8") as lines:
            for sample in samples:
                file_name = f"{sample.name}{sample.image.suffix}"
                shutil.copyfile(sample.image, here / file_name)
                row = {"file_name": file_name, **sample.facts(), "objects": _objects(sample, numbers)}
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")


def _objects(sample: Sample, numbers: dict[str, int]) -> dict[str, list[Any]]:
    labels, layout = sample.labels, sample.layout
    return {
        "bbox": [list(pixels(label.box, layout)) for label in labels],
        "category": [label.category for label in labels],
        "category_id": [numbers[label.category] for label in labels],
        "instance": [label.instance or "" for label in labels],
        "caption": [label.caption or "" for label in labels],
        "planned_bbox": [list(pixels(label.planned, layout)) if label.planned else [] for label in labels],
        "detected_bbox": [list(pixels(label.detected, layout)) if label.detected else [] for label in labels],
        "iou": [label.iou or 0.0 for label in labels],
        "score": [label.score or 0.0 for label in labels],
        "colour": [label.colour or "" for label in labels],
        "texture": [label.texture or "" for label in labels],
        "segmentation": [json.dumps(segmentation(label.mask, layout)) if label.mask else "" for label in labels],
    }
