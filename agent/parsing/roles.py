"""What part a noun phrase plays: the picture's own kind, the picture itself, its style, its scene, or a thing in it."""

from __future__ import annotations

from agent.parsing import words as w
from agent.parsing.nouns import is_noun, lookup
from agent.parsing.phrases import NounPhrase
from agent.parsing.scene import Scene
from agent.parsing.sentences import Element

_OVERHEAD = frozenset(("top-down", "overhead", "aerial", "bird's-eye", "bird’s-eye"))
_INTRODUCING = ("of", "in", "inside", "about", "from")


def is_frame(phrase: NounPhrase, following: Element | None) -> bool:
    """ "a photo of", "a scene with", "an oil painting": the kind of picture, when nothing has been named before it."""
    if _last(phrase) not in w.FRAMES:
        return False
    return (
        following is None
        or following.kind in ("with", "not", "comma", "stop")
        or (following.kind == "be" and following.value in w.RELATIVES)
        or (following.kind == "relation" and following.words in _INTRODUCING)
        or (following.kind == "verb" and not following.transitive)
    )


def is_overhead(phrase: NounPhrase) -> bool:
    """Whether the kind of picture is one from above, without a horizon."""
    return any(word.lower() in _OVERHEAD for word in phrase.attributes)


def is_canvas(phrase: NounPhrase, scene: Scene, relation: str, following: Element | None) -> bool:
    """ "in the scene", "the picture shows": the picture itself."""
    if phrase.determiner not in ("the", "this") or phrase.noun not in w.CANVAS.split("|"):
        return False
    if any(thing.noun == phrase.noun for thing in scene.things):
        return False
    return relation in ("inside", "on") or bool(following and following.kind in ("with", "not", "be", "verb"))


def is_style(phrase: NounPhrase, connector: str, relation: str, following: Element | None) -> bool:
    """ "cyberpunk style" after a comma, "in watercolor", "with dramatic lighting"."""
    last = _last(phrase)
    if last not in w.STYLES:
        return False
    by_itself = connector in ("comma", "stop") and not phrase.determiner and phrase.count is None
    ends = following is None or following.kind in ("comma", "stop", "and")
    return (by_itself and ends) or (relation in ("inside", "has") and not is_noun(last))


def is_scene(phrase: NounPhrase, scene: Scene, relation: str, relation_words: str, following: Element | None) -> bool:
    """ "on green grass", "a snowy field", "at sunset", "on a wooden table", and "in" what no table knows as a thing."""
    noun, last = phrase.noun or "", _last(phrase)
    if " " in noun and is_noun(noun) and last not in w.SCENES:
        return False
    if last in w.SURFACES:
        return (relation in ("on", "middle") or scene.top_down) and _is_bare(phrase) and noun != "dining table"
    if last == "wall":
        return relation == "on" or following is None or relation == "with"
    if last in w.SCENES:
        return not (last in w.LANDMARKS and phrase.count is not None)
    unknown_place = last.endswith("room") or not lookup(noun).known
    return relation_words in ("in", "at") and unknown_place and _is_bare(phrase)


def _is_bare(phrase: NounPhrase) -> bool:
    """Neither coloured nor counted: what has a colour and a number of its own is a thing."""
    coloured = {word.lower() for word in phrase.attributes} & (w.COLOURS - {"dark", "light"})
    return not coloured and phrase.count in (None, 1)


def _last(phrase: NounPhrase) -> str:
    return (phrase.noun or "").rpartition(" ")[2]
