"""What every form of dataset is made from: the pictures of a run that are good enough, each with its labels.

Boxes are normalised xyxy here; each form writes its own convention and its card says which.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent.exits import Stop
from agent.kept import KeptItem, KeptRun
from agent.score_sources import kinds_of
from diffusion.layout import Box, Layout, Mask
from eval.matching import KindNames
from eval.report import Detection, FidelityReport, InstanceVerdict

LabelSource = Literal["matched", "planned", "detected"]
Split = Literal["train", "val"]

LABEL_SOURCES: dict[LabelSource, str] = {
    "matched": "the detected box of every planned instance that was found",
    "planned": "the planned box of every instance that has one",
    "detected": "every box that the detector found, planned or not",
}


@dataclass(frozen=True)
class Label:
    """One labelled thing. ``box`` is the label; ``planned`` and ``detected`` are both kept beside it.

    ``instance`` is the planned instance's id, None for a thing that nobody planned. ``mask`` is the planned one.
    ``score``, ``colour`` and ``texture`` are what the detector said of the thing.
    """

    category: str
    caption: str | None
    box: Box
    instance: str | None = None
    planned: Box | None = None
    detected: Box | None = None
    iou: float | None = None
    score: float | None = None
    colour: str | None = None
    texture: str | None = None
    mask: Mask | None = None


@dataclass(frozen=True)
class Sample:
    """One picture of the dataset; ``image`` is the run's file."""

    item: KeptItem
    image: Path
    layout: Layout
    report: FidelityReport
    labels: tuple[Label, ...]
    split: Split

    @property
    def name(self) -> str:
        return self.item.name

    def facts(self) -> dict[str, str | int | float | bool | None]:
        """What is true of the whole picture, for the forms that have a place for it."""
        return {
            "id": self.item.id,
            "prompt": self.item.prompt,
            "caption": self.layout.caption,
            "background": self.layout.background,
            "seed": self.item.seed,
            "mean_iou": self.report.mean_iou,
            "accepted": self.report.accepted,
            "detector": self.report.detector,
        }


@dataclass(frozen=True)
class Selection:
    """The samples, the names of their categories in the order of their numbers, and what was left out, by reason."""

    samples: tuple[Sample, ...]
    categories: tuple[str, ...]
    left_out: dict[str, int]


def select(run: KeptRun, labels: LabelSource, min_iou: float | None, val: float) -> Selection:
    """The pictures with a mean IoU (misses as 0) of at least ``min_iou``; all of them when that is None.

    ``val``: the share that goes to the validation split, by the item's id alone. Stop when nothing is left.
    """
    names, samples = KindNames(), []
    left_out: dict[str, int] = {"not finished yet": run.unfinished} if run.unfinished else {}
    for item in run.items:
        reason = _reason(item, min_iou)
        if reason is not None:
            left_out[reason] = left_out.get(reason, 0) + 1
            continue
        _check_name(item.name)
        layout, report = item.layout(), item.read_report()
        found = tuple(_labels(layout, report, labels, names))
        samples.append(Sample(item, item.image_file(), layout, report, found, _split(item.id, val)))
    if not samples:
        told = "; ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise Stop(f"{run.folder}: none of {run.expected} items is exported: {told}")
    categories = sorted({label.category for sample in samples for label in sample.labels})
    return Selection(tuple(samples), tuple(categories), left_out)


def pixels(box: Box, layout: Layout) -> tuple[float, float, float, float]:
    """COCO's [left, top, width, height] in pixels."""
    return box.x0 * layout.width, box.y0 * layout.height, box.width * layout.width, box.height * layout.height


def _reason(item: KeptItem, min_iou: float | None) -> str | None:
    """Why an item is left out; None when it is taken."""
    if not item.drawn:
        return f"without a picture ({item.state})"
    if item.report is None:
        return "never checked"
    if min_iou is None:
        return None
    mean = item.read_report().mean_iou
    if mean is None:
        return "with nothing that the detector could score"
    return f"below a mean IoU of {min_iou:g}" if mean < min_iou else None


def _labels(layout: Layout, report: FidelityReport, source: LabelSource, names: KindNames) -> Iterator[Label]:
    kinds = kinds_of(report.detector)

    def category(noun: str) -> str:
        return names.of(noun, kinds) or names.of(noun, None) or noun

    for verdict in report.instances:
        box = verdict.planned if source == "planned" else verdict.detected
        if box is not None:
            yield _planned(layout, verdict, box, category(verdict.category))
    for detection in report.unplanned if source == "detected" else ():
        yield _unplanned(detection, category(detection.label))


def _planned(layout: Layout, verdict: InstanceVerdict, box: Box, category: str) -> Label:
    return Label(
        category=category,
        caption=verdict.caption,
        box=box,
        instance=verdict.id,
        planned=verdict.planned,
        detected=verdict.detected,
        iou=verdict.iou,
        score=verdict.score,
        colour=verdict.colour,
        texture=verdict.texture,
        mask=layout.instance(verdict.id).mask,
    )


def _unplanned(detection: Detection, category: str) -> Label:
    return Label(
        category=category,
        caption=None,
        box=detection.box,
        detected=detection.box,
        score=detection.score,
        colour=detection.colour,
        texture=detection.texture,
    )


def _split(id: str, val: float) -> Split:
    """The same item goes to the same split in every run and export."""
    share = int.from_bytes(hashlib.sha256(id.encode()).digest()[:8]) / 2**64
    return "val" if share < val else "train"


def splits(samples: Sequence[Sample]) -> dict[Split, list[Sample]]:
    """The samples of each split that has any, train first."""
    every: dict[Split, list[Sample]] = {"train": [], "val": []}
    for sample in samples:
        every[sample.split].append(sample)
    return {split: members for split, members in every.items() if members}


def _check_name(name: str) -> None:
    if Path(name).name != name or name.startswith("."):
        raise Stop(f"{name!r}: not a file name: the manifest was not written by a batch")
