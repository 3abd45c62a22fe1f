"""The plans that a person hands to a command: a file of ours or of other people's, or standard input for ``-``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from agent.console import note
from agent.exits import Stop
from diffusion.layout import Layout, LayoutError

if TYPE_CHECKING:
    from diffusion.formats import Reading

STANDARD_INPUT = "/dev/stdin"


def read_plan(
    path: Path,
    *,
    format: str | None = None,
    bbox: str | None = None,
    canvas: str | None = None,
    clip: bool = False,
    resample: bool = False,
    entry: str | None = None,
) -> Layout:
    """The plan in the file; how it was read is noted for the person. LayoutError names file, field and expectation."""
    from diffusion.formats import read_one

    reading = read_one(
        STANDARD_INPUT if str(path) == "-" else path,
        entry,
        format=format,
        bbox=bbox,
        canvas=parse_canvas(canvas),
        clip=clip,
        resample=resample,
    )
    for line in reading.notes:
        note(line)
    return reading.layout


def read_plans(
    path: Path,
    *,
    format: str | None = None,
    bbox: str | None = None,
    canvas: str | None = None,
    clip: bool = False,
    resample: bool = False,
) -> Iterator[Reading | LayoutError]:
    """Every plan of the file in order, a LayoutError in the place of each that cannot be read."""
    from diffusion.formats import read_each

    return read_each(
        STANDARD_INPUT if str(path) == "-" else path,
        format=format,
        bbox=bbox,
        canvas=parse_canvas(canvas),
        clip=clip,
        resample=resample,
    )


def parse_canvas(text: str | None) -> tuple[int, int] | None:
    """``--canvas 512x512`` as (width, height); Stop when it is no size."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if match is None:
        raise Stop(f"--canvas {text}: not a size; write width x height in pixels, such as 512x512")
    return int(match[1]), int(match[2])
