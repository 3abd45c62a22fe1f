"""Planning by rules in processes of its own: it keeps a core busy, and threads would take turns at it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from queue import LifoQueue

from agent.batch.engine import ATTEMPTS, WorkerLost
from agent.batch.processes import Hosted, cores
from agent.criticised import CriticisedPlanner
from agent.offline import OfflinePlanner
from agent.planner import Plan, Planner, PlannerUnavailable, Reviser
from diffusion.layout import Layout
from eval.report import FidelityReport


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
    killed, another takes its place and its plan is made anew.
    """

    name = OfflinePlanner.name

    def __init__(self, most: int) -> None:
        self.usage: dict[str, float] = {}
        self._idle: LifoQueue[Hosted | None] = LifoQueue()
        for _ in range(min(most, cores())):
            self._idle.put(None)

    def plan(self, prompt: str, *, width: int, height: int, seed: int) -> Plan:
        return self._ask("plan", prompt, width=width, height=height, seed=seed)

    def replan(self, prompt: str, layout: Layout, report: FidelityReport, *, round_number: int, seed: int) -> Plan:
        return self._ask("replan", prompt, layout, report, round_number=round_number, seed=seed)

    def close(self) -> None:
        """Ends the processes that have nothing to do; others end with this one."""
        while not self._idle.empty():
            if hosted := self._idle.get():
                hosted.close()

    def _ask(self, method: str, *arguments: object, **named: object) -> Plan:
        hosted = self._idle.get()
        try:
            hosted = hosted or Hosted(_planner)
            for _ in range(ATTEMPTS):
                try:
                    return hosted.ask(method, *arguments, **named)
                except WorkerLost as lost:
                    message = str(lost)
            raise PlannerUnavailable(f"{message}, {ATTEMPTS} times")
        finally:
            self._idle.put(hosted)


def _planner() -> CriticisedPlanner:
    return CriticisedPlanner(OfflinePlanner())
