"""Prompt texts: one readable file each, opening with its version, filled in with strict variables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template

FOLDER = Path(__file__).parent


class PromptError(ValueError):
    """A prompt text that is missing or malformed, or variables that do not fit it; the message names them."""


@dataclass(frozen=True)
class PromptText:
    """A text with ``$variables`` (a literal dollar sign is ``$$``) and the version that its file states."""

    name: str
    version: int
    text: str

    @property
    def variables(self) -> frozenset[str]:
        return frozenset(Template(self.text).get_identifiers())

    def render(self, **values: object) -> str:
        """The text with every variable filled in; values are inserted as they are, never read as templates.

        PromptError names each variable that is missing and each that the text does not have.
        """
        missing, superfluous = self.variables - values.keys(), values.keys() - self.variables
        if missing or superfluous:
            problems = [f"misses the variable ${name}" for name in sorted(missing)]
            problems += [f"has no variable ${name}" for name in sorted(superfluous)]
            raise PromptError(f"prompt {self.name!r} {', '.join(problems)}")
        return Template(self.text).substitute(values)


@cache
def prompt(name: str) -> PromptText:
    """The prompt of ``prompts/<name>.txt``; PromptError when there is none or when it is malformed."""
    return read_prompt(FOLDER / f"{name}.txt")


def read_prompt(path: Path) -> PromptText:
    """The prompt in a file: a line ``version: N``, a line ``---``, then the text."""
    try:
        content = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PromptError(f"{path}: cannot be read ({error.strerror or error})") from error
    head = re.match(r"version: (\d+)\n---\n", content)
    if head is None:
        raise PromptError(f"{path}: opens with neither 'version: <number>' nor a line '---' after it")
    text = content[head.end() :].strip()
    if not Template(text).is_valid():
        raise PromptError(f"{path}: a '$' that opens no variable; a literal dollar sign is written '$$'")
    return PromptText(path.stem, int(head[1]), text)
