"""A planner whose plans the critic reads before anything is drawn: what it finds goes back to the planner once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from agent.chat.usage import add_usage
from agent.critic import Critique, Finding, critique
from agent.planner import Plan, PlannerError, Reviser
from diffusion.layout import Layout, LayoutError
from eval.report import FidelityReport


@dataclass(frozen=True)
class Revision:
    """What the critic said of a plan, and what became of it.

    ``remaining`` are the findings of the plan that goes on: those of the revised plan where that one has fewer, else
    those of the first. ``reason`` says why a plan with findings was kept.
    """

    critique: Critique
    plan: Plan
    revised: bool
    remaining: tuple[Finding, ...]
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As ``run.json`` holds it."""
        return {
            "findings": [finding.to_dict() for finding in self.critique.findings],
            "notes": list(self.critique.notes),
            "revised": self.revised,
            "remaining": [finding.to_dict() for finding in self.remaining],
            "reason": self.reason,
        }


class CriticisedPlanner:
    """Plans as ``planner`` does, with one revision after the critic's findings; replans are left to it alone.

    What the critic still finds is among the plan's notes; ``on_revision`` hears of every plan, also of one without
    findings. A revision that fails, or that the critic likes no better, leaves the first plan in place: a critic must
    never cost a picture.
    """

    def __init__(self, planner: Reviser, on_revision: Callable[[Revision], None] = lambda revision: None) -> None:
        self._planner, self._on_revision = planner, on_revision
        self.name, self.usage = planner.name, planner.usage

    def plan(self, prompt: str, *, width: int, height: int, seed: int) -> Plan:
        plan = self._planner.plan(prompt, width=width, height=height, seed=seed)
        revision = revised_once(self._planner, prompt, plan, seed=seed)
        self._on_revision(revision)
        return replace(revision.plan, notes=(*revision.plan.notes, *map(str, revision.remaining)))

    def replan(self, prompt: str, layout: Layout, report: FidelityReport, *, round_number: int, seed: int) -> Plan:
        return self._planner.replan(prompt, layout, report, round_number=round_number, seed=seed)


def revised_once(planner: Reviser, prompt: str, plan: Plan, *, seed: int) -> Revision:
    """The plan after one round with the critic; its usage counts the revision, also where that is not taken."""
    said = critique(prompt, plan.layout)
    if not said.findings:
        return Revision(said, plan, False, ())
    remarks = [finding.message for finding in said.findings]
    try:
        better = planner.revise(prompt, plan.layout, remarks, seed=seed)
    except (PlannerError, LayoutError) as error:
        return Revision(said, plan, False, said.findings, f"the revision failed: {error}")
    left = critique(prompt, better.layout).findings
    usage = dict(plan.usage)
    add_usage(usage, better.usage)
    plan = replace(plan, usage=usage)
    if (better.layout.width, better.layout.height) != (plan.layout.width, plan.layout.height):
        return Revision(said, plan, False, said.findings, "the revision has another canvas")
    if len(left) >= len(said.findings):
        return Revision(said, plan, False, said.findings, f"the revision has {len(left)} findings itself")
    notes = tuple(dict.fromkeys((*plan.notes, *better.notes)))
    return Revision(said, replace(better, notes=notes, usage=usage, cached=plan.cached and better.cached), True, left)
