"""The members of a scene and the links between them, and whether boxes satisfy them."""

from __future__ import annotations

from dataclasses import dataclass

from agent.parsing.nouns import Noun, lookup
from agent.parsing.scene import Arrangement, Region, Relation, Scene
from diffusion.layout import Box

TOUCHING = ("on", "inside", "front", "held", "worn")
"""Links whose members may overlap."""
SEATS = {"seat": 0.22, "top": 0.06, "inside": 0.06, "": 0.05}
"""How far below a supporter's top edge the feet of what is on it are, as a share of the supporter's height."""
SLACK = 0.01

_OPPOSITES = {"right": "left", "below": "above", "behind": "front"}
_FOR_ALL = ("left", "right", "above", "below", "far", "front", "behind")


@dataclass(frozen=True)
class Member:
    """One of a thing's equals: ``thing`` indexes ``Scene.things``."""

    thing: int
    noun: Noun
    size: float
    stretch: float
    regions: tuple[Region, ...]


@dataclass(frozen=True)
class Link:
    """A relation between single members: "left", "above", "front" for their opposites too; "between" has two others."""

    kind: str
    member: int
    others: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """A scene taken apart into members, which links and arrangements index."""

    members: list[Member]
    links: list[Link]
    rows: list[tuple[Arrangement, list[int]]]
    """Arranged groups: "row", "column" or "near", and the members in order."""

    def siblings(self, index: int) -> int:
        """How many members the member's thing has, itself included."""
        return sum(member.thing == self.members[index].thing for member in self.members)

    def fellows(self, item: Link) -> int:
        """How many links of the same kind lead to the same other member, this one included."""
        return sum(other.kind == item.kind and other.others == item.others for other in self.links)

    def backed(self, item: Link) -> int:
        """How many links of the same kind start from the same member, this one included."""
        return sum(other.kind == item.kind and other.member == item.member for other in self.links)


def graph_of(scene: Scene) -> Graph:
    """Every thing as often as it is counted, in order, and the scene's relations between single members."""
    members = [
        Member(index, lookup(thing.noun), thing.size, thing.stretch, tuple(thing.regions))
        for index, thing in enumerate(scene.things)
        for _ in range(thing.count)
    ]
    groups: list[list[int]] = [[] for _ in scene.things]
    for index, member in enumerate(members):
        groups[member.thing].append(index)
    links: list[Link] = []
    for relation in scene.relations:
        links += _links(relation, groups[relation.subject], [i for index in relation.objects for i in groups[index]])
    rows = [(arrangement, [i for index in things for i in groups[index]]) for arrangement, things in scene.rows]
    return Graph(members, list(dict.fromkeys(links)), rows)


def _links(relation: Relation, subjects: list[int], objects: list[int]) -> list[Link]:
    if not subjects or not objects:
        return []
    if relation.kind == "between":
        return [Link("between", subject, (objects[0], objects[-1])) for subject in subjects]
    if relation.kind in _FOR_ALL:
        pairs = [(subject, other) for subject in subjects for other in objects]
    else:
        count = max(len(subjects), len(objects)) if relation.kind == "near" else len(subjects)
        pairs = [(subjects[i % len(subjects)], objects[i % len(objects)]) for i in range(count)]
    opposite = _OPPOSITES.get(relation.kind)
    return [Link(opposite, b, (a,)) if opposite else Link(relation.kind, a, (b,)) for a, b in pairs]


def holds(item: Link, boxes: list[Box]) -> bool:
    """Whether boxes satisfy a link: by edges where things are apart, by contact where they touch."""
    a, b = boxes[item.member], boxes[item.others[0]]
    over_x = min(a.x1, b.x1) - max(a.x0, b.x0)
    over_y = min(a.y1, b.y1) - max(a.y0, b.y0)
    match item.kind:
        case "left":
            return a.x1 <= b.x0 + SLACK
        case "above":
            return a.y1 <= b.y0 + SLACK
        case "under":
            return b.y1 <= a.y0 + SLACK and over_x > -0.3
        case "on":
            return a.center.y < b.center.y and over_x > 0 and -SLACK <= a.y1 - b.y0 <= 0.3 * b.height + SLACK
        case "inside":
            inner = a.x0 - b.x0, b.x1 - a.x1, a.y0 - b.y0, b.y1 - a.y1
            return min(inner) >= -SLACK
        case "front":
            return a.y1 > b.y1 and over_x > 0 and over_y > 0
        case "held" | "worn":
            return over_x > 0 and over_y > 0
        case "between":
            c = boxes[item.others[1]]
            return b.center.x < a.center.x < c.center.x
        case "near":
            return max(-over_x, -over_y) <= 0.3
        case _:
            return abs(a.center.x - b.center.x) >= 0.3


def in_region(region: Region, box: Box) -> bool:
    """Whether a box's centre lies in the half of the canvas that the region names."""
    x, y = box.center.x, box.center.y
    tests = {
        "left": x < 0.5, "right": x > 0.5, "top": y < 0.5, "bottom": y > 0.5,
        "center": abs(x - 0.5) < 0.25 and abs(y - 0.5) < 0.25, "corner": abs(x - 0.5) > 0.15 and abs(y - 0.5) > 0.15,
    }  # fmt: skip
    return all(tests.get(name, True) for name in region.split())


def unmet(graph: Graph, boxes: list[Box]) -> list[str]:
    """The links and regions that the boxes do not satisfy, in words."""

    def name(index: int) -> str:
        return graph.members[index].noun.name

    words = {"left": "left of", "front": "in front of", "held": "held by", "worn": "worn by", "far": "far from"}
    result = [
        f"{name(item.member)} {words.get(item.kind, item.kind)} {' and '.join(name(other) for other in item.others)}"
        for item in graph.links
        if not holds(item, boxes)
    ]
    for index, member in enumerate(graph.members):
        result += [f"{name(index)} at the {region}" for region in member.regions if not in_region(region, boxes[index])]
    return list(dict.fromkeys(result))
