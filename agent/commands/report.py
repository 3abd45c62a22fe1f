"""``scenewright report``: a run as one HTML page to look through."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.commands import options
from agent.console import emit, emit_json


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder of generate or batch.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="The page; RUN/report.html when not given."),
    ] = None,
    side: Annotated[
        int, typer.Option("--side", min=32, max=2048, help="Pictures in the page have at most so many pixels a side.")
    ] = 256,
    json: options.Json = False,
) -> None:
    """Write a run as one HTML page: pictures with planned and detected boxes, plans, rounds, filters and charts.

    The page holds everything it needs; it opens from a file, without a server or a network.
    """
    from rich.progress import Progress

    from agent.console import messages
    from agent.files import write_output
    from agent.kept import read_run
    from agent.report.data import page_data
    from agent.report.page import page

    kept = read_run(run)
    target = output or run / "report.html"
    with Progress(console=messages(), transient=True) as progress:
        task = progress.add_task("reading the run", total=len(kept.items))
        text = page(page_data(kept, side, lambda: progress.advance(task)))
    write_output(target, text.encode())
    if json:
        emit_json({"page": str(target), "items": len(kept.items), "bytes": len(text.encode())})
    else:
        emit(str(target))
