"""Files of layouts: which format a file is in, which layouts it holds, and reading one or all of them.

The format is taken as an argument, or from the content:

- a JSON object with ``instances`` is a layout of ours, with ``annos`` InstanceDiffusion's, with ``images`` and
  ``annotations`` COCO's;
- several lines that each hold such an object are as many layouts (JSON Lines);
- a text that opens with a list of tuples or holds LMD's labels is LMD's.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

from diffusion.formats.boxes import BoxReading
from diffusion.formats.coco import draft_coco
from diffusion.formats.draft import Draft, Reading, finish
from diffusion.formats.fields import Field
from diffusion.formats.lmd import LABEL, draft_lmd
from diffusion.formats.official import draft_official
from diffusion.layout import LayoutError, decode_text, load_json, parse_layout, read_text, short

FORMATS = ("layout", "official", "lmd", "coco")


class ReadOptions(TypedDict, total=False):
    """How to read; every default is the format's own."""

    format: str | None
    """One of FORMATS; None: by content."""
    bbox: str | None
    """``xywh``, ``xyxy``, ``yxyx``, ``cxcywh`` in pixels, with ``-norm`` or ``-1000`` behind it in other units."""
    canvas: tuple[int, int] | None
    """(width, height) in pixels, for files that do not state it."""
    clip: bool
    """Cut boxes at the canvas' edge; each cut is a note."""
    resample: bool
    """Thin scribbles of more than 20 points out; each is a note."""


@dataclass(frozen=True)
class Entry:
    """One layout of a file before its boxes are read, or the error that stands in its place."""

    names: tuple[str, ...]
    """What it can be asked for by: the line's number, or the image's id and file name; none when it is the only one."""
    content: Draft | Reading | LayoutError


def read_any(path: str | Path, **options: Unpack[ReadOptions]) -> list[Reading]:
    """All layouts of a file, in order; one LayoutError for all that are refused, with the first five reasons."""
    results = list(read_each(path, **options))
    refused = [result for result in results if isinstance(result, LayoutError)]
    if len(results) == len(refused) == 1:
        raise refused[0]
    if refused:
        reasons = [str(error) for error in refused[:5]] + ["..."] * (len(refused) > 5)
        raise LayoutError("\n".join([f"{path}: {len(refused)} of {len(results)} layouts are refused", *reasons]))
    return [result for result in results if isinstance(result, Reading)]


def read_one(path: str | Path, entry: str | int | None = None, **options: Unpack[ReadOptions]) -> Reading:
    """The layout of a file; of several, the one of that line number (JSON Lines), image id or file name (COCO)."""
    return parse_one(read_text(path), str(path), entry, **options)


def parse_one(
    text: str | bytes, source: str, entry: str | int | None = None, **options: Unpack[ReadOptions]
) -> Reading:
    """As ``read_one``, from a text; ``source`` names it in messages."""
    entries = _entries(text, source, options)
    chosen = entries if entry is None else [one for one in entries if str(entry) in one.names]
    if len(chosen) != 1:
        known = [one.names[0] for one in entries if one.names]
        asked = f"{len(entries)} layouts" if entry is None else f"no single layout {short(entry)}"
        hint = f"choose one with --entry ({', '.join(known[:5])}{', ...' if len(known) > 5 else ''})" if known else ""
        raise LayoutError(f"{source}: holds {asked}; {hint}".rstrip("; "))
    result = next(_finished(entries, options, only=chosen[0]))
    if isinstance(result, LayoutError):
        raise result
    return result


def read_each(path: str | Path, **options: Unpack[ReadOptions]) -> Iterator[Reading | LayoutError]:
    """Every layout of a file in order, a LayoutError in the place of each that is refused; raises if the file is."""
    return parse_each(read_text(path), str(path), **options)


def parse_each(text: str | bytes, source: str, **options: Unpack[ReadOptions]) -> Iterator[Reading | LayoutError]:
    """As ``read_each``, from a text; ``source`` names it in messages."""
    return _finished(_entries(text, source, options), options)


_EXPECTED = (
    "expected a JSON object with instances (a layout), annos (InstanceDiffusion) or images and annotations (COCO), "
    "lines of such objects, or LMD's text ([('a green car', [x, y, width, height]), ...] and its prompts)"
)


def _entries(text: str | bytes, source: str, options: ReadOptions) -> list[Entry]:
    if isinstance(text, bytes):
        text = decode_text(text, source)
    name = options.get("format")
    if name not in (None, *FORMATS):
        raise LayoutError(f"format = {short(name)}: expected one of {', '.join(FORMATS)}")
    start = text.lstrip()
    if name == "lmd" or (name is None and _looks_like_lmd(start)):
        return [Entry((), draft_lmd(text, source, options.get("canvas")))]
    if name is None and not start.startswith("{"):
        raise LayoutError(f"{source}: no format that is known here: {_EXPECTED}")
    if _is_json_lines(start):
        return list(_lines(text, source, options))
    return _of_object(text, source, options)


def _lines(text: str, source: str, options: ReadOptions) -> Iterator[Entry]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{source}: line {number}"
        try:
            for entry in _of_object(line, place, options):
                yield Entry((str(number), *entry.names), entry.content)
        except LayoutError as error:
            yield Entry((str(number),), error)


def _of_object(text: str, source: str, options: ReadOptions) -> list[Entry]:
    data, canvas = load_json(text, source), options.get("canvas")
    name = options.get("format") or _format_of(data, source)
    if name == "layout":
        if options.get("bbox") or canvas:
            raise LayoutError(
                f"{source}: a layout names its coordinates and its canvas: --bbox and --canvas are for others"
            )
        return [Entry((), Reading(parse_layout(text, source), (), source))]
    root = Field(data, "", source)
    if name == "official":
        return [Entry((), draft_official(root, canvas, options.get("resample", False)))]
    return [Entry((str(image.id), image.file_name), image.draft) for image in draft_coco(root, canvas)]


def _finished(entries: list[Entry], options: ReadOptions, only: Entry | None = None) -> Iterator[Reading | LayoutError]:
    bbox = options.get("bbox")
    stated = BoxReading.parse(bbox) if bbox else None
    witness = None if stated else _witness(entries)
    for entry in entries if only is None else [only]:
        content = entry.content
        try:
            if isinstance(content, Draft):
                if witness is not None:
                    _agree(content, *witness)
                content = finish(content, stated, options.get("clip", False))
        except LayoutError as error:
            content = error
        yield dataclasses.replace(content, names=entry.names) if isinstance(content, Reading) else content


def _witness(entries: list[Entry]) -> tuple[Draft, BoxReading] | None:
    """The first layout of the file whose boxes contradict the default, and the reading that they fit."""
    for entry in entries:
        if isinstance(entry.content, Draft):
            try:
                verdict = entry.content.judge(entry.content.default)
            except LayoutError:
                continue
            if verdict.contradicted and verdict.better:
                return entry.content, verdict.better[0]
    return None


def _agree(draft: Draft, witness: Draft, better: BoxReading) -> None:
    """Boxes that fit two readings are read by the default, but not where a neighbour in the file shows the other."""
    if better in draft.judge(draft.default).rivals:
        raise LayoutError(
            f"{draft.field.source}: {draft.boxes()[0].path}: the boxes fit as {draft.default}, the default, and as "
            f"{better}, but in the same file {witness.field.source} does not fit as {draft.default}: "
            f"say which with --bbox {better} or --bbox {draft.default}"
        )


def _format_of(data: Any, source: str) -> str:
    keys = set(data) if isinstance(data, dict) else set()
    if "instances" in keys:
        return "layout"
    if "annos" in keys:
        return "official"
    if {"images", "annotations"} <= keys:
        return "coco"
    shown = ", ".join(short(key) for key in sorted(keys)[:8]) if keys else short(data)
    raise LayoutError(f"{source}: no format that is known here, it holds {shown}: {_EXPECTED}")


def _looks_like_lmd(start: str) -> bool:
    return not start.startswith("{") and (LABEL.search(start) is not None or re.match(r"\[\s*[(\]]", start) is not None)


def _is_json_lines(start: str) -> bool:
    """Whether the first line is an object of its own and more follows."""
    first, _, rest = start.partition("\n")
    if not (first.startswith("{") and rest.strip()):
        return False
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return False
    return True
