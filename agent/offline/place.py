"""A scene graph to boxes: positions that satisfy every relation, on a ground with a horizon and a sky."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from itertools import pairwise

from agent.offline import solve
from agent.offline.sizes import GAP, natural_sizes
from agent.offline.solve import Body, Constraint, Pull
from agent.parsing.relations import SEATS, TOUCHING, Graph, Link, graph_of, unmet
from agent.parsing.scene import Region, Scene
from agent.parsing.words import HEADWEAR
from diffusion.layout import Box

ATTEMPTS = 14
_THIRD = 0.32
_BANDS: dict[str, tuple[str, float, float]] = {
    "left": ("x", 0.0, _THIRD),
    "right": ("x", 1 - _THIRD, 1.0),
    "top": ("y", 0.0, _THIRD),
    "bottom": ("y", 1 - _THIRD, 1.0),
}


@dataclass(frozen=True)
class Placement:
    """Boxes and depths by member; ``unmet`` says in words what could not be satisfied."""

    graph: Graph
    boxes: list[Box]
    depths: list[int]
    unmet: list[str]


def place(scene: Scene, width: int, height: int, seed: int) -> Placement:
    """Boxes for every member of the scene on a canvas of width x height pixels; the same seed, the same boxes."""
    graph = graph_of(scene)
    rng = random.Random(seed)
    sizes = natural_sizes(graph, width, height, rng)
    best: tuple[float, list[Body]] = (math.inf, [])
    for attempt in range(ATTEMPTS):
        shrink = 1.0 if attempt < 2 else 0.93 ** (attempt - 1)
        bodies = [Body(0.5, 0.5, w * shrink, h * shrink) for w, h in sizes]
        _start(bodies, graph, rng)
        pulls = [] if scene.top_down else _pulls(bodies, graph, rng)
        violation = solve.relax(bodies, constraints_of(graph, bodies), pulls)
        if violation < best[0]:
            best = violation, bodies
        if violation < solve.TOLERANCE:
            break
    boxes = [to_box(body) for body in best[1]]
    return Placement(graph, boxes, depths_of(graph, boxes), unmet(graph, boxes))


def constraints_of(graph: Graph, bodies: list[Body]) -> list[Constraint]:
    """Every link, arrangement and region, and no overlap between things that need not touch."""
    result: list[Constraint] = []
    settled = _touching(graph.links)
    for item in graph.links:
        result += _link_constraints(item, graph, bodies)
        if item.kind in ("left", "above", "between"):
            settled |= {frozenset((item.member, other)) for other in item.others}
    for riders in _riders(graph):
        for one, other in pairwise(item.member for item in riders):
            result.append(solve.left_of(bodies[one], bodies[other], 0.6 * GAP))
            settled.add(frozenset((one, other)))
    for arrangement, row in graph.rows:
        for a, b in pairwise(bodies[index] for index in row):
            if arrangement == "row":
                result += [solve.left_of(a, b, GAP), solve.close_y(a, b, 0.004)]
            elif arrangement == "column":
                result += [solve.above(a, b, GAP), solve.close_x(a, b, 0.01)]
            else:
                result.append(solve.near(a, b, 0.05))
    for i, a in enumerate(bodies):
        result += [solve.apart(bodies[j], a, GAP) for j in range(i) if frozenset((i, j)) not in settled]
    for index, (body, member) in enumerate(zip(bodies, graph.members, strict=True)):
        for region in member.regions:
            result += _region_constraints(region, body, graph.siblings(index))
    return result


def _link_constraints(item: Link, graph: Graph, bodies: list[Body]) -> list[Constraint]:
    a, b = bodies[item.member], bodies[item.others[0]]
    fellows = graph.fellows(item)
    backed = graph.backed(item)
    alone = graph.siblings(item.member) == graph.siblings(item.others[0]) == fellows == backed == 1
    match item.kind:
        case "left":
            level = [solve.close_y(a, b, 0.2 * (a.w + b.w) + 0.02)] if alone else []
            return [solve.left_of(a, b, GAP), *level]
        case "above":
            level = [solve.close_x(a, b, 0.12 * (a.h + b.h) + 0.02)] if alone else []
            return [solve.above(a, b, GAP), *level]
        case "under":
            reach = 0.3 * max(a.w, b.w) if fellows == 1 else max(b.w, fellows * (a.w + GAP)) / 2
            return [solve.above(b, a, 0.0), solve.close_x(a, b, reach)]
        case "on":
            reach = (b.w - a.w) / 2 if b.w > a.w else 0.15 * b.w
            share = SEATS[graph.members[item.others[0]].noun.support]
            return [
                solve.bottom_at(a, b, share, 0.002),
                solve.close_x(a, b, max(reach, 0.01) * (0.6 if fellows == 1 else 1.0)),
            ]
        case "inside":
            return [solve.close_x(a, b, max(0.0, (b.w - a.w) / 2)), solve.close_y(a, b, max(0.0, (b.h - a.h) / 2))]
        case "front":
            hidden = 0.36 / max(fellows, 1)
            reach = 0.42 * (a.w + b.w)
            return [
                solve.bottom_at(a, b, 1 + 0.45 * a.h / b.h, 0.35 * a.h),
                solve.close_x(a, b, reach),
                solve.visible(a, b, hidden),
            ]
        case "near":
            level = [solve.close_y(a, b, max(a.h, b.h) / 2 + 0.02)] if alone else []
            crowd = max(graph.siblings(item.member), graph.siblings(item.others[0]), fellows, backed) - 1
            return [solve.near(a, b, 0.05 + 0.5 * crowd * (min(a.w, b.w) + GAP)), *level]
        case "far":
            return [solve.far(a, b, 0.55)]
        case "held":
            return [solve.close_x(a, b, b.w * 0.5), solve.close_y(a, b, b.h * 0.2)]
        case "worn":
            share = 0.2 if graph.members[item.member].noun.name in HEADWEAR else 0.52
            return [solve.close_x(a, b, b.w * 0.08), solve.bottom_at(a, b, share, 0.02)]
        case _:
            c = bodies[item.others[1]]
            level = [solve.close_y(a, b, max(a.h, b.h) / 2), solve.close_y(a, c, max(a.h, c.h) / 2)]
            return [solve.left_of(b, a, GAP), solve.left_of(a, c, GAP), *level]


def _region_constraints(region: Region, body: Body, siblings: int) -> list[Constraint]:
    if region == "center":
        reach = 0.05 if siblings == 1 else 0.22
        return [solve.kept_in(body, axis, 0.5 - reach, 0.5 + reach) for axis in ("x", "y")]
    if region == "front":
        return [solve.kept_in(body, "y", 0.92 - body.h / 2, 0.98 - body.h / 2)]
    if region == "back":
        return [solve.kept_in(body, "y", 0.0, 0.62 - body.h / 2)]
    names = ("bottom", "right") if region == "corner" else region.split()
    return [solve.kept_in(body, *_BANDS[name]) for name in names]


def _touching(links: list[Link]) -> set[frozenset[int]]:
    """The pairs that may overlap: in contact themselves, or by way of what the one is in or worn by."""
    pairs = {frozenset((item.member, item.others[0])) for item in links if item.kind in TOUCHING}
    for item in links:
        if item.kind in ("inside", "held", "worn"):
            holder = item.others[0]
            around = {other for pair in pairs if holder in pair for other in pair} - {holder, item.member}
            beside = {other.member for other in links if other.others == item.others and other.kind == item.kind}
            pairs |= {frozenset((item.member, other)) for other in around - beside}
    return pairs


def _start(bodies: list[Body], graph: Graph, rng: random.Random) -> None:
    """First positions: what is related begins on the right side of the other, the rest spread over the canvas."""
    count = len(bodies)
    rank = [0.5 * rng.random() + 0.3 * index / count for index in range(count)]
    for index, member in enumerate(graph.members):
        for region in member.regions:
            rank[index] += {"left": -2.0, "right": 2.0}.get(region.split()[-1], 0.0)
    for _ in range(min(count, 10)):
        for item in graph.links:
            one, other = item.member, item.others[0]
            if item.kind == "left":
                rank[one] = min(rank[one], rank[other] - 1.0)
            elif item.kind == "between":
                third = item.others[1]
                low, high = min(rank[other], rank[third] - 0.1), max(rank[third], rank[other] + 0.1)
                rank[other], rank[third], rank[one] = low, high, (low + high) / 2
            elif item.kind != "far":
                others = [link.others[0] for link in graph.links if (link.kind, link.member) == (item.kind, one)]
                rank[one] = sum(rank[index] for index in others) / len(others) + rng.uniform(-0.05, 0.05)
    for _, row in graph.rows:
        for index, value in zip(row, sorted(rank[index] for index in row), strict=True):
            rank[index] = value
    rows = _rows(bodies)
    for position, index in enumerate(sorted(range(count), key=lambda i: (rank[i], i))):
        bodies[index].x = (position + 0.5) / count
        bodies[index].y = 0.6 if rows == 1 else 0.3 + 0.55 * (position % rows + 0.5) / rows
    for _ in range(3):
        for item in graph.links:
            a, b = bodies[item.member], bodies[item.others[0]]
            if item.kind in ("above", "on"):
                a.y, a.x = min(a.y, b.y - (a.h + b.h) / 2), 0.5 * (a.x + b.x)
            elif item.kind in ("inside", "held", "worn", "under", "front"):
                a.x = 0.5 * (a.x + b.x)
                if item.kind == "inside":
                    a.y = b.y + rng.uniform(-0.3, 0.3) * b.h
    for riders in _riders(graph):
        seat = bodies[riders[0].others[0]]
        for position, rider in enumerate(riders):
            bodies[rider.member].x = seat.x + seat.w * ((position + 0.5) / len(riders) - 0.5)


def _riders(graph: Graph) -> list[list[Link]]:
    """The links to what stands on one thing, for each thing that something stands on."""
    on = [item for item in graph.links if item.kind == "on"]
    return [[item for item in on if item.others == others] for others in dict.fromkeys(item.others for item in on)]


def _rows(bodies: list[Body]) -> int:
    """How many rows the things need so that none has to shrink."""
    return max(1, math.ceil(sum(body.w + GAP for body in bodies) / (1 - 2 * solve.MARGIN + GAP)))


def _pulls(bodies: list[Body], graph: Graph, rng: random.Random) -> list[Pull]:
    """Wishes: ground things stand on the ground, sky things are up, pictures hang at eye height."""
    carried = {item.member for item in graph.links if item.kind in ("on", "inside", "held", "worn", "above")}
    horizon = rng.uniform(0.42, 0.5)
    feet = {member.thing: rng.uniform(0.76, 0.9) for member in graph.members}
    pulls: list[Pull] = []
    for index, (body, member) in enumerate(zip(bodies, graph.members, strict=True)):
        if index in carried or any(name in region for region in member.regions for name in ("top", "bottom", "center")):
            continue
        if member.noun.home == "sky":
            pulls.append(solve.pull(body, y=rng.uniform(0.18, 0.28)))
        elif member.noun.home == "wall":
            pulls.append(solve.pull(body, y=0.42))
        elif len(bodies) == 1:
            pulls.append(solve.pull(body, y=0.55))
        elif _rows(bodies) > 1:
            pulls.append(solve.pull(body, y=max(body.y, 0.7 - body.h / 2)))
        else:
            pulls.append(solve.pull(body, y=max(horizon, feet[member.thing] - body.h / 2)))
    return pulls


def to_box(body: Body) -> Box:
    """The body as a box of four decimals, inside the canvas's margin."""
    low, high = solve.MARGIN, 1 - solve.MARGIN
    x0, y0 = (min(max(round(value, 4), low), high - 0.005) for value in (body.left, body.top))
    x1, y1 = (min(round(value, 4), high) for value in (body.right, body.bottom))
    return Box(x0=x0, y0=y0, x1=max(x1, x0 + 0.005), y1=max(y1, y0 + 0.005))


def depths_of(graph: Graph, boxes: list[Box]) -> list[int]:
    """0 = nearest: what stands lower is nearer, and what is in front of, on or in something is nearer than that."""
    order = sorted(range(len(boxes)), key=lambda i: (graph.members[i].noun.home == "sky", -boxes[i].y1))
    for _ in boxes:
        moved = False
        for item in graph.links:
            if item.kind in TOUCHING:
                near, far = order.index(item.member), order.index(item.others[0])
                if near > far:
                    order.insert(far, order.pop(near))
                    moved = True
        if not moved:
            break
    depths = [0] * len(boxes)
    for depth, index in enumerate(order):
        depths[index] = depth
    return depths
