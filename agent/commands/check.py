"""``scenewright check``: hold a picture against its plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.commands import options
from agent.console import emit, emit_json
from agent.exits import ExitCode

if TYPE_CHECKING:
    from eval.report import FidelityReport


def check(
    plan: options.PlanFile,
    image: Annotated[
        Path, typer.Argument(metavar="IMAGE", help="The picture, of the plan's shape.", show_default=False)
    ],
    check_with: options.CheckWith = "tiny",
    score_with: options.ScoreWith = None,
    looks: options.Looks = "clip",
    device: options.Device = "auto",
    overlay: Annotated[
        Path | None,
        typer.Option(
            "--overlay", metavar="FILE", help="Also draw planned and detected boxes there.", show_default=False
        ),
    ] = None,
    json: options.Json = False,
    format: options.Format = None,
    bbox: options.Bbox = None,
    canvas: options.Canvas = None,
    clip: options.Clip = False,
    resample: options.Resample = False,
    entry: options.Entry = None,
) -> None:
    """Check a picture against its plan: exit code 0 when it is accepted, 3 when it is not.

    With --score-with the report and the exit code are that detector's, and the report says what the check said.
    """
    from agent.checkers import CheckSettings, load_checkers
    from agent.commands.plan_file import read_plan
    from agent.pictures import open_image
    from agent.render import pick_device

    layout = read_plan(plan, format=format, bbox=bbox, canvas=canvas, clip=clip, resample=resample, entry=entry)
    picture = open_image(image)
    checkers = load_checkers(CheckSettings(check_with, score_with, looks), pick_device(device))
    report = checkers.score(layout, picture, checkers.check(layout, picture))
    if overlay is not None:
        from agent.files import write_output
        from agent.run import png_bytes
        from eval.overlay import draw_overlay

        write_output(overlay, png_bytes(draw_overlay(picture, layout, report), {}))
    emit_json(report.to_dict()) if json else show_report(report)
    raise typer.Exit(ExitCode.DONE if report.accepted else ExitCode.NOT_ACCEPTED)


def show_report(report: FidelityReport) -> None:
    """The report as a table on standard output, with its denominator and detector."""
    from rich.table import Table

    from agent.console import printable, results

    table = Table("id", "what", "IoU", "verdict", box=None, header_style="bold", pad_edge=False)
    for verdict in report.instances:
        iou = "-" if verdict.iou is None else f"{verdict.iou:.2f}"
        table.add_row(*(printable(cell) for cell in (verdict.id, verdict.caption, iou, verdict.reason)))
    results().print(table)
    for thing in report.unplanned:
        what = " ".join(word for word in (thing.colour, thing.label) if word)
        emit(f"unplanned: {what} ({thing.score:.2f})")
    if report.mean_iou is not None:
        low, high = report.mean_iou_ci95 or (None, None)
        interval = "" if low is None else f" (95 % interval {low:.2f} to {high:.2f})"
        emit(
            f"mean IoU {report.mean_iou:.2f}{interval}, recall at 0.5 {report.recall_50:.2f}, over {report.scored} "
            f"planned instances; detector {report.detector}, boxes {report.box_convention}"
        )
    if report.roles is not None:
        emit(report.roles.note)
    if report.unjudged:
        emit(f"not judged, for this detector does not know them: {', '.join(report.unjudged)}")
    emit("accepted" if report.accepted else "not accepted:")
    for reason in report.reasons:
        emit(f"  {reason}")
