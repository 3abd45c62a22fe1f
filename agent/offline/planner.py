"""The planner that needs no LLM: it reads the text by rules and places boxes by solving the relations it read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter

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
"""How often a plan that the critic objects to is placed anew at most."""


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
        """The things placed anew until the critic has nothing to say, or a few times: then the best of these."""
        tried: list[tuple[int, Plan]] = []
        while len(tried) < REVISIONS and all(findings for findings, _ in tried):
            plan = self.plan(prompt, width=layout.width, height=layout.height, seed=seed * 1000 + len(tried) + 1)
            tried.append((len(critique(prompt, plan.layout).findings), plan))
        _, best = min(tried, key=itemgetter(0))
        return replace(best, notes=(*best.notes, *(f"placed anew: {remark}" for remark in remarks)))

    def replan(self, prompt: str, layout: Layout, report: FidelityReport, *, round_number: int, seed: int) -> Plan:
        """A corrected plan that quotes the report; accepted instances stay where they are."""
        return replan(prompt, layout, report, round_number=round_number, seed=seed)
