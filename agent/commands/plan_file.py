"""Plans as files that people hand to a command: read from a path, or from standard input for ``-``."""

from __future__ import annotations

import sys
from pathlib import Path

from diffusion.layout import MAX_FILE_BYTES, Layout, LayoutError, parse_layout, read_layout


def read_plan(path: Path) -> Layout:
    """The plan in the file; LayoutError names the file, the field and what was expected."""
    if str(path) != "-":
        return read_layout(path)
    data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise LayoutError(f"standard input: more than {MAX_FILE_BYTES} bytes, which no layout needs")
    return parse_layout(data, source="standard input")
