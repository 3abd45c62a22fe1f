"""One item on its way through the loop: planned in turn, drawn by the engine, its rounds kept and recalled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from agent.batch.engine import Engine
from agent.batch.item_files import DrawnRound, ItemFiles
from agent.batch.items import Item, ReadyPlan
from agent.batch.studio import Drawn, Job, Refusal
from agent.chat.usage import Usage, add_usage
from agent.drawable import tiny_gaps
from agent.exits import ExitCode, Stop
from agent.loop import Event, Finished, Planned, run_loop
from agent.planner import Plan, Planner
from agent.render import RenderSettings
from agent.run import now
from diffusion.layout import Layout
from eval.manifest import Entry, Timings
from eval.report import FidelityReport

if TYPE_CHECKING:
    from PIL.Image import Image

PRIORITIES = 1000
"""More than rounds; of the same round, items that came earlier go first."""


@dataclass(frozen=True)
class BatchSettings:
    """What holds for every item that says nothing else. ``size``: (width, height) in pixels."""

    model: str
    size: tuple[int, int]
    rounds: int
    render: RenderSettings
    anyway: bool = False


class Refused(Exception):
    """The engine did not draw or check the picture."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Scene:
    """Runs the loop for an item. It is the loop's planner, renderer and check, so that it can recall earlier rounds."""

    def __init__(
        self,
        item: Item,
        place: int,
        files: ItemFiles,
        planner: Planner,
        engine: Engine,
        settings: BatchSettings,
        turns: threading.BoundedSemaphore,
    ) -> None:
        self.phase: Literal["plan", "render", "check", "save"] = "plan"
        self.name, self.usage = planner.name, Usage()
        self._item, self._place, self._files, self._engine, self._turns = item, place, files, engine, turns
        self._settings = settings
        self._notes: list[str] = list(item.notes)
        self._planner: Planner = planner if item.layout is None else ReadyPlan(item.layout)
        own = item.options.given()
        self._rounds = own.pop("rounds", settings.rounds)
        width, height = own.pop("width", settings.size[0]), own.pop("height", settings.size[1])
        self._size = (item.layout.width, item.layout.height) if item.layout is not None else (width, height)
        self._render = replace(settings.render, **own)
        self._plan: Plan | None = None
        self._planning = 0.0
        self._recalled: DrawnRound | None = None
        self._drawn: Drawn | None = None
        self._history: list[DrawnRound] = []

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self._notes)

    def draw(self) -> Entry:
        """The loop until the picture is accepted or the rounds are used up; the entry of what is on disk then.

        Refused, PlannerError, LayoutError, Stop or OSError when it fails; ``phase`` says at what.
        """
        if self._engine.refusal is not None:
            self.phase = self._engine.refusal.phase
            raise Refused(self._engine.refusal)
        width, height = self._size
        result = run_loop(
            self._item.text,
            self,
            self._picture,
            self._report,
            rounds=self._rounds,
            seed=self._item.seed,
            width=width,
            height=height,
            on_event=self._tell,
        )
        self.phase = "save"
        best = next(drawn for drawn in self._history if drawn.number == result.best.number)
        return self._files.write_best(self._history, best, (*self._notes, *result.notes), self.usage, now())

    def write_plan(self) -> tuple[str, str] | None:
        """Puts the plan of an item that failed on disk, if there is one; its path and hash."""
        return None if self._plan is None else self._files.write_plan(self._plan)

    def plan(self, prompt: str, *, width: int, height: int, seed: int) -> Plan:
        plan = self._next_plan(1, lambda: self._planner.plan(prompt, width=width, height=height, seed=seed))
        self._refuse_what_the_model_cannot_draw(plan.layout)
        return plan

    def replan(self, prompt: str, layout: Layout, report: FidelityReport, *, round_number: int, seed: int) -> Plan:
        def ask() -> Plan:
            return self._planner.replan(prompt, layout, report, round_number=round_number, seed=seed)

        return self._next_plan(round_number, ask)

    def _next_plan(self, number: int, ask: Callable[[], Plan]) -> Plan:
        self.phase = "plan"
        self._recalled = self._files.recall(number) if self._rounds > 1 else None
        if self._recalled is not None:
            self._plan = self._recalled.plan
        else:
            with self._turns:
                started = time.perf_counter()
                self._plan = ask()
                self._planning = time.perf_counter() - started
        add_usage(self.usage, self._plan.usage)
        return self._plan

    def _picture(self, layout: Layout, seed: int) -> Image:
        if self._recalled is not None and (self._recalled.plan.layout, self._recalled.seed) == (layout, seed):
            return self._recalled.image
        self._recalled = None
        self.phase = "render"
        rounds_left = PRIORITIES - len(self._history)
        outcome = self._engine.submit(Job(layout, seed, self._render), self._place * PRIORITIES + rounds_left).result()
        if isinstance(outcome, Refusal):
            self.phase = outcome.phase
            raise Refused(outcome)
        self._drawn = outcome
        return outcome.image

    def _report(self, layout: Layout, image: Image) -> FidelityReport:
        if self._recalled is not None:
            return self._recalled.report
        assert self._drawn is not None
        return self._drawn.report

    def _tell(self, event: Event) -> None:
        if isinstance(event, Planned):
            self._notes += event.plan.notes
        elif isinstance(event, Finished):
            self._finished(event)

    def _finished(self, event: Finished) -> None:
        round = event.round
        if self._recalled is not None:
            self._history.append(self._recalled)
            return
        assert self._drawn is not None
        timings = Timings(plan=self._planning, render=self._drawn.render_seconds, check=self._drawn.check_seconds)
        drawn = DrawnRound(round.number, round.plan, round.seed, round.image, round.report, self._drawn.score, timings)
        self._history.append(drawn)
        last = round.report.accepted or round.number == self._rounds
        if not last or len(self._history) > 1:
            self.phase = "save"
            self._files.keep(drawn)

    def _refuse_what_the_model_cannot_draw(self, layout: Layout) -> None:
        if self._settings.model != "tiny":
            return
        gaps = tiny_gaps(layout)
        if gaps.objects and not self._settings.anyway:
            names = ", ".join(instance.caption for instance in gaps.objects)
            raise Stop(
                f"the bundled model was never trained on: {names}; --anyway draws it nonetheless, --model sd15 draws "
                "any words",
                ExitCode.UNAVAILABLE,
            )
        self._notes += gaps.notes()
