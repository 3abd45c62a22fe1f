"""Processes of this machine that work for a batch: what each hosts, and how many draw: one a GPU, or one a core."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from agent.batch.engine import WorkerLost
from agent.batch.studio import Job, Outcome, Setup, Studio
from agent.checkers import CheckSettings
from agent.render import RenderSettings
from diffusion.places import TINY_FOLDER

GRACE = 10.0
"""Seconds that a process may take to end."""
MOST = 8
"""More processes are started only when asked for: each holds a copy of the model."""
SMALL = 200 * 1024 * 1024
"""Weights of fewer bytes are drawn with one process a core; larger ones share the cores' memory."""


class Hosted:
    """An object in a process of its own, for one thread; when the process dies, the next call finds another one.

    ``make`` makes the object there. It, arguments, results and exceptions must be picklable.
    """

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make
        self._start()

    def ask(self, method: str, *arguments: object, **named: object) -> Any:
        """What the object's method returns, or raises; WorkerLost when the process died over it."""
        try:
            self._connection.send((method, arguments, named))
            result, error = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(GRACE)
            code = self._process.exitcode
            self.close()
            self._start()
            how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
            raise WorkerLost(f"the process that worked on it {how}") from None
        if error is not None:
            raise error
        return result

    def close(self) -> None:
        self._process.terminate()
        self._process.join(GRACE)
        self._process.kill()
        self._process.join()
        self._connection.close()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process: SpawnProcess = context.Process(target=_serve, args=(theirs, self._make), daemon=True)
        self._process.start()
        theirs.close()


class ProcessWorker:
    """A process with a studio of its own."""

    def __init__(self, setup: Setup) -> None:
        self._studio = Hosted(partial(Studio, setup))

    def rows(self) -> int:
        return self._studio.ask("rows")

    def draw(self, jobs: Sequence[Job], rows: int) -> list[Outcome]:
        return self._studio.ask("draw", jobs, rows)

    def close(self) -> None:
        self._studio.close()


def local_workers(
    model: str, checking: CheckSettings, settings: RenderSettings, count: int | None
) -> list[partial[ProcessWorker]]:
    """How to start each worker: one a GPU where there are some, else one a core while the model is small."""
    gpus = 0 if settings.device == "cpu" else _gpus()
    small = _weight_bytes(model) < SMALL
    wanted = count or gpus or (min(cores(), MOST) if small else 1)
    # One thread where processes share the cores: threads that wait for each other at every step are slower.
    threads = None if gpus else 1 if small else max(1, cores() // wanted)
    return [partial(ProcessWorker, Setup(model, checking, settings, index, threads)) for index in range(wanted)]


def _serve(connection: Connection, make: Callable[[], object]) -> None:
    """The process: answers until the other side is gone. It leaves interruptions to its parent, and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    hosted = make()
    while True:
        try:
            method, arguments, named = connection.recv()
            connection.send(_answer(getattr(hosted, method), arguments, named))
        except (EOFError, OSError):
            break
    # Whoever closed the connection may also send a signal, which must not disturb the end.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _answer(method: Callable, arguments: tuple, named: dict) -> tuple[object, Exception | None]:
    try:
        return method(*arguments, **named), None
    except Exception as error:
        # Tracebacks do not travel between processes; notes do, and are printed with the other side's.
        error.add_note(traceback.format_exc())
        return None, error


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _end(number: int, frame: object) -> None:
    """Ends in order: what libraries hold of the system's would else be cleaned up by others, aloud."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + number)


def _end_with_parent() -> None:
    """A killed batch must not leave processes behind that go on drawing."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _gpus() -> int:
    """How many GPUs this process may use, as far as the system shows without loading torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def _weight_bytes(model: str) -> float:
    folder = TINY_FOLDER if model == "tiny" else Path(model)
    files = list(folder.rglob("*.safetensors")) if folder.is_dir() else []
    return sum(file.stat().st_size for file in files) if files else float("inf")
