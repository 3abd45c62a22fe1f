"""The Layout: the validated plan of a picture, and the one type that travels through the whole house.

Boxes are normalised xyxy with named coordinates, origin top left, x to the right, y down. Loading is
strict: unknown or repeated keys, NaN, empty or inverted boxes, boxes off the canvas, more than 30
instances and duplicate ids are errors that name the field's path, the value and what was expected.
Nothing is repaired. This module needs pydantic only: no torch, no numpy.
"""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

SCHEMA_VERSION = 1
MAX_INSTANCES = 30
MAX_SCRIBBLE_POINTS = 20
MAX_COUNTS = 1 << 20
MAX_KEYS = 1000
MAX_FILE_BYTES = 32 * 1024 * 1024

# Letters are spelled out as ranges: \w means something else in each of Rust's, Python's and JavaScript's regexes,
# and the exported schema has to accept what is accepted here.
_LETTER = "A-Za-z0-9_\u00c0-\u1fff\u2c00-\u2fef\u3001-\ud7ff"
_ID = rf"^[{_LETTER}][{_LETTER}.\-]{{0,63}}$"
_NOT_BLANK = r"\S"
_EXPECTED = {
    _ID: "expected 1 to 64 letters, digits, _ . or -, the first of them no . or -",
    _NOT_BLANK: "expected words, not blanks",
}

Coordinate = Annotated[float, Field(ge=0.0, le=1.0, description="share of the canvas, 0 to 1")]
Side = Annotated[int, Field(ge=8, le=8192, description="pixels")]
Text = Annotated[str, Field(max_length=4000)]
Name = Annotated[str, Field(min_length=1, max_length=400, pattern=_NOT_BLANK)]


class LayoutError(ValueError):
    """A layout that cannot be accepted; the message names the source, the field and what was expected."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Point(_Part):
    """A normalised point on the canvas."""

    x: Coordinate
    y: Coordinate


class Box(_Part):
    """A normalised xyxy box, origin top left: ``x0 < x1``, ``y0 < y1``, all within [0, 1]."""

    x0: Coordinate
    y0: Coordinate
    x1: Coordinate
    y1: Coordinate

    @model_validator(mode="after")
    def _has_area(self) -> Box:
        for low, high, a, b in (("x0", "x1", self.x0, self.x1), ("y0", "y1", self.y0, self.y1)):
            if a >= b:
                raise ValueError(
                    f"{low} = {a:g} must be smaller than {high} = {b:g} (boxes are x0, y0, x1, y1: two corners)"
                )
        return self

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0

    @property
    def area(self) -> float:
        return self.width * self.height

    @property
    def center(self) -> Point:
        return Point(x=(self.x0 + self.x1) / 2, y=(self.y0 + self.y1) / 2)

    def xyxy(self) -> tuple[float, float, float, float]:
        """``(x0, y0, x1, y1)``, normalised."""
        return self.x0, self.y0, self.x1, self.y1


class Scribble(_Part):
    """1 to 20 points drawn along an instance."""

    points: Annotated[tuple[Point, ...], Field(min_length=1, max_length=MAX_SCRIBBLE_POINTS)]


class RunLength(_Part):
    """A COCO run-length code: ``size`` is [height, width]; ``counts`` run down the columns, zeros first.

    ``counts`` is the compressed string that COCO tools write, or the plain list of run lengths; at most
    2**20 characters or runs, which bounds the time and memory that a hostile file can take.
    """

    size: Annotated[tuple[Side, Side], Field(description="[height, width] in pixels")]
    counts: (
        Annotated[str, Field(max_length=MAX_COUNTS)]
        | Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(max_length=MAX_COUNTS)]
    )

    @model_validator(mode="after")
    def _covers_its_size(self) -> RunLength:
        runs, (height, width) = self.runs(), self.size
        if min(runs, default=0) < 0 or sum(runs) != height * width:
            raise ValueError(
                f"counts cover {sum(runs)} pixels, but size {height} x {width} has {height * width}: "
                "not a valid run-length code"
            )
        if sum(runs[1::2]) == 0:
            raise ValueError("the mask is empty: leave it out when there is none")
        return self

    def runs(self) -> list[int]:
        """The run lengths, alternating zeros and ones, starting with zeros."""
        return decode_counts(self.counts) if isinstance(self.counts, str) else list(self.counts)


class Mask(_Part):
    """The pixels of an instance: a COCO run-length code or polygons of normalised points, not both."""

    rle: RunLength | None = None
    polygons: (
        Annotated[
            tuple[Annotated[tuple[Point, ...], Field(min_length=3, max_length=4096, fail_fast=True)], ...],
            Field(min_length=1, max_length=256, fail_fast=True),
        ]
        | None
    ) = None

    @model_validator(mode="after")
    def _one_form(self) -> Mask:
        if (self.rle is None) == (self.polygons is None):
            raise ValueError("give exactly one of rle and polygons")
        for index, polygon in enumerate(self.polygons or ()):
            if len({p.x for p in polygon}) == 1 or len({p.y for p in polygon}) == 1:
                raise ValueError(f"polygons[{index}] has no area: its points lie on one line")
        return self

    def extent(self) -> Box:
        """The smallest box that holds the mask, normalised xyxy."""
        if self.polygons is not None:
            xs = [p.x for polygon in self.polygons for p in polygon]
            ys = [p.y for polygon in self.polygons for p in polygon]
            return Box(x0=min(xs), y0=min(ys), x1=max(xs), y1=max(ys))
        assert self.rle is not None
        height, width = self.rle.size
        x0, y0, x1, y1, position = width, height, 0, 0, 0
        for index, run in enumerate(self.rle.runs()):
            if index % 2 and run:
                last = position + run - 1
                x0, x1 = min(x0, position // height), max(x1, last // height)
                whole_column = position // height != last // height
                y0 = 0 if whole_column else min(y0, position % height)
                y1 = height - 1 if whole_column else max(y1, last % height)
            position += run
        return Box(x0=x0 / width, y0=y0 / height, x1=(x1 + 1) / width, y1=(y1 + 1) / height)


class Instance(_Part):
    """One thing to draw: what it is, and where, by at least one of box, point, scribble and mask."""

    id: Annotated[str, Field(pattern=_ID, description="stable through replans")]
    category: Annotated[Name, Field(description="the noun, without attributes")]
    caption: Annotated[Text, Field(min_length=1, pattern=_NOT_BLANK, description="attributes included")]
    box: Box | None = None
    point: Point | None = None
    scribble: Scribble | None = None
    mask: Mask | None = None
    depth: Annotated[int, Field(ge=0, le=10_000, description="0 = nearest; decides who occludes whom")] | None = None

    @model_validator(mode="after")
    def _is_somewhere(self) -> Instance:
        if self.box is None and self.point is None and self.scribble is None and self.mask is None:
            raise ValueError("an instance needs a location: a box, or a point, a scribble or a mask")
        return self

    def extent(self) -> Box | None:
        """The planned box: ``box``, else the mask's bounding box, else None (points and scribbles have no extent)."""
        return self.box or (self.mask.extent() if self.mask is not None else None)


class Layout(_Part):
    """A plan: canvas, global caption, background, negative prompt, and at most 30 instances."""

    version: Literal[1]
    caption: Annotated[Text, Field(min_length=1, pattern=_NOT_BLANK, description="the whole picture in words")]
    background: Text = ""
    negative_prompt: Text = ""
    width: Side
    height: Side
    instances: Annotated[tuple[Instance, ...], Field(max_length=MAX_INSTANCES)]

    @property
    def prompt(self) -> str:
        """What the picture as a whole is drawn from: the caption, and what it leaves unsaid of the background."""
        parts = filter(None, (part.strip() for part in self.background.split(",")))
        # from a word's beginning on: a snowy field says snow, a mushroom no room
        unsaid = [part for part in parts if not re.search(rf"\b{re.escape(part)}", self.caption, re.IGNORECASE)]
        return ", ".join((self.caption.rstrip(" .,;"), *unsaid)) if unsaid else self.caption

    @model_validator(mode="after")
    def _ids_are_unique_and_masks_fit(self) -> Layout:
        first: dict[str, int] = {}
        for index, instance in enumerate(self.instances):
            if instance.id in first:
                raise ValueError(
                    f"instances[{index}].id = {instance.id!r} is already used by instances[{first[instance.id]}]"
                )
            first[instance.id] = index
            rle = instance.mask.rle if instance.mask else None
            if rle is not None and rle.size != (self.height, self.width):
                raise ValueError(
                    f"instances[{index}].mask.rle.size = [{rle.size[0]}, {rle.size[1]}] must be the canvas "
                    f"[height, width] = [{self.height}, {self.width}]"
                )
        return self

    def __iter__(self) -> Iterator[Instance]:  # type: ignore[override]
        return iter(self.instances)

    def nearest_first(self) -> list[int]:
        """The instances' indices from front to back: by depth; where depths are equal or missing, the lower it stands
        the nearer. An instance without a depth lies behind those that have one."""

        def key(index: int) -> tuple[float, float]:
            instance = self.instances[index]
            extent, points = instance.extent(), instance.scribble.points if instance.scribble else (instance.point,)
            foot = extent.y1 if extent else max(point.y for point in points if point is not None)
            return (float("inf") if instance.depth is None else instance.depth, -foot)

        return sorted(range(len(self.instances)), key=key)

    def instance(self, instance_id: str) -> Instance:
        """The instance of that id; KeyError when there is none."""
        for instance in self.instances:
            if instance.id == instance_id:
                return instance
        raise KeyError(instance_id)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; optional fields that are absent stay out."""
        return self.model_dump(mode="json", exclude_none=True)

    def to_json(self, indent: int | None = 2) -> str:
        """As ``to_dict``; on one line when ``indent`` is None."""
        return self.model_dump_json(exclude_none=True, indent=indent)


def read_layout(path: str | Path) -> Layout:
    """The Layout in a JSON file; LayoutError for whatever is wrong with the file or its content."""
    return parse_layout(read_text(path), source=str(path))


def read_text(path: str | Path) -> str:
    """The text of a file of at most 32 MiB in UTF-8, with or without a byte order mark; LayoutError otherwise."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise LayoutError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if len(data) > MAX_FILE_BYTES:
        raise LayoutError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB; layout files are not")
    return decode_text(data, str(path))


def parse_layout(text: str | bytes, source: str = "layout") -> Layout:
    """The Layout in a JSON text; LayoutError names ``source``, the field's path, the value and what was expected."""
    if isinstance(text, bytes):
        text = decode_text(text, source)
    load_json(text, source)
    try:
        return Layout.model_validate_json(text)
    except ValidationError as error:
        raise LayoutError(explain(error, source)) from error


def layout_from_dict(data: Any, source: str = "layout") -> Layout:
    """The Layout in plain JSON types (dicts, lists, numbers, strings), as strictly as from a file."""
    try:
        text = json.dumps(data, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise LayoutError(f"{source}: not JSON: {error}") from error
    return parse_layout(text, source)


def decode_text(data: bytes, source: str) -> str:
    """The text of UTF-8 bytes, with or without a byte order mark; LayoutError names the byte that is neither."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LayoutError(
            f"{source}: not UTF-8 text (byte {data[error.start]:#04x} at offset {error.start}): save it as UTF-8"
        ) from error


def load_json(text: str | bytes, source: str) -> Any:
    """JSON without NaN, without repeated keys; LayoutError says where it breaks."""
    if isinstance(text, bytes):
        text = decode_text(text, source)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(pairs) > MAX_KEYS:
            raise LayoutError(f"{source}: an object of {len(pairs)} keys: not a layout")
        if len(result) != len(pairs):
            seen: set[str] = set()
            again = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise LayoutError(f"{source}: the key {again!r} appears twice in one object")
        return result

    def refuse(constant: str) -> Any:
        raise LayoutError(f"{source}: {constant} is not a number that JSON or a layout allows")

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise LayoutError(f"{source}: line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from error
    except LayoutError:
        raise
    except ValueError as error:
        raise LayoutError(f"{source}: not JSON: {error}") from error
    except RecursionError as error:
        raise LayoutError(f"{source}: not a layout: nested too deeply") from error


def explain(error: ValidationError, source: str, limit: int = 5, rename: Callable[[str], str] = str) -> str:
    """A pydantic error as lines ``source: instances[2].box.x1: message (got value)``.

    ``rename`` turns a path inside the model into the path of the same field in the file.
    """
    problems = error.errors(include_url=False)
    lines = []
    for problem in problems[:limit]:
        path = rename(_path(problem["loc"]))
        message = _EXPECTED.get(problem.get("ctx", {}).get("pattern", "")) or problem["msg"].removeprefix(
            "Value error, "
        )
        value = problem.get("input")
        shown = not isinstance(value, (dict, list, BaseModel)) and problem["type"] not in ("missing", "json_invalid")
        got = f" (got {short(value)})" if shown else ""
        lines.append(f"{source}: {path + ': ' if path else ''}{message}{got}")
    if len(problems) > limit:
        lines.append(f"{source}: and {len(problems) - limit} more")
    return "\n".join(lines)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a Layout file."""
    schema = Layout.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema


def decode_counts(text: str) -> list[int]:
    """Run lengths of a compressed COCO string: 5 bits a character, differences to the run before last."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"counts holds {character!r}, which is no COCO run-length character")
        if shift > 40:
            raise ValueError("counts holds a run of more than 45 bits: not a valid run-length code")
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("counts ends in the middle of a number")
    return runs


def short(value: Any) -> str:
    """A value as it may stand in a message: one line of at most about 100 characters, nothing unprintable."""
    text = _SHORTENER.repr(value)
    return text if len(text) <= 100 else text[:97] + "..."


_SHORTENER = reprlib.Repr()
_SHORTENER.maxlist = _SHORTENER.maxtuple = _SHORTENER.maxdict = 8
_SHORTENER.maxstring = _SHORTENER.maxother = _SHORTENER.maxlong = 60


def _path(location: tuple[int | str, ...]) -> str:
    """``instances[2].box.x1``; the parts by which pydantic tells a union's members apart stay out."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not path.endswith(".counts"):
            path += f".{part}" if re.fullmatch(r"\w[\w -]{0,60}", part) else f"[{short(part)}]"
    return path.lstrip(".")
