"""Planning by rules in processes of its own: it keeps a core busy, and threads would take turns at it."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from agent.batch.processes import cores, follow_parent
from agent.criticised import CriticisedPlanner
from agent.offline import OfflinePlanner
from agent.planner import Plan, Planner, PlannerUnavailable, Reviser
from diffusion.layout import Layout
from eval.report import FidelityReport

ATTEMPTS = 3
"""How many times the processes may die over a plan before it fails."""


@contextmanager
def criticised(planner: Reviser, planners: int) -> Iterator[Planner]:
    """The planner under the critic, for ``planners`` threads: the offline one in processes, others where they are."""
    if not isinstance(planner, OfflinePlanner):
        yield CriticisedPlanner(planner)
        return
    processes = PlanningProcesses(planners)
    try:
        yield processes
    finally:
        processes.close()


class PlanningProcesses:
    """The offline planner and the critic, as a Planner that any number of threads may ask.

    At most ``most`` processes, and no more than there are cores; each starts when there is work for it. When one is
    killed, others take its place and its plan is made anew.
    """

    name = OfflinePlanner.name

    def __init__(self, most: int) -> None:
        self.usage: dict[str, float] = {}
        self._count = min(most, cores())
        self._pool = self._new_pool()
        self._lock = threading.Lock()

    def plan(self, prompt: str, *, width: int, height: int, seed: int) -> Plan:
        return self._ask("plan", prompt, width=width, height=height, seed=seed)

    def replan(self, prompt: str, layout: Layout, report: FidelityReport, *, round_number: int, seed: int) -> Plan:
        return self._ask("replan", prompt, layout, report, round_number=round_number, seed=seed)

    def close(self) -> None:
        """Ends the processes; plans that are still waited for are cancelled (CancelledError)."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, method: str, *arguments: object, **named: object) -> Plan:
        for _ in range(ATTEMPTS):
            pool = self._pool
            try:
                return pool.submit(_answer, method, arguments, named).result()
            except BrokenProcessPool:
                with self._lock:
                    if self._pool is pool:
                        self._pool = self._new_pool()
        raise PlannerUnavailable(f"the process that planned it was killed, {ATTEMPTS} times")

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._count, multiprocessing.get_context("spawn"), initializer=follow_parent)


def _answer(method: str, arguments: tuple, named: dict) -> Plan:
    return getattr(CriticisedPlanner(OfflinePlanner()), method)(*arguments, **named)
