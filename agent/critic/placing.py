"""Where a plan puts things against where its text, or a thing's own caption, says that they are.

A relation counts as broken only where the boxes plainly contradict it: a cat "left of" a table may overlap it, but its
centre is not right of the table's. What a planner itself aims at is stricter, see ``agent.parsing.relations``.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.critic.finding import Finding
from agent.critic.reading import Reading
from agent.critic.subject import ANIMALS, PEOPLE, Subject, is_a
from agent.parsing import words as w
from agent.parsing.scene import Region, Relation
from diffusion.layout import Box

LEVEL = 0.02
"""Centres that differ less along an axis are level: neither is left of or above the other."""
APART = 0.4
"""Things whose boxes have a wider gap than this are not next to each other."""
TOUCHING = 0.04
"""A wider gap than this parts what sits on, holds or wears something from it."""
_WORDS = {
    "left": "left of", "right": "right of", "under": "under", "on": "on", "front": "in front of", "behind": "behind",
    "inside": "in", "near": "near", "far": "far from", "between": "between", "held": "held by", "worn": "worn by",
}  # fmt: skip
_FOR_ALL = ("left", "right", "above", "below", "front", "behind", "far")
"""Relations of each subject to every object; of the others one object is enough."""


def placing_findings(reading: Reading) -> Iterator[Finding]:
    """Findings of the code relation."""
    if not reading.scene.gaps:
        for relation in reading.scene.relations:
            yield from _relation(reading, relation)
        for index, thing in enumerate(reading.scene.things):
            if not reading.alike[index]:
                for subject in reading.of_thing[index]:
                    yield from _regions(subject, thing.regions)
    for subject in reading.subjects:
        yield from _own_caption(reading, subject)


def _relation(reading: Reading, relation: Relation) -> Iterator[Finding]:
    """Every subject must stand so to the objects; of instances that cannot be told apart, as many as are asked for."""
    subjects = reading.of_thing[relation.subject]
    objects = [subject for index in relation.objects for subject in reading.of_thing[index]]
    if not subjects or not objects or {s.id for s in subjects} & {o.id for o in objects}:
        return
    if relation.implied or (relation.kind == "held" and not any(_can_hold(holder) for holder in objects)):
        return
    wanted = min(reading.scene.things[relation.subject].count, len(subjects))
    certain = not any(reading.alike[index] for index in relation.objects)
    every = relation.kind in _FOR_ALL and certain
    wrong = [subject for subject in subjects if not _stands(relation.kind, subject, objects, every)]
    if len(subjects) - len(wrong) >= wanted:
        return
    yield from (_finding("the text", subject, relation.kind, objects) for subject in wrong)


def _own_caption(reading: Reading, subject: Subject) -> Iterator[Finding]:
    """ "a book on the couch": what a caption says of the one couch of the plan."""
    if subject.caption.gaps:
        return
    for relation in subject.caption.relations:
        if relation.subject != 0 or relation.implied or relation.kind == "between":
            continue
        noun = subject.caption.things[relation.objects[0]].noun
        named = [other for other in reading.subjects if other.id != subject.id and is_a(other, noun)]
        definite = f"the {noun}" in subject.instance.caption.lower()
        if len(named) == 1 and definite and not _stands(relation.kind, subject, named, True):
            yield _finding("its caption", subject, relation.kind, named)


def _regions(subject: Subject, regions: list[Region]) -> Iterator[Finding]:
    for region in regions:
        if not _in_region(region, subject.box):
            x, y = subject.box.center.x, subject.box.center.y
            yield Finding(
                "relation",
                (subject.id,),
                f"the text puts {subject.id} at the {region}; its centre is at x {x:.2f}, y {y:.2f}: move it there",
                {"x": x, "y": y},
            )


def _finding(source: str, subject: Subject, kind: str, objects: list[Subject]) -> Finding:
    names = " and ".join(other.id for other in objects)
    return Finding(
        "relation",
        (subject.id, *(other.id for other in objects)),
        f"{source} puts {subject.id} {_WORDS.get(kind, kind)} {names}; {_place(subject)}, "
        f"{', '.join(_place(other) for other in objects)}: move {'one of them' if len(objects) == 1 else subject.id}",
        {"x": subject.box.center.x, "y": subject.box.center.y},
    )


def _place(subject: Subject) -> str:
    box = subject.box
    return f"{subject.id} covers x {box.x0:.2f} to {box.x1:.2f}, y {box.y0:.2f} to {box.y1:.2f}"


def _stands(kind: str, subject: Subject, objects: list[Subject], every: bool) -> bool:
    if kind == "between":
        return len(objects) < 2 or _is_between(subject.box, [other.box for other in objects])
    tests = (_holds(kind, subject, other) for other in objects)
    return all(tests) if every else any(tests)


def _holds(kind: str, a: Subject, b: Subject) -> bool:
    """Whether boxes leave it possible that ``a kind b`` is true."""
    over_x = min(a.box.x1, b.box.x1) - max(a.box.x0, b.box.x0)
    over_y = min(a.box.y1, b.box.y1) - max(a.box.y0, b.box.y0)
    dx, dy = b.box.center.x - a.box.center.x, b.box.center.y - a.box.center.y
    match kind:
        case "left":
            return dx > LEVEL
        case "right":
            return dx < -LEVEL
        case "above":
            return dy > LEVEL
        case "below":
            return dy < -LEVEL
        case "under":
            return dy < 0 and over_x > -TOUCHING
        case "on":
            return over_x > -TOUCHING / 2 and a.box.y1 > b.box.y0 - TOUCHING and a.box.center.y < b.box.y1
        case "inside" if b.noun.home == "wall":
            return True  # In a mirror, a window or a picture is what it shows.
        case "inside" | "held" | "worn":
            return min(over_x, over_y) > -TOUCHING
        case "front":
            return _is_before(a, b, min(over_x, over_y) > 0)
        case "behind":
            return _is_before(b, a, min(over_x, over_y) > 0)
        case "near":
            return max(-over_x, -over_y) <= APART
        case _:
            return max(-over_x, -over_y) > 0


def _is_before(near: Subject, far: Subject, overlap: bool) -> bool:
    """Nearer: by depth where boxes overlap; else what stands on the ground is nearer the lower it stands."""
    depths = near.instance.depth, far.instance.depth
    if overlap and depths[0] is not None and depths[1] is not None and depths[0] > depths[1]:
        return False
    standing = near.noun.home == far.noun.home == "ground" and not (near.airborne or far.airborne)
    return not standing or near.box.y1 >= far.box.y1 - LEVEL


def _is_between(box: Box, others: list[Box]) -> bool:
    xs, ys = [other.center.x for other in others], [other.center.y for other in others]
    return min(xs) <= box.center.x <= max(xs) or (min(ys) <= box.center.y <= max(ys) and max(ys) - min(ys) > APART)


def _in_region(region: Region, box: Box) -> bool:
    x, y = box.center.x, box.center.y
    tests = {
        "left": x < 0.55, "right": x > 0.45, "top": y < 0.55, "bottom": y > 0.45,
        "center": max(abs(x - 0.5), abs(y - 0.5)) < 0.3, "corner": max(abs(x - 0.5), abs(y - 0.5)) > 0.15,
    }  # fmt: skip
    return all(tests.get(name, True) for name in region.split())


def _can_hold(subject: Subject) -> bool:
    return subject.noun.group in (PEOPLE, ANIMALS) or bool(set(subject.names) & w.CARRIERS)
