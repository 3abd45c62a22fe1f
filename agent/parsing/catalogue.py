"""The things of a scene while it is being read: naming new ones, finding those spoken of again, describing them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from agent.parsing import words as w
from agent.parsing.nouns import is_noun, lookup
from agent.parsing.phrases import NounPhrase, is_attribute
from agent.parsing.scene import Scene, Thing

DEFAULT_PLURAL = 3
_POINTING = ("the", "this", "that", "these", "those")


class Catalogue:
    """Owns ``scene.things``; things are spoken of by their index."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.mentioned: list[int] = []
        """Indices in the order in which the text speaks of them, the latest last."""
        self.pool: int | None = None
        """The several things out of which "one" is taken."""

    def name(self, phrase: NounPhrase) -> list[int]:
        """The things that a phrase speaks of: known ones for "the dog", else a new one."""
        found = self._known(phrase) or [self._new(phrase)]
        self.mentioned += found
        return found

    def describe(self, indices: Iterable[int], words: str) -> None:
        """Add words behind the noun in the captions."""
        for index in indices:
            self.scene.things[index].details.append(words)

    def qualify(self, indices: Iterable[int], attributes: list[str]) -> None:
        """Add attributes before the noun: "the ball is red"."""
        for index in indices:
            thing = self.scene.things[index]
            for word in attributes:
                if word not in thing.attributes and word.lower() not in w.ADVERBS:
                    thing.attributes.append(word)
                    _scale(thing, word)

    def take(self, count: int, attributes: list[str]) -> int:
        """ "one", "a red one", "two white ones": a part of the several things named last, else more of that kind."""
        pool = self.pool
        if pool is not None and self.scene.things[pool].count > count:
            index = self._split(pool, count)
        elif pool is not None:
            index, self.pool = pool, None
        else:
            index = self._split(self.mentioned[-1], 0)
            self.scene.things[index].count = count
            if attributes:
                self.scene.things[index].attributes = []
        self.qualify([index], attributes)
        return index

    def repeat(self, indices: Iterable[int], owners: Iterable[int]) -> None:
        """As many of the things for each of their owners: "three cats each holding a balloon" are three balloons."""
        times = sum(self.scene.things[index].count for index in owners)
        for index in indices:
            self.scene.things[index].count *= times

    def halves(self, indices: list[int]) -> list[int]:
        """Two things for "on either side of": one thing of several members is divided."""
        if len(indices) == 1 and self.scene.things[indices[0]].count > 1:
            return [indices[0], self._split(indices[0], self.scene.things[indices[0]].count // 2)]
        return indices[:2]

    def latest(self, but: Iterable[int], count: int = 1) -> list[int]:
        """The things mentioned last that are none of ``but``, in the order of mention."""
        others = [index for index in reversed(self.mentioned) if index not in set(but)]
        return list(dict.fromkeys(others))[:count][::-1]

    def _split(self, index: int, count: int) -> int:
        thing = self.scene.things[index]
        thing.count -= count
        part = replace(thing, count=count, attributes=list(thing.attributes), details=list(thing.details), regions=[])
        self.scene.things.append(part)
        return len(self.scene.things) - 1

    def _known(self, phrase: NounPhrase) -> list[int]:
        if phrase.determiner not in _POINTING:
            return []
        wanted = {word.lower() for word in phrase.attributes}
        found = [
            index
            for index, thing in enumerate(self.scene.things)
            if thing.noun == phrase.noun and wanted <= {word.lower() for word in thing.attributes}
        ]
        return found if phrase.plural else found[-1:]

    def _new(self, phrase: NounPhrase) -> int:
        noun, notes = phrase.noun or "", self.scene.notes
        count = phrase.count
        exact = not (phrase.vague or phrase.hedged or (phrase.plural and count is None))
        exact &= bool(phrase.determiner) or count is not None
        if count is None:
            count = DEFAULT_PLURAL if phrase.plural and noun not in w.MASS else 1
            if count > 1:
                notes.append(f"no number is given for '{phrase.text}': planned {count}")
        elif phrase.vague:
            notes.append(f"'{phrase.vague}' in '{phrase.text}' is no exact number: planned {count}")
        if noun.rpartition(" ")[2] in w.PLURAL_ONLY and count == 2 and re.search(r"\bpair of\b", phrase.text, re.I):
            count = 1
        thing = Thing(noun, count, phrase.head, list(phrase.attributes), list(phrase.details), plain=phrase.proper)
        thing.exact = exact
        if phrase.determiner == "the":
            thing.regions = [word.lower() for word in phrase.attributes if word.lower() in ("left", "right")]  # type: ignore[misc]
            thing.attributes = [word for word in phrase.attributes if word.lower() not in ("left", "right")]
        for word in phrase.attributes:
            _scale(thing, word)
        self.scene.things.append(thing)
        self.pool = len(self.scene.things) - 1 if count > 1 else self.pool
        if phrase.arrangement:
            self.scene.rows.append((phrase.arrangement, [len(self.scene.things) - 1]))
        strange = [word for word in phrase.attributes if not _is_understood(word.lower())]
        self.scene.gaps += strange
        notes += [f"not understood: '{word}' (kept in the caption of '{noun}')" for word in strange]
        if not lookup(noun).known:
            notes.append(f"not in the table of sizes: '{noun}' (planned as a thing of average size)")
        return len(self.scene.things) - 1


def _scale(thing: Thing, word: str) -> None:
    thing.size = min(max(thing.size * w.SIZES.get(word.lower(), 1.0), 0.4), 2.0)
    thing.stretch = min(max(thing.stretch * w.STRETCHES.get(word.lower(), 1.0), 0.5), 2.0)


def _is_understood(low: str) -> bool:
    return (
        is_attribute(low) or is_noun(low) or low in w.ADVERBS or low in w.SCENES or low == "and" or low.endswith("ly")
    )
