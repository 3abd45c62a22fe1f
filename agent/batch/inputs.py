"""What a person hands to a batch, as items: prompts a line, JSON Lines, CSV, layouts, or standard input.

Everything is read before any work starts; what cannot be read is collected with its file and line.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TextIO, get_args

from pydantic import ValidationError

from agent.batch.items import MAX_ID, Item, ItemOptions, derived_seed, made_id
from agent.exits import Stop
from agent.scene_text import MAX_SEED, check_prompt
from diffusion.formats.draft import Reading
from diffusion.formats.files import parse_one, read_each
from diffusion.layout import MAX_FILE_BYTES, Layout, LayoutError, explain, load_json, short

InputFormat = Literal["text", "jsonl", "csv"]
ENDINGS: dict[str, InputFormat] = {".txt": "text", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}
LAYOUT_ENDINGS = (".json", ".jsonl", ".txt")
KEYS = ("id", "prompt", "seed", "options", "layout", "plan", "notes")
"""Of an object in JSON Lines; ``plan`` with ``notes`` is what ``scenewright plan --file`` writes, and a layout too."""


@dataclass(frozen=True)
class Problem:
    """What is wrong at a place of the input."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


@dataclass(frozen=True)
class Input:
    """The items in order, what could not be read, and how many blank lines were passed over."""

    items: tuple[Item, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Wish:
    """An item as it was written, before it has an id and a seed for sure."""

    place: str
    prompt: str | None = None
    layout: Layout | None = None
    id: str | None = None
    seed: int | None = None
    options: ItemOptions = field(default_factory=ItemOptions)
    notes: tuple[str, ...] = ()


def read_input(path: Path, *, batch_seed: int, format: InputFormat | None = None) -> Input:
    """The items of a file, a folder, or standard input for ``-``; Stop when it cannot be read at all or holds none."""
    wishes: list[_Wish] = []
    problems: list[Problem] = []
    notes: list[str] = []
    for found in _read(path, format):
        if isinstance(found, _Wish):
            wishes.append(found)
        elif isinstance(found, Problem):
            problems.append(found)
        else:
            notes.append(found)
    items = list(_identified(wishes, batch_seed, problems))
    if not items and not problems:
        raise Stop(f"{_source(path)}: nothing to do in it; write one scene a line, or name a folder of layouts")
    return Input(tuple(items), tuple(problems), tuple(notes))


def _read(path: Path, format: InputFormat | None) -> Iterator[_Wish | Problem | str]:
    if path.is_dir():
        yield from _folder(path)
        return
    source = _source(path)
    piped = str(path) == "-"
    try:
        if format is None and path.suffix.lower() == ".json" and not _has_scenes_in_lines(path):
            yield from _layouts(path)
            return
        # Bytes that are no UTF-8 become lone surrogates, which every check below refuses with their line's number.
        with (
            nullcontext(sys.stdin.buffer) if piped else path.open("rb") as raw,
            open(raw.fileno(), encoding="utf-8-sig", errors="surrogateescape", newline="", closefd=False) as file,
        ):
            lines, kind = _with_format(file, format or ENDINGS.get(path.suffix.lower()))
            reader = {"text": _text, "jsonl": _jsonl, "csv": _csv}[kind]
            yield from reader(lines, source)
    except OSError as error:
        raise Stop(f"{source}: cannot be read ({error.strerror or error})") from error


def _source(path: Path) -> str:
    return "standard input" if str(path) == "-" else str(path)


def _has_scenes_in_lines(path: Path) -> bool:
    """Whether a JSON file is JSON Lines of scenes, by its first line, and not a file of layouts."""
    with path.open("rb") as file:
        first = next((line for line in file if line.strip()), b"")
    try:
        scene = load_json(first, str(path))
    except LayoutError:
        return False
    return isinstance(scene, dict) and bool({"prompt", "layout", "plan"} & set(scene))


def _with_format(file: TextIO, format: InputFormat | None) -> tuple[Iterator[str], InputFormat]:
    """The lines, and the format: JSON Lines where nobody says and the first line that is not blank is an object."""
    lines = iter(file.readline, "")
    if format is not None:
        return lines, format
    head: list[str] = []
    for line in lines:
        head.append(line)
        if line.strip():
            break
    kind: InputFormat = "jsonl" if head and head[-1].lstrip().startswith("{") else "text"
    return _chained(head, lines), kind


def _chained(head: list[str], rest: Iterator[str]) -> Iterator[str]:
    yield from head
    yield from rest


def _text(lines: Iterable[str], source: str) -> Iterator[_Wish | Problem | str]:
    blank = 0
    for number, line in enumerate(lines, 1):
        place = f"{source}: line {number}"
        if not line.strip():
            blank += 1
            continue
        try:
            yield _Wish(place, prompt=check_prompt(line.rstrip("\r\n")))
        except Stop as error:
            yield Problem(place, str(error))
    if blank:
        yield f"{source}: {blank} blank lines hold no prompt"


def _jsonl(lines: Iterable[str], source: str) -> Iterator[_Wish | Problem | str]:
    for number, line in enumerate(lines, 1):
        place = f"{source}: line {number}"
        if not line.strip():
            continue
        try:
            yield _from_object(load_json(line.rstrip("\r\n"), place), place)
        except (LayoutError, Stop) as error:
            # Where JSON breaks is told within the line, whose number in the file stands before it.
            yield Problem(place, str(error).removeprefix(f"{place}: ").removeprefix("line 1, "))


def _csv(lines: Iterable[str], source: str) -> Iterator[_Wish | Problem | str]:
    """Columns ``id``, ``prompt``, ``seed``, ``options`` and ``layout`` (both JSON), and any option by its own name."""
    csv.field_size_limit(MAX_FILE_BYTES)
    reader = csv.reader(lines, strict=True)
    columns = list(ItemOptions.model_fields)
    known = ("id", "prompt", "seed", "options", "layout", *columns)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        unknown = [cell for cell in header if cell not in known]
        if unknown or len(set(header)) != len(header) or not {"prompt", "layout"} & set(header):
            problem = f"no column is called {short(unknown[0])}" if unknown else "no such header"
            raise Stop(
                f"{source}: line 1: {problem}; expected some of {', '.join(known)}, each once, prompt or layout of them"
            )
        first = reader.line_num + 1
        for cells in reader:
            place, first = f"{source}: line {first}", reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            try:
                yield _from_cells(header, cells, place)
            except (LayoutError, Stop) as error:
                yield Problem(place, str(error).removeprefix(f"{place}: "))
    except csv.Error as error:
        yield Problem(f"{source}: line {reader.line_num}", f"not CSV ({error}); nothing after it was read")


def _from_cells(header: list[str], cells: list[str], place: str) -> _Wish:
    if len(cells) != len(header):
        raise Stop(f"{len(cells)} cells, and the header names {len(header)}")
    given = {name: cell for name, cell in zip(header, cells, strict=True) if cell.strip()}
    data: dict[str, Any] = {name: given[name] for name in ("id", "prompt") if name in given}
    if "seed" in given:
        data["seed"] = _number(given["seed"], "seed")
    data |= {name: load_json(given[name], f"{place}: {name}") for name in ("options", "layout") if name in given}
    own = {name: _option(given[name], name) for name in given if name in ItemOptions.model_fields}
    if own:
        both = sorted(set(own) & set(data.get("options") or {}))
        if both:
            raise Stop(f"{both[0]} stands in its own column and in options; give it once")
        data["options"] = {**(data.get("options") or {}), **own}
    return _from_object(data, place)


def _option(text: str, name: str) -> Any:
    words = (name for name, field in ItemOptions.model_fields.items() if _is_word(field.annotation))
    return text.strip() if name in words else _number(text, name)


def _is_word(annotation: Any) -> bool:
    """Whether the values are words: Literal["a", "b"] | None."""
    return any(isinstance(value, str) for part in get_args(annotation) for value in get_args(part))


def _number(text: str, name: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            raise Stop(f"{name} = {short(text)}: not a number") from None


def _from_object(data: Any, place: str) -> _Wish:
    if not isinstance(data, dict):
        raise Stop(f"{short(data)} is no object; write {{'prompt': ...}} or {{'layout': ...}}")
    if {"instances", "annos"} & set(data):
        return _layout_wish(data, place, place)
    if data.get("error") and data.get("plan") is None:
        raise Stop(f"there is no plan for this prompt: {short(data['error'])}")
    if unknown := [key for key in data if key not in KEYS]:
        raise Stop(f"no key is called {short(unknown[0])}; there are {', '.join(KEYS)}")
    prompt = _optional(data, "prompt", str)
    if data.get("layout") is not None and data.get("plan") is not None:
        raise Stop("both layout and plan are given; one of them is what is drawn")
    key = "layout" if data.get("layout") is not None else "plan"
    options = _options(data.get("options"), f"{place}: options")
    wish = _Wish(
        place,
        prompt=None if prompt is None else check_prompt(prompt),
        id=_checked_id(_optional(data, "id", str, int)),
        seed=_checked_seed(_optional(data, "seed", int)),
        options=options,
        notes=tuple(_notes(data.get("notes"))),
    )
    if data.get(key) is not None:
        return _layout_wish(data[key], f"{place}: {key}", place, wish)
    if prompt is None:
        raise Stop("neither a prompt nor a layout")
    return wish


def _layout_wish(data: Any, source: str, place: str, wish: _Wish | None = None) -> _Wish:
    reading = parse_one(json.dumps(data), source)
    wish = wish or _Wish(place)
    asked = wish.options.given()
    for side in ("width", "height"):
        if side in asked and asked[side] != getattr(reading.layout, side):
            raise Stop(f"options.{side} = {asked[side]}, but the layout's {side} is {getattr(reading.layout, side)}")
    return replace(wish, layout=reading.layout, notes=(*wish.notes, *reading.notes))


def _options(data: Any, source: str) -> ItemOptions:
    try:
        return ItemOptions.model_validate_json(json.dumps({} if data is None else data))
    except ValidationError as error:
        raise Stop(explain(error, source)) from error


def _optional(data: dict[str, Any], key: str, *kinds: type) -> Any:
    value = data.get(key)
    if value is None or (isinstance(value, kinds) and not isinstance(value, bool)):
        return value
    expected = " or ".join("text" if kind is str else "a whole number" for kind in kinds)
    raise Stop(f"{key} = {short(value)}: expected {expected}")


def _notes(data: Any) -> Iterator[str]:
    if data is None:
        return
    if not (isinstance(data, list) and all(isinstance(line, str) for line in data)):
        raise Stop(f"notes = {short(data)}: expected a list of lines")
    yield from data


def _checked_id(given: str | int | None) -> str | None:
    if given is None:
        return None
    text = str(given)
    if not text.strip() or len(text) > MAX_ID or any("\ud800" <= c <= "\udfff" or c < " " for c in text):
        raise Stop(f"id = {short(text)}: expected 1 to {MAX_ID} characters, none of them a control character")
    return text


def _checked_seed(seed: int | None) -> int | None:
    if seed is not None and not 0 <= seed <= MAX_SEED:
        raise Stop(f"seed = {seed}: expected 0 to {MAX_SEED}")
    return seed


def _folder(path: Path) -> Iterator[_Wish | Problem | str]:
    """Every layout of every file in the folder, by name; a file of several gives ids with the place in the file."""
    try:
        files = sorted(file for file in path.iterdir() if not file.name.startswith("."))
    except OSError as error:
        raise Stop(f"{path}: cannot be read ({error.strerror or error})") from error
    for file in files:
        if file.is_dir():
            yield f"{file}: passed over; a folder in a folder of layouts is a batch of its own"
        elif file.suffix.lower() in LAYOUT_ENDINGS:
            yield from _layouts(file)
        else:
            yield f"{file}: passed over; layouts are in files that end in {', '.join(LAYOUT_ENDINGS)}"


def _layouts(file: Path) -> Iterator[_Wish | Problem]:
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise LayoutError(f"larger than {MAX_FILE_BYTES >> 20} MiB; layout files are not")
        found = list(read_each(file))
    except (LayoutError, OSError) as error:
        yield Problem(str(file), str(error).removeprefix(f"{file}: "))
        return
    for number, reading in enumerate(found, 1):
        if isinstance(reading, Reading):
            own = file.stem if len(found) == 1 else f"{file.stem}-{number}"
            yield _Wish(reading.source, layout=reading.layout, id=own, notes=reading.notes)
        else:
            yield Problem(str(file), str(reading).removeprefix(f"{file}: "))


def _identified(wishes: Iterable[_Wish], batch_seed: int, problems: list[Problem]) -> Iterator[Item]:
    """Items with their ids and seeds; a given id that comes twice is a problem, the same content twice is not."""
    places: dict[str, str] = {}
    given: set[str] = {wish.id for wish in wishes if wish.id is not None}
    for wish in wishes:
        if wish.id is not None:
            own = wish.id
            if own in places:
                problems.append(Problem(wish.place, f"the id {short(own)} is already that of {places[own]}"))
                continue
        else:
            own = base = made_id(wish.prompt, wish.layout, wish.seed, wish.options)
            copy = 1
            while own in places or own in given:
                copy += 1
                own = f"{base}-{copy}"
        places[own] = wish.place
        seed = derived_seed(own, batch_seed) if wish.seed is None else wish.seed
        yield Item(own, wish.prompt, wish.layout, seed, wish.options, wish.place, wish.notes)
