"""From what a file says to a Layout: the steps that all formats share once their own spelling is read.

A reader of a format makes a Draft: everything but the boxes is already in a Layout's terms, the boxes are
still four bare numbers. ``finish`` holds them against a reading and makes the Layout, with a note for
every choice, cut and omission.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from diffusion.formats.boxes import XYWH, BoxReading, Corners, Verdict, advise, contradiction, judge, settle_box
from diffusion.formats.fields import Field
from diffusion.layout import Box, Instance, Layout, LayoutError, Mask, Point, Scribble, short


@dataclass(frozen=True)
class Reading:
    """A Layout from somebody's file, and what a person should know about how it was read."""

    layout: Layout
    notes: tuple[str, ...]
    """One line for every choice made, box cut and key left out; each names its field in the file."""
    source: str
    """The file, and the line or image where the file holds several layouts."""
    names: tuple[str, ...] = ()
    """What it is called in its file: the line's number, or the image's id and file name; none in a file of one."""


@dataclass(frozen=True)
class Part:
    """One instance as a file spells it."""

    field: Field
    category: str
    caption: str
    box: Field | None = None
    """Four numbers, as yet without meaning."""
    point: Point | None = None
    scribble: Scribble | None = None
    mask: Mask | None = None
    depth: int | None = None
    id: str | None = None
    """None: made from the category."""


@dataclass(frozen=True)
class Draft:
    """One layout as a file spells it."""

    field: Field
    """The whole of it."""
    caption: str
    width: int
    height: int
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()
    background: str = ""
    negative_prompt: str = ""
    default: BoxReading = XYWH
    sizeless_is_point: bool = False
    """Whether a box of width and height 0 stands for the point where it is."""
    names: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """The format's names of an Instance's fields, for messages."""

    def boxes(self) -> list[Field]:
        return [part.box for part in self.parts if part.box is not None and not self._is_point(part.box)]

    def judge(self, reading: BoxReading) -> Verdict:
        return judge([box.numbers(4) for box in self.boxes()], reading, self.width, self.height)

    def _is_point(self, box: Field) -> bool:
        return self.sizeless_is_point and box.numbers(4)[2:] == (0, 0)


def finish(draft: Draft, stated: BoxReading | None = None, clip: bool = False) -> Reading:
    """The Layout of a draft, its boxes read as ``stated`` or by the format's default.

    LayoutError names the field when the boxes contradict the reading (unless it is stated and ``clip`` is asked
    for as well), when a box leaves the canvas for no reason that ``settle_box`` accepts, and for whatever a Layout
    refuses.
    """
    reading, fields = stated or draft.default, draft.boxes()
    verdict = draft.judge(reading)
    if verdict.contradicted and not (stated and clip):
        raise contradiction(fields, reading, verdict, stated is not None, draft.width, draft.height)
    notes = [*draft.notes]
    if verdict.rivals and not stated:
        notes.append(
            f"read as {reading}, the default; the boxes ({len(fields)}) would also fit as "
            f"{verdict.rivals[0]}: if that is meant, ask for it with --bbox {verdict.rivals[0]}"
        )
    unnamed = [part for part in draft.parts if not part.category.strip()]
    if unnamed:
        notes.append(
            f"{len(unnamed)} of {len(draft.parts)} instances have no category: the caption stands in for it "
            f"({', '.join(part.field.path for part in unnamed[:3])}{', ...' if len(unnamed) > 3 else ''})"
        )
    ids = _ids(draft.parts)
    advice = advise(verdict.better, len(fields))
    instances = [_instance(draft, part, next(ids), reading, clip, advice, notes) for part in draft.parts]
    layout = draft.field.build(
        Layout,
        version=1,
        caption=draft.caption,
        background=draft.background,
        negative_prompt=draft.negative_prompt,
        width=draft.width,
        height=draft.height,
        instances=tuple(instances),
    )
    return Reading(layout, tuple(notes), draft.field.source)


def ignored(fields: Iterable[Field], known: set[str], shown: str) -> list[str]:
    """A note for each key outside ``known``: what a Layout cannot hold is left out, but not in silence."""
    counts: dict[str, int] = {}
    for item in fields:
        for key in item.keys() - known:
            counts[key] = counts.get(key, 0) + 1
    return [
        f"{shown}{key if key.isidentifier() and len(key) < 60 else short(key)} is not part of a layout: left out"
        + (f" ({count} times)" if count > 1 else "")
        for key, count in sorted(counts.items())
    ]


def canvas_side(member: Field | None, root: Field, key: str, canvas: tuple[int, int] | None) -> int:
    """The width or height that the file states, or that of ``canvas`` where the file states none."""
    asked = None if canvas is None else canvas[0 if key == "width" else 1]
    if member is None:
        if asked is None:
            raise LayoutError(
                f"{root.source}: {f'{root.path}.{key}'.lstrip('.')} is missing: state it with --canvas 512x512"
            )
        return asked
    side = member.whole()
    if asked not in (None, side):
        raise member.wrong(f"the file states its canvas, and --canvas asks for another {key}, {asked}")
    if not 8 <= side <= 8192:
        raise member.wrong("expected 8 to 8192 pixels")
    return side


def _instance(
    draft: Draft, part: Part, instance_id: str, reading: BoxReading, clip: bool, advice: str, notes: list[str]
) -> Instance:
    box, point, width, height = None, part.point, draft.width, draft.height
    if part.box is not None:
        corners = reading.corners(part.box.numbers(4), width, height)
        if draft._is_point(part.box):
            point = point or _point_of(part.box, width, height, notes)
        else:
            mask = _pixels(part.mask.extent(), width, height) if part.mask else None
            corners, note = settle_box(part.box, corners, width, height, clip=clip, mask=mask, advice=advice)
            notes += [note] if note else []
            x0, y0, x1, y1 = corners
            box = part.box.build(Box, x0=x0 / width, y0=y0 / height, x1=x1 / width, y1=y1 / height)
    return part.field.build(
        Instance,
        draft.names,
        id=instance_id,
        category=part.category if part.category.strip() else part.caption,
        caption=part.caption,
        box=box,
        point=point,
        scribble=part.scribble,
        mask=part.mask,
        depth=part.depth,
    )


def _point_of(box: Field, width: int, height: int, notes: list[str]) -> Point:
    """The place of a box without width and height, as the published reader takes the centre of a box for its point."""
    x, y, _, _ = box.numbers(4)
    if not (0 <= x <= width and 0 <= y <= height):
        raise box.wrong(
            f"a box without width and height stands for a point, but it lies off the {width} x {height} canvas"
        )
    notes.append(f"{box.path} = {short(box.value)} has no width and height: read as the point ({x:g}, {y:g}) px")
    return Point(x=x / width, y=y / height)


def _pixels(box: Box, width: int, height: int) -> Corners:
    return box.x0 * width, box.y0 * height, box.x1 * width, box.y1 * height


def _ids(parts: Iterable[Part]) -> Iterator[str]:
    """The ids that the file gives; else ``person-1``, ``person-2``: category and count."""
    parts = tuple(parts)
    taken = {part.id for part in parts}
    for part in parts:
        if part.id is not None:
            yield part.id
            continue
        stem = _stem(part.category.strip() or part.caption)
        number = 1
        while f"{stem}-{number}" in taken:
            number += 1
        taken.add(f"{stem}-{number}")
        yield f"{stem}-{number}"


def _stem(words: str) -> str:
    """``Café table!`` as ``cafe-table``; at most 40 characters, whole words where there are several."""
    plain = unicodedata.normalize("NFKD", words[:200]).encode("ascii", "ignore").decode().lower()
    stem = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if len(stem) > 40:
        stem = stem[:41].rpartition("-")[0] or stem[:40]
    return stem or "object"
