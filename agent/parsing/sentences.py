"""Text to elements: noun phrases and the words between them that relate, place, join or deny them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agent.parsing import words as w
from agent.parsing.nouns import is_noun
from agent.parsing.phrases import NounPhrase, PhraseReader, base_form
from agent.parsing.tokens import is_mark, tokens_of

Kind = Literal[
    "noun", "relation", "region", "arrangement", "and", "comma", "stop", "not", "be", "there", "with", "verb",
    "pronoun", "adverb", "style", "unknown", "order",
]  # fmt: skip


@dataclass
class Element:
    """A piece of a sentence. ``value`` is the relation, the region, the word as written... according to ``kind``."""

    kind: Kind
    value: str = ""
    phrase: NounPhrase | None = None
    words: str = ""
    """The words of a relation or a verb as they stand in the text, lower case."""
    transitive: str = ""
    """For a verb with an object: the relation that it stands for."""


def read(text: str) -> list[Element]:
    """The elements of a cleaned text, in order."""
    reader = _SentenceReader(tokens_of(text))
    result: list[Element] = []
    at = 0
    while at < len(reader.tokens):
        element, at = reader.element(at, result[-1].kind if result else "stop")
        result.append(element)
    return result


class _SentenceReader(PhraseReader):
    def element(self, at: int, before: str) -> tuple[Element, int]:
        """The element at a token and the token after it; ``before`` is the kind of the element before."""
        low = self.low(at)
        for kind, phrases in (("arrangement", _ARRANGEMENTS), ("order", _ORDERS)):
            for length in range(min(5, len(self.tokens) - at), 0, -1):
                value = phrases.get(self.lows(at, at + length))
                if value is not None:
                    return Element(kind, value), at + length  # type: ignore[arg-type]
        if self.line.startswith("in the style of ", self.tokens[at].start):
            end = next((j for j in range(at, len(self.tokens)) if is_mark(self.low(j))), len(self.tokens))
            return Element("style", self.text(at, end)), end
        region = self._region(at, before)
        if region:
            return region
        relation = self.relation_at(at)
        if relation and not self.hedge(at):
            kind_of_relation, phrase_words, end = relation
            if phrase_words == "with":
                return Element("with", "with"), end
            return Element("relation", kind_of_relation, words=phrase_words), end
        function_word = self._function_word(at)
        if function_word:
            return function_word
        if low in _FLOATING and before in ("noun", "comma") and self.verb_form(self.low(at + 1)) in ("ing", "ed"):
            return Element("be", low), at + 1
        phrase, end = self.noun_phrase(at) if not self._does(low, before) else (None, at)
        if phrase is not None:
            return Element("noun", phrase.text, phrase), end
        verb = self._verb(at)
        if verb:
            return verb
        kind = "adverb" if self.is_adverb(low) else "unknown"
        return Element(kind, self.tokens[at].text), at + 1  # type: ignore[arg-type]

    def _does(self, low: str, before: str) -> bool:
        """Whether a word behind a noun or a copula is what the thing does, and no attribute of what follows."""
        if is_noun(low):
            return False
        form = self.verb_form(low)
        doing = form == "ing" and bool(base_form(low)) and low not in w.ADJECTIVES
        return (before == "noun" and form in ("ing", "ed")) or (before == "be" and doing)

    def _function_word(self, at: int) -> tuple[Element, int] | None:
        low, following = self.low(at), self.low(at + 1)
        if low in ".!?;":
            return Element("stop"), at + 1
        if is_mark(low):
            return Element("comma"), at + 1
        if low in ("free", "devoid", "instead") and following == "of":
            return Element("not", low), at + 2
        if low == "no" and following == "one":
            return Element("not", low), at + 1
        if low in w.NEGATIONS:
            return Element("not", low), at + 1
        if low == "but":
            return Element("comma" if following in w.NEGATIONS else "stop", low), at + 1
        if low in w.CONNECTORS:
            return Element("and", low), at + 1
        if low == "there" and following in w.COPULAS | {"stands", "sits", "lies", "exists", "should"}:
            return Element("there", low), at + 2
        if low in w.COPULAS or low in w.MODALS or (low in w.RELATIVES and self._opens_clause(low, following)):
            return Element("be", low), at + 1
        if low in w.SHOWING:
            return Element("with", "show"), at + 1
        return self._pronoun(at)

    def _opens_clause(self, low: str, following: str) -> bool:
        return low != "that" or following in w.COPULAS | w.SHOWING | w.MODALS or bool(self.verb_form(following))

    def _pronoun(self, at: int) -> tuple[Element, int] | None:
        low, following = self.low(at), self.low(at + 1)
        if low in ("other", "another") and following == "one":
            return Element("pronoun", "other"), at + 2
        if low in ("the", "this", "that") and following in ("one", "other") and not self.is_content(at + 2):
            return Element("pronoun", "other" if following == "other" else "it"), at + 2
        if low in w.PRONOUNS and not self.is_content(at + 1) and not (low == "one" and following == "of"):
            return Element("pronoun", low), at + 1
        return None

    def _region(self, at: int, before: str) -> tuple[Element, int] | None:
        match = w.REGION.match(self.line, self.tokens[at].start)
        if not match:
            return None
        end = at + match.group().count(" ") + 1
        following = self.low(end)
        if match["canvas"]:
            accepted = bool(match["lead"] or match["the"])
        elif following == "of" or (self.is_content(end) and not self.verb_form(following)):
            accepted = False
        elif match["lead"]:
            accepted = not match["d"] or match["d"] in ("front", "back") or bool(match["the"])
        else:
            labelled = before in ("stop", "comma") and (following in (":", ",", "is") or bool(match["part"]))
            accepted = labelled and not match["d"]
        if not accepted:
            return None
        vertical, side = (w.SIDES.get(match[name] or "", match[name] or "") for name in ("v", "vh"))
        name = match["corner"] or match["c"] or match["d"] or " ".join(filter(None, (vertical, match["h"] or side)))
        return Element("region", w.SIDES.get(name, name).replace(" center", ""), words=match.group()), end

    def _verb(self, at: int) -> tuple[Element, int] | None:
        low = self.low(at)
        form = self.verb_form(low)
        if not form:
            return None
        base = w.IRREGULAR_PARTICIPLES.get(low) or base_form(low)
        has_object = not self.ends_clause(at + 1) and self.noun_phrase(at + 1)[0] is not None
        relation = w.TRANSITIVE.get(base, "" if base else "unknown") if has_object and form != "ed" else ""
        said_by_place = w.VERBS.get(base) == "place" or (form in ("s", "base") and base)
        value = "" if said_by_place else self.tokens[at].text
        return Element("verb", value, words=low, transitive=relation), at + 1


_FLOATING = ("each", "both", "all")
"""Before a verb they speak of the subjects that were named: "two cats both sleeping"."""
_ARRANGEMENTS = {
    "side by side": "row", "in a row": "row", "in a line": "row", "lined up": "row", "in line": "row", "in rows": "row",
    "in a horizontal row": "row", "in a straight line": "row", "in a horizontal line": "row",
    "in a column": "column", "in a vertical line": "column", "in a vertical row": "column", "in a stack": "column",
    "stacked": "column", "on top of each other": "column", "on top of one another": "column",
    "next to each other": "row", "beside each other": "row", "next to one another": "row", "near each other": "near",
    "together": "near", "close together": "near", "in a group": "near",
}  # fmt: skip
_ORDERS = {
    "from left to right": "left", "left to right": "left", "from right to left": "right", "right to left": "right",
    "from top to bottom": "above", "top to bottom": "above", "from bottom to top": "below",
}  # fmt: skip
