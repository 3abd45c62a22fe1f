"""How large things are drawn: real sizes, damped so that a ball beside a house can still be drawn and seen."""

from __future__ import annotations

import math
import random

from agent.parsing.nouns import DAMPING
from agent.parsing.relations import Graph, Link

GAP = 0.025
"""The least distance between things that do not touch, as a share of the canvas."""
SMALLEST = 0.16
"""The least side of a box in a scene of up to five things."""
_LONGEST_CHAIN = 0.94

Size = tuple[float, float]


def natural_sizes(graph: Graph, width: int, height: int, rng: random.Random) -> list[Size]:
    """(w, h) per member as shares of a canvas of width x height pixels, before positions are known."""
    members = graph.members
    if not members:
        return []
    count = len(members)
    base = 0.5 if count == 1 else 0.58 * count**-0.5 if count <= 6 else 0.62 * count**-0.54
    least, largest = {1: (1.0, 1.0), 2: (0.62, 1.45), 3: (0.72, 1.4)}.get(count, (0.8, 1.35))
    smallest = SMALLEST if count <= 5 else max(0.06, SMALLEST * math.sqrt(5 / count))
    mean = math.exp(sum(math.log(member.noun.size) for member in members) / count)
    unit = min(width, height)
    jitter = [rng.uniform(0.96, 1.04) for _ in range(max(member.thing for member in members) + 1)]
    sizes = []
    for member in members:
        ratio = min(max((member.noun.size / mean) ** DAMPING, least), largest)
        side = base * ratio * member.size**0.8 * jitter[member.thing] * (0.75 if "back" in member.regions else 1.0)
        aspect = min(max(member.noun.aspect / member.stretch, 0.38), 2.6)
        w, h = side * math.sqrt(aspect) * unit / width, side / math.sqrt(aspect) * unit / height
        most = 0.56 if member.regions else 0.8
        scale = max(1.0, smallest / min(w, h))
        scale *= min(1.0, most / (w * scale), most / (h * scale))
        sizes.append((w * scale, h * scale))
    for item in graph.links:
        _fit(item, graph, sizes)
    _shorten_chains(graph, sizes)
    return sizes


def _fit(item: Link, graph: Graph, sizes: list[Size]) -> None:
    """Make a supporter wide enough, a container large enough and what it holds small enough."""
    (aw, ah), (bw, bh) = sizes[item.member], sizes[item.others[0]]
    fellows = graph.fellows(item)
    match item.kind:
        case "on":
            need = 1.1 * fellows * (aw + GAP)
            if bw < need:
                grow = max(1.0, min(need / bw, 1.6, 0.88 / bw))
                sizes[item.others[0]] = bw * grow, bh * min(grow, 1.25)
                sizes[item.member] = _scaled(aw, ah, bw * grow / need)
        case "inside":
            columns = math.ceil(math.sqrt(fellows))
            grow = max(1.0, min(1.5, 0.8 / bw, 0.8 / bh))
            sizes[item.others[0]] = bw, bh = bw * grow, bh * grow
            room_w, room_h = 0.85 * bw / columns - GAP, 0.85 * bh / math.ceil(fellows / columns) - GAP
            sizes[item.member] = _scaled(aw, ah, min(room_w / aw, room_h / ah, 0.6 * bw / aw, 0.6 * bh / ah))
        case "worn":
            sizes[item.member] = _scaled(aw, ah, min(0.85 * bw / aw, 0.3 * bh / ah))
        case "held":
            sizes[item.member] = _scaled(aw, ah, min(0.8 * bw / aw, 0.5 * bh / ah))
        case "front" if graph.backed(item) > 1:
            grow = max(1.0, min(0.9 / aw, graph.backed(item) * (bw + GAP) * 0.9 / aw))
            sizes[item.member] = aw * grow, ah


def _shorten_chains(graph: Graph, sizes: list[Size]) -> None:
    """Scale down what stands in a chain of relations that is longer than the canvas."""
    for axis, kinds in ((0, ("left", "between")), (1, ("above", "on", "under"))):
        lengths = _chain_lengths(graph, kinds, [size[axis] + GAP for size in sizes])
        for index, length in enumerate(lengths):
            sizes[index] = _scaled(*sizes[index], _LONGEST_CHAIN / length)
    for arrangement, row in graph.rows:
        if arrangement in ("row", "column"):
            length = sum(sizes[index][arrangement == "column"] + GAP for index in row)
            for index in row:
                sizes[index] = _scaled(*sizes[index], _LONGEST_CHAIN / length)


def _chain_lengths(graph: Graph, kinds: tuple[str, ...], extent: list[float]) -> list[float]:
    """For each member the length of the longest chain of links through it."""
    edges = set()
    for item in graph.links:
        if item.kind == "between" and item.kind in kinds:
            edges |= {(item.others[0], item.member), (item.member, item.others[1])}
        elif item.kind in kinds:
            first, second = item.member, item.others[0]
            edges.add((second, first) if item.kind == "under" else (first, second))
    before, after = [0.0] * len(extent), [0.0] * len(extent)
    for _ in range(min(len(extent), 12)):
        for a, b in edges:
            before[b] = max(before[b], min(before[a] + extent[a], 4.0))
            after[a] = max(after[a], min(after[b] + extent[b], 4.0))
    return [before[i] + extent[i] + after[i] for i in range(len(extent))]


def _scaled(w: float, h: float, scale: float) -> Size:
    """Never larger than before, never below a hundredth of the canvas."""
    scale = min(1.0, max(scale, 0.0))
    return max(w * scale, 0.01), max(h * scale, 0.01)
