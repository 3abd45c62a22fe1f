"""Scores as tables on standard output: every value with its interval and denominator, floor and ceiling beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.style import Style
from rich.table import Table
from rich.text import Text

from agent.console import emit, printable, results

if TYPE_CHECKING:
    from eval.paired import Difference
    from eval.readings import Counted
    from eval.score_record import ItemScore, ScoreRecord
    from eval.scores import Estimate

TITLES = {
    "mean_iou": "mean IoU, missing as 0",
    "mean_iou_matched": "mean IoU, matched only",
    "recall_50": "recall at IoU 0.5",
    "recall_75": "recall at IoU 0.75",
    "ap": "COCO AP",
    "ap_50": "COCO AP50",
    "ap_75": "COCO AP75",
    "ar_100": "COCO AR",
    "attributes": "attributes, missing as wrong",
    "attributes_matched": "attributes, matched only",
    "colour": "colour, missing as wrong",
    "texture": "texture, missing as wrong",
    "count": "count right",
    "accepted": "accepted",
}
BY = {
    "category": "by category",
    "size": "by size (share of the canvas)",
    "overlap": "by overlap (largest IoU with another planned box)",
    "number": "by number of instances in the plan",
}


def show_record(record: ScoreRecord, worst: int) -> None:
    results().print(_scores(record))
    for by, groups in record.by.items():
        results().print()
        results().print(_groups(BY[by], groups))
    if worst and record.items:
        results().print()
        results().print(_worst(record.items[:worst], len(record.items)))
    emit("")
    emit(
        f"{record.pictures} pictures, {record.planned} planned instances, {record.scored} of them scored; detector "
        f"{record.detector}; boxes compared as {record.box_convention}"
    )
    for what, how in record.readings.items():
        emit(f"{what}: {how}")
    for line in record.notes:
        emit(f"note: {line}")


def show_comparison(differences: Mapping[str, Difference], notes: Sequence[str], a: str, b: str) -> None:
    table = _table("score", "A", "B", "A - B", "95 % interval", "p", "over")
    for name, found in differences.items():
        table.add_row(
            TITLES[name],
            f"{found.a:.3f}",
            f"{found.b:.3f}",
            f"{found.difference:+.3f}",
            _interval(found.ci95, "+.3f"),
            "-" if found.p_value is None else f"{found.p_value:.4f}",
            f"{found.of[0]} and {found.of[1]} in {found.pictures} pictures",
        )
    results().print(table)
    emit(f"A: {a}")
    emit(f"B: {b}")
    emit("paired by item; p: two-sided, 10000 sign flips of whole pictures; interval: pictures drawn anew")
    for line in notes:
        emit(f"note: {line}")


def show_readings(counted: Sequence[Counted]) -> None:
    table = _table("planned as", "detected as", "counting", "matched only", "missing as 0", "off the canvas")
    for one in counted:
        table.add_row(
            one.planned_as,
            one.detected_as,
            one.counting,
            f"{_number(one.mean_matched, 4)} over {one.matched}",
            f"{_number(one.mean, 4)} over {one.planned}",
            "-" if one.off_canvas is None else f"{one.off_canvas} of {one.planned}",
        )
    results().print(table)


def _scores(record: ScoreRecord) -> Table:
    table = _table("score", "value", "95 % interval", "over", "floor", "ceiling")
    for name, title in TITLES.items():
        if (found := record.scores.get(name)) is not None:
            beside = ((side or {}).get(name) for side in (record.floor, record.ceiling))
            table.add_row(
                title,
                _number(found.value),
                _interval(found.ci95),
                f"{found.of} {found.unit}",
                *("-" if one is None else f"{_number(one.value)} ({one.of})" for one in beside),
            )
    return table


def _groups(title: str, groups: Mapping[str, Mapping[str, Estimate]]) -> Table:
    table = _table(title, "over", "mean IoU", "95 % interval", "matched only", "recall 0.5", "recall 0.75")
    for name, scores in groups.items():
        mean = scores["mean_iou"]
        matched = scores["mean_iou_matched"]
        table.add_row(
            printable(name),
            str(mean.of),
            _number(mean.value),
            _interval(mean.ci95),
            f"{_number(matched.value)} ({matched.of})",
            _number(scores["recall_50"].value),
            _number(scores["recall_75"].value),
        )
    return table


def _worst(items: Sequence[ItemScore], of: int) -> Table:
    table = _table(f"worst {len(items)} of {of}", "IoU", "why", "picture")
    for item in items:
        why = "; ".join(item.reasons) or "accepted"
        table.add_row(printable(item.id), _number(item.mean_iou, 2), printable(why), _link(item.image))
    return table


def _link(image: str | None) -> Text:
    """The picture's path, which terminals that can open it on a click."""
    if image is None:
        return Text("-")
    return Text(printable(image), style=Style(link=Path(image).absolute().as_uri()), overflow="fold")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _number(value: float | None, decimals: int = 3) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"


def _interval(interval: tuple[float, float] | None, form: str = ".3f") -> str:
    return "-" if interval is None else f"{interval[0]:{form}} to {interval[1]:{form}}"
