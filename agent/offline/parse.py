"""Phrases to a scene graph: which noun each word belongs to, who relates to whom, what is scene and what is not there."""

from __future__ import annotations

import re
from collections.abc import Callable

from agent.offline import words as w
from agent.offline.nouns import MASS, PLURAL_ONLY, is_noun, lookup, singular
from agent.offline.phrases import Element, NounPhrase, clean, is_attribute, read
from agent.offline.scene import Relation, Scene, Thing
from agent.planner import PlannerError
from diffusion.layout import MAX_INSTANCES

DEFAULT_PLURAL = 3
_SPREADING = ("left", "right", "above", "below", "near", "far")
"""Relations that also hold for a second object: "left of a cube and a star"."""


def parse(prompt: str) -> Scene:
    """The scene of a prompt; PlannerError for an empty prompt, one without any thing or scene, or too many things."""
    text = clean(prompt)
    builder = _Builder(_join_attributes(read(text)))
    scene = builder.scene()
    total = sum(thing.count for thing in scene.things)
    if total > MAX_INSTANCES:
        counted = ", ".join(f"{thing.count} x {thing.noun}" for thing in scene.things)
        raise PlannerError(
            f"the prompt asks for {total} things ({counted[:200]}); a plan holds at most {MAX_INSTANCES}"
        )
    if not (scene.things or scene.background or scene.negated or scene.style):
        raise PlannerError(f"no thing to draw was found in '{text[:120]}': name one, e.g. 'a red ball on green grass'")
    return scene


def _join_attributes(elements: list[Element]) -> list[Element]:
    """ "black and white dog" is one thing; "a red and a blue ball" are two, and the first one borrows its noun."""
    result: list[Element] = []
    for element in elements:
        phrase = element.phrase
        joined = 0
        while phrase and phrase.noun and len(result) >= 2 and result[-1].kind in ("and", "comma"):
            before = result[-2].phrase
            if before is None or before.noun or (len(result) > 2 and result[-3].kind == "be"):
                break
            own = phrase.determiner or phrase.count is not None or joined
            if own and (before.determiner or before.count is not None):
                before.noun, before.plural = phrase.noun, before.count not in (None, 1)
                before.details = list(phrase.details)
                break
            if own and not joined:
                break
            between = ["and"] if result[-1].kind == "and" else []
            phrase.attributes = before.attributes + between + phrase.attributes
            phrase.determiner, phrase.count = (
                before.determiner,
                before.count if before.count is not None else phrase.count,
            )
            phrase.vague = before.vague or phrase.vague
            phrase.text = f"{before.text} {' '.join([*between, phrase.text])}"
            del result[-2:]
            joined = 0 if not (phrase.determiner or phrase.count is not None) else 1
        result.append(element)
    return result


class _Builder:
    """Reads elements from left to right; ``group`` are the subjects of the clause, ``last`` what was named last."""

    def __init__(self, elements: list[Element]) -> None:
        self.elements = elements
        self.out = Scene()
        self.at = 0
        self.group: list[int] = []
        self.last: list[int] = []
        self.pending: tuple[str, list[int]] | None = None
        self.objects: list[int] = []
        """Objects that the pending relation has found, in order."""
        self.leading: list[tuple[str, tuple[int, ...]]] = []
        """Regions and relations that stand before their subject: "above the table hangs a lamp"."""
        self.placed: set[int] = set()
        self.negative = ""
        self.connector = "stop"
        self.after_be = False
        self.order = ""
        self.previous: list[int] = []
        """The subjects of the sentence before, for "it" and "they"."""

    def scene(self) -> Scene:
        handlers: dict[str, Callable[[Element], None]] = {
            "noun": self._noun, "relation": self._relation, "region": self._region, "arrangement": self._arrangement,
            "and": self._connect, "comma": self._connect, "stop": self._stop, "not": self._not, "be": self._be,
            "there": self._there, "with": self._with, "verb": self._verb, "pronoun": self._pronoun,
            "adverb": self._adverb, "style": lambda e: self.out.style.append(e.value), "unknown": self._unknown,
            "order": self._start_order,
        }  # fmt: skip
        while self.at < len(self.elements):
            element = self.elements[self.at]
            handlers[element.kind](element)
            self.at += 1
        self._stop(Element("stop"))
        self._tables_that_are_ground()
        self._contradictions()
        return self.out

    # -- nouns

    def _noun(self, element: Element) -> None:
        phrase = element.phrase
        assert phrase is not None
        if self.negative and not self._negation_ends(phrase):
            return self._negate(phrase)
        self.negative = ""
        if phrase.noun is None and not self._give_noun(phrase):
            return None
        if self._is_frame(phrase):
            self.out.style.append(phrase.text)
            self.out.top_down |= bool(re.search(r"top-down|overhead|aerial|bird's", phrase.text.lower()))
            following = self._ahead()
            if following and (
                following.kind == "with" or (following.kind == "relation" and following.value in ("detail", "inside"))
            ):
                self.at += 1
            return None
        if self._is_style(phrase):
            self.out.style.append(phrase.text)
            return None
        if self._is_scene(phrase):
            return self._scene_noun(phrase)
        if phrase.count == 0:
            self.out.negated.append(_negative_words(phrase))
            return None
        if self.pending and self.pending[0] == "detail":
            return self._attach(f"{self.pending_words} {phrase.text}", self.pending[1])
        if self.pending and self.pending[0] == "has" and singular(phrase.noun or "")[0] in w.PARTS and self.pending[1]:
            return self._attach(
                f"{'and' if self.objects_are_parts else 'with'} {phrase.text}", self.pending[1], part=True
            )
        things = self._refer(phrase) or [self._new(phrase)]
        self._arrive(things)
        return None

    def _arrive(self, things: list[int]) -> None:
        """A thing was named: it is the object of what is pending, the subject of what led, or one more of the group."""
        if self.pending and self._is_object():
            self._relate(things)
        else:
            self.pending, self.objects = None, []
            if self.connector == "stop" or self.placed & set(self.group) or self.after_be:
                self.group = []
            for kind, objects in self.leading:
                for index in things:
                    self._apply(kind, index, objects)
            self.group = [*self.group, *(index for index in things if index not in self.group)]
        self.last, self.connector, self.after_be = things, "", False

    def _is_object(self) -> bool:
        """Whether the noun that arrives belongs to the pending relation, and does not begin a clause of its own."""
        assert self.pending is not None
        kind = self.pending[0]
        if not self.objects:
            return True
        following = self._ahead()
        if kind == "between" and len(self.objects) < 2:
            return self.connector == "and"
        own = following is not None and (following.kind in ("relation", "region", "be", "verb", "arrangement"))
        if following is not None and following.kind == "relation" and self._object_is_scene(self.at + 2):
            own = False
        return self.connector == "and" and kind in (*_SPREADING, "has") and not own

    def _relate(self, things: list[int]) -> None:
        assert self.pending is not None
        kind, subjects = self.pending
        self.objects += things
        if kind == "between":
            members = sum(self.out.things[index].count for index in self.objects)
            if members >= 2:
                for subject in subjects:
                    self._add("between", subject, tuple(self.objects))
            return
        if not subjects:
            self.leading.append((kind, tuple(things)))
            return
        for subject in subjects:
            for index in things:
                self._apply(kind, subject, (index,))

    def _apply(self, kind: str, subject: int, objects: tuple[int, ...]) -> None:
        if kind.startswith("region "):
            self.out.things[subject].regions.append(kind.removeprefix("region "))  # type: ignore[arg-type]
            self.placed.add(subject)
        elif kind == "has":
            support = lookup(self.out.things[subject].noun).support
            relation = {"inside": "inside", "top": "on", "seat": "on"}.get(support, "near")
            for index in objects:
                self._add(relation, index, (subject,))
        elif kind == "inverse inside":
            self._add("inside", objects[0], (subject,))
        elif kind == "inverse on":
            self._add("on", objects[0], (subject,))
        elif kind == "middle" or kind == "corner":
            self._add("inside", subject, objects)
        else:
            self._add(kind, subject, objects)

    def _add(self, kind: str, subject: int, objects: tuple[int, ...]) -> None:
        if subject in objects:
            self.out.notes.append(f"a {self.out.things[subject].noun} cannot be placed relative to itself: left out")
            return
        relation = Relation(kind, subject, objects)  # type: ignore[arg-type]
        if relation not in self.out.relations:
            self.out.relations.append(relation)
        self.placed.add(subject)

    def _new(self, phrase: NounPhrase) -> int:
        noun = phrase.noun or ""
        plural_one = noun.rpartition(" ")[2] in PLURAL_ONLY
        count = phrase.count
        if count is None:
            count = DEFAULT_PLURAL if phrase.plural and noun not in MASS else 1
            if count > 1:
                self.out.notes.append(f"no number is given for '{phrase.text}': planned {count}")
        elif phrase.vague:
            self.out.notes.append(f"'{phrase.vague}' in '{phrase.text}' is no exact number: planned {count}")
        if plural_one and count == 2 and re.search(r"\bpair of\b", phrase.text.lower()):
            count = 1
        thing = Thing(noun, count, list(phrase.attributes), list(phrase.details), plain=phrase.proper)
        thing.arrangement = phrase.arrangement
        for word in phrase.attributes:
            thing.size *= w.SIZES.get(word.lower(), 1.0)
            thing.stretch *= w.STRETCHES.get(word.lower(), 1.0)
        thing.size = min(max(thing.size, 0.4), 2.0)
        self.out.things.append(thing)
        self._note_unknown(thing, phrase)
        return len(self.out.things) - 1

    def _note_unknown(self, thing: Thing, phrase: NounPhrase) -> None:
        unknown = [
            word for word in phrase.attributes
            if not (is_attribute(word.lower()) or word.lower() in w.ADVERBS | {"and"} or is_noun(word) or word.lower() in w.SCENES
                    or (word.lower().endswith("ly") and len(word) > 4))
        ]  # fmt: skip
        for word in unknown:
            self.out.notes.append(f"not understood: '{word}' (kept in the caption of '{thing.noun}')")
        if not lookup(thing.noun).known:
            self.out.notes.append(f"'{thing.noun}' is not a noun I know: placed as a thing of average size")

    def _refer(self, phrase: NounPhrase) -> list[int]:
        """The things already named that "the dog" or "the red balls" speak of."""
        if phrase.determiner not in ("the", "this", "that", "these", "those") or not self.out.things:
            return []
        attributes = {word.lower() for word in phrase.attributes}
        same = [index for index, thing in enumerate(self.out.things) if thing.noun == phrase.noun]
        exact = [index for index in same if attributes <= {word.lower() for word in self.out.things[index].attributes}]
        if not exact:
            return []
        return exact if phrase.plural and len(exact) > 1 else exact[-1:]

    def _give_noun(self, phrase: NounPhrase) -> bool:
        """Attributes without a noun: a predicate ("the ball is red"), a style, or a noun after all."""
        words = " ".join(phrase.attributes)
        if (
            (self.after_be or (self.pending and self.pending[0] == "inside"))
            and (self.group or self.last)
            and not phrase.determiner
        ):
            targets = self.pending[1] if self.pending else self.group or self.last
            for index in targets:
                thing = self.out.things[index]
                thing.attributes += [
                    word for word in phrase.attributes if word not in thing.attributes and word.lower() not in w.ADVERBS
                ]
            self.pending = None
            return False
        if (
            phrase.determiner
            or phrase.count is not None
            or not (self.out.things or self.out.background or self.out.style)
        ):
            last = phrase.attributes[-1]
            if is_noun(last) or phrase.determiner or phrase.count is not None:
                phrase.noun, phrase.plural = singular(last)
                phrase.attributes = phrase.attributes[:-1]
                return True
        if self.last and self.connector not in ("comma", "stop", "and"):
            self._attach(words, self.last)
        else:
            self.out.style.append(words)
        return False

    # -- scenes, styles, what is not there

    def _is_frame(self, phrase: NounPhrase) -> bool:
        if (phrase.noun or "").rpartition(" ")[2] not in w.FRAMES or self.out.things or self.pending or self.leading:
            return False
        following = self._ahead()
        return (
            following is None
            or following.kind in ("with", "not", "comma", "stop")
            or (following.kind == "relation" and following.transitive in ("of", "in", "inside", "about", "from"))
            or (following.kind == "verb" and not following.transitive)
        )

    def _is_style(self, phrase: NounPhrase) -> bool:
        last = (phrase.noun or "").rpartition(" ")[2]
        by_comma = self.connector in ("comma", "stop") and not phrase.determiner and phrase.count is None
        in_style = bool(self.pending and self.pending[0] in ("inside", "has") and not self._thing_noun(last))
        following = self._ahead()
        alone = following is None or following.kind in ("comma", "stop", "and")
        if last in w.STYLES and ((by_comma and alone) or in_style):
            self.pending = None
            return True
        return False

    def _thing_noun(self, noun: str) -> bool:
        return is_noun(noun) and noun not in w.STYLES

    def _is_scene(self, phrase: NounPhrase) -> bool:
        noun = phrase.noun or ""
        last = noun.rpartition(" ")[2]
        kind = self.pending[0] if self.pending else ""
        if is_noun(noun) and " " in noun and last not in w.SCENES:
            return False
        if last in w.SURFACES or noun == "table":
            return (kind == "on" or self.out.top_down) and self._plain_surface(phrase)
        if last == "floor" or last in w.SCENES or noun in w.SCENES:
            return not (last in w.LANDMARKS and phrase.count is not None)
        return last == "wall" and (kind == "on" or self._ahead() is None or "background" in phrase.text)

    def _plain_surface(self, phrase: NounPhrase) -> bool:
        own = {word.lower() for word in phrase.attributes} & (w.COLOURS - {"dark", "light"}) or (phrase.count or 1) > 1
        return not own and phrase.noun != "dining table"

    def _scene_noun(self, phrase: NounPhrase) -> None:
        text = (
            re.sub(r"^(the|this|that|its) ", "", phrase.text, flags=re.I) if phrase.determiner != "a" else phrase.text
        )
        if text.lower() not in ("background", "scene", "distance") and text not in self.out.background:
            self.out.background.append(text)
        if self.pending:
            kind, subjects = self.pending
            if kind in ("left", "right", "middle", "corner"):
                region = {"middle": "center"}.get(kind, kind)
                for subject in subjects:
                    self._apply(f"region {region}", subject, ())
                if not subjects:
                    self.leading.append((f"region {region}", ()))
            self.pending, self.objects = None, []
        following = self._ahead()
        if (following and following.kind == "region" and following.value in ("back", "front")) or (
            following and following.kind == "with" and not self.group
        ):
            self.at += 1
        self.connector = self.connector if not self.group else ""

    def _negation_ends(self, phrase: NounPhrase) -> bool:
        """ "no dogs and two cats": what follows a negation with its own number or article is there again."""
        if self.connector == "":
            return False
        if phrase.determiner == "any" or self.negative in ("neither", "nor"):
            return False
        if phrase.count is not None:
            return True
        return phrase.determiner == "a" and (self.connector == "comma" or self.negated_determiner != "a")

    def _negate(self, phrase: NounPhrase) -> None:
        if phrase.noun is None:
            targets = self.group or self.last
            nouns = [self.out.things[index].noun for index in targets] or [""]
            self.out.negated += [f"{' '.join(phrase.attributes)} {noun}".strip() for noun in nouns]
        elif phrase.noun not in ("object", "thing", "other", "else"):
            self.out.negated.append(_negative_words(phrase))
        self.connector, self.negated_determiner = "", phrase.determiner
        following = self._ahead()
        if following and following.kind == "relation" and self._ahead(2) and self._ahead(2).kind == "pronoun":  # type: ignore[union-attr]
            self.at += 2

    def _not(self, element: Element) -> None:
        self.negative, self.connector, self.negated_determiner = element.value, "", ""
        self.pending = None
        following = self._ahead()
        if following and following.kind == "relation" and following.value not in ("detail",):
            self.out.notes.append(
                f"not understood: 'not {following.transitive}' (what follows is planned without that relation)"
            )
            self.negative = ""
            self.at += 1
        elif following is None or following.kind in ("stop", "comma"):
            self.out.notes.append(f"not understood: '{element.value}' (nothing follows it)")
            self.negative = ""

    # -- relations

    def _relation(self, element: Element) -> None:
        kind = element.value
        if kind == "detail" and element.transitive == "of" and not self.last:
            return
        if self.negative and kind == "inside" and self._object_is_scene(self.at + 1):
            self.pending = ("inside", [])
            self.negative = ""
            return
        self.negative = ""
        subjects = self._subjects()
        if kind == "time" or (kind == "detail" and not subjects):
            kind = "near"
        self.pending, self.objects = (kind, subjects), []
        self.pending_words, self.objects_are_parts = element.transitive, False
        self.connector, self.after_be = "", False
        following = self._ahead()
        if following is None or following.kind not in ("noun", "pronoun", "and", "verb", "unknown", "adverb"):
            if kind == "on" and element.transitive == "on top" and self.previous_named():
                self._apply("on", subjects[-1], (self.previous_named()[-1],))
            else:
                self.out.notes.append(f"not understood: '{element.transitive}' (nothing follows it)")
            self.pending = None

    def previous_named(self) -> list[int]:
        return [index for index in self.group if index not in self.last]

    def _subjects(self) -> list[int]:
        """Whom a relation or a region that comes now speaks of."""
        if self.leading and not self.group and not self.last:
            return []
        if self.after_be:
            return list(self.group or self.last)
        if self.connector in ("and", "comma") and self.pending and self.objects:
            return list(self.pending[1]) or list(self.last)
        if self.connector in ("and", "comma") and self.group:
            return list(self.group)
        if self.last and set(self.last) <= set(self.group):
            free = [index for index in self.group if index not in self.placed]
            return free if free and set(self.last) <= set(free) and self._joined_by_and() else list(self.last)
        return list(self.last)

    def _joined_by_and(self) -> bool:
        """Whether the last noun of the group was joined to the others by "and", not only by a comma."""
        for element in reversed(self.elements[: self.at]):
            if element.kind == "and":
                return True
            if element.kind in ("comma", "stop"):
                return False
        return False

    def _region(self, element: Element) -> None:
        following = next((e for e in self.elements[self.at + 1 :] if e.kind not in ("comma", "there", "be")), None)
        after = self._ahead()
        names_next = (
            following is not None and following.kind == "noun" and (after is not following or bool(self.leading))
        )
        starts = not self.last or (
            self.connector in ("and", "comma", "stop") and names_next and (self.leading or self.placed)
        )
        region = element.value
        if starts:
            self.leading = [(f"region {region}", ())]
            self.group, self.last, self.pending, self.connector = [], [], None, "stop"
            return
        subjects = self._subjects()
        if len(subjects) > 1 and (region in ("center", "corner") or " " in region):
            subjects = subjects[-1:]
        for subject in subjects:
            self._apply(f"region {region}", subject, ())
        self.negative = ""

    def _arrangement(self, element: Element) -> None:
        if self.pending and not self.objects:
            self.pending = None
        targets = list(self.group or self.last)
        if len(targets) == 1:
            self.out.things[targets[0]].arrangement = element.value  # type: ignore[assignment]
        for first, second in zip(targets, targets[1:], strict=False):
            kind = {"row": "near", "column": "on"}.get(element.value, "near")
            self._add(kind, first, (second,)) if kind == "near" else self._add("above", first, (second,))

    def _verb(self, element: Element) -> None:
        targets = list(self.last if not self.after_be else self.group or self.last)
        if self.pending and not self.objects and targets == self.pending[1]:
            self.pending = None
        if element.transitive:
            kind = "near" if element.transitive == "unknown" else element.transitive
            if element.value:
                self.out.notes.append(
                    f"not understood: '{element.value}' (placed as '{kind}')"
                ) if element.transitive == "unknown" else None
            self.pending, self.objects = (kind, targets), []
            self.pending_words, self.objects_are_parts = element.value, False
            self.connector, self.after_be = "", False
            if not targets:
                self.pending = None
            return
        if element.value:
            if targets:
                for index in targets:
                    self.out.things[index].details.append(element.value)
            else:
                self.out.notes.append(f"not understood: '{element.value}' (kept in the picture's caption)")
        if targets:
            self.connector = "" if self.connector != "stop" else self.connector

    def _with(self, element: Element) -> None:
        if element.value == "show" and not self.last:
            return
        subjects = list(self.group if self.after_be and self.group else self.last)
        self.pending, self.objects = (("has", subjects) if subjects else None), []
        self.pending_words, self.objects_are_parts = "with", False
        self.connector, self.negative = "", ""

    # -- the rest

    def _connect(self, element: Element) -> None:
        if element.kind == "and" or self.connector != "and":
            self.connector = element.kind if self.connector != "stop" else "stop"
        self.after_be = False

    def _stop(self, element: Element) -> None:
        if self.order and len(self.group) > 1:
            for first, second in zip(self.group, self.group[1:], strict=False):
                self._add(self.order, first, (second,))
        for index, (_, objects) in enumerate(self.leading):
            if objects and not self.group and index == 0:
                self.group = list(objects)
        self.previous = self.group or self.previous
        self.group, self.last, self.pending, self.objects, self.leading = [], [], None, [], []
        self.negative, self.connector, self.after_be, self.order = "", "stop", False, ""

    def _be(self, element: Element) -> None:
        if self.pending and not self.objects:
            self.pending = None
        if self.last and self.pending is None and not self.placed & set(self.group):
            self.group = self.group or self.last
        self.after_be = bool(self.group or self.last)
        if self.leading and not self.group:
            self.after_be = False
            self.pending = None

    def _there(self, element: Element) -> None:
        self.pending, self.after_be = None, False
        if self.group:
            self.connector = "stop"

    def _pronoun(self, element: Element) -> None:
        named = self.previous or self.group
        if element.value in ("one", "ones", "other"):
            things = self._member()
        elif self.pending and not self.objects:
            others = [index for index in (self.group or named) if index not in self.pending[1]]
            things = others or [index for index in named if index not in self.pending[1]]
            things = things if element.value in ("them", "they", "those", "these", "both") else things[-1:]
        else:
            things = (
                list(named) if element.value in ("they", "them", "both", "these", "those", "everything") else named[-1:]
            )
        if things:
            self._arrive(things)
        else:
            self.out.notes.append(f"not understood: '{element.value}' (it is not clear what it speaks of)")

    def _member(self) -> list[int]:
        """ "one" of the several things named before: it becomes a thing of its own, taken from their count."""
        for index in reversed(range(len(self.out.things))):
            thing = self.out.things[index]
            if thing.count > 1:
                one = Thing(thing.noun, 1, list(thing.attributes), list(thing.details), thing.size, thing.stretch)
                thing.count -= 1
                self.out.things.append(one)
                self.connector = "stop"
                return [len(self.out.things) - 1]
            if index not in self.placed:
                self.connector = "stop"
                return [index]
        return []

    def _adverb(self, element: Element) -> None:
        if element.value.lower() not in w.ADVERBS and self.last:
            for index in self.last:
                self.out.things[index].details.append(element.value)

    def _unknown(self, element: Element) -> None:
        if element.value.lower() not in ("or", "nor", "then", "if", "a", "an", "the", "all", "any", "because", "when"):
            self.out.notes.append(f"not understood: '{element.value}' (kept in the picture's caption)")
        if element.value.lower() in ("or", "nor"):
            self._connect(Element("and"))

    def _start_order(self, element: Element) -> None:
        self.order = element.value

    def _attach(self, words: str, targets: list[int], part: bool = False) -> None:
        for index in targets:
            self.out.things[index].details.append(words)
        if part:
            self.objects_are_parts, self.objects = True, self.objects
        else:
            self.pending = None
        self.connector = ""

    def _ahead(self, distance: int = 1) -> Element | None:
        return self.elements[self.at + distance] if self.at + distance < len(self.elements) else None

    def _object_is_scene(self, at: int) -> bool:
        element = self.elements[at] if at < len(self.elements) else None
        return bool(
            element and element.phrase and element.phrase.noun and element.phrase.noun.rpartition(" ")[2] in w.SCENES
        )

    def _tables_that_are_ground(self) -> None:
        """ "the table" of a later sentence is the ground when "on a table" was."""

    def _contradictions(self) -> None:
        nouns = {thing.noun for thing in self.out.things}
        for words in list(self.out.negated):
            if singular(words)[0] in nouns:
                self.out.notes.append(
                    f"'{words}' is both asked for and ruled out: planned, and left out of the negative prompt"
                )
                self.out.negated.remove(words)


def _negative_words(phrase: NounPhrase) -> str:
    """The noun as written, without its article; its singular too where the plural does not contain it."""
    words = re.sub(r"^(a|an|the|any|all|single|zero|0) ", "", phrase.text, flags=re.I)
    if phrase.noun and phrase.noun.split()[-1] not in words.lower():
        return f"{words}, {phrase.noun}"
    return words
