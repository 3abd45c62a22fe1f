"""Who is who: which instances of a plan are the things that its text speaks of."""

from __future__ import annotations

from dataclasses import dataclass

from agent.critic.hues import hues_asked, shows
from agent.critic.subject import Subject, is_a, may_be, names_alike
from agent.parsing.naming import instance_ids
from agent.parsing.relations import graph_of
from agent.parsing.scene import Scene
from diffusion.layout import Layout


@dataclass(frozen=True)
class Group:
    """All things of one noun in the text, and the instances that are certainly or possibly meant by it."""

    noun: str
    things: tuple[int, ...]
    """Indices of ``Scene.things``."""
    certain: tuple[Subject, ...]
    possible: tuple[Subject, ...]
    """Instances that no noun of the text claims for certain and that could be this under another name."""


@dataclass(frozen=True)
class Reading:
    """A text and its plan, held together.

    ``of_thing``: for each thing of the scene the instances that are it, as far as nouns and colours tell them apart;
    ``alike``: whether another thing of the same noun could be meant by the same instances.
    """

    scene: Scene
    layout: Layout
    subjects: tuple[Subject, ...]
    groups: tuple[Group, ...]
    of_thing: tuple[tuple[Subject, ...], ...]
    alike: tuple[bool, ...]


def read(scene: Scene, layout: Layout, subjects: list[Subject]) -> Reading:
    """Instances to things: by their ids where the plan is the offline planner's own, else by nouns and colours."""
    groups = _groups(scene, subjects)
    of_thing: list[tuple[Subject, ...]] = [()] * len(scene.things)
    alike = [False] * len(scene.things)
    own = _by_id(scene, subjects)
    for group in groups:
        for index in group.things:
            if own:
                of_thing[index] = own[index]
                continue
            asked = hues_asked(scene.things[index].attributes)
            rivals = [hues_asked(scene.things[other].attributes) for other in group.things if other != index]
            fitting = tuple(subject for subject in group.certain if all(shows(subject, hue) for hue in asked))
            told_apart = bool(asked) and all(rival and not rival & asked for rival in rivals)
            alike[index] = bool(rivals) and not told_apart
            of_thing[index] = fitting if told_apart and rivals else group.certain
    return Reading(scene, layout, tuple(subjects), groups, tuple(of_thing), tuple(alike))


def _groups(scene: Scene, subjects: list[Subject]) -> tuple[Group, ...]:
    nouns: list[str] = []
    members: dict[str, list[int]] = {}
    for index, thing in enumerate(scene.things):
        noun = next((known for known in nouns if names_alike(known, thing.noun)), thing.noun)
        if noun not in members:
            nouns.append(noun)
        members.setdefault(noun, []).append(index)
    claimed = {subject.id for subject in subjects for noun in nouns if is_a(subject, noun)}
    return tuple(
        Group(
            noun,
            tuple(members[noun]),
            tuple(subject for subject in subjects if is_a(subject, noun)),
            tuple(subject for subject in subjects if subject.id not in claimed and may_be(subject, noun)),
        )
        for noun in nouns
    )


def _by_id(scene: Scene, subjects: list[Subject]) -> list[tuple[Subject, ...]]:
    """The instances of each thing by the ids that the offline planner gives; empty when the plan is not its own."""
    here = {subject.id: subject for subject in subjects}
    members = graph_of(scene).members
    result: list[tuple[Subject, ...]] = [()] * len(scene.things)
    for instance_id, member in zip(instance_ids(scene), members, strict=True):
        subject = here.pop(instance_id, None)
        if subject is not None and subject.instance.category == scene.things[member.thing].noun:
            result[member.thing] += (subject,)
        elif subject is not None:
            return []
    return [] if here else result
