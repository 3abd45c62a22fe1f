"""What the critic knows of one planned thing: its place, its nouns, its real size, and what its caption says of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from agent.parsing import words as w
from agent.parsing.nouns import Noun, lookup, singular
from agent.parsing.parse import parse
from agent.parsing.scene import Scene
from agent.planner import PlannerError
from diffusion.layout import Box, Instance, Layout
from diffusion.tiny.vocabulary import canonical_kind

PEOPLE, ANIMALS, VEHICLES, NATURE = "people", "animals", "vehicles", "sky and nature"
"""Headings of the table of sizes."""
_CLASSES = {
    "person": PEOPLE,
    "animal": ANIMALS,
    "pet": ANIMALS,
    "creature": ANIMALS,
    "vehicle": VEHICLES,
}
_WORD = re.compile(r"[^\W_]+(?:-[^\W_]+)*")
_FLIES_SOMETHING = re.compile(r"\b(?:fly|flies|flying)(?= (?:an?|the|his|her|its|their)\b)")
"""Who flies a kite does not fly."""
_ALIKE = 2.5
"""A compound whose real size differs more than this from its last word's is another thing: a hot dog is no dog."""


@dataclass(frozen=True, eq=False)
class Subject:
    """One instance with an extent. ``width``, ``height``: its box in pixels."""

    instance: Instance
    box: Box
    width: float
    height: float
    names: tuple[str, ...]
    """Singular nouns that name it: its category, and the noun of its caption."""
    noun: Noun
    """What is known of the most telling of these."""
    words: frozenset[str]
    """The words of its caption, lower case."""
    caption: Scene
    """Its caption, read."""
    measured: bool
    """Whether its real size is known: of a giant mushroom, a toy car or an unknown thing it is not."""

    @property
    def id(self) -> str:
        return self.instance.id

    @property
    def side(self) -> float:
        """The side in pixels of the square that is as large as the box."""
        return (self.width * self.height) ** 0.5

    @property
    def pose(self) -> frozenset[str]:
        """What its caption says of its posture."""
        return self.words & w.POSTURES

    @property
    def airborne(self) -> bool:
        """Whether its caption takes it off the ground: flying, perched, on a shelf; a seat does not."""
        own = {word for name in self.names for word in name.split()}
        on_furniture = any(place.rpartition(" ")[2] in w.SURFACES for place in self.caption.background)
        if on_furniture or (self.words & w.AIRBORNE) - own:
            return True
        carriers = [
            lookup(self.caption.things[index].noun)
            for relation in self.caption.relations
            if relation.subject == 0 and relation.kind in ("on", "above", "held", "worn", "inside")
            for index in relation.objects
        ]
        return any(carrier.support != "seat" for carrier in carriers)


def subjects_of(layout: Layout, scene: Scene) -> list[Subject]:
    """The instances of a layout that have a box or a mask; ``scene`` is the text that it was made for, read."""
    altered = {thing.noun for thing in scene.things if thing.size != 1.0 or thing.stretch != 1.0}
    subjects = []
    for instance in layout:
        box = instance.extent()
        if box is None:
            continue
        words = frozenset(_WORD.findall(_FLIES_SOMETHING.sub("", instance.caption.lower())))
        caption = _read_caption(instance.caption)
        category = singular(instance.category)[0]
        head = caption.things[0].noun if caption.things else category
        if not _agree(category, head, words):
            head = category
        noun, trusted = _most_telling(category, head, words)
        usual = not (words & (w.SIZES.keys() | w.STRETCHES.keys() | w.NOT_REAL)) and noun.name not in altered
        subjects.append(
            Subject(
                instance=instance,
                box=box,
                width=box.width * layout.width,
                height=box.height * layout.height,
                names=tuple(dict.fromkeys((category, head))),
                noun=noun,
                words=words,
                caption=caption,
                measured=noun.known and trusted and usual,
            )
        )
    return subjects


@lru_cache(maxsize=4096)
def names_alike(name: str, other: str) -> bool:
    """Whether two singular nouns name the same kind: equal, synonyms, or a compound and its head of about its size."""
    if name == other or any(name in synonyms and other in synonyms for synonyms in w.SYNONYMS):
        return True
    kind = canonical_kind(name)
    if kind is not None and kind == canonical_kind(other):
        return True
    longer, shorter = (name, other) if len(name) > len(other) else (other, name)
    if not longer.endswith(f" {shorter}"):
        return False
    a, b = lookup(longer), lookup(shorter)
    return not (a.known and b.known) or (a.home == b.home and 1 / _ALIKE <= a.size / b.size <= _ALIKE)


def is_a(subject: Subject, noun: str) -> bool:
    """Whether a thing certainly is what a singular noun of the text names."""
    return any(names_alike(name, noun) for name in subject.names)


def may_be(subject: Subject, noun: str) -> bool:
    """Whether a thing could be what a noun names under another word: a puppy a dog, a farmer a person."""
    known = [lookup(name) for name in subject.names if lookup(name).known]
    wanted = lookup(noun)
    if not known or not wanted.known:
        return True
    group = _CLASSES.get(noun, wanted.group)
    return any(found.group == group for found in known)


def _agree(category: str, head: str, words: frozenset[str]) -> bool:
    """Whether a caption's noun names what its category does, and not what it stands beside or is made of."""
    a, b = lookup(category), lookup(head)
    return _is_named(category, words) or (b.known and _CLASSES.get(category, a.group) == b.group)


def _is_named(category: str, words: frozenset[str]) -> bool:
    return category.rpartition(" ")[2] in {singular(word)[0] for word in words}


def _most_telling(category: str, head: str, words: frozenset[str]) -> tuple[Noun, bool]:
    """The noun whose real size counts, and whether caption and category leave no doubt about it."""
    by_category, by_caption = lookup(category), lookup(head)
    if by_category.group == PEOPLE and by_caption.known and by_caption.group == PEOPLE:
        return by_caption, True
    if _is_named(category, words) or by_category.group == PEOPLE:
        return by_category, True
    return (by_caption, True) if by_caption.known else (by_category, False)


def _read_caption(caption: str) -> Scene:
    try:
        return parse(caption)
    except PlannerError:
        return Scene()
