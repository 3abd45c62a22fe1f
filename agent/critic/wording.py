"""What a plan shows against what its text asks for: how many of what, in which colours, and what must not be there."""

from __future__ import annotations

from collections.abc import Iterator

from agent.critic.finding import Finding
from agent.critic.hues import hues_asked, hues_named, shows
from agent.critic.reading import Group, Reading
from agent.critic.subject import Subject, is_a
from agent.parsing import words as w
from agent.parsing.nouns import is_noun, lookup, singular


def wording_findings(reading: Reading) -> Iterator[Finding]:
    """Findings of the codes count, colour and excluded."""
    for group in reading.groups:
        yield from _count(reading, group)
        yield from _colours(reading, group)
    yield from _excluded(reading)


def _count(reading: Reading, group: Group) -> Iterator[Finding]:
    things = [reading.scene.things[index] for index in group.things]
    wanted, exact = sum(thing.count for thing in things), all(thing.exact for thing in things)
    least = sum(thing.count if thing.exact else min(thing.count, 2) for thing in things)
    here, ids = len(group.certain), tuple(subject.id for subject in group.certain)
    listed = f" ({', '.join(ids)})" if ids else ""
    numbers = {"wanted": wanted, "planned": here}
    if here + len(group.possible) < least and _is_countable(reading, group):
        words = f"{wanted}" if exact else f"at least {least}"
        yield Finding(
            "count",
            ids,
            f"the text asks for {words} x {group.noun}, the plan has {here}{listed}: add {least - here} with a box "
            f"of {'its' if least - here == 1 else 'their'} own",
            numbers,
        )
    only = [s for s in group.certain if not any(is_a(s, other.noun) for other in reading.groups if other is not group)]
    if exact and len(only) > wanted:
        yield Finding(
            "count",
            ids,
            f"the text asks for {wanted} x {group.noun}, the plan has {here}{listed}: leave out {len(only) - wanted}",
            numbers,
        )


def _is_countable(reading: Reading, group: Group) -> bool:
    """Whether what is missing had to be an instance: a known and counted thing that no other part of the plan shows."""
    if group.certain:
        return True
    last = group.noun.rpartition(" ")[2]
    is_place = lookup(group.noun).home == "sky" and any(
        relation.kind in ("on", "inside") and set(relation.objects) & set(group.things)
        for relation in reading.scene.relations
    )
    if is_place:
        return False
    counted = lookup(group.noun).known and any(reading.scene.things[index].exact for index in group.things)
    if not counted or any(last in nouns for nouns in (w.SCENES, w.SURFACES, w.MASS, w.PARTS, w.GARMENTS, w.FRAMES)):
        return False
    shown = [reading.layout.background, *(instance.caption for instance in reading.layout)]
    return not any(singular(word.strip(".,;:!?'\"()"))[0] == last for text in shown for word in text.lower().split())


def _colours(reading: Reading, group: Group) -> Iterator[Finding]:
    """Each thing's colours, given to the instances so that as few as possible are wrong."""
    slots = [
        asked
        for index in group.things
        for asked in [hues_asked(reading.scene.things[index].attributes)]
        for _ in range(reading.scene.things[index].count)
    ]
    if not any(slots) or not group.certain:
        return
    for asked, subject in _assigned(slots, group.certain):
        lacking = sorted(hue for hue in asked if not shows(subject, hue))
        if not lacking:
            continue
        said = ", ".join(sorted(hues_named(subject)))
        yield Finding(
            "colour",
            (subject.id,),
            f"{subject.id} is to be {' and '.join(lacking)}; its caption '{subject.instance.caption}' says "
            f"{said or 'no colour'}: name the colour directly before the noun",
        )


def _assigned(slots: list[frozenset[str]], subjects: tuple[Subject, ...]) -> list[tuple[frozenset[str], Subject]]:
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    cost = np.array([[sum(not shows(subject, hue) for hue in asked) for subject in subjects] for asked in slots])
    return [(slots[row], subjects[column]) for row, column in zip(*linear_sum_assignment(cost), strict=True)]


def _excluded(reading: Reading) -> Iterator[Finding]:
    for ruled_out in dict.fromkeys(reading.scene.negated):
        words = singular(ruled_out.rpartition(",")[2].strip())[0].split()
        start = next((start for start in range(len(words)) if is_noun(" ".join(words[start:]))), None)
        if start is None:
            continue
        noun, attributes = " ".join(words[start:]), words[:start]
        for subject in reading.subjects:
            asked_for = any(is_a(subject, group.noun) for group in reading.groups)
            if is_a(subject, noun) and not asked_for and all(word in subject.words for word in attributes):
                yield Finding(
                    "excluded",
                    (subject.id,),
                    f"the text rules out '{ruled_out}', and {subject.id} is one: leave it out, and name it in the "
                    "negative prompt",
                )
