"""The engine of a batch: takes pictures one by one, groups those that can share a pass, and hands them to workers."""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Protocol

from agent.batch.studio import ROWS, Drawn, Job, Outcome, Refusal, group_size, null_outcome
from agent.exits import ExitCode

LINGER = 0.1
"""Seconds that a worker waits for more pictures when its group is not full."""
ATTEMPTS = 3
"""How many workers may be lost over a group before its pictures are refused."""


class WorkerLost(Exception):
    """The worker died over its work; the message says how. The next call finds another one in its place."""


class Worker(Protocol):
    """Something with a studio of its own: a process, an actor. Only one thread uses it."""

    def rows(self) -> int:
        """How many rows a pass has there unless somebody says otherwise."""
        ...

    def draw(self, jobs: Sequence[Job], rows: int) -> list[Outcome]:
        """As ``Studio.draw``; WorkerLost when it died."""
        ...

    def close(self) -> None: ...


class NullWorker:
    """Draws nothing, at once: for measuring what everything else costs."""

    def rows(self) -> int:
        return ROWS

    def draw(self, jobs: Sequence[Job], rows: int) -> list[Outcome]:
        return [null_outcome(job, rows) for job in jobs]

    def close(self) -> None:
        pass


@dataclass(order=True)
class _Waiting:
    priority: int
    number: int
    job: Job = field(compare=False)
    future: Future[Outcome] = field(compare=False)
    lost: int = field(default=0, compare=False)


class Engine:
    """Workers and the pictures that wait for them, the lowest ``priority`` first.

    rows: of every UNet pass, as the workers choose when None; ``on_rows`` hears when passes did not fit into memory and
    were halved, which then holds for all workers.
    """

    def __init__(
        self,
        workers: Sequence[Callable[[], Worker]],
        rows: int | None = None,
        on_rows: Callable[[int], None] = lambda rows: None,
    ) -> None:
        self.rows = rows
        self.refusal: Refusal | None = None
        """What every further picture will be answered with, once that is known."""
        self._on_rows = on_rows
        self._waiting: list[_Waiting] = []
        self._idle = 0
        self._count = 0
        self._workers = len(workers)
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._serve, args=(start,), daemon=True, name=f"worker-{index}")
            for index, start in enumerate(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def in_flight(self) -> int:
        """How many pictures should wait or be drawn at a time, so that no worker is ever without a full group."""
        return 2 * len(self._threads) * group_size(self.rows or ROWS)

    def submit(self, job: Job, priority: int) -> Future[Outcome]:
        """The picture to come; CancelledError here or there when the engine is closed."""
        future: Future[Outcome] = Future()
        with self._changed:
            if self._closed:
                raise CancelledError
            if self.refusal is not None:
                future.set_result(self.refusal)
                return future
            self._count += 1
            self._waiting.append(_Waiting(priority, self._count, job, future))
            # Workers wait for the first one, and then a moment for as many as fill their groups.
            if len(self._waiting) == 1 or self._full():
                self._changed.notify_all()
        return future

    def close(self) -> None:
        """Ends the workers; what still waits is cancelled."""
        with self._changed:
            self._closed = True
            for waiting in self._waiting:
                waiting.future.cancel()
            self._waiting.clear()
            self._changed.notify_all()

    def _serve(self, start: Callable[[], Worker]) -> None:
        group: list[_Waiting] = []
        refusal: Refusal | None = None
        try:
            worker = start()
            try:
                self._learn_rows(worker)
                while refusal is None and (group := self._take()):
                    refusal = self._draw(worker, group)
            finally:
                worker.close()
        except Exception as error:
            trace = traceback.format_exc()
            refusal = Refusal("render", f"{type(error).__name__}: {error}", ExitCode.DEFECT, trace, lasting=True)
        if refusal is not None:
            self._retire(group, refusal)

    def _learn_rows(self, worker: Worker) -> None:
        for _ in range(ATTEMPTS):
            try:
                rows = worker.rows()
            except WorkerLost:
                continue
            with self._changed:
                self.rows = self.rows or rows
            return
        with self._changed:
            self.rows = self.rows or ROWS

    def _take(self) -> list[_Waiting]:
        """The next group for a worker, all of one kind; empty when the engine is closed."""
        with self._changed:
            self._idle += 1
            try:
                while not self._closed:
                    if self._waiting and self._enough():
                        return self._group()
                    self._changed.wait()
                return []
            finally:
                self._idle -= 1

    def _enough(self) -> bool:
        """Waits a moment for full groups for all idle workers; whether anything is left for this one then."""
        until = time.monotonic() + LINGER
        while not self._closed and not self._full():
            if (left := until - time.monotonic()) <= 0:
                break
            self._changed.wait(left)
        return bool(self._waiting) and not self._closed

    def _full(self) -> bool:
        return len(self._waiting) >= self._idle * group_size(self.rows or ROWS)

    def _group(self) -> list[_Waiting]:
        self._waiting.sort()
        kind = self._waiting[0].job.kind
        alike = [waiting for waiting in self._waiting if waiting.job.kind == kind]
        # What is left at the end is shared out, where several workers have nothing to do.
        size = min(group_size(self.rows or ROWS), math.ceil(len(alike) / self._idle))
        for waiting in alike[:size]:
            self._waiting.remove(waiting)
        return alike[:size]

    def _draw(self, worker: Worker, group: list[_Waiting]) -> Refusal | None:
        """Answers the group; or returns why this worker can draw nothing at all."""
        rows = self.rows or ROWS
        try:
            outcomes = worker.draw([waiting.job for waiting in group], rows)
        except WorkerLost as error:
            self._again(group, str(error))
            return None
        for outcome in outcomes:
            if isinstance(outcome, Refusal) and outcome.lasting:
                return outcome
        for waiting, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, Drawn):
                self._note_rows(outcome.rows)
            waiting.future.set_result(outcome)
        return None

    def _retire(self, group: list[_Waiting], refusal: Refusal) -> None:
        """A worker that can draw nothing leaves its work to the others; the last one answers for all."""
        with self._changed:
            self._workers -= 1
            self._waiting += [waiting for waiting in group if not waiting.future.done()]
            if self._workers == 0:
                self.refusal = refusal
                for waiting in self._waiting:
                    waiting.future.set_result(refusal)
                self._waiting.clear()
            self._changed.notify_all()

    def _again(self, group: list[_Waiting], message: str) -> None:
        """Puts the pictures back in the queue, or refuses those over which too many workers died."""
        with self._changed:
            for waiting in group:
                waiting.lost += 1
                if waiting.lost >= ATTEMPTS:
                    refusal = Refusal("render", f"{message}, {ATTEMPTS} times", ExitCode.UNAVAILABLE)
                    waiting.future.set_result(refusal)
                elif self._closed:
                    waiting.future.cancel()
                else:
                    self._waiting.append(waiting)
            self._changed.notify_all()

    def _note_rows(self, rows: int) -> None:
        with self._changed:
            if self.rows is not None and rows < self.rows:
                self.rows = rows
                self._on_rows(rows)
