"""A value in somebody's JSON together with where it stands, so that every error can name file, field and value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from diffusion.layout import LayoutError, explain, short

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Field:
    """``value`` stands at ``path`` (``annos[3].bbox``; empty for the whole) in ``source`` (a file or a line of one)."""

    value: Any
    path: str
    source: str

    def wrong(self, expected: str) -> LayoutError:
        """The error to raise: ``file: annos[3].bbox = [1, 2]: expected ...``."""
        return LayoutError(f"{self.source}: {self.path or 'the file'} = {short(self.value)}: {expected}")

    def get(self, key: str) -> Field | None:
        """The member of that name in an object; None when it is absent or null."""
        if not isinstance(self.value, dict):
            raise self.wrong("expected an object")
        value = self.value.get(key)
        return None if value is None else Field(value, f"{self.path}.{key}".lstrip("."), self.source)

    def need(self, key: str) -> Field:
        member = self.get(key)
        if member is None:
            raise LayoutError(f"{self.source}: {f'{self.path}.{key}'.lstrip('.')} is missing")
        return member

    def keys(self) -> set[str]:
        return set(self.value) if isinstance(self.value, dict) else set()

    def elements(self, most: int | None = None) -> list[Field]:
        """The members of a list, of which there may be ``most``."""
        if not isinstance(self.value, (list, tuple)):
            raise self.wrong("expected a list")
        if most is not None and len(self.value) > most:
            raise LayoutError(f"{self.source}: {self.path}: {len(self.value)} of them; at most {most} are allowed")
        return [Field(value, f"{self.path}[{index}]", self.source) for index, value in enumerate(self.value)]

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.wrong("expected text")
        return self.value

    def whole(self) -> int:
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            raise self.wrong("expected a whole number")
        return self.value

    def number(self) -> float:
        if isinstance(self.value, (int, float)) and not isinstance(self.value, bool):
            try:
                number = float(self.value)
            except OverflowError:
                number = math.inf
            if math.isfinite(number):
                return number
        raise self.wrong("expected a finite number")

    def numbers(self, count: int) -> tuple[float, ...]:
        """Exactly that many numbers; the error names the list, not the element, because the list is what is wrong."""
        if not isinstance(self.value, (list, tuple)) or len(self.value) != count:
            raise self.wrong(f"expected {count} numbers")
        return tuple(element.number() for element in self.elements())

    def build(self, model: type[Model], names: Mapping[str, str] | None = None, **values: Any) -> Model:
        """The model from those values; its errors name this field, members by the ``names`` that the file uses."""

        def rename(path: str) -> str:
            head, separator, tail = path.partition(".")
            path = (names or {}).get(head, head) + separator + tail
            return f"{self.path}{'' if path.startswith('[') else '.'}{path}".strip(".")

        try:
            return model(**values)
        except ValidationError as error:
            raise LayoutError(explain(error, self.source, rename=rename)) from error


def identity(field: Field) -> int | str:
    """An id as files write them: a whole number or text."""
    if isinstance(field.value, bool) or not isinstance(field.value, (int, str)):
        raise field.wrong("expected an id: a whole number or text")
    return field.value
