"""A preview of a picture in terminals that can show one: kitty's or iTerm2's protocol, else 24-bit half blocks."""

from __future__ import annotations

import base64
import io
import os
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from PIL.Image import Image

Protocol = Literal["kitty", "iterm2", "blocks"]

COLUMNS = 48
KITTY_CHUNK = 4096


def preview(image: Image, stream: TextIO) -> bool:
    """Shows the image on the stream when it is a terminal that can; False when it cannot."""
    protocol = terminal_protocol(os.environ) if stream.isatty() else None
    if protocol is None:
        return False
    stream.write(encode(image, protocol, min(COLUMNS, shutil.get_terminal_size().columns)) + "\n")
    stream.flush()
    return True


def terminal_protocol(environment: Mapping[str, str]) -> Protocol | None:
    """What the terminal says of itself; None when it promises no pictures and no 24-bit colours."""
    program, term = environment.get("TERM_PROGRAM", ""), environment.get("TERM", "")
    multiplexed = "TMUX" in environment or term.startswith("screen")
    if "NO_COLOR" in environment or term == "dumb":
        return None
    if not multiplexed and ("KITTY_WINDOW_ID" in environment or "kitty" in term or program == "ghostty"):
        return "kitty"
    if not multiplexed and program in ("iTerm.app", "WezTerm"):
        return "iterm2"
    return "blocks" if environment.get("COLORTERM") in ("truecolor", "24bit") else None


def encode(image: Image, protocol: Protocol, columns: int) -> str:
    """The characters that draw the image, ``columns`` cells wide."""
    if protocol == "blocks":
        return _blocks(image, columns)
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format="PNG")
    data = base64.standard_b64encode(buffer.getvalue()).decode()
    if protocol == "iterm2":
        return f"\x1b]1337;File=inline=1;width={columns};preserveAspectRatio=1:{data}\a"
    chunks = [data[start : start + KITTY_CHUNK] for start in range(0, len(data), KITTY_CHUNK)]
    last = len(chunks) - 1
    return "".join(
        f"\x1b_G{f'a=T,f=100,c={columns},' if index == 0 else ''}m={int(index < last)};{chunk}\x1b\\"
        for index, chunk in enumerate(chunks)
    )


def _blocks(image: Image, columns: int) -> str:
    """Two pixels a cell: the upper one is the foreground of a half block, the lower one its background."""
    rows = max(1, min(columns, round(image.height / image.width * columns / 2)))
    small = image.convert("RGB").resize((columns, rows * 2))
    pixels = small.tobytes()

    def rgb(x: int, y: int) -> str:
        start = 3 * (y * columns + x)
        return ";".join(str(value) for value in pixels[start : start + 3])

    lines = (
        "".join(f"\x1b[38;2;{rgb(x, 2 * row)}m\x1b[48;2;{rgb(x, 2 * row + 1)}m▀" for x in range(columns))
        for row in range(rows)
    )
    return "\n".join(line + "\x1b[0m" for line in lines)
