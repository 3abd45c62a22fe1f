"""Noun phrases: how many of what, with which attributes ("a pair of old wooden boats", "a cup of coffee")."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from agent.parsing import words as w
from agent.parsing.nouns import is_noun, singular, table
from agent.parsing.tokens import Token, is_mark
from agent.planner import PlannerError

LONGEST_RUN = 24
"""Words that a noun and the attributes before it may have: reading stays linear in the length of the text."""


@dataclass
class NounPhrase:
    """``noun`` is the singular category, None for attributes alone ("a red"); ``count`` is None when none is given."""

    determiner: str = ""
    count: int | None = None
    vague: str = ""
    """The word that stood for an inexact count ("several")."""
    hedged: bool = False
    """True for "about three", "at least three"."""
    arrangement: Literal["row", "column"] | None = None
    attributes: list[str] = field(default_factory=list)
    noun: str | None = None
    head: str = ""
    """The word before "of" where that is not the noun: a slice of cake is a cake."""
    plural: bool = False
    details: list[str] = field(default_factory=list)
    text: str = ""
    proper: bool = False


class PhraseReader:
    """Reads noun phrases out of a list of tokens; positions are indices of tokens."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.line = " ".join(token.low for token in tokens)

    def noun_phrase(self, at: int, depth: int = 0) -> tuple[NounPhrase | None, int]:
        """The noun phrase that begins at a token and the token after it; None when none begins there."""
        if self.low(at) == "nothing":
            end = at + 1 + (self.low(at + 1) == "else")
            return NounPhrase(count=0, noun="nothing", text=self.text(at, end)), end
        start, phrase = at, NounPhrase()
        at = self._quantity(at, phrase)
        run: list[Token] = []
        while len(run) < LONGEST_RUN and self.is_content(at) and not (run and self._ends_before(at, run)):
            run.append(self.tokens[at])
            at += 1
        if run and self.low(at) in ("one", "ones") and all(is_attribute(token.low) for token in run):
            phrase.attributes, phrase.noun, phrase.text = [token.text for token in run], "one", self.text(start, at + 1)
            return phrase, at + 1
        bare = not phrase.determiner and phrase.count is None
        while run and self.is_adverb(run[-1].low) and (len(run) > 1 or (bare and not is_noun(run[-1].low))):
            at, run = at - 1, run[:-1]
        if not run or (bare and all(self.verb_form(token.low) and not is_noun(token.low) for token in run)):
            return None, start
        self._head(phrase, run)
        phrase.head = phrase.noun or ""
        if self.low(at) == "of" and phrase.noun is not None and phrase.noun not in w.FRAMES and depth < 4:
            inner, end = self.noun_phrase(at + 1, depth + 1)
            if inner is not None:
                phrase.details.append(self.text(at, end))
                if phrase.noun in _PARTITIVES and inner.noun:
                    phrase.noun = inner.noun
                at = end
        phrase.text = self.text(start, at)
        return phrase, at

    # -- how many

    def _quantity(self, at: int, phrase: NounPhrase) -> int:
        repeat = 1
        while at < len(self.tokens):
            if hedge := self.hedge(at):
                phrase.hedged |= self.low(at) not in _EXACTLY
                at += hedge
            low = self.low(at)
            group = self._group(at)
            if group is not None:
                word, at = group
                repeat = phrase.count or 1
                phrase.count = min(repeat * (w.EXACT_COUNTS.get(word) or w.GROUPS[word]), _MANY)
                phrase.vague = "" if word in w.EXACT_COUNTS else word
                phrase.determiner = ""
                phrase.arrangement = w.ARRANGED.get(word, phrase.arrangement)  # type: ignore[assignment]
                continue
            number = self._number(at) if phrase.determiner != "a" or low in w.LARGE_NUMBERS else None
            if number and (self.is_content(at + number[1]) or self.low(at + number[1]) == "of"):
                phrase.count, phrase.vague, at = min(number[0] * repeat, _MANY), "", at + number[1]
            elif low in w.VAGUE_COUNTS and (self.is_content(at + 1) or self.low(at + 1) == "of"):
                phrase.count, phrase.vague, at = w.VAGUE_COUNTS[low], low, at + 1
            elif (low == "both" or low in w.SINGLE) and self.is_content(at + 1):
                phrase.count, at = w.EXACT_COUNTS.get(low, 1), at + 1
            elif low in w.DETERMINERS and self.is_content(at + 1):
                phrase.determiner, at = "a" if low == "an" else low, at + 1
            elif low == "of" and phrase.count is not None:
                at += 1
            else:
                break
        return at

    def hedge(self, at: int) -> int:
        """How many tokens before a number only soften it: "at least three"."""
        found = next((h for h in _HEDGES if self.line.startswith(h, self.tokens[at].start)), "")
        return found.count(" ") if found and self._number(at + found.count(" ")) else 0

    def _group(self, at: int) -> tuple[str, int] | None:
        """ "couple of", "row of", "small herd of", "dozen": the word, and the token after it."""
        if self.lows(at, at + 3) == "half a dozen":
            return "half dozen", at + 3 + (self.low(at + 3) == "of")
        end = at
        while self.low(end) in w.SIZES or self.low(end) in w.ADJECTIVES:
            end += 1
        low = self.low(end)
        word = low if low in w.GROUPS or low in w.EXACT_COUNTS else low.removesuffix("s")
        if low == "dozen" and self.is_content(end + 1):
            return word, end + 1
        if self.low(end + 1) != "of" or (word not in w.GROUPS and word not in w.EXACT_COUNTS):
            return None
        if not (self.is_content(end + 2) or self.low(end + 2) in w.DETERMINERS):
            return None
        return word, end + 2

    def _number(self, at: int) -> tuple[int, int] | None:
        """The whole number at a token and how many tokens it takes; PlannerError for a count that cannot be."""
        low, following = self.low(at), self.low(at + 1)
        tens, _, units = low.partition("-")
        digits = low.lstrip("-−").replace(",", "")
        used = 1
        if digits and digits.replace(".", "").isdecimal():
            if not self.is_content(at + 1):
                return None
            if low[0] in "-−" or "." in digits:
                raise PlannerError(f"'{low[:40]} {following[:40]}': a count must be a whole number, 0 or more")
            value = int(digits)
        elif low in w.NUMBERS:
            value = w.NUMBERS[low]
            if value >= 20 and 0 < w.NUMBERS.get(following, 0) < 10:
                value, used = value + w.NUMBERS[following], 2
        elif w.NUMBERS.get(tens, 0) >= 20 and 0 < w.NUMBERS.get(units, 0) < 10:
            value = w.NUMBERS[tens] + w.NUMBERS[units]
        elif low.removesuffix("s") in w.LARGE_NUMBERS:
            value, used = 1, 0
        else:
            return None
        while (multiple := self.low(at + used).removesuffix("s")) in w.LARGE_NUMBERS:
            value, used = min(value * w.LARGE_NUMBERS[multiple], _MANY), used + 1
        return value, used

    # -- of what

    def _head(self, phrase: NounPhrase, run: list[Token]) -> None:
        """Split a run of words into attributes and the noun that they stand before."""
        last = run[-1].low
        counted = bool(phrase.determiner) or phrase.count is not None
        noun_after_all = is_noun(last) and (counted or len(run) > 1) and last not in w.ADJECTIVES
        for length in (3, 2, 1):
            words = " ".join(token.low for token in run[-length:])
            name, plural = singular(words) if length <= len(run) else ("", False)
            if name in table():
                break
        if length == 1 and is_attribute(last) and not noun_after_all:
            phrase.attributes = [token.text for token in run]
            return
        rest = run[: len(run) - length]
        while rest and length == 1 and len(run) - len(rest) < 3 and _makes_compound(rest[-1].low):
            name = f"{singular(rest[-1].low)[0]} {name}"
            rest = rest[:-1]
        phrase.noun, phrase.plural = name, plural
        phrase.attributes = [token.text for token in rest]
        phrase.proper = run[-1].text[:1].isupper() and not is_noun(last) and not counted and run[-1].start > 0

    def _ends_before(self, at: int, run: list[Token]) -> bool:
        """Whether the token after a noun is no longer of its phrase: a verb, or the colour of another thing."""
        previous = run[-1].low
        coloured = any(token.low in w.COLOURS for token in run[:-1]) and previous not in w.COLOURS
        another = coloured and is_noun(previous) and self.low(at) in w.COLOURS
        return another or self._verb_follows(at, run)

    def _verb_follows(self, at: int, run: list[Token]) -> bool:
        """Whether the word after a noun begins what the noun does: "dog | chasing a cat", "cars | parked near"."""
        low, previous = self.tokens[at].low, run[-1].low
        form = self.verb_form(low)
        if not form or self.is_adverb(previous):
            return False
        if is_attribute(previous) and (is_noun(low) or not is_noun(previous)):
            return False
        if self.verb_form(previous) in ("ing", "ed") and not is_noun(previous):
            return False
        ends_here = not self.is_content(at + 1) or self.is_adverb(self.low(at + 1))
        match form:
            case "ing" if is_noun(low):
                return self.low(at + 1) in w.DETERMINERS
            case "ing":
                base = base_form(low)
                return ends_here or base in w.TRANSITIVE or (is_noun(previous) and not base)
            case "ed":
                return ends_here
            case "s":
                return is_noun(previous) and (not is_noun(low) or (ends_here and not self.ends_clause(at + 1)))
            case _:
                return is_noun(previous) and singular(previous)[1] and ends_here and not self.ends_clause(at + 1)

    def verb_form(self, low: str) -> str:
        """ "ing", "ed" or "s" for a form of a verb, known or only looking like one; "base" for a known base form."""
        if low in w.IRREGULAR_PARTICIPLES:
            return "ed"
        if low in w.NOT_VERBS or not 3 <= len(low) <= 30:
            return ""
        base = base_form(low)
        for ending in ("ing", "ed"):
            if low.endswith(ending) and len(low) > 4 and (base or not is_noun(low)):
                return ending
        return ("base" if base == low else "s") if base else ""

    # -- tokens

    def low(self, at: int) -> str:
        """The lower-case token, "" beyond the end."""
        return self.tokens[at].low if at < len(self.tokens) else ""

    def lows(self, start: int, end: int) -> str:
        return " ".join(token.low for token in self.tokens[start:end])

    def text(self, start: int, end: int) -> str:
        """Tokens as written, joined by spaces."""
        return " ".join(token.text for token in self.tokens[start:end])

    def ends_clause(self, at: int) -> bool:
        """Whether a token is punctuation, or beyond the end."""
        return at >= len(self.tokens) or is_mark(self.tokens[at].low)

    def is_adverb(self, low: str) -> bool:
        return low in w.ADVERBS or (
            low.endswith("ly") and not is_noun(low) and low not in w.ADJECTIVES and len(low) > 4
        )

    def is_content(self, at: int) -> bool:
        """Whether a token can be part of a noun phrase after its determiner and number."""
        low = self.low(at)
        if low == "side" and self.lows(at, at + 3) == "side by side":
            return False
        return bool(low) and not is_mark(low) and low not in _FUNCTION_WORDS and not self.relation_at(at)

    def relation_at(self, at: int) -> tuple[str, str, int] | None:
        """The longest phrase of a relation at a token: its kind, its words and the token after it."""
        if self.low(at) not in _RELATION_STARTS:
            return None
        for length in range(min(w.LONGEST_RELATION, len(self.tokens) - at), 0, -1):
            phrase = self.lows(at, at + length)
            kind = w.RELATIONS.get(phrase)
            if kind is not None:
                return kind, phrase, at + length
        return None


def is_attribute(low: str) -> bool:
    """Whether a lower-case word is one that this planner knows as an attribute."""
    return any(low in words for words in _ATTRIBUTES) or (low.endswith("ed") and "-" in low)


def base_form(low: str) -> str:
    """The base form of a known verb's form, "" for any other word."""
    candidates = [low]
    for ending in ("ing", "ed", "es", "s"):
        if low.endswith(ending):
            stem = low.removesuffix(ending)
            candidates += [stem, stem + "e"]
            if ending in ("ing", "ed") and len(stem) > 2 and stem[-1] == stem[-2]:
                candidates.append(stem[:-1])
            if ending == "es" and stem.endswith("i"):
                candidates.append(stem[:-1] + "y")
    return next((candidate for candidate in candidates if candidate in w.VERBS), "")


def _makes_compound(low: str) -> bool:
    return is_noun(low) and not is_attribute(low)


_MANY = 10**9
"""Counts are not read beyond this: it is far more than a plan holds."""
_PARTITIVES = frozenset(("slice", "piece", "pile", "heap", "mound", "bit", "bundle", "chunk", "stack", "kind", "type"))
_HEDGES = tuple(
    f"{words} "
    for words in (
        "at least", "at most", "up to", "more than", "fewer than", "less than", "exactly", "about", "around", "roughly",
        "approximately", "nearly", "almost", "only", "just",
    )
)  # fmt: skip
_EXACTLY = ("exactly", "only", "just")
_ATTRIBUTES = (w.COLOURS, w.TEXTURES, w.MATERIALS, w.SIZES, w.STRETCHES, w.ADJECTIVES)
_FUNCTION_WORDS = (
    w.CONNECTORS
    | w.COPULAS
    | w.RELATIVES
    | w.NEGATIONS
    | w.DETERMINERS
    | w.PRONOUNS
    | w.SHOWING
    | w.OTHER_FUNCTION_WORDS
)
_RELATION_STARTS = frozenset(phrase.split()[0] for phrase in w.RELATIONS)
