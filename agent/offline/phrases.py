"""Text to phrases: tokens, noun phrases with their counts and attributes, and the words that relate them."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Literal

from agent.offline import words as w
from agent.offline.nouns import is_noun, singular, table
from agent.planner import PlannerError

MAX_PROMPT = 4000

Kind = Literal[
    "noun", "relation", "region", "arrangement", "and", "comma", "stop", "not", "be", "there", "with", "verb",
    "pronoun", "adverb", "style", "unknown", "order",
]  # fmt: skip


@dataclass
class NounPhrase:
    """``noun`` is the singular category, None for attributes alone ("a red"); ``count`` None when the text gives none."""

    determiner: str = ""
    count: int | None = None
    vague: str = ""
    """The word that stood for an inexact count ("several")."""
    arrangement: Literal["row", "column"] | None = None
    attributes: list[str] = field(default_factory=list)
    noun: str | None = None
    plural: bool = False
    details: list[str] = field(default_factory=list)
    text: str = ""
    proper: bool = False


@dataclass
class Element:
    """A piece of the sentence; ``value`` is a relation, a region, a verb as written... by ``kind``."""

    kind: Kind
    value: str = ""
    phrase: NounPhrase | None = None
    transitive: str = ""
    """For a verb with an object: the relation that it stands for."""


@dataclass(frozen=True)
class _Token:
    text: str
    low: str
    start: int
    """Position in ``Reader.line``, the lower-case tokens joined by single spaces."""


def clean(prompt: str) -> str:
    """The prompt with its white space made plain; PlannerError for what no planner can read."""
    if len(prompt) > MAX_PROMPT:
        raise PlannerError(f"the prompt has {len(prompt)} characters; at most {MAX_PROMPT} can be planned: shorten it")
    for position, character in enumerate(prompt):
        category = unicodedata.category(character)
        if category in ("Cc", "Cs") and character not in "\t\n\r":
            what = "a lone surrogate" if category == "Cs" else "a control character"
            raise PlannerError(
                f"the prompt holds {what} (U+{ord(character):04X}) at character {position + 1}: remove it"
            )
    text = " ".join(prompt.split())
    if not text:
        raise PlannerError("the prompt is empty: describe a scene, e.g. 'two red balls left of a blue cube'")
    return text


def read(text: str) -> list[Element]:
    """The elements of a cleaned text, in order."""
    return _Reader(text).elements()


_TOKEN = re.compile(
    r"(?:(?<!\w)[-−])?\d+(?:[.,]\d+)*(?![\w-])"
    r"|[^\s.,;:!?()\[\]{}\"“”«»/\\|<>@#$%^*=~`…—–_]+"
    r"|[.,;:!?()\[\]{}/…—–]"
)
_REWRITES = (
    (re.compile(r"\bcan['’]t\b", re.I), "can not"),
    (re.compile(r"\bwon['’]t\b", re.I), "will not"),
    (re.compile(r"n['’]t\b", re.I), " not"),
    (re.compile(r"\b(to|on|at) (?:its|his|her|their) (left|right)(?: side)?\b", re.I), r"to the \2 of it"),
    (re.compile(rf"\b({'|'.join(sorted(w.COLOURS, key=len, reverse=True))})[- ]colou?red\b", re.I), r"\1"),
    (re.compile(r"\bnot only\b|\bbut also\b", re.I), " and "),
)
_NOT_VERBS = frozenset(
    [
        "ceiling",
        "pudding",
        "wedding",
        "earring",
        "clothing",
        "lightning",
        "spring",
        "string",
        "thing",
        "nothing",
        "something",
        "anything",
        "everything",
        "evening",
        "morning",
        "sibling",
        "duckling",
        "dumpling",
        "railing",
        "awning",
        "sling",
        "viking",
        "icing",
        "frosting",
        "topping",
        "lighting",
        "herring",
        "bedding",
        "crossing",
        "landing",
        "parking",
        "setting",
        "carving",
        "drawing",
        "sapling",
        "gosling",
        "darling",
        "wing",
        "king",
        "ring",
        "hundred",
        "seed",
        "weed",
        "reed",
        "steed",
        "breed",
        "feed",
        "speed",
        "skating",
        "boxing",
        "living",
        "dining",
        "washing",
        "rocking",
        "sewing",
        "hunting",
        "fishing",
        "wrapping",
    ]
)
_STANDS_ALONE = {"nobody": "people", "no-one": "people"}
_HEDGES = {("at", "least"), ("at", "most"), ("up", "to"), ("more", "than"), ("fewer", "than"), ("less", "than"), ("exactly",),
           ("about",), ("around",), ("roughly",), ("approximately",), ("nearly",), ("almost",), ("only",), ("just",)}  # fmt: skip
_PARTITIVES = frozenset(
    ["slice", "piece", "pile", "heap", "mound", "bit", "bundle", "chunk", "stack", "kind", "type", "sort"]
)
_ARRANGEMENTS = {
    "side by side": "row", "in a row": "row", "in a line": "row", "lined up": "row", "in line": "row", "in rows": "row",
    "in a horizontal row": "row", "in a straight line": "row", "in a horizontal line": "row",
    "in a column": "column", "in a vertical line": "column", "in a vertical row": "column", "in a stack": "column",
    "stacked": "column", "on top of each other": "column", "on top of one another": "column",
    "next to each other": "row", "beside each other": "row", "next to one another": "row", "near each other": "near",
    "together": "near", "close together": "near", "in a group": "near",
}  # fmt: skip
_ORDERS = {"from left to right": "left", "left to right": "left", "from right to left": "right", "right to left": "right",
           "from top to bottom": "above", "top to bottom": "above", "from bottom to top": "below"}  # fmt: skip


class _Reader:
    def __init__(self, text: str) -> None:
        for pattern, replacement in _REWRITES:
            text = pattern.sub(replacement, text)
        self.tokens: list[_Token] = []
        start = 0
        for match in _TOKEN.finditer(unicodedata.normalize("NFC", text)):
            token = match.group().strip("'’‘") if len(match.group()) > 1 else match.group()
            if match.group()[0] not in "-−" or not match.group()[1:2].isdigit():
                token = token.strip("-") if len(token) > 1 else token
            if token:
                self.tokens.append(_Token(token, token.lower(), start))
                start += len(token.lower()) + 1
        self.line = " ".join(token.low for token in self.tokens)

    # -- the sentence

    def elements(self) -> list[Element]:
        result: list[Element] = []
        at = 0
        while at < len(self.tokens):
            element, at = self._element(at, result[-1].kind if result else "stop")
            result.append(element)
        return result

    def _element(self, at: int, before: str) -> tuple[Element, int]:
        low = self.tokens[at].low
        for kind, table_ in (("arrangement", _ARRANGEMENTS), ("order", _ORDERS)):
            found = self._phrase(at, table_)
            if found:
                return Element(kind, found[0]), found[1]  # type: ignore[arg-type]
        if self.line.startswith("in the style of ", self.tokens[at].start):
            end = next((j for j in range(at, len(self.tokens)) if self._is_mark(j)), len(self.tokens))
            return Element("style", self._text(at, end)), end
        region = self._region(at, before)
        if region:
            return region
        relation = self._relation(at)
        if relation and not (low in ("left", "right") and before == "and"):
            return relation
        simple = self._simple(at)
        if simple:
            return simple
        phrase, end = self.noun_phrase(at)
        if phrase is not None:
            return Element("noun", phrase.text, phrase), end
        verb = self._verb(at)
        if verb:
            return verb
        if low in w.ADVERBS or low.endswith("ly"):
            return Element("adverb", self.tokens[at].text), at + 1
        return Element("unknown", self.tokens[at].text), at + 1

    def _simple(self, at: int) -> tuple[Element, int] | None:
        token = self.tokens[at]
        low, following = token.low, self._low(at + 1)
        if low in ".!?;":
            return Element("stop"), at + 1
        if self._is_mark(at):
            return Element("comma"), at + 1
        if low in ("free", "devoid", "instead") and following == "of":
            return Element("not", low), at + 2
        if low == "no" and following == "one":
            return Element("not", "no"), at + 1
        if low in w.NEGATIONS and not (low == "zero" and not self._content(at + 1)):
            return Element("not", low), at + 1
        if low == "but":
            return Element("stop" if following not in w.NEGATIONS else "comma", "but"), at + 1
        if low in w.CONNECTORS or low == "then":
            return Element("and", low), at + 1
        if low in w.COPULAS:
            return Element("be", low), at + 1
        if low == "there" and following in w.COPULAS | {"stands", "sits", "lies", "exists", "should"}:
            return Element("there", low), at + 2
        if low in w.RELATIVES and (low != "that" or following in w.COPULAS | w.SHOWING or self._verb_form(following)):
            return Element("be", low), at + 1
        if low in (
            "does",
            "do",
            "did",
            "can",
            "could",
            "will",
            "would",
            "should",
            "must",
            "may",
            "might",
            "let",
            "appears",
            "seems",
        ):
            return Element("be", "may"), at + 1
        if low in w.SHOWING:
            return Element("with", "show"), at + 1
        if low in ("other", "another") and following == "one":
            return Element("pronoun", "other"), at + 2
        if low in ("the", "this", "that") and following in ("one", "other") and not self._content(at + 2):
            return Element("pronoun", "other" if following == "other" else "it"), at + 2
        if low in w.PRONOUNS and not self._content(at + 1) and not (low == "one" and following == "of"):
            return Element("pronoun", low), at + 1
        return None

    def _phrase(self, at: int, phrases: dict[str, str]) -> tuple[str, int] | None:
        for length in range(min(5, len(self.tokens) - at), 0, -1):
            value = phrases.get(self._lows(at, at + length))
            if value is not None:
                return value, at + length
        return None

    def _relation(self, at: int) -> tuple[Element, int] | None:
        for length in range(min(w.LONGEST_RELATION, len(self.tokens) - at), 0, -1):
            kind = w.RELATIONS.get(tuple(self._lows(at, at + length).split()))
            if kind is not None:
                if self._lows(at, at + length) == "with":
                    return Element("with", "with"), at + 1
                return Element("relation", kind, transitive=self._lows(at, at + length)), at + length
        return None

    def _region(self, at: int, before: str) -> tuple[Element, int] | None:
        match = w.REGION.match(self.line, self.tokens[at].start)
        if not match:
            return None
        end = at + match.group().count(" ") + 1
        following = self._low(end)
        if not match["canvas"]:
            if following == "of" or (self._content(end) and not self._verb_form(following)):
                return None
            labelled = before in ("stop", "comma") and (following in (":", ",", "is") or bool(match["part"]))
            if not match["lead"] and not (labelled and not match["d"]):
                return None
            if match["d"] and match["d"] not in ("front", "back") and not match["the"]:
                return None
        elif not (match["lead"] or match["the"]):
            return None
        vertical = w.SIDES.get(match["v"] or "", match["v"] or "")
        side = match["h"] or w.SIDES.get(match["vh"] or "", match["vh"] or "")
        name = match["corner"] or match["c"] or match["d"] or " ".join(filter(None, (vertical, side)))
        name = w.SIDES.get(name, name).replace(" center", "")
        return Element("region", name), end

    # -- noun phrases

    def noun_phrase(self, at: int, depth: int = 0) -> tuple[NounPhrase | None, int]:
        """The noun phrase that begins at a token and the token after it; None when none begins there."""
        start, phrase = at, NounPhrase()
        at = self._quantity(at, phrase)
        run: list[_Token] = []
        while self._content(at) and not (run and self._verb_follows(at, run)):
            run.append(self.tokens[at])
            at += 1
        while len(run) > 1 and self._is_adverb(run[-1].low):
            at, run = at - 1, run[:-1]
        if not run or (not phrase.determiner and phrase.count is None and all(self._verb_form(t.low) for t in run)):
            return None, start
        self._head(phrase, run)
        if self._low(at) == "of" and phrase.noun is not None and phrase.noun not in w.FRAMES and depth < 4:
            inner, end = self.noun_phrase(at + 1, depth + 1)
            if inner is not None:
                phrase.details.append(self._text(at, end))
                if phrase.noun in _PARTITIVES and inner.noun:
                    phrase.noun, at = inner.noun, end
                at = end
        phrase.text = self._text(start, at)
        return phrase, at

    def _quantity(self, at: int, phrase: NounPhrase) -> int:
        repeat = 1
        while at < len(self.tokens):
            low, following = self.tokens[at].low, self._low(at + 1)
            hedge = next(
                (h for h in _HEDGES if self._lows(at, at + len(h)) == " ".join(h) and self._number(at + len(h))), None
            )
            if hedge:
                at += len(hedge)
                continue
            group = self._group(at)
            if group is not None:
                word, at = group
                repeat = phrase.count or 1
                phrase.count = repeat * (w.EXACT_COUNTS.get(word) or w.GROUPS[word])
                phrase.vague = "" if word in w.EXACT_COUNTS else word
                phrase.determiner = ""
                phrase.arrangement = w.ARRANGED.get(word, phrase.arrangement)  # type: ignore[assignment]
                continue
            number = self._number(at)
            if (
                number
                and phrase.determiner not in ("a", "an")
                and (self._content(at + number[1]) or self._low(at + number[1]) == "of")
            ):
                phrase.count, phrase.vague, at = number[0] * repeat, "", at + number[1]
            elif low in w.VAGUE_COUNTS and (self._content(at + 1) or following == "of"):
                phrase.count, phrase.vague = w.VAGUE_COUNTS[low], low
                at += 1
            elif low in ("both", "single", "lone", "solitary") and self._content(at + 1):
                phrase.count = w.EXACT_COUNTS[low]
                at += 1
            elif low in w.DETERMINERS and self._content(at + 1):
                phrase.determiner = "a" if low == "an" else low
                at += 1
            elif low == "of" and phrase.count is not None and self._low(at + 1) in w.DETERMINERS:
                at += 1
            else:
                return at
        return at

    def _group(self, at: int) -> tuple[str, int] | None:
        """ "couple of", "row of", "small herd of", "dozen": the word, and the token after it."""
        end = at
        while self._low(end) in w.SIZES or self._low(end) in w.ADJECTIVES or self._low(end) == "whole":
            end += 1
        low = self._low(end)
        word = low if low in w.GROUPS or low in w.EXACT_COUNTS else low.removesuffix("s")
        if low == "half" and self._lows(end, end + 3) == "half a dozen":
            return "half dozen", end + 3 + (self._low(end + 3) == "of")
        if word == "dozen" and low == "dozen" and self._content(end + 1):
            return word, end + 1
        if self._low(end + 1) != "of" or (word not in w.GROUPS and word not in w.EXACT_COUNTS):
            return None
        if not (self._content(end + 2) or self._low(end + 2) in w.DETERMINERS):
            return None
        return word, end + 2

    def _number(self, at: int) -> tuple[int, int] | None:
        """The whole number at a token and how many tokens it takes; PlannerError for a count that cannot be."""
        low = self._low(at)
        value: int | None = None
        tens, _, units = low.partition("-")
        if (
            low
            and (low[0].isdigit() or (low[0] in "-−" and len(low) > 1))
            and low.lstrip("-−").replace(",", "").replace(".", "").isdecimal()
        ):
            if not self._content(at + 1):
                return None
            digits = low.lstrip("-−").replace(",", "")
            if low[0] in "-−" or "." in digits:
                raise PlannerError(f"'{low} {self._low(at + 1)}': a count must be a whole number of at least 0")
            value = int(digits)
        elif low in w.NUMBERS:
            value = w.NUMBERS[low]
            if value >= 20 and 0 < w.NUMBERS.get(self._low(at + 1), 0) < 10:
                return value + w.NUMBERS[self._low(at + 1)], 2
        elif w.NUMBERS.get(tens, 0) >= 20 and 0 < w.NUMBERS.get(units, 0) < 10:
            value = w.NUMBERS[tens] + w.NUMBERS[units]
        elif low in w.LARGE_NUMBERS or low.removesuffix("s") in w.LARGE_NUMBERS:
            value = 1
        if value is None:
            return None
        used = 0 if low.removesuffix("s") in w.LARGE_NUMBERS else 1
        while self._low(at + used).removesuffix("s") in w.LARGE_NUMBERS:
            value = min(value * w.LARGE_NUMBERS[self._low(at + used).removesuffix("s")], 10**12)
            used += 1
        return value, used

    def _head(self, phrase: NounPhrase, run: list[_Token]) -> None:
        """Split a run of words into attributes and the noun that they stand before."""
        last = run[-1].low
        counted = bool(phrase.determiner) or phrase.count is not None
        if is_attribute(last) and not (is_noun(last) and (counted or len(run) > 1) and last not in w.ADJECTIVES):
            phrase.attributes = [token.text for token in run]
            return
        for length in (3, 2, 1):
            name, plural = (
                singular(" ".join(token.low for token in run[-length:])) if length <= len(run) else ("", False)
            )
            if (name in table() and name not in w.ADJECTIVES) or length == 1:
                break
        rest = run[:-length]
        while (
            rest
            and length == 1
            and is_noun(rest[-1].low)
            and not is_attribute(rest[-1].low)
            and len(run) - len(rest) < 3
        ):
            name = f"{singular(rest[-1].low)[0]} {name}"
            rest = rest[:-1]
        phrase.noun, phrase.plural = name, plural
        phrase.attributes = [token.text for token in rest]
        phrase.proper = run[-1].text[:1].isupper() and not is_noun(last) and not counted and run[-1].start > 0

    # -- words

    def _low(self, at: int) -> str:
        return self.tokens[at].low if 0 <= at < len(self.tokens) else ""

    def _lows(self, start: int, end: int) -> str:
        return " ".join(token.low for token in self.tokens[start:end])

    def _text(self, start: int, end: int) -> str:
        return " ".join(token.text for token in self.tokens[start:end])

    def _is_mark(self, at: int) -> bool:
        low = self._low(at)
        return bool(low) and not any(character.isalnum() for character in low) and low not in ("&", "+")

    def _content(self, at: int) -> bool:
        """Whether a token can be part of a noun phrase after its determiner and number."""
        low = self._low(at)
        if not low or self._is_mark(at) or low in _FUNCTION_WORDS:
            return False
        if low in ("left", "right") and self._low(at + 1) == "of":
            return False
        return not ((low,) in w.RELATIONS or self._relation_starts(at))

    def _relation_starts(self, at: int) -> bool:
        return self._low(at) in _RELATION_STARTS and self._relation(at) is not None

    def _is_adverb(self, low: str) -> bool:
        return low in w.ADVERBS or (
            low.endswith("ly") and not is_noun(low) and low not in w.ADJECTIVES and len(low) > 4
        )

    def _verb_form(self, low: str) -> str:
        """ "ing", "ed" or "s" for a form of a verb, known or only looking like one; "base" for a known base form."""
        if low in w.IRREGULAR_PARTICIPLES:
            return "ed"
        if low in _NOT_VERBS or len(low) < 3 or len(low) > 30:
            return ""
        base = _base(low)
        if low.endswith("ing") and len(low) > 4 and (base or not is_noun(low)):
            return "ing"
        if low.endswith("ed") and len(low) > 4 and (base or not is_noun(low)):
            return "ed"
        if base:
            return "base" if base == low else "s"
        return ""

    def _verb_follows(self, at: int, run: list[_Token]) -> bool:
        """Whether the word after a noun begins what the noun does: "dog | chasing a cat", "cars | parked near"."""
        low, previous = self.tokens[at].low, run[-1].low
        form = self._verb_form(low)
        if not form or (is_attribute(previous) and not is_noun(previous)):
            return False
        if self._verb_form(previous) in ("ing", "ed") and not is_noun(previous):
            return False
        open_after = not self._content(at + 1) or self._is_adverb(self._low(at + 1))
        if form == "ing":
            return open_after or _base(low) in w.TRANSITIVE
        if form == "ed":
            return open_after
        if not is_noun(previous) or (at + 1 >= len(self.tokens) and is_noun(low)):
            return False
        if form == "s":
            return (open_after or not is_noun(low)) and not (is_noun(low) and self._is_mark(at + 1))
        return singular(previous)[1] and open_after

    def _verb(self, at: int) -> tuple[Element, int] | None:
        low = self.tokens[at].low
        form = self._verb_form(low)
        if not form:
            return None
        base = w.IRREGULAR_PARTICIPLES.get(low) or _base(low)
        has_object = at + 1 < len(self.tokens) and not self._is_mark(at + 1) and self.noun_phrase(at + 1)[0] is not None
        relation = w.TRANSITIVE.get(base, "unknown" if not base else "") if has_object and form != "ed" else ""
        value = "" if w.VERBS.get(base) == "place" or (form in ("s", "base") and base) else self.tokens[at].text
        return Element("verb", value, transitive=relation), at + 1


def is_attribute(low: str) -> bool:
    """Whether a lower-case word is one that this planner knows as an attribute."""
    return any(low in words for words in _ATTRIBUTES) or (low.endswith("ed") and "-" in low)


def _base(low: str) -> str:
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


_ATTRIBUTES = (w.COLOURS, w.TEXTURES, w.MATERIALS, w.SIZES, w.STRETCHES, w.ADJECTIVES)
_FUNCTION_WORDS = (
    w.CONNECTORS | w.COPULAS | w.RELATIVES | w.NEGATIONS | w.DETERMINERS | w.PRONOUNS | w.SHOWING
    | frozenset(["but", "there", "does", "do", "did", "can", "could", "will", "would", "should", "must", "may", "might", "or", "nor", "then", "if", "because", "when"])
)  # fmt: skip
_RELATION_STARTS = frozenset(phrase[0] for phrase in w.RELATIONS if len(phrase) > 1)
