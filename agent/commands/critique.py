"""``scenewright critique``: what is wrong with plans as far as rules can tell, before anything is drawn from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.commands import options
from agent.console import emit, emit_json, note, warn
from agent.exits import ExitCode

if TYPE_CHECKING:
    from agent.critic import Finding


def critique(
    plans: Annotated[
        Path,
        typer.Argument(
            metavar="PLANS",
            help="A plan, or a file of them; - is standard input.",
            show_default=False,
        ),
    ],
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", help="The text to hold a plan against; its own caption when not given."),
    ] = None,
    json: options.Json = False,
    format: options.Format = None,
    bbox: options.Bbox = None,
    canvas: options.Canvas = None,
    clip: options.Clip = False,
    resample: options.Resample = False,
) -> None:
    """Read plans as a critic: counts, colours and relations against the text, sizes, perspective, what cannot be drawn.

    A line for each finding, then how many there are of each code and in how many plans. The exit code is 2 when a plan
    of the file cannot be read; the others are judged nonetheless.
    """
    from agent.commands.plan_file import read_plans
    from agent.critic import critique as judge
    from diffusion.layout import LayoutError

    found: list[tuple[str, tuple[Finding, ...]]] = []
    refused = 0
    for reading in read_plans(plans, format=format, bbox=bbox, canvas=canvas, clip=clip, resample=resample):
        if isinstance(reading, LayoutError):
            refused += 1
            warn(str(reading))
            continue
        verdict = judge(prompt if prompt is not None else reading.layout.caption, reading.layout)
        for line in (*reading.notes, *verdict.notes):
            note(f"{reading.source}: {line}")
        found.append((reading.source, verdict.findings))
    _emit_json(found) if json else _show(found)
    raise typer.Exit(ExitCode.BAD_INPUT if refused else ExitCode.DONE)


def _emit_json(found: list[tuple[str, tuple[Finding, ...]]]) -> None:
    plans = [{"source": source, "critique": [finding.to_dict() for finding in findings]} for source, findings in found]
    emit_json({"plans": plans, "codes": _summary(found)})


def _show(found: list[tuple[str, tuple[Finding, ...]]]) -> None:
    from rich.table import Table

    from agent.console import results
    from agent.critic import CODES

    for source, findings in found:
        for finding in findings:
            emit(f"{source}: {finding}")
    table = Table("code", "findings", "plans", "means", box=None, header_style="bold", pad_edge=False)
    for code, counts in _summary(found).items():
        table.add_row(code, str(counts["findings"]), str(counts["plans"]), CODES[code])  # type: ignore[index]
    results().print(table)
    total, clean = sum(len(findings) for _, findings in found), sum(not findings for _, findings in found)
    emit(f"findings: {total}; plans without any: {clean} of {len(found)}")


def _summary(found: list[tuple[str, tuple[Finding, ...]]]) -> dict[str, dict[str, Any]]:
    from agent.critic import CODES

    return {
        code: {
            "findings": sum(finding.code == code for _, findings in found for finding in findings),
            "plans": sum(any(finding.code == code for finding in findings) for _, findings in found),
        }
        for code in CODES
    }
