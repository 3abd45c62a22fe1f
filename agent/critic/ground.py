"""Sizes, perspective and the ground: what no level camera over a flat ground could see.

A thing of height H that stands on the ground, at a distance d from a camera with its horizon at y = h, is drawn
c * H / d high and ends at y1 = h + k / d (c and k being the camera's). Of two such things the farther one, i, is thus
drawn at most (y1_i - h) / (y1_j - h) times as large for its real height as the nearer one, j; with no horizon in the
lower part of the picture, h >= 0, that is at most y1_i / y1_j. The rules below ask for no more than this bound, with a
wide tolerance: how far a plan oversteps it is its ``excess``.

Planners draw large things smaller and small things larger than they are, so that a ball beside a house can be seen. A
pair therefore counts only where it also oversteps the bound with real heights so damped (``DAMPING``).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from agent.critic.finding import Finding
from agent.critic.reading import Reading
from agent.critic.subject import NATURE, PEOPLE, Subject
from agent.parsing import words as w
from agent.parsing.nouns import DAMPING

SKY = 0.3
"""What stands on the ground ends lower than this: planners are asked for a horizon at 0.35 to 0.5."""
GROWN = 1.5
"""People of at least this height in metres look over the scene from where its viewer does."""
EYES = 0.07
"""How far down a person's eyes are, as a share of the height."""
LEVEL = 0.03
"""How much lower than the horizon the ground must be to be told from the sky."""
EXCESS = 2.0
"""How often the size that the bound allows it a thing must have, by height and by area, to be called too large."""
DEPTH = 0.06
"""How much lower the one of two of a kind must stand to be the nearer one without doubt."""
LIKE = 1.4
"""Up to this factor two of a kind may differ in real size: beyond it the nearer one is drawn too small."""
ALIKE = 1.15
"""The factor by which grown people differ in height."""
EDGE = 0.004


_Pair = tuple[Subject, Subject]


def ground_findings(reading: Reading) -> Iterator[Finding]:
    """Findings of the codes floating, size and perspective."""
    if reading.scene.top_down or any(subject.caption.top_down for subject in reading.subjects):
        return
    standing = [subject for subject in reading.subjects if _stands(reading, subject)]
    floating = [subject for subject in standing if subject.box.y1 < min(SKY, _eye_level(standing, subject) + LEVEL)]
    for subject in floating:
        yield Finding(
            "floating",
            (subject.id,),
            f"{subject.id} stands on the ground, but its box ends at y {subject.box.y1:.2f}, in the sky: lower it "
            "until it ends below the horizon, at y 0.50 or more, or say in its caption what holds it up",
            {"y1": subject.box.y1},
        )
    whole = [s for s in standing if s not in floating and s.measured and s.box.y0 > EDGE and s.box.y1 < 1 - EDGE]
    unequal = list(_perspective(whole))
    yield from unequal
    yield from _sizes([subject for subject in whole if not any(subject.id in finding.ids for finding in unequal)])


def _eye_level(standing: list[Subject], seen: Subject) -> float:
    """Where the eyes of the nearest upright person but ``seen`` are: there a viewer who is as tall has the horizon.

    1 where nobody else stands: then nothing speaks for a horizon higher than usual.
    """
    upright = [subject for subject in standing if subject.measured and not subject.pose and subject is not seen]
    people = [subject for subject in upright if subject.noun.group == PEOPLE and subject.noun.height >= GROWN]
    nearest = max(people, key=lambda person: person.box.y1, default=None)
    return 1.0 if nearest is None else nearest.box.y0 + EYES * nearest.box.height


def _stands(reading: Reading, subject: Subject) -> bool:
    """Whether a thing's feet are on the ground: it belongs there, and neither text, caption nor boxes lift it."""
    if subject.noun.home != "ground" or not subject.noun.known or subject.airborne or set(subject.names) & w.RAISED:
        return False
    mine = {index for index, found in enumerate(reading.of_thing) if subject in found}
    if any("top" in region for index in mine for region in reading.scene.things[index].regions):
        return False
    for relation in reading.scene.relations:
        lifted = relation.kind in ("on", "above", "inside", "held", "worn") and relation.subject in mine
        if lifted or (relation.kind in ("below", "under") and mine & set(relation.objects)):
            return False
    return not any(_rests_on(subject, other) for other in reading.subjects if other is not subject)


def _rests_on(subject: Subject, other: Subject) -> bool:
    """Whether a thing ends inside or just on top of what can carry it, over at least half of its width."""
    a, b = subject.box, other.box
    beneath = min(a.x1, b.x1) - max(a.x0, b.x0) >= 0.5 * a.width
    carries = (bool(other.noun.support) or not other.noun.known) and other.noun.name != subject.noun.name
    behind = other.instance.depth is not None and (subject.instance.depth or 0) > other.instance.depth
    return beneath and carries and not behind and b.y0 - 0.03 <= a.y1 < b.y1 - 0.03


def _perspective(standing: list[Subject]) -> Iterator[Finding]:
    pairs = {}
    for one, other in combinations(standing, 2):
        far, near = sorted((one, other), key=lambda subject: subject.box.y1)
        if _of_a_kind(far, near) and near.box.y1 - far.box.y1 >= DEPTH:
            ratio = min(far.height / near.height, far.side / near.side)
            excess = ratio * near.box.y1 / far.box.y1
            if excess > EXCESS or ratio > LIKE:
                pairs[far, near] = excess
    for mine in _by_culprit(pairs):
        far, near = max(mine, key=lambda pair: pairs[pair])
        wrong = near if all(pair[1] is near for pair in mine) else far
        others = [one if one is not wrong else other for one, other in mine]
        where, size = ("lower", "larger") if wrong is near else ("higher", "smaller")
        beside = ", ".join(f"{other.id} ({_stature(other)})" for other in others)
        yield Finding(
            "perspective",
            (wrong.id, *(other.id for other in others)),
            f"{wrong.id} ({_stature(wrong)}) stands {where} in the picture than {beside}, so it is "
            f"{'nearer' if wrong is near else 'farther away'}: draw it {size}",
            {"height": wrong.box.height, "excess": max(pairs[pair] for pair in mine)},
        )


def _stature(subject: Subject) -> str:
    return f"{subject.box.height:.2f} high, down to y {subject.box.y1:.2f}"


def _of_a_kind(a: Subject, b: Subject) -> bool:
    """Whether two things are equally tall, and pose alike; grown people are of a kind whatever they do for a living."""
    people = a.noun.group == b.noun.group == PEOPLE and 1 / ALIKE < a.noun.height / b.noun.height < ALIKE
    return (people or a.noun.name == b.noun.name) and a.pose == b.pose


def _sizes(standing: list[Subject]) -> Iterator[Finding]:
    pairs = {
        (large, small): excess
        for large in standing
        for small in standing
        if not _of_a_kind(large, small) and (excess := _excess(large, small)) > EXCESS
    }
    for mine in _by_culprit(pairs):
        yield _size(mine, pairs)


def _by_culprit(pairs: dict[_Pair, float]) -> Iterator[list[_Pair]]:
    """Pairs that contradict each other, together with the one thing that most of them have in common; worst first."""
    while pairs:
        per_thing = {subject: [pair for pair in pairs if subject in pair] for pair in pairs for subject in pair}
        worst = max(per_thing, key=lambda thing: (len(per_thing[thing]), sum(pairs[pair] for pair in per_thing[thing])))
        yield per_thing[worst]
        pairs = {pair: excess for pair, excess in pairs.items() if worst not in pair}


def _excess(large: Subject, small: Subject) -> float:
    """How often the size that the bound allows it ``large`` has beside ``small``; 0 where it is the nearer one."""
    if large.box.y1 > small.box.y1 + DEPTH / 2:
        return 0.0
    bound = min(1.0, large.box.y1 / small.box.y1)
    (_, tallest), (lowest, _) = _reach(large), _reach(small)
    heights = large.height / small.height, small.noun.height * lowest / (large.noun.height * tallest)
    sides = large.side / small.side, small.noun.size * lowest / (large.noun.size * tallest)
    return min(drawn * real**power for drawn, real in (heights, sides) for power in (DAMPING, 1.0)) / bound


def _reach(subject: Subject) -> tuple[float, float]:
    """Between which shares of its usual height a thing may be: plants grow, who sits is lower, who rides is higher."""
    if subject.noun.group == NATURE:
        return 0.5, 2.0
    return (0.5, 1.25) if subject.pose else (1.0, 1.0)


def _size(mine: list[_Pair], pairs: dict[_Pair, float]) -> Finding:
    """One finding for pairs that have one thing in common: too large beside the others, or the others beside it."""
    first, second = max(mine, key=lambda pair: pairs[pair])
    too_large = all(large is first for large, _ in mine)
    wrong, others = (first, [small for _, small in mine]) if too_large else (second, [large for large, _ in mine])
    beside = ", ".join(f"{_height(other)}" for other in others)
    limits = [other.box.height * wrong.noun.height / other.noun.height for other in others]
    real = min(limits) if too_large else max(limits)
    possible = f" (in proportion {real:.2f} high)" if 0.03 <= real <= 0.9 else ""
    where = "no nearer than" if too_large else "no farther than"
    return Finding(
        "size",
        (wrong.id, *(other.id for other in others)),
        f"{_height(wrong)} is too {'large' if too_large else 'small'} beside what is {where} it, {beside}: draw it "
        f"{'smaller' if too_large else 'larger'}{possible}",
        {"height": wrong.box.height, "proportionate_height": real, "excess": max(pairs[pair] for pair in mine)},
    )


def _height(subject: Subject) -> str:
    return f"{subject.id} ({subject.box.height:.2f} high, really about {subject.noun.height:g} m)"
