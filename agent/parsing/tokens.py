"""A prompt to tokens: what may stand in a prompt at all, and where its words and marks begin."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from agent.parsing import words as w
from agent.planner import PlannerError

MAX_PROMPT = 4000


@dataclass(frozen=True)
class Token:
    """A word or a mark. ``start`` is its position in the lower-case tokens joined by single spaces."""

    text: str
    low: str
    start: int


def clean(prompt: str) -> str:
    """The prompt with its white space made plain; PlannerError for what no planner can read."""
    if len(prompt) > MAX_PROMPT:
        raise PlannerError(f"the prompt has {len(prompt)} characters; at most {MAX_PROMPT} can be planned: shorten it")
    for position, character in enumerate(prompt, 1):
        category = unicodedata.category(character)
        if category in ("Cc", "Cs") and character not in "\t\n\r":
            what = "a lone surrogate" if category == "Cs" else "a control character"
            raise PlannerError(
                f"the prompt holds {what} (U+{ord(character):04X}) as its character {position}: remove it"
            )
    text = " ".join(prompt.split())
    if not text:
        raise PlannerError("the prompt is empty: describe a scene, e.g. 'two red balls left of a blue cube'")
    return text


def tokens_of(text: str) -> list[Token]:
    """The tokens of a cleaned text, contractions written out."""
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    tokens: list[Token] = []
    start = 0
    for match in _TOKEN.finditer(unicodedata.normalize("NFC", text)):
        token = match.group()
        if len(token) > 1:
            token = token.strip("'’‘")
            token = token if _NUMBER.match(token) else token.strip("-−")
        if token:
            tokens.append(Token(token, token.lower(), start))
            start += len(tokens[-1].low) + 1
    return tokens


def is_mark(low: str) -> bool:
    """Whether a token is punctuation."""
    return bool(low) and low not in ("&", "+") and not any(character.isalnum() for character in low)


_NUMBER = re.compile(r"[-−]?\d")
_TOKEN = re.compile(
    r"(?:(?<!\w)[-−])?\d+(?:[.,]\d+)*(?![\w-])"
    r"|[^\s.,;:!?()\[\]{}\"“”«»/\\|<>@#$%^*=~`…—–_]+"
    r"|[.,;:!?()\[\]{}/…—–]"
)
_REQUEST = re.compile(
    r"^(?:(?:please|kindly|now|can you|could you|would you|i want(?: you to)?|i(?: woul|['’])d like(?: you to)?)\s+)*"
    r"(?:(?:draw|show|give|generate|create|make|render|paint|sketch|imagine|produce|design|see)(?: me| us)?\s+"
    r"(?=(?:an?|the|some|several|many|one|two|three|four|five|six|\d+)\s))?",
    re.I,
)
"""What people say before they name the scene: "please draw me"."""
_REWRITES = (
    (_REQUEST, ""),
    (re.compile(r"\bpolka dot\b", re.I), "polka-dot"),
    (re.compile(r"\b(it|there|that|he|she|what)['’]s\b", re.I), r"\1 is"),
    (re.compile(r"\bcan['’]t\b", re.I), "can not"),
    (re.compile(r"\bwon['’]t\b", re.I), "will not"),
    (re.compile(r"n['’]t\b", re.I), " not"),
    (re.compile(r"\b(to|on|at) (?:its|his|her|their) (left|right)(?: side)?\b", re.I), r"to the \2 of it"),
    (re.compile(rf"\b({'|'.join(sorted(w.COLOURS, key=len, reverse=True))})[- ]colou?red\b", re.I), r"\1"),
    (re.compile(r"\bnot only\b|\bbut also\b", re.I), " and "),
)
