"""The critic as a whole: a plan and the text it was made for, to findings."""

from __future__ import annotations

from dataclasses import dataclass

from agent.critic.drawing import drawing_findings
from agent.critic.finding import CODES, Finding
from agent.critic.ground import ground_findings
from agent.critic.placing import placing_findings
from agent.critic.reading import Reading, read
from agent.critic.subject import subjects_of
from agent.critic.wording import wording_findings
from agent.parsing.parse import parse
from agent.parsing.scene import Scene
from agent.planner import PlannerError
from diffusion.layout import Layout


@dataclass(frozen=True)
class Critique:
    """The findings in the order of CODES; ``notes`` say what could not be judged and why."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()


def critique(text: str, layout: Layout) -> Critique:
    """What is wrong with a plan of ``text`` as far as rules can tell: rather too few findings than a wrong one.

    The text is what the plan was asked to show, read by ``agent.parsing``; where it cannot be read, the plan is judged
    by its boxes alone and a note says so. An instance without a box or a mask has no place that could be judged.
    """
    notes: list[str] = []
    try:
        scene = parse(text)
    except PlannerError as error:
        scene = Scene()
        notes.append(f"the plan was not compared with its text: {error}")
    subjects = subjects_of(layout, scene)
    reading: Reading = read(scene, layout, subjects)
    found = [
        *wording_findings(reading),
        *placing_findings(reading),
        *ground_findings(reading),
        *drawing_findings(reading),
    ]
    order = list(CODES)
    return Critique(tuple(sorted(found, key=lambda finding: order.index(finding.code))), tuple(notes))
