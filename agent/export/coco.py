"""COCO: ``images/``, ``annotations/instances_SPLIT.json`` and ``annotations/captions_SPLIT.json``.

``bbox`` is [left, top, width, height] in pixels. ``segmentation`` is the planned mask where the plan has one. Beside
COCO's own keys each annotation names the instance, its caption, both boxes, their IoU and what the detector said.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.export.samples import Label, Sample, Selection, pixels, splits
from diffusion.layout import Layout, Mask

BOXES = "`bbox` is `[left, top, width, height]` in pixels; `planned_bbox` and `detected_bbox` are written the same way"


def write_coco(folder: Path, selection: Selection) -> None:
    categories = [{"id": number, "name": name} for number, name in enumerate(selection.categories, start=1)]
    numbers = {name: number for number, name in enumerate(selection.categories, start=1)}
    (folder / "images").mkdir()
    (folder / "annotations").mkdir()
    for split, samples in splits(selection.samples).items():
        for sample in samples:
            shutil.copyfile(sample.image, folder / "images" / _file_name(sample))
        images = [_image(number, sample) for number, sample in enumerate(samples, start=1)]
        info = {"description": "exported by scenewright", "version": "1.0"}
        instances = _annotations(samples, numbers)
        captions = [
            {"id": number, "image_id": number, "caption": sample.layout.caption}
            for number, sample in enumerate(samples, start=1)
        ]
        for name, rest in (
            ("instances", {"annotations": instances, "categories": categories}),
            ("captions", {"annotations": captions}),
        ):
            text = json.dumps({"info": info, "licenses": [], "images": images, **rest}, ensure_ascii=False)
            (folder / "annotations" / f"{name}_{split}.json").write_text(text, encoding="utf-8")


def segmentation(mask: Mask, layout: Layout) -> dict[str, Any] | list[list[float]]:
    """A mask in COCO's spelling: polygons in pixels, or a run-length code."""
    if mask.polygons is not None:
        return [[value for p in ring for value in (p.x * layout.width, p.y * layout.height)] for ring in mask.polygons]
    assert mask.rle is not None
    counts = mask.rle.counts
    return {"size": list(mask.rle.size), "counts": counts if isinstance(counts, str) else list(counts)}


def _image(number: int, sample: Sample) -> dict[str, Any]:
    own = {"id": number, "file_name": _file_name(sample)}
    facts = {key if key != "id" else "item": value for key, value in sample.facts().items()}
    return {**own, "width": sample.layout.width, "height": sample.layout.height, **facts}


def _file_name(sample: Sample) -> str:
    return f"{sample.name}{sample.image.suffix}"


def _annotations(samples: Sequence[Sample], numbers: dict[str, int]) -> list[dict[str, Any]]:
    annotations: list[dict[str, Any]] = []
    for image, sample in enumerate(samples, start=1):
        for label in sample.labels:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": numbers[label.category],
                    **_annotation(label, sample.layout),
                }
            )
    return annotations


def _annotation(label: Label, layout: Layout) -> dict[str, Any]:
    left, top, width, height = pixels(label.box, layout)
    return {
        "bbox": [left, top, width, height],
        "area": width * height,
        "iscrowd": 0,
        **({"segmentation": segmentation(label.mask, layout)} if label.mask else {}),
        "instance": label.instance,
        "caption": label.caption,
        "planned_bbox": None if label.planned is None else list(pixels(label.planned, layout)),
        "detected_bbox": None if label.detected is None else list(pixels(label.detected, layout)),
        "iou": label.iou,
        "score": label.score,
        "colour": label.colour,
        "texture": label.texture,
    }
