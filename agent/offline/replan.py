"""A corrected plan from what a check measured: enlarge, separate, move or reword what failed, and keep the rest."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from agent.offline import solve
from agent.offline.place import constraints_of, to_box
from agent.offline.sizes import GAP
from agent.offline.solve import Body, Constraint
from agent.overlap import iou, shared_area
from agent.parsing.naming import instance_ids
from agent.parsing.parse import parse
from agent.parsing.relations import Graph, Link, graph_of, holds, in_region
from agent.parsing.scene import Scene
from agent.planner import Plan, PlannerError
from diffusion.layout import Box, Instance, Layout
from eval.report import FidelityReport, InstanceVerdict

LARGEST = 0.62
"""No side of an enlarged box exceeds this share of the canvas."""
SMALL = 0.2
"""A box with a shorter side than this is enlarged whenever what is in it fails."""
STEP = 0.04
"""How much farther apart things that ran together are put, as a share of the canvas."""


@dataclass
class _Change:
    """What is to happen to one instance; ``box`` is where it should go, before relations have had their say."""

    box: Box
    caption: str
    moves: bool = False
    why: list[str] = field(default_factory=list)

    def separate(self, own: Box | None, other: Box | None, name: str) -> None:
        """Away from what it ran together with, instead of towards what was found; a little smaller, to make room."""
        if own is None or other is None:
            return
        dx, dy = own.center.x - other.center.x, own.center.y - other.center.y
        length = max((dx * dx + dy * dy) ** 0.5, 1e-6)
        away = _boxed(own.center.x + STEP * dx / length, own.center.y + STEP * dy / length, own.width, own.height)
        self.box, self.moves = _scaled(away, 0.92), True
        self.why = [self.why[0], f"it ran together with {name}: moved apart"]


def replan(prompt: str, layout: Layout, report: FidelityReport, *, round_number: int, seed: int) -> Plan:
    """The layout with what failed corrected, and notes that quote what was measured.

    Ids, categories and accepted instances are kept. New noise is always asked for: what one noise lets fail, it lets
    fail again in a corrected box more often than other noise does (``scenewright bench loop`` measures it).
    """
    verdicts = {verdict.id: verdict for verdict in report.instances}
    rng = random.Random(seed * 1000 + round_number)
    graph = _graph(prompt, layout)
    changes = {
        instance.id: _change(instance, verdicts[instance.id], report)
        for instance in layout
        if instance.id in verdicts and not verdicts[instance.id].accepted and instance.id not in report.unjudged
    }
    merged = _merged(layout, verdicts, report)
    for first, second in merged:
        for instance_id, other in ((first, second), (second, first)):
            if instance_id in changes:
                changes[instance_id].separate(layout.instance(instance_id).box, layout.instance(other).box, other)
    boxes, unsolved = _settle(layout, graph, changes, merged, rng)
    notes: list[str] = []
    instances = []
    for instance in layout:
        change, box = changes.get(instance.id), boxes.get(instance.id)
        if change is None:
            instances.append(instance)
            continue
        moved = box is not None and box != instance.box
        update: dict[str, object] = {"caption": change.caption}
        if moved:
            update["box"] = box
            left_out = [name for name in ("point", "scribble", "mask") if getattr(instance, name) is not None]
            update |= dict.fromkeys(left_out)
            change.why += [f"its {name} no longer fits the new box and was left out" for name in left_out]
        instances.append(instance.model_copy(update=update))
        notes.append(f"{instance.id}: {'; '.join(change.why)}{_from_to(instance.box, box) if moved and box else ''}")
    corrected = Layout.model_validate(layout.model_copy(update={"instances": tuple(instances)}).model_dump())
    notes += [
        f"unplanned: {thing.label} found at {_words(thing.box)} with confidence {thing.score:.2f}"
        for thing in report.unplanned
    ]
    notes += unsolved
    return Plan(corrected, tuple(notes), new_seed=True)


def _graph(prompt: str, layout: Layout) -> Graph:
    """The relations of the prompt by the layout's order of instances; empty if this planner did not make the layout."""
    try:
        scene = parse(prompt)
    except PlannerError:
        scene = Scene()
    graph, ids, here = graph_of(scene), instance_ids(scene), [instance.id for instance in layout]
    nouns = {ids[index]: scene.things[member.thing].noun for index, member in enumerate(graph.members)}
    if nouns != {instance.id: instance.category for instance in layout}:
        return Graph([], [], [])
    at = [here.index(instance_id) for instance_id in ids]
    return Graph(
        [graph.members[ids.index(instance_id)] for instance_id in here],
        [Link(item.kind, at[item.member], tuple(at[other] for other in item.others)) for item in graph.links],
        [(arrangement, [at[index] for index in row]) for arrangement, row in graph.rows],
    )


def _change(instance: Instance, verdict: InstanceVerdict, report: FidelityReport) -> _Change:
    """What this instance needs by itself, before its neighbours are considered."""
    planned = instance.box
    wrong = [attribute for attribute in verdict.attributes if attribute.ok is False]
    change = _Change(planned, instance.caption, why=[_reason(verdict)])  # type: ignore[arg-type]
    for attribute in wrong:
        if not instance.caption.endswith(f", {attribute.wanted}"):
            change.caption = f"{change.caption}, {attribute.wanted}"
            change.why.append(f"{attribute.wanted} is asked for once more, instead of {attribute.found}")
    if planned is None or (verdict.detected is not None and wrong and (verdict.iou or 0.0) >= 0.5):
        return change
    change.moves = True
    found = verdict.detected
    if found is None and _is_mistaken(planned, report):
        change.box = _scaled(planned, 1.1)
        change.why.append("it is where it belongs but not recognised: enlarged by 10%")
    elif found is None:
        target = planned if verdict.landed is None else _towards(planned, verdict.landed, 0.6)
        if verdict.landed is not None:
            change.why.append(f"one was found at {_words(verdict.landed)}: moved towards it")
        change.box = _scaled(target, 1.25)
        change.why.append("enlarged by 25%")
    elif found.area < 0.7 * planned.area or min(planned.width, planned.height) < SMALL:
        change.box = _scaled(_towards(planned, found, 0.3), 1.2)
        change.why.append(f"it covers {found.area / planned.area:.0%} of its box: enlarged by 20%")
    else:
        change.box = _blend(_towards(planned, found, 0.5), found, 0.5)
        change.why.append(f"moved towards where it is, {_words(found)}")
    return change


def _is_mistaken(planned: Box, report: FidelityReport) -> bool:
    """Whether something was found where an instance belongs, called something else."""
    return any(iou(planned, thing.box) >= 0.5 for thing in report.unplanned)


def _merged(layout: Layout, verdicts: dict[str, InstanceVerdict], report: FidelityReport) -> list[tuple[str, str]]:
    """Pairs of which one failed and that ran together: one thing of their kind was found on a good part of both."""
    placed = [(instance, instance.box) for instance in layout if instance.box is not None and instance.id in verdicts]
    found = [(verdict.category, verdict.detected) for verdict in verdicts.values() if verdict.detected is not None]
    found += [(thing.label, thing.box) for thing in report.unplanned]
    pairs = []
    for index, (a, box_a) in enumerate(placed):
        for b, box_b in placed[index + 1 :]:
            across = [box for kind, box in found if kind in (a.category, b.category)]
            failed = not (verdicts[a.id].accepted and verdicts[b.id].accepted)
            if failed and any(_share(box_a, box) > 0.3 and _share(box_b, box) > 0.3 for box in across):
                pairs.append((a.id, b.id))
    return pairs


def _settle(
    layout: Layout, graph: Graph, changes: dict[str, _Change], merged: list[tuple[str, str]], rng: random.Random
) -> tuple[dict[str, Box], list[str]]:
    """Boxes near the wished ones that break no relation of the prompt; what cannot move keeps its box."""
    moving = {instance_id for instance_id, change in changes.items() if change.moves}
    placed = [instance for instance in layout if instance.box is not None]
    if not moving:
        return {}, []
    if len(placed) < len(layout.instances):
        graph = Graph([], [], [])
    before = [instance.box for instance in placed if instance.box is not None]
    allowed = _broken(graph, before)
    for attempt in range(8):
        keep = 1.0 - attempt / 8
        bodies = []
        for instance, box in zip(placed, before, strict=True):
            wish = changes[instance.id].box if instance.id in moving else box
            wish = _blend(box, wish, keep)
            mobility = 1.0 if instance.id in moving else 0.0
            jitter = 0.02 * mobility * attempt
            bodies.append(
                Body(wish.center.x + rng.uniform(-jitter, jitter), wish.center.y, wish.width, wish.height, mobility)
            )
        constraints = _constraints([instance.id for instance in placed], graph, bodies, before, merged)
        pulls = [solve.pull(body, x=body.x, y=body.y) for body in bodies]
        solve.relax(bodies, constraints, pulls)
        after = [
            to_box(body) if instance.id in moving else box
            for body, instance, box in zip(bodies, placed, before, strict=True)
        ]
        if _broken(graph, after) <= allowed and _overlap(graph, after) <= _overlap(graph, before) + 0.01:
            return {instance.id: box for instance, box in zip(placed, after, strict=True) if instance.id in moving}, []
    return {}, ["boxes are left as they are: no correction keeps what the prompt asks for"]


def _constraints(
    ids: list[str], graph: Graph, bodies: list[Body], before: list[Box], merged: list[tuple[str, str]]
) -> list[Constraint]:
    if graph.members:
        result = constraints_of(graph, bodies)
    else:
        result = []
        for i, a in enumerate(before):
            for j, b in enumerate(before):
                if a.x1 <= b.x0:
                    result.append(solve.left_of(bodies[i], bodies[j], 0.0))
                elif a.y1 <= b.y0:
                    result.append(solve.above(bodies[i], bodies[j], 0.0))
    touching = {frozenset((item.member, other)) for item in graph.links for other in item.others if item.kind != "left"}
    for first, second in merged:
        i, j = ids.index(first), ids.index(second)
        if frozenset((i, j)) not in touching:
            a, b = before[i], before[j]
            now = max(a.x0 - b.x1, b.x0 - a.x1, a.y0 - b.y1, b.y0 - a.y1)
            result.append(solve.apart(bodies[i], bodies[j], max(2 * GAP, now + STEP)))
    return result


def _broken(graph: Graph, boxes: list[Box]) -> int:
    """How many relations and regions of the prompt the boxes break."""
    regions = sum(
        not in_region(region, boxes[index]) for index, member in enumerate(graph.members) for region in member.regions
    )
    return regions + sum(not holds(item, boxes) for item in graph.links)


def _overlap(graph: Graph, boxes: list[Box]) -> float:
    """The area shared by things that no relation brings together."""
    related = {frozenset((item.member, other)) for item in graph.links for other in item.others}
    return sum(
        shared_area(a, b)
        for i, a in enumerate(boxes)
        for j, b in enumerate(boxes[:i])
        if frozenset((i, j)) not in related
    )


def _share(box: Box, other: Box) -> float:
    """How much of ``box`` lies in ``other``."""
    return shared_area(box, other) / box.area


def _scaled(box: Box, factor: float) -> Box:
    """The box scaled about its centre, no side above LARGEST (unless it was), shifted to stay on the canvas."""
    w = min(box.width * factor, max(box.width, LARGEST))
    h = min(box.height * factor, max(box.height, LARGEST))
    return _boxed(box.center.x, box.center.y, w, h)


def _towards(box: Box, other: Box, share: float) -> Box:
    """The box with its centre moved towards another's."""
    x = box.center.x + share * (other.center.x - box.center.x)
    y = box.center.y + share * (other.center.y - box.center.y)
    return _boxed(x, y, box.width, box.height)


def _blend(box: Box, other: Box, share: float) -> Box:
    """Between two boxes, centre and sides."""
    corners = [a + share * (b - a) for a, b in zip(box.xyxy(), other.xyxy(), strict=True)]
    return Box(x0=corners[0], y0=corners[1], x1=corners[2], y1=corners[3])


def _boxed(x: float, y: float, w: float, h: float) -> Box:
    w, h = min(w, 1.0), min(h, 1.0)
    x, y = min(max(x, w / 2), 1 - w / 2), min(max(y, h / 2), 1 - h / 2)
    return Box(x0=max(0.0, x - w / 2), y0=max(0.0, y - h / 2), x1=min(1.0, x + w / 2), y1=min(1.0, y + h / 2))


def _reason(verdict: InstanceVerdict) -> str:
    """What was measured, in the report's own words where it has some."""
    found = "missing" if verdict.detected is None else f"IoU {verdict.iou:.2f}" if verdict.iou is not None else "found"
    if verdict.reason in ("", "ok"):
        return found
    return verdict.reason if verdict.reason.startswith(found) else f"{found}, {verdict.reason}"


def _from_to(before: Box | None, after: Box) -> str:
    return f"; box {_words(before)} -> {_words(after)}" if before else ""


def _words(box: Box) -> str:
    return f"x {box.x0:.2f}-{box.x1:.2f}, y {box.y0:.2f}-{box.y1:.2f}"
