"""A scene graph to boxes: sizes as the eye expects them, then positions that satisfy every relation."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from agent.offline import solve
from agent.offline.nouns import Noun, lookup
from agent.offline.scene import Region, Relation, Scene
from agent.offline.solve import Body, Constraint, Pull
from diffusion.layout import Box

GAP = 0.025
ATTEMPTS = 14
_TOUCHING = ("on", "inside", "front", "behind", "held", "worn")
_SEATS = {"seat": 0.22, "top": 0.06, "inside": 0.06, "": 0.05}
"""How far below a supporter's top edge the feet of what is on it are, as a share of the supporter's height."""
_THIRD = 0.32
_BANDS: dict[str, tuple[str, float, float]] = {
    "left": ("x", 0.0, _THIRD), "right": ("x", 1 - _THIRD, 1.0), "top": ("y", 0.0, _THIRD), "bottom": ("y", 1 - _THIRD, 1.0)
}  # fmt: skip


@dataclass(frozen=True)
class Member:
    """One thing of a group: ``thing`` indexes ``Scene.things``."""

    thing: int
    noun: Noun
    size: float
    stretch: float
    regions: tuple[Region, ...]


@dataclass(frozen=True)
class Link:
    """A relation between single members; ``others`` are two for "between", else one."""

    kind: str
    member: int
    others: tuple[int, ...]


@dataclass(frozen=True)
class Placement:
    """``boxes`` and ``depths`` by member; ``unmet`` names the links and regions that could not be satisfied."""

    members: list[Member]
    boxes: list[Box]
    depths: list[int]
    unmet: list[str]


def place(scene: Scene, width: int, height: int, seed: int) -> Placement:
    """Boxes for every member of the scene on a canvas of width x height pixels; the same seed, the same boxes."""
    members = expand(scene)
    links = link(scene, members)
    rng = random.Random(seed)
    sizes = natural_sizes(members, links, width, height, rng)
    best: tuple[float, list[Body]] | None = None
    for attempt in range(ATTEMPTS):
        shrink = 1.0 if attempt < 2 else 0.93 ** (attempt - 1)
        bodies = [Body(0.5, 0.5, w * shrink, h * shrink) for w, h in sizes]
        _start(bodies, scene, members, links, rng)
        constraints = constraints_of(scene, members, links, bodies)
        worst = solve.relax(bodies, constraints, _pulls(bodies, scene, members, links, rng))
        if best is None or worst < best[0] - 1e-6:
            best = worst, bodies
        if worst < solve.TOLERANCE:
            break
    bodies = best[1] if best else []
    boxes = [to_box(body) for body in bodies]
    return Placement(members, boxes, depths_of(boxes, members, links), unmet(scene, members, links, boxes))


def expand(scene: Scene) -> list[Member]:
    """Every thing as often as it is counted, in order."""
    return [
        Member(index, lookup(thing.noun), thing.size, thing.stretch, tuple(thing.regions))
        for index, thing in enumerate(scene.things)
        for _ in range(thing.count)
    ]


def link(scene: Scene, members: list[Member]) -> list[Link]:
    """The scene's relations between single members."""
    of = [[i for i, member in enumerate(members) if member.thing == index] for index in range(len(scene.things))]
    links: list[Link] = []
    for relation in scene.relations:
        links += _links_of(relation, of[relation.subject], [i for index in relation.objects for i in of[index]])
    return list(dict.fromkeys(links))


def _links_of(relation: Relation, subjects: list[int], objects: list[int]) -> list[Link]:
    if relation.kind == "between":
        return [Link("between", subject, (objects[0], objects[-1])) for subject in subjects]
    kind, swap = {"right": ("left", True), "below": ("above", True), "behind": ("front", True)}.get(
        relation.kind, (relation.kind, False)
    )
    if relation.kind in ("left", "right", "above", "below", "far"):
        pairs = [(subject, other) for subject in subjects for other in objects]
    else:
        longer = max(len(subjects), len(objects)) if kind == "near" else len(subjects)
        pairs = [(subjects[i % len(subjects)], objects[i % len(objects)]) for i in range(longer)]
    return [Link(kind, b if swap else a, (a if swap else b,)) for a, b in pairs]


def natural_sizes(
    members: list[Member], links: list[Link], width: int, height: int, rng: random.Random
) -> list[tuple[float, float]]:
    """(w, h) per member as shares of the canvas: real sizes, damped so that a ball beside a house can be drawn."""
    if not members:
        return []
    count = len(members)
    base = 0.46 if count == 1 else 0.58 * count**-0.5 if count <= 6 else 0.62 * count**-0.54
    smallest = 0.16 if count <= 5 else max(0.06, 0.16 * math.sqrt(5 / count))
    mean = math.exp(sum(math.log(m.noun.size) for m in members) / count)
    unit = min(width, height)
    sizes = []
    jitter = [rng.uniform(0.96, 1.04) for _ in range(max(m.thing for m in members) + 1)]
    for member in members:
        ratio = min(max((member.noun.size / mean) ** 0.28, 0.62), 1.45)
        side = base * ratio * member.size**0.8 * jitter[member.thing]
        if "back" in member.regions:
            side *= 0.75
        aspect = min(max(member.noun.aspect / member.stretch, 0.38), 2.6)
        w, h = side * math.sqrt(aspect) * unit / width, side / math.sqrt(aspect) * unit / height
        grow = max(1.0, smallest / min(w, h))
        most = 0.56 if member.regions else 0.8
        fit = min(1.0, most / (w * grow), most / (h * grow))
        sizes.append((w * grow * fit, h * grow * fit))
    return _fit_links(members, links, sizes)


def _fit_links(members: list[Member], links: list[Link], sizes: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Make supporters wide enough and contents small enough, and chains short enough for the canvas."""
    for item in links:
        (aw, ah), (bw, bh) = sizes[item.member], sizes[item.others[0]]
        riders = sum(other.kind == item.kind and other.others == item.others for other in links)
        if item.kind == "on":
            need = 1.15 * riders * (aw + GAP)
            if bw < need:
                grow = min(need / bw, 1.6, 0.85 / bw)
                sizes[item.others[0]] = bw * grow, bh * min(grow, 1.25)
                fit = min(1.0, bw * grow / need)
                sizes[item.member] = aw * fit, ah * fit
        elif item.kind in ("inside", "worn", "held"):
            share_w, share_h = {"inside": (0.6, 0.6), "worn": (0.8, 0.28), "held": (0.6, 0.45)}[item.kind]
            grow = max(1.0, min(1.4, 0.75 / bw, 0.8 / bh)) if item.kind == "inside" else 1.0
            bw, bh = bw * grow, bh * grow
            sizes[item.others[0]] = bw, bh
            fit = min(1.0, share_w * bw / (aw * max(1, riders * 0.8)), share_h * bh / ah)
            sizes[item.member] = aw * fit, ah * fit
    for axis, kinds in ((0, ("left", "between")), (1, ("above", "on"))):
        length = _chain_lengths(len(members), links, kinds, [size[axis] + GAP for size in sizes])
        for index, total in enumerate(length):
            if total > 0.94:
                w, h = sizes[index]
                sizes[index] = w * 0.94 / total, h * 0.94 / total
    return sizes


def _chain_lengths(count: int, links: list[Link], kinds: tuple[str, ...], extent: list[float]) -> list[float]:
    """For each member the length of the longest chain of relations through it."""
    edges = []
    for item in links:
        if item.kind in kinds:
            edges += [(item.others[0], item.member), (item.member, item.others[1])] if item.kind == "between" else [
                (item.member, item.others[0])
            ]  # fmt: skip
    before, after = [0.0] * count, [0.0] * count
    for _ in range(min(count, 12)):
        for a, b in edges:
            before[b] = max(before[b], min(before[a] + extent[a], 9.0))
            after[a] = max(after[a], min(after[b] + extent[b], 9.0))
    return [before[i] + extent[i] + after[i] if before[i] or after[i] else extent[i] for i in range(count)]


def constraints_of(scene: Scene, members: list[Member], links: list[Link], bodies: list[Body]) -> list[Constraint]:
    """Every link, region and arrangement, and no overlap between things that need not touch."""
    result: list[Constraint] = []
    ordered: set[tuple[int, int]] = set()
    touching = _touching(links)
    siblings = [sum(m.thing == member.thing for m in members) for member in members]
    for item in links:
        result += _link_constraints(item, members, bodies, siblings, links)
        for other in item.others:
            if item.kind in ("left", "above", "between"):
                ordered |= {(item.member, other), (other, item.member)}
    for index, thing in enumerate(scene.things):
        group = [i for i, member in enumerate(members) if member.thing == index]
        for a, b in zip(group, group[1:], strict=False):
            if thing.arrangement == "row":
                result += [solve.left_of(bodies[a], bodies[b], GAP), solve.close_y(bodies[a], bodies[b], 0.004)]
            elif thing.arrangement == "column":
                result += [solve.above(bodies[a], bodies[b], 0.01), solve.close_x(bodies[a], bodies[b], 0.01)]
            elif thing.arrangement == "near":
                result.append(solve.near(bodies[a], bodies[b], 0.05))
    for i in range(len(bodies)):
        for j in range(i + 1, len(bodies)):
            if (i, j) not in ordered and (i, j) not in touching:
                result.append(solve.apart(bodies[i], bodies[j], GAP))
    for i, member in enumerate(members):
        for region in member.regions:
            result += _region_constraints(region, bodies[i], siblings[i])
    return result


def _link_constraints(
    item: Link, members: list[Member], bodies: list[Body], siblings: list[int], links: list[Link]
) -> list[Constraint]:
    a, b = bodies[item.member], bodies[item.others[0]]
    alone = siblings[item.member] == siblings[item.others[0]] == 1
    riders = sum(other.kind == item.kind and other.others == item.others for other in links)
    match item.kind:
        case "left":
            level = [solve.close_y(a, b, 0.4 * (a.w + b.w) / 2 + 0.02)] if alone else []
            return [solve.left_of(a, b, GAP), *level]
        case "above":
            level = [solve.close_x(a, b, 0.25 * (a.h + b.h) / 2 + 0.02)] if alone else []
            return [solve.above(a, b, GAP), *level]
        case "under":
            return [solve.above(b, a, 0.0), solve.close_x(a, b, max(b.w, a.w) / 2 * (1 if riders > 1 else 0.6))]
        case "on":
            slack = (b.w - a.w) / 2 if b.w > a.w else 0.15 * b.w
            share = _SEATS[members[item.others[0]].noun.support]
            return [
                solve.bottom_at(a, b, share, 0.002),
                solve.close_x(a, b, max(slack, 0.01) * (1.0 if riders > 1 else 0.6)),
            ]
        case "inside":
            return [solve.within(a, b)]
        case "front":
            side = (a.w + b.w) / 2 * (0.75 if riders <= 1 else 0.85)
            return [
                solve.bottom_at(a, b, 1.0 + 0.35 * a.h / b.h, 0.12 * a.h),
                solve.close_x(a, b, side),
                _visible(a, b),
            ]
        case "near":
            return [solve.near(a, b, 0.05 + 0.04 * (max(siblings) - 1)), solve.close_y(a, b, max(a.h, b.h) / 2 + 0.02)]
        case "far":
            return [solve.far(a, b, 0.55)]
        case "held":
            return [solve.close_x(a, b, b.w * 0.5), solve.close_y(a, b, b.h * 0.2)]
        case "worn":
            return [solve.close_x(a, b, b.w * 0.08), solve.bottom_at(a, b, 0.22, 0.02)]
        case _:
            c = bodies[item.others[1]]
            level = [solve.close_y(a, b, max(a.h, b.h) / 2), solve.close_y(a, c, max(a.h, c.h) / 2)]
            return [solve.left_of(b, a, GAP), solve.left_of(a, c, GAP), *level]


def _visible(a: Body, b: Body) -> Constraint:
    """What stands in front hides at most a third of what is behind."""

    def project() -> float:
        over_x = min(a.right, b.right) - max(a.left, b.left)
        over_y = min(a.bottom, b.bottom) - max(a.top, b.top)
        if over_x <= 0 or over_y <= 0 or over_x * over_y <= 0.3 * b.w * b.h:
            return 0.0
        excess = over_x - 0.3 * b.w * b.h / over_y
        return solve._push_x(a, b, excess) if a.x < b.x else solve._push_x(b, a, excess)

    return project


def _region_constraints(region: Region, body: Body, siblings: int) -> list[Constraint]:
    if region == "center":
        reach = 0.05 if siblings == 1 else 0.22
        return [solve.between_values(body, axis, 0.5 - reach, 0.5 + reach) for axis in ("x", "y")]
    if region == "front":
        return [solve.between_values(body, "y", 0.92 - body.h / 2, 0.98 - body.h / 2)]
    if region == "back":
        return [solve.between_values(body, "y", 0.0, 0.62 - body.h / 2)]
    names = ("bottom", "right") if region == "corner" else region.split()
    return [solve.between_values(body, *_BANDS[name]) for name in names]


def _touching(links: list[Link]) -> set[tuple[int, int]]:
    """The pairs that may overlap: related by contact, or by way of what they are in."""
    pairs = {(item.member, other) for item in links if item.kind in _TOUCHING for other in item.others}
    for item in links:
        if item.kind in ("inside", "held", "worn"):
            pairs |= {(item.member, other) for holder, other in list(pairs) if holder == item.others[0]}
            pairs |= {
                (item.member, other)
                for other, holder in list(pairs)
                if holder == item.others[0] and other != item.member
            }
    siblings = {pair for pair in pairs if pair[0] != pair[1]}
    return siblings | {(b, a) for a, b in siblings}


def _start(bodies: list[Body], scene: Scene, members: list[Member], links: list[Link], rng: random.Random) -> None:
    """First positions: what is related begins on the right side of the other, the rest spread over the canvas."""
    count = len(bodies)
    if not count:
        return
    rank = [rng.random() * 0.5 for _ in bodies]
    rank = [value + 0.3 * index / count for index, value in enumerate(rank)]
    for index, member in enumerate(members):
        for region in member.regions:
            rank[index] += {"left": -2.0, "right": 2.0}.get(region.split()[-1], 0.0)
    for _ in range(min(count, 10)):
        for item in links:
            a, b = item.member, item.others[0]
            if item.kind == "left":
                rank[a] = min(rank[a], rank[b] - 1.0)
            elif item.kind == "between":
                c = item.others[1]
                low, high = min(rank[b], rank[c] - 0.1), max(rank[c], rank[b] + 0.1)
                rank[b], rank[c], rank[a] = low, high, (low + high) / 2
            elif item.kind not in ("far",):
                rank[a] = rank[b] + rng.uniform(-0.05, 0.05)
    order = sorted(range(count), key=lambda i: (rank[i], i))
    rows = max(1, round(math.sqrt(count / 5)))
    for position, index in enumerate(order):
        bodies[index].x = (position + 0.5) / count
        row = position % rows
        bodies[index].y = 0.6 if rows == 1 else 0.3 + 0.55 * (row + 0.5) / rows
    for _ in range(3):
        for item in links:
            a, b = bodies[item.member], bodies[item.others[0]]
            if item.kind in ("above", "on"):
                a.y = min(a.y, b.y - (a.h + b.h) / 2)
                a.x = 0.5 * (a.x + b.x)
            elif item.kind in ("inside", "held", "worn", "under", "front"):
                a.x = 0.5 * (a.x + b.x)


def _pulls(
    bodies: list[Body], scene: Scene, members: list[Member], links: list[Link], rng: random.Random
) -> list[Pull]:
    """Wishes: ground things stand on the ground, sky things are up, all else keeps near the middle height."""
    carried = {item.member for item in links if item.kind in ("on", "inside", "held", "worn", "above")}
    horizon = rng.uniform(0.42, 0.5)
    ground = {member.thing: rng.uniform(0.76, 0.9) for member in members}
    pulls: list[Pull] = []
    for index, (body, member) in enumerate(zip(bodies, members, strict=True)):
        if (
            index in carried
            or scene.top_down
            or any(region in ("top", "bottom", "center") for region in member.regions)
        ):
            continue
        if member.noun.home == "sky":
            pulls.append(_pull_y(body, rng.uniform(0.18, 0.28)))
        elif member.noun.home == "wall":
            pulls.append(_pull_y(body, 0.42))
        elif len(members) == 1:
            pulls.append(_pull_y(body, 0.55))
        elif len(members) <= 6:
            pulls.append(_pull_y(body, max(horizon, ground[member.thing] - body.h / 2)))
    return pulls


def _pull_y(body: Body, target: float) -> Pull:
    def pull(strength: float) -> None:
        body.y += strength * body.mobility * (target - body.y)

    return pull


def to_box(body: Body) -> Box:
    """The body as a box of four decimals, inside the canvas's margin."""
    m = solve.MARGIN
    x0, y0 = max(m, round(body.left, 4)), max(m, round(body.top, 4))
    return Box(x0=x0, y0=y0, x1=min(1 - m, round(body.right, 4)), y1=min(1 - m, round(body.bottom, 4)))


def depths_of(boxes: list[Box], members: list[Member], links: list[Link]) -> list[int]:
    """0 = nearest: what stands lower is nearer, what is in front, on or in something is nearer than that."""
    key = [(member.noun.home == "sky", -box.y1) for member, box in zip(members, boxes, strict=True)]
    order = sorted(range(len(boxes)), key=lambda i: key[i])
    for _ in range(len(boxes)):
        moved = False
        for item in links:
            if item.kind in _TOUCHING:
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


def unmet(scene: Scene, members: list[Member], links: list[Link], boxes: list[Box]) -> list[str]:
    """The relations and regions that the boxes do not satisfy, in words."""

    def name(index: int) -> str:
        return members[index].noun.name

    result = [
        f"{name(item.member)} {item.kind} {' and '.join(name(other) for other in item.others)}"
        for item in links
        if not holds(item, boxes)
    ]
    for index, member in enumerate(members):
        result += [
            f"{name(index)} in the region '{region}'"
            for region in member.regions
            if not in_region(region, boxes[index])
        ]
    return list(dict.fromkeys(result))


def holds(item: Link, boxes: list[Box]) -> bool:
    """Whether boxes satisfy a link: by edges where things are apart, by contact where they touch."""
    a, b = boxes[item.member], boxes[item.others[0]]
    slack = 0.01
    over_x = min(a.x1, b.x1) - max(a.x0, b.x0)
    match item.kind:
        case "left":
            return a.x1 <= b.x0 + slack
        case "above":
            return a.y1 <= b.y0 + slack
        case "under":
            return b.y1 <= a.y0 + slack and over_x > 0
        case "on":
            return a.center.y < b.center.y and over_x > 0 and b.y0 - slack <= a.y1 <= b.y0 + 0.3 * b.height + slack
        case "inside":
            return a.x0 >= b.x0 - slack and a.x1 <= b.x1 + slack and a.y0 >= b.y0 - slack and a.y1 <= b.y1 + slack
        case "front":
            return a.y1 > b.y1 and over_x > 0 and a.y0 < b.y1
        case "between":
            c = boxes[item.others[1]]
            return b.center.x < a.center.x < c.center.x
        case _:
            return True


def in_region(region: Region, box: Box) -> bool:
    """Whether a box's centre lies in the half of the canvas that the region names."""
    centre = box.center
    tests = {
        "left": centre.x < 0.5, "right": centre.x > 0.5, "top": centre.y < 0.5, "bottom": centre.y > 0.5,
        "center": abs(centre.x - 0.5) < 0.25 and abs(centre.y - 0.5) < 0.25,
    }  # fmt: skip
    return all(tests.get(name, True) for name in region.split())
