"""What a planner is: text in, a validated Layout out; and a corrected Layout from a report of what was drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from diffusion.layout import Layout
from eval.report import FidelityReport


class PlannerError(Exception):
    """Planning failed for a reason the person can act on; the message says what to do."""

    exit_code = 2


class PlannerUnavailable(PlannerError):
    """The planner's service cannot be reached, refuses, or ran out of time."""

    exit_code = 4


@dataclass(frozen=True)
class Plan:
    """A Layout with what the planner has to say about it."""

    layout: Layout
    notes: tuple[str, ...] = ()
    """Lines for the person: words that were not understood, counts that were capped, choices made."""
    usage: dict[str, int] = field(default_factory=dict)
    """LLM tokens by kind ("input_tokens", "output_tokens"), summed over attempts; empty offline."""
    new_seed: bool = False
    """True when a replan asks for another initial noise, because moving boxes has not helped."""


class Planner(Protocol):
    """Both methods raise PlannerError (bad input) or PlannerUnavailable (service)."""

    name: str

    def plan(self, prompt: str, *, width: int, height: int, seed: int) -> Plan:
        """A plan for the prompt on a canvas of width x height pixels; the same seed gives the same plan."""
        ...

    def replan(self, prompt: str, layout: Layout, report: FidelityReport, *, round_number: int, seed: int) -> Plan:
        """A corrected plan: instance ids are kept, instances the report accepts stay where they are."""
        ...
