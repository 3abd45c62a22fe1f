"""What is known of nouns: their real size, shape and home, their singular, and the article they take."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Literal

from agent.parsing.words import MASS, PLURAL_ONLY, SAME_IN_BOTH
from diffusion.tiny.vocabulary import KINDS

Home = Literal["ground", "sky", "water", "wall", "small"]
Support = Literal["", "seat", "top", "inside"]

DAMPING = 0.28
"""The power of real sizes that drawn sizes follow: a house 30 times as large as a ball is drawn 2.6 times as large."""

_IRREGULAR = {
    "people": "person",
    "men": "man",
    "women": "woman",
    "children": "child",
    "mice": "mouse",
    "dice": "die",
    "teeth": "tooth",
    "feet": "foot",
    "oxen": "ox",
    "cacti": "cactus",
    "octopi": "octopus",
}
_PLURAL_ENDINGS = ("s", "men", "eese", "ice", "eet", "eeth", "i", "ae")
"""Only words that end like this are looked up in inflect, whose import takes longer than planning."""
_NO_PLURAL_ENDING = ("ss", "us", "is", "'s", "’s")


@dataclass(frozen=True)
class Noun:
    """``height`` in metres, ``aspect`` = width / height, ``home`` where it is seen, ``support`` what it offers."""

    name: str
    height: float
    aspect: float
    home: Home
    support: Support = ""
    known: bool = True
    group: str = ""
    """The heading of ``nouns.txt`` that it stands under: "people", "animals", "vehicles"..."""

    @property
    def size(self) -> float:
        """The side of the square of the same area, in metres."""
        return self.height * math.sqrt(self.aspect)


def lookup(name: str) -> Noun:
    """What is known of a singular noun; of an unknown compound what its last word is; else an average thing."""
    key = _key(name)
    found = table().get(key) or table().get(key.rpartition(" ")[2])
    return found or Noun(key, 0.7, 1.0, "ground", known=False)


def is_noun(word: str) -> bool:
    """Whether a word, in the singular or plural, is in the table (by itself: its last word does not count)."""
    return singular(word)[0] in table()


@lru_cache(maxsize=4096)
def singular(word: str) -> tuple[str, bool]:
    """The singular of a noun (lower case, possibly of several words), and whether the word was a plural."""
    first, space, last = _key(word).rpartition(" ")
    lemma, plural = _singular_word(last, first + space)
    return first + space + lemma, plural


def with_article(words: str, noun: str) -> str:
    """ "red ball" -> "a red ball"; nothing before a mass noun or one that is only plural."""
    last = noun.rpartition(" ")[2]
    if last in PLURAL_ONLY or last in MASS:
        return words
    return f"{article(words)} {words}"


def article(words: str) -> str:
    """ "a" or "an", by the sound that the words begin with as far as spelling tells."""
    first = words.split()[0].lower() if words.split() else ""
    if first.startswith(("hour", "honest", "heir", "honour", "honor")):
        return "an"
    if first.startswith(("uni", "use", "usu", "euro", "one", "once", "ufo", "uku", "eu")) and first[:5] not in (
        "unint",
        "unide",
    ):
        return "a"
    return "an" if first[:1] in tuple("aeiouáéíóú") or first in ("8", "11", "18", "lcd", "led", "x-ray") else "a"


@cache
def table() -> dict[str, Noun]:
    """The nouns of ``nouns.txt``; a kind of the tiny world has the aspect that the tiny world draws."""
    nouns: dict[str, Noun] = {}
    group = ""
    for line in files(__package__).joinpath("nouns.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            group = line.removeprefix("#").strip()
        elif line:
            words = line.split()
            at = next(index for index, word in enumerate(words) if word[0].isdigit())
            name, (height, aspect, home, *support) = " ".join(words[:at]), words[at:]
            offers: Support = support[0] if support else ""  # type: ignore[assignment]
            nouns[name] = Noun(name, float(height), float(aspect), home, offers, group=group)  # type: ignore[arg-type]
    for kind_name, kind in KINDS.items():
        for name in (kind_name, *kind.synonyms):
            base = nouns.get(name) or nouns[kind_name]
            nouns[name] = replace(base, name=name, aspect=kind.aspect)
    return nouns


def _key(name: str) -> str:
    return " ".join(name.lower().replace("-", " ").split())


def _singular_word(word: str, before: str) -> tuple[str, bool]:
    """``before``: the words before it with a space, so that "wine glasses" is read as a compound of the table."""

    def known(candidate: str) -> bool:
        return before + candidate in table() or candidate in table()

    if word in SAME_IN_BOTH:
        return word, False
    if before and word == "glasses":
        return "glass", True
    if word in PLURAL_ONLY or (known(word) and word not in _IRREGULAR):
        return word, False
    if word in _IRREGULAR:
        return _IRREGULAR[word], True
    for ending, replacement in (("s", ""), ("es", ""), ("ies", "y"), ("ves", "f"), ("ves", "fe")):
        candidate = word.removesuffix(ending) + replacement
        if word.endswith(ending) and (known(candidate) or candidate in PLURAL_ONLY):
            return candidate, True
    if (
        not word.endswith(_PLURAL_ENDINGS)
        or not 3 <= len(word) <= 40
        or not word.isalpha()
        or word in MASS
        or word.endswith(_NO_PLURAL_ENDING)
    ):
        return word, False
    found = _inflect().singular_noun(word)
    return (found, True) if found else (word, False)


@cache
def _inflect() -> Any:
    """inflect without the run-time type checks, whose compilation would add a second to its import."""
    import typeguard

    checked = typeguard.typechecked
    typeguard.typechecked = lambda function: function  # type: ignore[assignment,method-assign]
    try:
        import inflect
    finally:
        typeguard.typechecked = checked  # type: ignore[method-assign]
    return inflect.engine()
