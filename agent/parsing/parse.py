"""Elements to a scene graph: which noun each word belongs to, who relates to whom, what is scene and what is absent."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

from agent.parsing import roles
from agent.parsing import words as w
from agent.parsing.clauses import Clause
from agent.parsing.nouns import is_noun, singular
from agent.parsing.phrases import NounPhrase, base_form
from agent.parsing.scene import Scene
from agent.parsing.sentences import Element, read
from agent.parsing.tokens import clean
from agent.planner import PlannerError
from diffusion.layout import MAX_INSTANCES


@lru_cache(maxsize=4096)
def parse(prompt: str) -> Scene:
    """The scene of a prompt; PlannerError for an empty prompt, one without any thing or scene, or too many things.

    The planner, the critic and every revision read the same text: it is read once, and nobody may change the scene.
    """
    text = clean(prompt)
    scene = _Parser(_join_attributes(read(text))).parse()
    scene.top_down |= _FROM_ABOVE.search(text) is not None
    total = sum(thing.count for thing in scene.things)
    if total > MAX_INSTANCES:
        counted = ", ".join(f"{thing.count} x {thing.noun[:40]}" for thing in scene.things[:8])
        more = ", ..." if len(scene.things) > 8 else ""
        raise PlannerError(
            f"the prompt asks for {total} things ({counted}{more}); a plan holds at most {MAX_INSTANCES}: ask for fewer"
        )
    if not (scene.things or scene.background or scene.negated or scene.style):
        raise PlannerError(f"no thing to draw was found in '{text[:120]}': name one, e.g. 'a red ball on green grass'")
    return scene


def _join_attributes(elements: list[Element]) -> list[Element]:
    """ "black and white dog" is one thing; "a red and a blue ball" are two, and the first one borrows its noun."""
    result: list[Element] = []
    for element in elements:
        phrase = element.phrase
        while phrase and phrase.noun and len(result) >= 2 and result[-1].kind in ("and", "comma"):
            before = result[-2].phrase
            if before is None or before.noun or (len(result) > 2 and result[-3].kind == "be"):
                break
            if phrase.determiner or phrase.count is not None:
                if before.determiner or before.count is not None:
                    before.noun, before.head, before.details = phrase.noun, phrase.head, list(phrase.details)
                    before.plural = before.count not in (None, 1)
                break
            between = ["and"] if result[-1].kind == "and" else []
            phrase.attributes = before.attributes + between + phrase.attributes
            phrase.text = " ".join([before.text, *between, phrase.text])
            phrase.determiner, phrase.count, phrase.vague = before.determiner, before.count, before.vague
            del result[-2:]
        result.append(element)
    return result


class _Parser(Clause):
    """Reads elements from left to right; a method for each kind of element."""

    def parse(self) -> Scene:
        handlers: dict[str, Callable[[Element], None]] = {
            "noun": self._noun, "relation": self._relation, "region": self._region, "arrangement": self._arrangement,
            "and": self._connect, "comma": self._connect, "stop": self._stop, "not": self._not, "be": self._be,
            "there": self._there, "with": self._with, "verb": self._verb, "pronoun": self._pronoun,
            "adverb": self._adverb, "style": self._style, "unknown": self._unknown, "order": self._order,
        }  # fmt: skip
        while self.at < len(self.elements):
            element = self.elements[self.at]
            handlers[element.kind](element)
            self.at += 1
        self._stop(Element("stop"))
        self.drop_contradictions()
        return self.scene

    # -- nouns

    def _noun(self, element: Element) -> None:
        phrase = element.phrase
        assert phrase is not None
        following = self.ahead()
        if self.negation and not self._ends_negation(phrase):
            self._negated(phrase)
            return
        self.negation = ""
        if phrase.noun is None and not self._give_noun(phrase):
            return
        if roles.is_canvas(phrase, self.scene, self.relation, following):
            self.forget_relation()
        elif not (self.scene.things or self.relation or self.leading) and roles.is_frame(phrase, following):
            self.scene.style.append(phrase.text)
            self.scene.top_down |= roles.is_overhead(phrase)
            if following and (following.kind == "with" or following.words in ("of", "in", "inside")):
                self.at += 1
        elif roles.is_style(phrase, self.connector, self.relation, following):
            self.scene.style.append(phrase.text)
            self.forget_relation()
        elif self.relation and self._is_own_part(phrase):
            self._detail(f"{self.relation_words} {phrase.text}")
            self.forget_relation()
        elif roles.is_scene(phrase, self.scene, self.relation, self.relation_words if self.relation else "", following):
            self._scene_noun(phrase)
        elif phrase.count == 0:
            self.forget_relation()
            self._negated(phrase)
        elif self.relation == "detail":
            self._detail(f"{self.relation_words} {phrase.text}")
            self.forget_relation()
        elif self.relation in ("has", "has parts") and self._is_part(phrase):
            joint = "and" if self.connector == "and" and self.relation == "has parts" else "with"
            self._detail(f"{joint} {phrase.text}")
            self.relation, self.connector = "has parts", ""
        elif phrase.noun == "one" and self.scene.things:
            self.connector = "stop"
            self._arrive([self.things.take(phrase.count or 1, phrase.attributes)])
        else:
            self._arrive(self.things.name(phrase))

    def _detail(self, words: str) -> None:
        self.things.describe(self.subjects, words)
        self.placed |= set(self.subjects)

    def _is_part(self, phrase: NounPhrase) -> bool:
        return bool(self.subjects) and not self.objects and (phrase.noun or "").rpartition(" ")[2] in w.PARTS

    def _is_own_part(self, phrase: NounPhrase) -> bool:
        """ "in its mouth", "in a black suit": no place, but a part or the clothes of the thing before."""
        noun = (phrase.noun or "").rpartition(" ")[2]
        own = phrase.determiner in ("its", "his", "her", "their") and noun in w.PARTS
        return bool(self.subjects) and (own or (self.relation_words == "in" and noun in w.GARMENTS))

    def _give_noun(self, phrase: NounPhrase) -> bool:
        """Whether attributes without a noun are one after all; a predicate ("the ball is red") and a style are not."""
        counted = bool(phrase.determiner) or phrase.count is not None
        if phrase.determiner == "all" or (phrase.count == 2 and phrase.text.lower().startswith("both")):
            counted, self.predicate = False, self.predicate or list(self.group or self.last)
        described = self.subjects if self.relation == "inside" else self.predicate
        if described and not counted:
            self.things.qualify(described, phrase.attributes)
            self.placed |= set(described)
            self.forget_relation()
            return False
        if phrase.count is not None and self.things.pool is not None:
            self._arrive([self.things.take(phrase.count, phrase.attributes)])
            return False
        first = not (self.scene.things or self.scene.background or self.scene.style)
        if counted or (first and is_noun(phrase.attributes[-1])):
            phrase.noun, phrase.plural = singular(phrase.attributes[-1])
            phrase.attributes, phrase.head = phrase.attributes[:-1], phrase.noun
            return True
        words = " ".join(phrase.attributes)
        if self.last and self.connector == "":
            self.things.describe(self.last, words)
        else:
            self.scene.style.append(words)
            if not self.scene.things:
                self.scene.notes.append(f"no noun follows '{words}': kept in the picture's caption")
        return False

    def _arrive(self, things: list[int]) -> None:
        """Things were named: the objects of what is pending, the subjects of what led, or more of the group."""
        is_new = self.things.mentioned.count(things[0]) == 1
        if self.relation and self.takes_another_object() and not (self.closed and is_new):
            if self.each and is_new:
                self.things.repeat(things, self.subjects)
                self.each = False
            self.relate(things)
        else:
            self.forget_relation()
            if self.connector == "stop" or self.placed & set(self.group) or self.predicate:
                self.group = []
            for relation, objects in self.leading:
                for index in things:
                    self.place(relation, index, objects)
            self.group += [index for index in things if index not in self.group]
        self.last, self.connector, self.predicate = things, "", []

    def _pronoun(self, element: Element) -> None:
        if element.value in ("one", "ones", "other"):
            things = [self.things.take(1, [])] if self.scene.things else []
            self.connector = "stop" if things else self.connector
        else:
            things = self._antecedents(many=element.value in ("they", "them", "both", "these", "those", "everything"))
        following = self.ahead()
        if self.relation and not self.objects and self.joint and following and following.kind == "noun":
            topic = [index for _, objects in self.leading for index in objects] or self.group[:1] or things
            self.leading = [(self.relation, tuple(topic))] if topic else []
            self.forget_relation()
            self.group, self.last, self.connector = [], [], "stop"
        elif things:
            self.things.mentioned += things
            self._arrive(things)
            self.closed = self.relation != "between"
        else:
            self.not_understood(element.value, "it is not clear what it speaks of")
            self.forget_relation()

    def _antecedents(self, many: bool) -> list[int]:
        """ "it" or "them": as an object of a relation, whatever is not its subject."""
        if self.relation and not self.objects:
            beside = [index for index in self.group if index not in self.subjects]
            before = [index for index in self.previous if index not in self.subjects]
            owner = [index for index in self.owner if index not in self.subjects]
            named = owner or beside or before or self.things.latest(but=self.subjects, count=2 if many else 1)
        else:
            named = self.previous or self.group or self.last
        return list(named if many else named[-1:])

    # -- the scene, and what is not in it

    def _scene_noun(self, phrase: NounPhrase) -> None:
        text = re.sub(r"^(the|this|that|its) ", "", phrase.text, flags=re.I)
        if text.lower() not in ("background", "distance") and text not in self.scene.background:
            self.scene.background.append(text)
        if (phrase.noun or "").rpartition(" ")[2] in w.SURFACES:
            self.scene.notes.append(f"'{phrase.text}' is planned as the ground of the picture, not as a thing in it")
        region = {"left": "left", "right": "right", "middle": "center", "corner": "corner"}.get(self.relation)
        by_itself = not self.relation or bool(self.objects)
        if self.relation == "has":
            self.placed |= set(self.subjects)
        if self.objects:
            region = None
        if region and not self.subjects:
            self.leading.append((f"region {region}", ()))
        elif region:
            for subject in self.subjects:
                self.place(f"region {region}", subject, ())
        self.forget_relation()
        following = self.ahead()
        own_region = following and following.kind == "region" and (by_itself or following.value in ("back", "front"))
        if following and (following.kind == "with" or own_region):
            self.at += 1
            self.connector = "and" if self.group else "stop"
        elif self.group:
            self.connector = ""

    def _not(self, element: Element) -> None:
        self.negation, self.connector = element.value, ""
        self.forget_relation()
        following = self.ahead()
        if following is None or following.kind in ("stop", "comma"):
            self.not_understood(element.value, "nothing follows it")
            self.negation = ""
        elif following.kind == "relation" and following.value != "detail":
            self.not_understood(f"not {following.words}", "what follows is planned without that relation")
            self.negation = ""
            self.at += 1

    def _ends_negation(self, phrase: NounPhrase) -> bool:
        """ "no dogs and two cats": what follows a negation with its own number or article is there again."""
        if self.connector == "" or phrase.determiner == "any":
            return False
        if self.negation in ("neither", "nor"):
            return self.connector == "comma" and phrase.count is not None
        if phrase.count is not None:
            return True
        return phrase.determiner == "a" and (self.connector == "comma" or self.negated_determiner != "a")

    def _negated(self, phrase: NounPhrase) -> None:
        self.negate(phrase)
        self.connector, self.negated_determiner = "", phrase.determiner
        following, after = self.ahead(), self.ahead(2)
        if following and following.kind == "relation" and after and after.kind == "pronoun":
            self.at += 2

    # -- relations, regions, arrangements

    def _relation(self, element: Element) -> None:
        if element.words == "of" and not self.last:
            return
        negated, self.negation = self.negation, ""
        subjects = [] if negated and self.names_scene(self.at + 1) else self.who()
        self.joint = self.connector
        kind = element.value
        if kind == "time" or (kind == "detail" and not subjects):
            kind = "near"
        self.await_object(kind, subjects, element.words)
        following = self.ahead()
        if following is None or following.kind not in ("noun", "pronoun", "and", "verb", "unknown", "adverb", "not"):
            if not self._relate_to_neighbour(kind):
                self.not_understood(element.words, "nothing follows it")
            self.forget_relation()

    def _relate_to_neighbour(self, kind: str) -> bool:
        """ "with a tree behind", "and a cherry on top": the other thing is the one named before."""
        others = [index for index in self.owner if index not in self.last] or self.things.latest(but=self.last)
        if kind not in _NEEDS_NO_OBJECT or not self.last or not others:
            return False
        self.place(kind, self.last[-1], (others[-1],))
        return True

    def _region(self, element: Element) -> None:
        if element.words in ("in front", "at the front") and self._relate_to_neighbour("front"):
            return
        after = self.ahead()
        following = next((e for e in self.elements[self.at + 1 :] if e.kind not in _BEFORE_SUBJECTS), None)
        noun_follows = following is not None and following.kind == "noun"
        before_noun = noun_follows and (after is not following or bool(self.leading))
        joined = self.connector in ("and", "comma", "stop") and bool(self.leading or self.placed)
        if not self.last or (joined and before_noun):
            self.forget_relation()
            self.leading = [(f"region {element.value}", ())]
            self.group, self.last, self.connector = [], [], "stop"
            return
        subjects = self.who()
        if element.value in ("center", "corner") or " " in element.value:
            subjects = subjects[-1:]
        for subject in subjects:
            self.place(f"region {element.value}", subject, ())
        self.negation = ""

    def _arrangement(self, element: Element) -> None:
        if not self.objects:
            self.forget_relation()
        targets = self.group or self.last
        if targets and (element.value, targets) not in self.scene.rows:
            self.scene.rows.append((element.value, list(targets)))  # type: ignore[arg-type]
            self.placed |= set(targets)

    def _with(self, element: Element) -> None:
        self.negation = ""
        subjects = list(self.predicate or self.last)
        self.owner = subjects
        if subjects or element.value != "show":
            self.await_object("has" if subjects else "", subjects, "with")

    def _verb(self, element: Element) -> None:
        targets = list(self.predicate or self.last)
        if self.relation.startswith("object ") and self.objects and not self.connector:
            targets = list(self.subjects)
        if not self.objects:
            self.forget_relation()
        if element.transitive and targets:
            known = element.transitive != "unknown"
            if not known:
                self.not_understood(element.words, "placed as if it said 'near'")
            self.await_object(element.transitive if known else "near", targets, element.words)
            self.implied = self.relation == "near"
            return
        if element.value:
            self.things.describe(targets, element.value)
            if not (base_form(element.words) or element.words in w.IRREGULAR_PARTICIPLES) or not targets:
                self.not_understood(element.value, f"kept in the {'' if targets else 'picture’s '}caption")
        if targets and self.connector != "stop":
            self.connector = ""

    # -- what joins, ends and colours sentences

    def _connect(self, element: Element) -> None:
        if self.connector != "stop" and (element.kind == "and" or self.connector != "and"):
            self.connector = element.kind
        self.predicate = []

    def _stop(self, element: Element) -> None:
        for first, second in pairwise(self.group) if self.order else ():
            self.place(self.order, first, (second,))
        self.new_sentence()

    def _be(self, element: Element) -> None:
        self.each = element.value == "each"
        if not self.objects:
            self.forget_relation()
        if self.last and not self.relation and not self.group:
            self.group = list(self.last)
        if element.value in w.RELATIVES:
            self.predicate = list(self.last)
        elif not self.predicate:
            self.predicate = list(self.group if self.group or self.leading else self.last)

    def _there(self, element: Element) -> None:
        self.forget_relation()
        self.predicate = []
        if self.group:
            self.connector = "stop"

    def _order(self, element: Element) -> None:
        self.order = element.value

    def _adverb(self, element: Element) -> None:
        if element.value.lower() not in w.ADVERBS:
            self.things.describe(self.last, element.value)

    def _style(self, element: Element) -> None:
        self.scene.style.append(element.value)

    def _unknown(self, element: Element) -> None:
        if element.value.lower() in ("or", "nor"):
            self._connect(Element("and"))
        elif element.value.lower() not in w.OTHER_FUNCTION_WORDS | w.DETERMINERS:
            self.not_understood(element.value, "kept in the picture's caption")


_FROM_ABOVE = re.compile(
    r"\b(?:seen|viewed|view|shot|photographed) from (?:directly |high |right )?(?:above|overhead)\b", re.I
)
_NEEDS_NO_OBJECT = ("on", "above", "below", "under", "behind", "front", "near", "inside")
"""Relations that may end a clause: their object is the other thing that it spoke of."""
_BEFORE_SUBJECTS = ("comma", "there", "be", "verb")
"""What may stand between a leading region and the thing that is there: "on the left there is ...", "stands ..."."""
