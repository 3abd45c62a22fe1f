"""The closed lists of English that texts are read by (``words.txt``), as sets and tables."""

from __future__ import annotations

import re
from importlib.resources import files


def _sections() -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    for line in files(__package__).joinpath("words.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            current = sections.setdefault(line[1:-1], [])
        elif line and not line.startswith("#"):
            current.append(line)
    return {name: _items(" ".join(lines)) for name, lines in sections.items()}


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split("|")] if "|" in text else text.split()


def _table(prefix: str) -> dict[str, str]:
    """From each word of the sections "prefix value" to that value; the first section that lists a word has it."""
    table: dict[str, str] = {}
    for name, items in _SECTIONS.items():
        if name.startswith(prefix + " "):
            for item in items:
                table.setdefault(item, name.removeprefix(prefix + " "))
    return table


_SECTIONS = _sections()

COLOURS, TEXTURES, MATERIALS, ADJECTIVES, ADVERBS = (
    frozenset(_SECTIONS[name]) for name in ("colours", "textures", "materials", "adjectives", "adverbs")
)
PARTS, GARMENTS, HEADWEAR, CARRIERS, SCENES, LANDMARKS, SURFACES, FRAMES, STYLES = (
    frozenset(_SECTIONS[name])
    for name in ("parts", "garments", "headwear", "carriers", "scenes", "landmarks", "surfaces", "frames", "styles")
)
DETERMINERS, PRONOUNS, CONNECTORS, COPULAS, MODALS, RELATIVES, SHOWING, NEGATIONS = (
    frozenset(_SECTIONS[name])
    for name in ("determiners", "pronouns", "connectors", "copulas", "modals", "relatives", "showing", "negations")
)
OTHER_FUNCTION_WORDS = frozenset(_SECTIONS["other function words"]) | MODALS
PLURAL_ONLY, SAME_IN_BOTH, MASS = (frozenset(_SECTIONS[name]) for name in ("plural only", "same in both", "mass"))
NOT_VERBS = frozenset(_SECTIONS["not verbs"])
AIRBORNE, RAISED, POSTURES, NOT_REAL, SEE_THROUGH = (
    frozenset(_SECTIONS[name]) for name in ("airborne", "raised", "postures", "not real", "see-through")
)
SYNONYMS = tuple(frozenset(group.split()) for group in _SECTIONS["synonyms"])
SIZES = {word: float(scale) for word, scale in _table("size").items()}
"""How much larger than usual a word makes a thing."""
STRETCHES = {word: float(scale) for word, scale in _table("stretch").items()}
"""How much taller for its width than usual a word makes a thing."""
GROUPS = {word: int(count) for word, count in _table("group").items()}
"""Words before "of" that stand for several, and how many are planned when the text gives no number."""
RELATIONS = _table("relation")
LONGEST_RELATION = max(len(phrase.split()) for phrase in RELATIONS)
VERBS = _table("verbs")
"""Base forms: "alone" and "place" have no relation, others stand for one when they have an object."""
TRANSITIVE = {
    word: name.removeprefix("verbs ")
    for name, words in reversed(_SECTIONS.items())
    if name.startswith("verbs ") and name not in ("verbs alone", "verbs place")
    for word in words
}

NUMBERS = {word: number for number, word in enumerate(_SECTIONS["numbers"])} | {
    word: 10 * number for number, word in enumerate(_SECTIONS["tens"], 2)
}
LARGE_NUMBERS = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
VAGUE_COUNTS = {
    "few": 3,
    "some": 3,
    "several": 4,
    "multiple": 4,
    "various": 4,
    "many": 6,
    "numerous": 6,
    "countless": 12,
}
EXACT_COUNTS = {"half dozen": 6, "couple": 2, "pair": 2, "trio": 3, "quartet": 4, "dozen": 12, "both": 2}
SINGLE = frozenset(("single", "lone", "solitary"))
ARRANGED = {"row": "row", "line": "row", "queue": "row", "column": "column", "stack": "column", "tower": "column"}

SIDES = {
    "upper": "top",
    "lower": "bottom",
    "centre": "center",
    "middle": "center",
    "foreground": "front",
    "background": "back",
    "distance": "back",
}
CANVAS = "image|picture|scene|frame|photo|photograph|canvas|screen|painting|drawing|composition|view|shot|illustration"
REGION = re.compile(
    r"(?P<lead>(?:on|in|at|to|near|toward|towards|into) )?(?P<the>the |its )?(?:very |far |extreme |exact )?"
    r"(?:(?P<v>top|upper|bottom|lower)(?:[ -](?P<vh>left|right|center|centre|middle))?"
    r"|(?P<h>left|right)|(?P<c>center|centre|middle)|(?P<d>foreground|background|distance|front|back)|(?P<corner>corner))"
    r"(?:[ -]hand)?(?P<part> side| half| part| corner| third| edge| area| portion| section| region)?"
    rf"(?P<canvas> (?:of|in) (?:the |this |my |a )?(?:{CANVAS}))?(?= |$)"
)
"""A place on the canvas: "on the left", "in the top right corner of the image"."""

IRREGULAR_PARTICIPLES = {
    "seen": "see",
    "shown": "show",
    "hung": "hang",
    "lying": "lie",
    "left": "leave",
    "held": "hold",
    "worn": "wear",
    "laid": "lay",
    "spread": "spread",
    "put": "put",
    "set": "set",
    "visible": "visible",
}
