"""What the command line says and where: results on standard output, everything else on standard error."""

from __future__ import annotations

import functools
import json
import logging
import os
import sys
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 160


def emit(text: str) -> None:
    """A line of result on standard output, escaped so that no text of a prompt can steer the terminal."""
    sys.stdout.write(printable(text) + "\n")


def emit_json(value: Any, *, indent: int | None = 2) -> None:
    """JSON on standard output; ASCII escapes where the terminal's encoding is not a Unicode one."""
    encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
    text = json.dumps(value, ensure_ascii=not encoding.startswith("utf"), indent=indent, allow_nan=False)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """A line of progress."""
    messages().print(printable(text))


def note(text: str) -> None:
    """Something that the person should know and need not act on."""
    _marked("note", "cyan", text)


def warn(text: str) -> None:
    _marked("warning", "yellow", text)


def fail(text: str) -> None:
    _marked("error", "bold red", text)


class NoteHandler(logging.Handler):
    """Shows each different record of a logger once, as a note."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self._shown:
            self._shown.add(text)
            note(text)


def quiet_transformers() -> None:
    """Leaves standard error to our own messages."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


@functools.cache
def messages() -> Console:
    """The rich console on standard error; a run goes on when nobody reads its messages any more."""
    from rich.console import Console

    class Messages(Console):
        def on_broken_pipe(self) -> None:
            self.quiet = True

    return Messages(stderr=True, markup=False, highlight=False, soft_wrap=True, emoji=False)


def results() -> Console:
    """A rich console on standard output, for tables; as wide as they need where no terminal limits them."""
    from rich.console import Console

    limited = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(markup=False, highlight=False, emoji=False, width=None if limited else WIDE)


def unwrapped(text: str | None) -> str:
    """A docstring as help: its paragraphs without the line breaks within them, which a terminal sets anew."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in (text or "").split("\n\n"))


def printable(text: str) -> str:
    """The text with control and formatting characters and lone surrogates escaped; line ends stay."""
    return "".join(c.encode("unicode_escape").decode() if _steers(c) else c for c in text)


def _steers(character: str) -> bool:
    return character != "\n" and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _marked(word: str, style: str, text: str) -> None:
    from rich.text import Text

    first, *rest = printable(text).split("\n")
    messages().print(Text.assemble((f"{word}: ", style), first))
    for line in rest:
        messages().print(Text("  " + line))
