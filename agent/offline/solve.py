"""Boxes that satisfy constraints: projection sweeps over centres, each constraint moving what violates it.

Lengths are shares of the canvas, origin top left, y down. A constraint is a function of the boxes that corrects
what it can and returns by how much it was violated before, so that one sweep both measures and repairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MARGIN = 0.02
TOLERANCE = 0.004


@dataclass
class Body:
    """A box by its centre and sides; ``mobility`` 0 stays where it is, 1 moves freely."""

    x: float
    y: float
    w: float
    h: float
    mobility: float = 1.0

    @property
    def left(self) -> float:
        return self.x - self.w / 2

    @property
    def right(self) -> float:
        return self.x + self.w / 2

    @property
    def top(self) -> float:
        return self.y - self.h / 2

    @property
    def bottom(self) -> float:
        return self.y + self.h / 2


Constraint = Callable[[], float]
Pull = Callable[[float], None]


def relax(bodies: list[Body], constraints: list[Constraint], pulls: list[Pull], sweeps: int = 120) -> float:
    """Sweep until nothing is violated; the largest violation that is left. ``pulls`` are wishes that fade out."""
    constraints = [*constraints, *(_on_canvas(body) for body in bodies if body.mobility)]
    worst = 0.0
    for sweep in range(sweeps):
        strength = 0.25 * max(0.0, 1 - 1.6 * sweep / sweeps)
        if strength:
            for pull in pulls:
                pull(strength)
        worst = 0.0
        for constraint in constraints:
            violation = constraint()
            if violation > worst:
                worst = violation
        if worst < TOLERANCE and sweep > sweeps // 6:
            return worst
    return worst


def left_of(a: Body, b: Body, gap: float) -> Constraint:
    """a ends before b begins, with a gap."""
    return lambda: _push_x(a, b, a.right + gap - b.left)


def above(a: Body, b: Body, gap: float) -> Constraint:
    """a ends before b begins, downwards, with a gap."""
    return lambda: _push_y(a, b, a.bottom + gap - b.top)


def apart(a: Body, b: Body, gap: float) -> Constraint:
    """No overlap, and a gap, along whichever axis needs the smaller move."""

    reach_x, reach_y = (a.w + b.w) / 2 + gap, (a.h + b.h) / 2 + gap

    def project() -> float:
        over_x = reach_x - abs(a.x - b.x)
        if over_x <= 0:
            return 0.0
        over_y = reach_y - abs(a.y - b.y)
        if over_y <= 0:
            return 0.0
        if over_x <= over_y:
            return _push_x(a, b, over_x) if a.x <= b.x else _push_x(b, a, over_x)
        return _push_y(a, b, over_y) if a.y <= b.y else _push_y(b, a, over_y)

    return project


def close_x(a: Body, b: Body, within: float) -> Constraint:
    """The centres differ by at most ``within`` along x."""

    def project() -> float:
        distance = a.x - b.x
        if abs(distance) <= within:
            return 0.0
        excess = abs(distance) - within
        return _push_x(b, a, excess) if distance < 0 else _push_x(a, b, excess)

    return project


def close_y(a: Body, b: Body, within: float) -> Constraint:
    """The centres differ by at most ``within`` along y."""

    def project() -> float:
        distance = a.y - b.y
        if abs(distance) <= within:
            return 0.0
        excess = abs(distance) - within
        return _push_y(b, a, excess) if distance < 0 else _push_y(a, b, excess)

    return project


def bottom_at(a: Body, b: Body, share: float, within: float = 0.0) -> Constraint:
    """a's bottom at ``share`` of b's height below b's top, give or take ``within``."""

    def project() -> float:
        distance = a.bottom - (b.top + share * b.h)
        if abs(distance) <= within:
            return 0.0
        excess = abs(distance) - within
        return _push_y(b, a, excess) if distance < 0 else _push_y(a, b, excess)

    return project


def near(a: Body, b: Body, gap: float) -> Constraint:
    """The gap between the boxes is at most ``gap`` along either axis."""

    def project() -> float:
        excess_x = abs(a.x - b.x) - (a.w + b.w) / 2 - gap
        excess_y = abs(a.y - b.y) - (a.h + b.h) / 2 - gap
        moved_x = _push_x(b, a, excess_x) if a.x < b.x else _push_x(a, b, excess_x)
        moved_y = _push_y(b, a, excess_y) if a.y < b.y else _push_y(a, b, excess_y)
        return max(moved_x, moved_y)

    return project


def far(a: Body, b: Body, distance: float) -> Constraint:
    """The centres are at least ``distance`` apart along x."""

    def project() -> float:
        lack = distance - abs(a.x - b.x)
        if lack <= 0:
            return 0.0
        return _push_x(a, b, lack) if a.x <= b.x else _push_x(b, a, lack)

    return project


def visible(a: Body, b: Body, hidden: float) -> Constraint:
    """a, in front, hides at most a share of b."""

    def project() -> float:
        over_x = min(a.right, b.right) - max(a.left, b.left)
        over_y = min(a.bottom, b.bottom) - max(a.top, b.top)
        if over_x <= 0 or over_y <= 0 or over_x * over_y <= hidden * b.w * b.h:
            return 0.0
        excess_x, excess_y = over_x - hidden * b.w * b.h / over_y, over_y - hidden * b.w * b.h / over_x
        if excess_x < excess_y:
            return _push_x(a, b, excess_x) if a.x < b.x else _push_x(b, a, excess_x)
        return _push_y(b, a, excess_y)

    return project


def kept_in(a: Body, axis: str, low: float, high: float) -> Constraint:
    """a's centre along an axis ("x" or "y") lies in [low, high]."""

    def project() -> float:
        value = getattr(a, axis)
        target = min(max(value, low), high)
        if value != target and a.mobility:
            setattr(a, axis, target)
        return abs(value - target)

    return project


def pull(body: Body, *, x: float | None = None, y: float | None = None) -> Pull:
    """A wish that the centre be at x, at y, or at both."""

    def apply(strength: float) -> None:
        if x is not None:
            body.x += strength * body.mobility * (x - body.x)
        if y is not None:
            body.y += strength * body.mobility * (y - body.y)

    return apply


def _push_x(first: Body, second: Body, amount: float) -> float:
    """Move ``first`` to the left and ``second`` to the right, ``amount`` in all."""
    if amount <= 0:
        return 0.0
    total = first.mobility + second.mobility
    if total:
        first.x -= amount * first.mobility / total
        second.x += amount * second.mobility / total
    return amount


def _push_y(first: Body, second: Body, amount: float) -> float:
    if amount <= 0:
        return 0.0
    total = first.mobility + second.mobility
    if total:
        first.y -= amount * first.mobility / total
        second.y += amount * second.mobility / total
    return amount


def _on_canvas(body: Body) -> Constraint:
    """The whole box lies on the canvas, or its centre in the middle where it is too large for that."""
    half_w, half_h = min(body.w / 2 + MARGIN, 0.5), min(body.h / 2 + MARGIN, 0.5)
    most_x, most_y = 1 - half_w, 1 - half_h

    def project() -> float:
        x, y = body.x, body.y
        if half_w <= x <= most_x and half_h <= y <= most_y:
            return 0.0
        body.x, body.y = min(max(x, half_w), most_x), min(max(y, half_h), most_y)
        return max(abs(body.x - x), abs(body.y - y))

    return project
