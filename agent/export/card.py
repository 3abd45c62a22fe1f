"""The dataset's card, README.md: what is in it, how it was made and chosen, and how its scores are distributed."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from agent.export.samples import LABEL_SOURCES, LabelSource, Selection, splits
from agent.kept import KeptRun
from agent.score_sources import judged_as_reported
from agent.score_tables import TITLES
from eval.scores import Estimate, scores

MARK = "<!-- written by scenewright export -->"
BINS = 10


def card(run: KeptRun, selection: Selection, form: str, boxes: str, labels: LabelSource, min_iou: float | None) -> str:
    """The card as Markdown; whatever comes from prompts is escaped."""
    front = {"task_categories": ["object-detection"], "tags": ["synthetic", "scenewright"]}
    samples = selection.samples
    threshold = "all pictures, whatever their score" if min_iou is None else f"a mean IoU of at least {min_iou:g}"
    counts = {split: len(members) for split, members in splits(samples).items()}
    lines = [
        "---",
        yaml.safe_dump(front, sort_keys=False).strip(),
        "---",
        MARK,
        "# Pictures drawn from plans, with labels",
        "",
        f"{len(samples)} of the {run.expected} items of a run, as `{form}`: "
        + ", ".join(f"{count} {split}" for split, count in counts.items())
        + f". Chosen: {threshold}, planned things that were not found counted as 0.",
        "",
        *(f"- left out: {count} {reason}" for reason, count in selection.left_out.items()),
        "",
        "## Labels",
        "",
        f"The label is {LABEL_SOURCES[labels]} (`--labels {labels}`). Boxes: {boxes}. Masks, where there are any, are "
        "the planned ones. Things that were drawn and not found by the detector have no label unless the label is the "
        "planned box.",
        "",
        *_table(("category", "labels"), _category_counts(selection)),
        "## Scores of the pictures",
        "",
        *_table(("score", "value", "95 % interval", "over"), (_score_row(n, e) for n, e in _scores(selection).items())),
        "## Distribution of the mean IoU",
        "",
        *_table(("mean IoU", "pictures"), _histogram([sample.report.mean_iou for sample in samples])),
        "## Settings of the run",
        "",
        "```json",
        json.dumps(_settings(run.record), ensure_ascii=True, indent=2),
        "```",
        "",
    ]
    return "\n".join(lines)


def _scores(selection: Selection) -> dict[str, Estimate]:
    pictures = [(sample.item.id, sample.layout, sample.report) for sample in selection.samples]
    return {name: estimate for name, estimate in scores(judged_as_reported(pictures)).items() if estimate.of}


def _score_row(name: str, estimate: Estimate) -> tuple[str, str, str, str]:
    interval = "-" if estimate.ci95 is None else f"{estimate.ci95[0]:.3f} to {estimate.ci95[1]:.3f}"
    return TITLES[name], f"{estimate.value:.3f}", interval, f"{estimate.of} {estimate.unit}"


def _category_counts(selection: Selection) -> list[tuple[str, str]]:
    counts = Counter(label.category for sample in selection.samples for label in sample.labels)
    return [(category, str(counts[category])) for category in selection.categories]


def _histogram(values: Sequence[float | None]) -> list[tuple[str, str]]:
    known = Counter(min(int(value * BINS), BINS - 1) for value in values if value is not None)
    rows = [(f"{n / BINS:.1f} to {(n + 1) / BINS:.1f}", str(known[n])) for n in range(BINS)]
    unknown = sum(value is None for value in values)
    return [*rows, ("nothing to score", str(unknown))] if unknown else rows


def _settings(record: dict[str, Any]) -> dict[str, Any]:
    """What the run was made with; its prompts stand with their pictures."""
    return {
        key: record[key]
        for key in ("command", "options", "settings", "weights", "planner", "renderer", "versions")
        if key in record
    }


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_row(head), "|" + "---|" * len(head), *map(_row, rows), ""]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escaped, cells))} |"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line of a table."""
    return re.sub(r"([\\`*_{}\[\]<>#|!&~$])", r"\\\1", " ".join(text.split()))
