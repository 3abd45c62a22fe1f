"""WebDataset: shards ``SPLIT-000000.tar`` of at most 1000 samples, each with a picture, a caption and its labels.

A sample's files share a key, its number: a name may hold dots, at which WebDataset would cut it. The same run gives
the same bytes.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

from agent.export.coco import segmentation
from agent.export.samples import Label, Sample, Selection, splits
from diffusion.layout import Box

BOXES = "in `json`, `box`, `planned` and `detected` name their coordinates: `{x0, y0, x1, y1}`, shares of the picture"
SHARD = 1000


def write_webdataset(folder: Path, selection: Selection) -> None:
    numbers = {name: number for number, name in enumerate(selection.categories)}
    for split, samples in splits(selection.samples).items():
        for start in range(0, len(samples), SHARD):
            with tarfile.open(folder / f"{split}-{start // SHARD:06d}.tar", "w", format=tarfile.PAX_FORMAT) as shard:
                for index, sample in enumerate(samples[start : start + SHARD], start=start):
                    _add(shard, f"{index:08d}", sample, numbers)


def _add(shard: tarfile.TarFile, key: str, sample: Sample, numbers: dict[str, int]) -> None:
    facts = {
        "name": sample.name,
        **sample.facts(),
        "width": sample.layout.width,
        "height": sample.layout.height,
        "objects": [_object(label, sample, numbers) for label in sample.labels],
    }
    files = {
        sample.image.suffix.lstrip("."): sample.image.read_bytes(),
        "txt": sample.layout.caption.encode(),
        "json": json.dumps(facts, ensure_ascii=False).encode(),
    }
    for ending, data in files.items():
        entry = tarfile.TarInfo(f"{key}.{ending}")
        entry.size, entry.mode = len(data), 0o644
        shard.addfile(entry, io.BytesIO(data))


def _object(label: Label, sample: Sample, numbers: dict[str, int]) -> dict[str, Any]:
    def named(box: Box | None) -> dict[str, float] | None:
        return None if box is None else box.model_dump()

    return {
        "category": label.category,
        "category_id": numbers[label.category],
        "instance": label.instance,
        "caption": label.caption,
        "box": named(label.box),
        "planned": named(label.planned),
        "detected": named(label.detected),
        "iou": label.iou,
        "score": label.score,
        "colour": label.colour,
        "texture": label.texture,
        "segmentation": segmentation(label.mask, sample.layout) if label.mask else None,
    }
