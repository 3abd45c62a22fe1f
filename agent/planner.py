"""What a planner is: text in, a validated Layout out; and a corrected Layout from a report of what was drawn."""

from __future__ import annotations

from collections.abc import Sequence
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
    usage: dict[str, float] = field(default_factory=dict)
    """What asking an LLM took, summed over attempts: "input_tokens", "output_tokens" and, where its price is
    configured, "cost"; empty offline and from the cache."""
    cached: bool = False
    """True when the plan is one that the LLM gave earlier."""
    new_seed: bool = False
    """True when a replan asks for another initial noise."""


class Planner(Protocol):
    """Both methods raise PlannerError (bad input) or PlannerUnavailable (service)."""

    name: str
    usage: dict[str, float]
    """What asking an LLM took so far, also in vain; empty offline."""

    def plan(self, prompt: str, *, width: int, height: int, seed: int) -> Plan:
        """A plan for the prompt on a canvas of width x height pixels; the same seed gives the same plan."""
        ...

    def replan(self, prompt: str, layout: Layout, report: FidelityReport, *, round_number: int, seed: int) -> Plan:
        """A corrected plan: instance ids are kept, instances the report accepts stay where they are."""
        ...


class Reviser(Planner, Protocol):
    """A planner that can also correct a plan before anything was drawn from it."""

    def revise(self, prompt: str, layout: Layout, remarks: Sequence[str], *, seed: int) -> Plan:
        """A plan corrected after remarks on it, a line each; positions in them are shares of the canvas."""
        ...
