"""The loop: plan, render, check, replan with what was measured; the best round is what comes back."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from agent.planner import Plan, Planner, PlannerError
from diffusion.layout import Layout, LayoutError
from eval.attributes import wanted_attributes
from eval.report import FidelityReport

if TYPE_CHECKING:
    from PIL import Image

Render: TypeAlias = "Callable[[Layout, int], Image.Image]"
"""(layout, seed) -> RGB image of the layout's size; the same arguments give the same image."""

Check: TypeAlias = "Callable[[Layout, Image.Image], FidelityReport]"


@dataclass(frozen=True)
class Timings:
    """Seconds."""

    plan: float
    render: float
    check: float


@dataclass(frozen=True, eq=False)
class Round:
    """One plan that was drawn and checked. ``number`` counts from 1; ``seed`` is that of the initial noise."""

    number: int
    plan: Plan
    seed: int
    image: Image.Image
    report: FidelityReport
    timings: Timings


@dataclass(frozen=True, eq=False)
class LoopResult:
    """The rounds that were drawn, at least one, and notes on those that were not."""

    rounds: tuple[Round, ...]
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> Round:
        """The round with the highest rank (see FidelityReport); of equals the earliest."""
        return max(self.rounds, key=lambda candidate: candidate.report.rank)

    @property
    def accepted(self) -> bool:
        return self.best.report.accepted


@dataclass(frozen=True)
class Planned:
    """A plan is about to be drawn."""

    number: int
    plan: Plan
    seed: int


@dataclass(frozen=True, eq=False)
class Rendered:
    """A picture is about to be checked."""

    number: int
    image: Image.Image


@dataclass(frozen=True, eq=False)
class Finished:
    """A round is done; ``result`` is what the loop would return if it ended here."""

    round: Round
    result: LoopResult


@dataclass(frozen=True)
class Discarded:
    """A round ends without a picture: its plan was not drawn, or there is no plan. ``reason`` says why."""

    number: int
    plan: Plan | None
    reason: str


Event: TypeAlias = Planned | Rendered | Finished | Discarded


def run_loop(
    prompt: str,
    planner: Planner,
    render: Render,
    check: Check,
    *,
    rounds: int,
    seed: int,
    width: int,
    height: int,
    on_event: Callable[[Event], None] = lambda event: None,
) -> LoopResult:
    """At most ``rounds`` rounds of planning, drawing and checking; it stops as soon as a picture is accepted.

    A replan starts from the best round so far and its report, and is drawn from that round's initial noise, unless the
    plan asks for another: then from one that the seed and the round's number decide. A replan that breaks what it must
    keep (see ``broken_promises``), or that has been drawn before, uses up its round without being drawn. When the
    planner fails in a later round, the loop ends with what it has; a failure in the first one is the caller's
    (PlannerError). An exception from ``render``, ``check`` or ``on_event``, KeyboardInterrupt included, ends the loop;
    the last ``Finished`` event holds the result until then.
    """
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}")
    result = LoopResult(())
    for number in range(1, rounds + 1):
        started = time.perf_counter()
        try:
            plan, noise = _next_plan(prompt, planner, result, number, seed, width, height)
        except (PlannerError, LayoutError) as error:
            if not result.rounds:
                raise
            return _discard(result, Discarded(number, None, f"the planner failed: {error}"), on_event)
        planned = time.perf_counter()
        if problems := _objections(result, plan, noise):
            result = _discard(result, Discarded(number, plan, "; ".join(problems)), on_event)
            continue
        on_event(Planned(number, plan, noise))
        drawing = time.perf_counter()
        image = render(plan.layout, noise)
        drawn = time.perf_counter()
        on_event(Rendered(number, image))
        checking = time.perf_counter()
        report = check(plan.layout, image)
        timings = Timings(planned - started, drawn - drawing, time.perf_counter() - checking)
        finished = Round(number, plan, noise, image, report, timings)
        result = LoopResult((*result.rounds, finished), result.notes)
        on_event(Finished(finished, result))
        if report.accepted:
            break
    return result


def broken_promises(before: Layout, report: FidelityReport, after: Layout) -> list[str]:
    """What a replan of ``before`` changed and must not, a line each; empty when it kept its promises.

    It keeps the canvas, the instances' ids and categories and the colours and textures that their captions ask for
    (else a plan could be corrected by asking for less), and accepted instances as they are but for their depth.
    """
    accepted = {verdict.id for verdict in report.instances if verdict.accepted}
    return list(_broken(before, accepted, after))


def derived_seed(seed: int, number: int) -> int:
    """Another seed, 0 to 2**31 - 1, always the same for a seed and a round's number."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4]) >> 1


def _next_plan(
    prompt: str, planner: Planner, result: LoopResult, number: int, seed: int, width: int, height: int
) -> tuple[Plan, int]:
    """The round's plan, and the seed of the noise to draw it from."""
    if not result.rounds:
        plan = planner.plan(prompt, width=width, height=height, seed=seed)
        if (plan.layout.width, plan.layout.height) != (width, height):
            raise PlannerError(
                f"the planner {planner.name!r} planned {plan.layout.width} x {plan.layout.height} pixels; "
                f"{width} x {height} were asked for"
            )
        return plan, seed
    best = result.best
    plan = planner.replan(prompt, best.plan.layout, best.report, round_number=number, seed=seed)
    return plan, derived_seed(seed, number) if plan.new_seed else best.seed


def _objections(result: LoopResult, plan: Plan, noise: int) -> list[str]:
    if not result.rounds:
        return []
    best = result.best
    problems = broken_promises(best.plan.layout, best.report, plan.layout)
    for drawn in result.rounds:
        if (drawn.plan.layout, drawn.seed) == (plan.layout, noise):
            problems.append(f"the replan is the plan of round {drawn.number} again, from the same noise")
    return problems


def _discard(result: LoopResult, discarded: Discarded, on_event: Callable[[Event], None]) -> LoopResult:
    on_event(discarded)
    return LoopResult(result.rounds, (*result.notes, f"round {discarded.number} was not drawn: {discarded.reason}"))


def _broken(before: Layout, accepted: set[str], after: Layout) -> Iterator[str]:
    if (before.width, before.height) != (after.width, after.height):
        yield f"the canvas became {after.width} x {after.height}; it was {before.width} x {before.height}"
    old_ids, new_ids = ({instance.id for instance in layout} for layout in (before, after))
    if lost := sorted(old_ids - new_ids):
        yield f"the replan lost {', '.join(lost)}"
    if added := sorted(new_ids - old_ids):
        yield f"the replan added {', '.join(added)}"
    for old in before:
        if old.id not in new_ids:
            continue
        new = after.instance(old.id)
        if old.category != new.category:
            yield f"{old.id} became {new.category!r}; it was {old.category!r}"
        elif wanted_attributes(old.caption) != wanted_attributes(new.caption):
            yield f"{old.id} became {new.caption!r}; it was {old.caption!r}"
        elif old.id in accepted and old != new.model_copy(update={"depth": old.depth}):
            yield f"{old.id} was changed although it was accepted"
