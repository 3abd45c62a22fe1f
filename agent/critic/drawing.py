"""What a diffusion model cannot draw well: boxes too small for its latents, hidden, merged, or cut by the edge."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from agent.critic.finding import Finding
from agent.critic.reading import Reading
from agent.critic.subject import Subject, is_a, names_alike
from agent.overlap import iou, shared_area
from agent.parsing import words as w
from diffusion.layout import Box

LATENT_CELL = 8
"""Pixels of a side of one cell of the latents: both the bundled model's and SD's autoencoders shrink by 8."""
LEAST_CELLS = 2.0
"""A box with a shorter side may hold no whole cell, and is drawn as next to nothing."""
HIDDEN = 0.85
"""The share of a box that nearer boxes cover from which on nothing of it can be recognised."""
MERGING = 0.25
"""The IoU from which on two things of one kind are drawn as one. ``scenewright bench merging --pictures 10`` found both
of a pair in 8 pictures of 10 at IoU 0.2, in 4 at 0.35 and in 0 at 0.5; in the tiny world's own in 10, 3 and 1."""
SAME_PLACE = 0.75
"""The same for unrelated things of different kinds. Both were found in 9, 3 and 1 pictures of 10, so 0.35 would be the
measured limit; but what is partly behind another thing, or a part of it, overlaps it as much and is meant so."""
CUT = 0.6
"""The share of its usual width or height below which a box that ends at the picture's edge cuts a thing off."""
EDGE = 0.004
_GRID = 24


def drawing_findings(reading: Reading) -> Iterator[Finding]:
    """Findings of the codes hidden, too_small, merging and cut_off."""
    yield from _too_small(reading)
    for subject in reading.subjects:
        yield from _hidden(reading, subject)
        yield from _cut_off(subject)
    for first, second in combinations(reading.subjects, 2):
        yield from _merging(reading, first, second)


def _too_small(reading: Reading) -> Iterator[Finding]:
    """One finding for all: they are rarely one thing's fault, but that of a crowded plan."""
    least = LEAST_CELLS * LATENT_CELL
    small = [subject for subject in reading.subjects if min(subject.width, subject.height) < least]
    if not small:
        return
    listed = ", ".join(f"{subject.id} ({subject.width:.0f} x {subject.height:.0f} pixels)" for subject in small)
    yield Finding(
        "too_small",
        tuple(subject.id for subject in small),
        f"too small to be drawn: {listed}: give every box at least {least:.0f} pixels a side "
        f"({least / reading.layout.width:.3f} wide, {least / reading.layout.height:.3f} high), or plan fewer things",
        {"least_pixels": least, "pixels": min(min(subject.width, subject.height) for subject in small)},
    )


def _hidden(reading: Reading, subject: Subject) -> Iterator[Finding]:
    depth = subject.instance.depth
    if depth is None:
        return
    nearer = [
        other
        for other in reading.subjects
        if other.instance.depth is not None and other.instance.depth < depth and not set(other.names) & w.SEE_THROUGH
    ]
    share = covered(subject.box, [other.box for other in nearer])
    if share >= HIDDEN:
        over = [other for other in nearer if shared_area(subject.box, other.box) > 0]
        names = " and ".join(other.id for other in over)
        yield Finding(
            "hidden",
            (subject.id, *(other.id for other in over)),
            f"{subject.id} is covered to {share:.0%} by {names}, nearer than it: move it out from behind, or give it "
            "the lower depth",
            {"covered": share},
        )


def _merging(reading: Reading, a: Subject, b: Subject) -> Iterator[Finding]:
    overlap = iou(a.box, b.box)
    same = any(names_alike(name, other) for name in a.names for other in b.names)
    if overlap < (MERGING if same else SAME_PLACE) or (not same and _related(reading, a, b)):
        return
    kind = "things of one kind" if same else "boxes"
    yield Finding(
        "merging",
        (a.id, b.id),
        f"{a.id} and {b.id} overlap (IoU {overlap:.2f}): two {kind} in one place are drawn as one: move them apart",
        {"iou": overlap},
    )


def _related(reading: Reading, a: Subject, b: Subject) -> bool:
    """Whether the text or one of the captions brings the two together."""
    for one, other in ((a, b), (b, a)):
        if any(is_a(other, thing.noun) for thing in one.caption.things[1:]):
            return True
        for relation in reading.scene.relations:
            objects = [subject for index in relation.objects for subject in reading.of_thing[index]]
            if one in reading.of_thing[relation.subject] and other in objects:
                return True
    return False


def _cut_off(subject: Subject) -> Iterator[Finding]:
    """A box that ends at an edge and has only a part of the shape that the whole thing has."""
    if not subject.measured or subject.pose:
        return
    box, usual = subject.box, subject.noun.aspect
    ratio = subject.width / subject.height / usual
    sides = [name for name, gap in (("left", box.x0), ("right", 1 - box.x1)) if gap <= EDGE]
    ends = [name for name, gap in (("top", box.y0), ("bottom", 1 - box.y1)) if gap <= EDGE]
    if sides and not ends and ratio < CUT:
        yield _cut(subject, sides[0], "width", ratio)
    elif ends and not sides and 1 / ratio < CUT:
        yield _cut(subject, ends[0], "height", 1 / ratio)


def _cut(subject: Subject, edge: str, what: str, share: float) -> Finding:
    return Finding(
        "cut_off",
        (subject.id,),
        f"{subject.id} ends at the {edge} edge with {share:.0%} of the {what} that its shape has: move it inwards and "
        "let its box hold the whole thing",
        {"share": share},
    )


def covered(box: Box, others: list[Box]) -> float:
    """The share of a box that lies under the union of others, to about 1 in 600."""
    others = [other for other in others if shared_area(box, other) > 0]
    if not others:
        return 0.0
    steps = [(index + 0.5) / _GRID for index in range(_GRID)]
    points = [(box.x0 + u * box.width, box.y0 + v * box.height) for u in steps for v in steps]
    under = sum(any(o.x0 <= x <= o.x1 and o.y0 <= y <= o.y1 for o in others) for x, y in points)
    return under / len(points)
