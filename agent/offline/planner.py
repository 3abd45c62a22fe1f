"""The planner that needs no LLM: it reads the text by rules and places boxes by solving the relations it read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agent.critic import critique
from agent.offline.place import place
from agent.offline.replan import replan
from agent.parsing.naming import caption_of, instance_ids
from agent.parsing.parse import parse
from agent.parsing.tokens import clean
from agent.planner import Plan
from diffusion.layout import Instance, Layout
from eval.report import FidelityReport

REVISIONS = 6
"""How often a plan that the critic objects to is placed anew."""


class OfflinePlanner:
    """Any nouns, no network, the same plan for the same prompt and seed."""

    name = "offline"

    def __init__(self) -> None:
        self.usage: dict[str, float] = {}

    def plan(self, prompt: str, *, width: int, height: int, seed: int) -> Plan:
        """A plan for the prompt; PlannerError when there is nothing in it to plan, or more than a plan holds."""
        scene = parse(prompt)
        placement = place(scene, width, height, seed)
        things = [scene.things[member.thing] for member in placement.graph.members]
        parts = zip(instance_ids(scene), things, placement.boxes, placement.depths, strict=True)
        instances = tuple(
            Instance(id=instance_id, category=thing.noun[:400], caption=caption_of(thing), box=box, depth=depth)
            for instance_id, thing, box, depth in parts
        )
        layout = Layout(
            version=1,
            caption=clean(prompt),
            background=", ".join(scene.background),
            negative_prompt=", ".join(dict.fromkeys(scene.negated)),
            width=width,
            height=height,
            instances=instances,
        )
        notes = [
            *scene.notes,
            *(f"could not be satisfied together with the rest: {words}" for words in placement.unmet),
        ]
        if not instances:
            notes.append("no single thing is asked for: the plan is its background alone")
        return Plan(layout, tuple(dict.fromkeys(notes)))

    def revise(self, prompt: str, layout: Layout, remarks: Sequence[str], *, seed: int) -> Plan:
        """The things placed anew, a few times over: the plan of which the critic has least to say, with the remarks."""
        plans = [
            self.plan(prompt, width=layout.width, height=layout.height, seed=seed * 1000 + attempt)
            for attempt in range(1, REVISIONS + 1)
        ]
        best = min(plans, key=lambda plan: len(critique(prompt, plan.layout).findings))
        return replace(best, notes=(*best.notes, *(f"placed anew: {remark}" for remark in remarks)))

    def replan(self, prompt: str, layout: Layout, report: FidelityReport, *, round_number: int, seed: int) -> Plan:
        """A corrected plan that quotes the report; accepted instances stay where they are."""
        return replan(prompt, layout, report, round_number=round_number, seed=seed)
