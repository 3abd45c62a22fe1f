"""LMD's text form, as LLM-grounded Diffusion's planner answers: a Python list and prompts behind labels.

    Caption: a green car beside a blue truck
    Objects: [('a green car', [21, 281, 211, 159]), ('a blue truck', [269, 283, 209, 160])]
    Background prompt: a realistic landscape
    Negative prompt: people

Boxes are [x, y, width, height] in pixels of a 512 x 512 canvas unless another is stated. ``Caption:``, the label
``Objects:`` and the prompts may be missing; ``No objects`` is an empty list, a negative prompt ``None`` an empty one.
"""

from __future__ import annotations

import ast
import re
import warnings

from diffusion.formats.draft import Draft, Part
from diffusion.formats.fields import Field
from diffusion.layout import MAX_INSTANCES, LayoutError, short

CANVAS = (512, 512)
MAX_CHARACTERS = 100_000
LABEL = re.compile(r"^[ \t]*(caption|objects|background prompt|negative prompt)[ \t]*:", re.IGNORECASE | re.MULTILINE)


def draft_lmd(text: str, source: str, canvas: tuple[int, int] | None = None) -> Draft:
    """The draft of one text of this form; LayoutError names the line or the object (``objects[2].box``)."""
    if len(text) > MAX_CHARACTERS:
        raise LayoutError(f"{source}: a text of {len(text)} characters; LMD's have at most {MAX_CHARACTERS}")
    sections = _sections(text, source)
    if "objects" not in sections:
        raise LayoutError(f"{source}: no list of objects: expected [('a green car', [x, y, width, height]), ...]")
    items = _literal(*sections["objects"], source).elements(MAX_INSTANCES)
    parts = tuple(_part(item) for item in items)
    caption, background, negative = (
        _one_line(*sections.get(label, ("", 1)), source)
        for label in ("caption", "background prompt", "negative prompt")
    )
    notes = []
    if parts:
        notes.append("objects are phrases without a category: each phrase is the caption and the category")
    if not caption:
        caption = " with ".join(filter(None, (background, ", ".join(part.caption for part in parts))))
        notes.append(f"no caption: composed {short(caption)} from the background prompt and the objects")
    width, height = canvas or CANVAS
    return Draft(
        field=Field(text, "", source),
        caption=caption,
        background=background,
        negative_prompt="" if negative == "None" else negative,
        width=width,
        height=height,
        parts=parts,
        notes=tuple(notes),
    )


def _sections(text: str, source: str) -> dict[str, tuple[str, int]]:
    """What stands behind each label, and the line where it starts; text before the first label is the objects."""
    marks = [*LABEL.finditer(text)]
    sections: dict[str, tuple[str, int]] = {}
    before = text[: marks[0].start()] if marks else text
    if before.strip():
        sections["objects"] = before, 1
    for mark, after in zip(marks, [*(mark.start() for mark in marks[1:]), len(text)], strict=True):
        label, line = mark[1].lower(), text.count("\n", 0, mark.start()) + 1
        if label in sections:
            raise LayoutError(f"{source}: line {line}: a second {mark[1]!r}: expected one, and nothing else before it")
        sections[label] = text[mark.end() : after], line
    return sections


def _one_line(text: str, line: int, source: str) -> str:
    first, *others = text.strip().split("\n")
    if others:
        raise LayoutError(f"{source}: line {line + 1}: expected a label or the end, not {short(others[0])}")
    return first.strip()


def _literal(text: str, line: int, source: str) -> Field:
    """The list as Python would read it; nothing in it is ever run."""
    if text.strip().rstrip(".").lower() in ("", "no objects"):
        return Field([], "objects", source)
    blank = len(text) - len(text.lstrip())
    line += text.count("\n", 0, blank)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = ast.literal_eval(text.strip())
    except SyntaxError as error:
        where = line + (error.lineno or 1) - 1
        raise LayoutError(
            f"{source}: line {where}: the list of objects cannot be read ({error.msg}); "
            "expected [('a green car', [x, y, width, height]), ...]"
        ) from error
    except (ValueError, TypeError, MemoryError, RecursionError) as error:
        raise LayoutError(
            f"{source}: line {line}: the list of objects holds something other than texts and numbers, "
            "or too many brackets"
        ) from error
    return Field(value, "objects", source)


def _part(item: Field) -> Part:
    if not isinstance(item.value, (list, tuple)) or len(item.value) != 2:
        raise item.wrong("expected ('a green car', [x, y, width, height])")
    phrase, box = item.value
    caption = Field(phrase, f"{item.path}.caption", item.source).text()
    return Part(field=item, category=caption, caption=caption, box=Field(box, f"{item.path}.box", item.source))
