"""What a server takes of a request's optional parts, learned from its refusals.

Compatible servers differ in the ways of asking for JSON, in whether they take a seed or a system message, and in how
long an answer may be unless told. Each is tried in the best way first; what is refused is left out from then on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

Message = dict[str, Any]
"""``role`` and ``content``: a text, or a list of parts (see ``agent.chat.chat.user_message``)."""

FORMS = ("strict schema", "JSON with schema", "JSON", "none")
"""Ways to ask for JSON, the strictest first; "JSON with schema" is that of llama.cpp's and its relatives' servers."""

LENGTHS = (4096, 16384)
"""Tokens asked for, one after the other, when a server cuts an answer off at a default that is shorter."""

_NAMES_FORM = re.compile(r"response.?format|json.?(object|mode)|schema|structured.?output|grammar", re.I)
_NAMES_SYSTEM = re.compile(r"system.?(role|message|prompt|instruction)|role.{0,20}\bsystem\b", re.I)
_NAMES_LENGTH = re.compile(r"max_(completion_)?tokens|context.{0,20}(length|window|size)", re.I)
_NAMES_NOTHING = re.compile(
    r"unsupported|not.support|unrecogni[sz]ed|unknown (field|parameter|argument|name)|extra (inputs|fields)|"
    r"not permitted|requested parameters|^\W*(bad request|invalid request|unprocessable entity)?\W*$",
    re.I,
)


@dataclass(frozen=True)
class Traits:
    """What is put into a request besides model and messages."""

    form: str = FORMS[0]
    seed: bool = True
    system: bool = True
    max_tokens: int | None = None

    def options(self, schema: dict[str, Any], seed: int | None) -> dict[str, Any]:
        """The request's optional parts."""
        forms: dict[str, dict[str, Any]] = {
            "strict schema": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": schema},
            },
            "JSON with schema": {"type": "json_object", "schema": schema},
            "JSON": {"type": "json_object"},
        }
        options: dict[str, Any] = {"response_format": forms[self.form]} if self.form in forms else {}
        if self.seed and seed is not None:
            options["seed"] = seed
        if self.max_tokens is not None:
            options["max_tokens"] = self.max_tokens
        return options

    def messages(self, messages: list[Message]) -> list[Message]:
        """The messages as the server takes them: where it has no system role, its text opens the first question."""
        if self.system or len(messages) < 2 or messages[0]["role"] != "system":
            return messages
        system, first, *rest = messages
        content = first["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        both = [{"type": "text", "text": system["content"]}, *parts]
        if all(part["type"] == "text" for part in both):
            return [{**first, "content": "\n\n".join(part["text"] for part in both)}, *rest]
        return [{**first, "content": both}, *rest]

    def longer(self, tokens: int) -> Traits | None:
        """The traits to try next when an answer was cut off after so many tokens; None when that is long enough."""
        had = max(tokens, self.max_tokens or 0)
        length = next((length for length in LENGTHS if length > had), None)
        return replace(self, max_tokens=length) if length else None

    def after(self, status: int, said: str, parameter: str = "") -> Traits | None:
        """The traits to try next when the server refused a request with these words; None when no part is meant.

        ``parameter``: the part that the server names, where it names one apart from its words.
        """
        if status in (401, 402, 403, 429):
            return None
        said = f"{parameter} {said}"
        if self.max_tokens and _NAMES_LENGTH.search(said):
            return replace(self, max_tokens=None)
        if self.seed and re.search(r"\bseed\b", said, re.I):
            return replace(self, seed=False)
        if self.system and _NAMES_SYSTEM.search(said):
            return replace(self, system=False)
        simpler = dict(pairwise(FORMS)).get(self.form)
        if simpler and _NAMES_FORM.search(said):
            return replace(self, form=simpler)
        if not parameter and status in (400, 404, 422, 501) and _NAMES_NOTHING.search(said):
            if simpler and (status != 404 or "requested parameters" in said):
                return replace(self, form=simpler)
            if self.seed and status != 404:
                return replace(self, seed=False)
        return None
