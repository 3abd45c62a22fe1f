"""How a command ends: the exit codes, and the one place that turns any exception into a line for the person."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeVar

from agent.console import fail, warn

Result = TypeVar("Result")

_interrupted = False

DEBUG_VARIABLE = "SCENEWRIGHT_DEBUG"
INSPECT = f"set {DEBUG_VARIABLE}=1 to see the traceback here"


class ExitCode(IntEnum):
    DONE = 0
    DEFECT = 1
    BAD_INPUT = 2
    NOT_ACCEPTED = 3
    UNAVAILABLE = 4
    INTERRUPTED = 130


EXIT_CODES = (
    "Exit codes: 0 done (and accepted, where there is a check), 1 a defect of scenewright, 2 bad input or usage, "
    "3 done but not accepted, 4 a model or service is unavailable, 130 interrupted."
)


class Stop(Exception):
    """Ends a command with a message for the person at the keyboard and an exit code."""

    def __init__(self, message: str, exit_code: int = ExitCode.BAD_INPUT) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Defect(Exception):
    """An unexpected exception whose traceback has been written to ``traceback_file``."""

    def __init__(self, error: BaseException, traceback_file: Path) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.traceback_file = traceback_file


def expected_exit_code(error: BaseException) -> int | None:
    """The exit code of an error that the person can act on; None for a defect of ours."""
    from diffusion.layout import LayoutError

    if is_interruption(error):
        return ExitCode.INTERRUPTED
    own: int | None = getattr(error, "exit_code", None)
    if own is None and isinstance(error, LayoutError | OSError):
        return ExitCode.BAD_INPUT
    return own


def guarded(command: Callable[[], Result]) -> Result:
    """The command's result; any exception ends the process with one message and a documented exit code."""
    heard = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not signal.SIG_IGN]
    handlers = {number: signal.signal(number, _interrupt) for number in heard}
    try:
        return command()
    except BaseException as error:
        # The reader of standard output has seen enough, as in ``| head``; rich makes a SystemExit of it.
        cause = error.__context__ if isinstance(error, SystemExit) else error
        if isinstance(cause, BrokenPipeError):
            raise SystemExit(ExitCode.DONE) from None
        if isinstance(error, SystemExit) or is_framework_exit(error):
            raise
        raise SystemExit(report(error)) from None
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def is_interruption(error: BaseException) -> bool:
    """True for Ctrl-C and SIGTERM, also where a library made another exception of the KeyboardInterrupt."""
    return isinstance(error, KeyboardInterrupt) or _interrupted


def report(error: BaseException) -> int:
    """Tells the person about the error and returns the exit code."""
    code = expected_exit_code(error)
    if debugging():
        traceback.print_exception(error)
    if code == ExitCode.INTERRUPTED:
        warn("interrupted")
    elif code is not None:
        fail(in_words(error))
    else:
        code = ExitCode.DEFECT
        defect = error if isinstance(error, Defect) else Defect(error, write_traceback(error))
        fail(f"a defect of scenewright, please report it: {defect}")
        warn(f"the traceback is in {defect.traceback_file} ({INSPECT})")
    return int(code)


def write_traceback(error: BaseException, folder: Path | None = None) -> Path:
    """Writes the traceback to ``traceback.txt`` in the folder, or to a temporary file, and returns its path."""
    text = "".join(traceback.format_exception(error))
    if folder is not None:
        path = folder / "traceback.txt"
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
        return path
    handle, name = tempfile.mkstemp(prefix="scenewright-", suffix=".traceback.txt")
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
    return Path(name)


def debugging() -> bool:
    return os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")


def flush_standard_output() -> None:
    """Flushes standard output; a reader that has left (``| head``) is no error."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes once more as it ends: give it somewhere to write.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def is_framework_exit(error: BaseException) -> bool:
    """True for typer's own ways to end a command: Exit, Abort and usage errors, which typer reports itself."""
    return type(error).__module__.startswith(("typer.", "click."))


def in_words(error: BaseException) -> str:
    """An error that the person can act on, without its type."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror}"
    return str(error)


def _interrupt(signum: int, frame: Any) -> None:
    global _interrupted
    _interrupted = True
    raise KeyboardInterrupt
