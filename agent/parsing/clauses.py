"""The state of the sentence that is being read, and how what it says is written into the scene graph."""

from __future__ import annotations

import re

from agent.parsing import words as w
from agent.parsing.catalogue import Catalogue
from agent.parsing.nouns import lookup, singular
from agent.parsing.phrases import NounPhrase
from agent.parsing.scene import Relation, RelationKind, Scene
from agent.parsing.sentences import Element

SPREADING = ("left", "right", "above", "below", "near", "far", "has", "object held", "object worn")
"""Relations that also hold for a second object: "left of a cube and a star"."""
_VAGUE_NOUNS = frozenset(("object", "thing", "item", "other", "else", "anything", "something", "nothing"))


class Clause:
    """``group`` are the subjects of the clause, ``last`` what was named last; things are indices into the scene's."""

    def __init__(self, elements: list[Element]) -> None:
        self.elements = elements
        self.at = 0
        self.scene = Scene()
        self.things = Catalogue(self.scene)
        self.group: list[int] = []
        self.last: list[int] = []
        self.previous: list[int] = []
        """The subjects of the sentence before, for "it" and "they"."""
        self.relation = ""
        """The relation that waits for its object or, once it has one, may take another after "and"."""
        self.relation_words = ""
        self.implied = False
        """Whether the relation stands for what a verb or "with" says."""
        self.owner: list[int] = []
        """Whom "with" speaks of, while what it has is listed: "a house with a tree behind it and a car beside it"."""
        self.closed = False
        """Whether the relation's object was a pronoun: "a tree behind it and a car" puts no car behind anything."""
        self.joint = ""
        """The connector that stood before the relation."""
        self.subjects: list[int] = []
        self.objects: list[int] = []
        self.leading: list[tuple[str, tuple[int, ...]]] = []
        """Regions and relations that stand before their subject: "above the table hangs a lamp"."""
        self.placed: set[int] = set()
        self.connector = "stop"
        """What joins the coming noun to the last one: "and", "comma", "stop" for a new sentence, "" for nothing."""
        self.predicate: list[int] = []
        """Whom a copula before this speaks of: "the ball is ..."."""
        self.each = False
        """Whether the next object is meant once for every subject: "three cats each holding a balloon"."""
        self.negation = ""
        self.negated_determiner = ""
        self.order = ""
        """The relation of each thing of this sentence to the next: "from left to right: ..."."""

    # -- what is pending

    def await_object(self, relation: str, subjects: list[int], words: str) -> None:
        """A relation was read whose object follows."""
        self.relation, self.relation_words, self.subjects, self.objects = relation, words, subjects, []
        self.connector, self.predicate, self.implied = "", [], relation == "has"
        self.closed = False

    def forget_relation(self) -> None:
        self.relation, self.subjects, self.objects = "", [], []

    def new_sentence(self) -> None:
        self.previous = self.group or [index for _, objects in self.leading for index in objects] or self.previous
        self.forget_relation()
        self.group, self.last, self.leading, self.predicate, self.owner = [], [], [], [], []
        self.negation, self.connector, self.order, self.each = "", "stop", "", False

    def takes_another_object(self) -> bool:
        """Whether the noun that arrives belongs to the pending relation, and does not begin a clause of its own."""
        if self.relation == "has parts":
            return False
        if not self.objects:
            return True
        if self.connector != "and" and not (self.connector == "comma" and self.relation == "has" and self._carries()):
            return False
        if self.relation == "between":
            return len(self.objects) < 2
        following = self.ahead()
        own_clause = following is not None and following.kind in ("relation", "region", "be", "verb", "arrangement")
        if following is not None and following.kind == "relation" and self.names_scene(self.at + 2):
            own_clause = False
        return self.relation in SPREADING and not own_clause

    def who(self) -> list[int]:
        """Whom a relation or a region that comes now speaks of."""
        if self.predicate:
            return list(self.predicate)
        if self.connector in ("and", "comma"):
            return list((self.subjects if self.objects else []) or self.group or self.last)
        following = self.ahead()
        itself = following is not None and following.kind == "pronoun"
        if self.objects and self.objects == self.last and self._carries() and not itself:
            return list(self.subjects)
        free = [index for index in self.group if index not in self.placed]
        return free if set(self.last) <= set(free) and self._joined_by_and() else list(self.last)

    def _kind_of_having(self, owner: int) -> RelationKind:
        """ "a vase with a rose": inside, "a desk with a lamp": on, "a house with a tree": near."""
        noun = self.scene.things[owner].noun
        if lookup(noun).support == "inside":
            return "inside"
        return "on" if noun.rpartition(" ")[2] in w.CARRIERS else "near"

    def _says_where(self) -> bool:
        """ "a house with a tree behind it": the text itself says where what comes after "with" is."""
        at = 2 if (verb := self.ahead()) and verb.kind == "verb" and not verb.transitive else 1
        following, after = self.ahead(at), self.ahead(at + 1)
        if following is None or following.kind not in ("relation", "region") or following.value in ("detail", "time"):
            return False
        kind = self._kind_of_having(self.subjects[0])
        return kind == "near" or (kind == "on" and after is not None and after.kind == "pronoun")

    def _carries(self) -> bool:
        """ "a vase with flowers on a shelf": it is the vase that is on the shelf."""
        if self.relation in ("object held", "object worn"):
            return True
        held = {relation.subject for relation in self.scene.relations if relation.kind in ("inside", "on")}
        return self.relation == "has" and bool(held & set(self.objects))

    def _joined_by_and(self) -> bool:
        """Whether the last noun was joined to the group by "and", not only by a comma."""
        joints = (e.kind for e in reversed(self.elements[: self.at]) if e.kind in ("and", "comma", "stop"))
        return next(joints, "") == "and"

    def ahead(self, distance: int = 1) -> Element | None:
        return self.elements[self.at + distance] if self.at + distance < len(self.elements) else None

    def names_scene(self, at: int) -> bool:
        phrase = self.elements[at].phrase if at < len(self.elements) else None
        return phrase is not None and (phrase.noun or "").rpartition(" ")[2] in w.SCENES

    # -- what is written down

    def not_understood(self, words: str, consequence: str) -> None:
        self.scene.gaps.append(words)
        self.scene.notes.append(f"not understood: '{words}' ({consequence})")

    def place(self, relation: str, subject: int, objects: tuple[int, ...]) -> None:
        """Write down a relation or a region of a thing."""
        self.placed.add(subject)
        if relation.startswith("region "):
            self.scene.things[subject].regions.append(relation.removeprefix("region "))  # type: ignore[arg-type]
            return
        if relation == "sides":
            for index, side in zip(self.things.halves([subject]), ("left", "right"), strict=False):
                self.place(side, index, objects)
            return
        if relation == "detail":
            self.not_understood(self.relation_words, "what follows is planned without that relation")
            return
        if relation == "has":
            relation = f"object {self._kind_of_having(subject)}"
        if relation.startswith("object "):
            relation, subject, objects = relation.removeprefix("object "), objects[0], (subject,)
        relation = {"middle": "inside", "corner": "inside"}.get(relation, relation)
        if subject in objects:
            noun = self.scene.things[subject].noun
            self.scene.notes.append(f"'{noun}' cannot be placed relative to itself: left out")
            return
        written = Relation(relation, subject, objects, self.implied)  # type: ignore[arg-type]
        if written not in self.scene.relations:
            self.scene.relations.append(written)

    def relate(self, things: list[int]) -> None:
        """Write down the pending relation with these things as its objects."""
        self.objects += things
        if self.relation == "has" and self._says_where():
            self.placed |= set(self.subjects)
            return
        if self.relation != "has" and not set(things) & set(self.owner):
            self.owner = []
        if self.relation == "sides":
            for index, side in zip(self.things.halves(self.subjects), ("left", "right"), strict=False):
                self.place(side, index, tuple(things))
        elif self.relation == "between":
            if sum(self.scene.things[index].count for index in self.objects) >= 2:
                for subject in self.subjects:
                    self.place("between", subject, tuple(self.objects))
        elif not self.subjects:
            self.leading.append((self.relation, tuple(things)))
        else:
            for subject in self.subjects:
                for index in things:
                    self.place(self.relation, subject, (index,))

    def negate(self, phrase: NounPhrase) -> None:
        """Write down what the picture must not show."""
        if phrase.noun is None:
            nouns = [self.scene.things[index].noun for index in self.predicate or self.group or self.last] or [""]
            self.scene.negated += [" ".join([*phrase.attributes, noun]).strip() for noun in nouns]
        elif phrase.noun not in _VAGUE_NOUNS:
            words = re.sub(r"^(a|an|the|any|all|single|zero|0) ", "", phrase.text, flags=re.I)
            irregular = phrase.noun.split()[-1] not in words.lower()
            self.scene.negated.append(f"{words}, {phrase.noun}" if irregular else words)

    def drop_contradictions(self) -> None:
        nouns = {thing.noun for thing in self.scene.things}
        for words in [words for words in self.scene.negated if singular(words)[0] in nouns]:
            self.scene.notes.append(f"'{words}' is both asked for and ruled out: planned, not in the negative prompt")
            self.scene.negated.remove(words)
