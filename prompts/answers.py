"""Answers of LLMs and VLMs as pydantic models: the JSON schema that asks for one, and the strict way to read it."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from diffusion.layout import LayoutError, explain, load_json

M = TypeVar("M", bound=BaseModel)


class InvalidAnswer(ValueError):
    """An answer that cannot be used; each line of the message names a field by its path and what was expected."""


class Wire(BaseModel):
    """A part of an answer: no unknown keys, no conversions, no NaN. Limits are for validators, see ``schema_of``."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema of an answer as strict servers take it: no references, no titles, every property required.

    Strict servers refuse limits, defaults and dictionaries: give the model's fields none, and check limits in
    ``AfterValidator``s, which leave no trace in the schema.
    """
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def inline(node: Any, named: bool = False) -> Any:
        if isinstance(node, list):
            return [inline(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return inline(definitions[node["$ref"].rsplit("/", 1)[-1]])
        return {key: inline(value, key == "properties") for key, value in node.items() if named or key != "title"}

    return inline(schema)


def read_object(text: str, model: type[M], source: str) -> M:
    """The answer in a model's text; InvalidAnswer names each wrong field as ``source: things[2].box.x1: ...``.

    Thinking text in front, a fence or prose around the JSON are accepted; the JSON must be exactly one object, without
    repeated keys.
    """
    found = only_object(text, source)
    try:
        load_json(found, source)
        return model.model_validate_json(found)
    except ValidationError as error:
        raise InvalidAnswer(explain(error, source)) from error
    except LayoutError as error:
        raise InvalidAnswer(str(error)) from error


def only_object(text: str, source: str) -> str:
    """The one JSON object of an answer, as text; InvalidAnswer when there is none.

    Prose may stand around it. Where the prose holds braces of its own, the object is the one that begins a line.
    """
    text = after_thinking(text)
    start, end = text.find("{"), text.rfind("}") + 1
    if start < 0:
        begin = f" (it begins: {text[:200]!r})" if text else ""
        raise InvalidAnswer(f"{source}: the answer holds no JSON object{begin}")
    if text[:start].rstrip().endswith("["):
        raise InvalidAnswer(f"{source}: the answer is a JSON list; exactly one JSON object is wanted")
    span = text[start:end] if end > start else text[start:]
    if _object_at(span, 0) == span:
        return span
    at_lines = [found for match in re.finditer(r"^\{", text, re.M) if (found := _object_at(text, match.start()))]
    return at_lines[0] if len(at_lines) == 1 else span


def after_thinking(text: str) -> str:
    """The text behind a reasoning model's thoughts: some servers leave them, or only their end mark, in the answer."""
    for mark in ("</think>", "</thinking>", "</thought>"):
        text = text.rpartition(mark)[2]
    return text.strip()


def _object_at(text: str, start: int) -> str | None:
    try:
        _, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return text[start:end]
