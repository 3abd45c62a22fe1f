"""Colours by families of words, so that a crimson car is a red one."""

from __future__ import annotations

from agent.critic.subject import Subject

_FAMILIES = {
    "red": "red crimson scarlet ruby maroon burgundy cherry reddish",
    "orange": "orange amber",
    "yellow": "yellow golden gold mustard lemon yellowish blonde blond",
    "green": "green olive lime emerald mint khaki greenish teal turquoise",
    "blue": "blue navy azure indigo sapphire cyan teal turquoise aqua bluish",
    "purple": "purple violet lavender lilac mauve indigo plum",
    "pink": "pink rosy rose fuchsia magenta salmon coral",
    "brown": "brown tan chestnut bronze copper tawny",
    "black": "black",
    "white": "white ivory cream snow-white",
    "grey": "grey gray silver charcoal",
}
_WORDS = {name: frozenset(words.split()) for name, words in _FAMILIES.items()}
_ASKED = {"grey": "grey", "gray": "grey", "golden": "yellow", "gold": "yellow", "silver": "grey"} | {
    word: name for name in _FAMILIES for word in _FAMILIES[name].split()[:1]
}
"""The colour words that a text is held to."""


def hues_asked(attributes: list[str]) -> frozenset[str]:
    """The families of the colours among a thing's attributes."""
    words = [part for word in attributes for part in word.lower().split("-")]
    return frozenset(_ASKED[word] for word in words if word in _ASKED)


def hues_named(subject: Subject) -> frozenset[str]:
    """The families of all colours that a caption and a category name."""
    words = {part for word in _words(subject) for part in word.split("-")}
    return frozenset(name for name, family in _WORDS.items() if words & family)


def shows(subject: Subject, hue: str) -> bool:
    """Whether a caption or a category names a colour of that family."""
    return hue in hues_named(subject)


def _words(subject: Subject) -> set[str]:
    return set(subject.words) | set(subject.instance.category.lower().split())
