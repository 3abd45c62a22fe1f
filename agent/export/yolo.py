"""The folder convention of Ultralytics' detectors: ``images/SPLIT``, ``labels/SPLIT`` and ``data.yaml``.

A label file has a line a thing: ``class x y width height``, the box's centre and sides in shares of the picture; a
picture without labels has an empty one. ``data.yaml`` stands in the dataset's root and names no path, which then is the
folder it stands in. The convention has no place for captions, attributes or masks.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from agent.export.samples import Label, Selection, splits

BOXES = "a line a thing, `class x_centre y_centre width height`, in shares of the picture"


def write_yolo(folder: Path, selection: Selection) -> None:
    numbers = {name: number for number, name in enumerate(selection.categories)}
    present = splits(selection.samples)
    for split, samples in present.items():
        images, labels = folder / "images" / split, folder / "labels" / split
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        for sample in samples:
            shutil.copyfile(sample.image, images / f"{sample.name}{sample.image.suffix}")
            lines = "".join(_line(label, numbers[label.category]) for label in sample.labels)
            (labels / f"{sample.name}.txt").write_text(lines, encoding="ascii")
    first = next(iter(present))
    data = {
        # Ultralytics asks for both; without pictures set apart, it validates on those it trains on.
        "train": "images/train" if "train" in present else f"images/{first}",
        "val": "images/val" if "val" in present else f"images/{first}",
        "nc": len(numbers),
        "names": {number: name for name, number in numbers.items()},
    }
    (folder / "data.yaml").write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _line(label: Label, number: int) -> str:
    box, centre = label.box, label.box.center
    return f"{number} {centre.x:.6f} {centre.y:.6f} {box.width:.6f} {box.height:.6f}\n"
