"""Scenes as people ask for them: a prompt as one argument, or a file with a prompt a line, and a seed."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from agent.exits import Stop

MAX_PROMPT_CHARACTERS = 4000
MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_SEED = 2**32 - 1


@dataclass(frozen=True)
class PromptLines:
    """The lines of a prompt file with their numbers; blank lines hold no prompt and are only counted."""

    source: str
    lines: tuple[tuple[int, str], ...]
    blank: int


def check_prompt(prompt: str) -> str:
    """The prompt, when it is one; Stop says what is wrong with it."""
    if not prompt.strip():
        raise Stop("the prompt is empty: describe a scene, for example 'a red ball left of a blue cube'")
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        raise Stop(f"the prompt has {len(prompt)} characters; at most {MAX_PROMPT_CHARACTERS} are read")
    for position, character in enumerate(prompt, 1):
        if "\ud800" <= character <= "\udfff":
            raise Stop(f"the prompt is not valid UTF-8 (character {position})")
        if character == "\0":
            raise Stop(f"the prompt holds a NUL character (character {position})")
    return prompt


def read_prompt_lines(path: Path) -> PromptLines:
    """The prompts of a UTF-8 file, or of standard input for ``-``; Stop names the file and the line."""
    piped = str(path) == "-"
    source = "standard input" if piped else str(path)
    try:
        with nullcontext(sys.stdin.buffer) if piped else path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise Stop(f"{source}: cannot be read ({error.strerror or error})") from error
    if len(data) > MAX_FILE_BYTES:
        raise Stop(f"{source}: more than {MAX_FILE_BYTES} bytes; split the file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Stop(
            f"{source}: line {line}: not UTF-8 (byte 0x{data[error.start]:02x}); save the file as UTF-8"
        ) from error
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    numbered = tuple((number, line.rstrip("\r")) for number, line in enumerate(lines, 1) if line.strip())
    if not numbered:
        raise Stop(f"{source}: no prompt in it; write one scene a line")
    return PromptLines(source, numbered, blank=len(lines) - len(numbered))
