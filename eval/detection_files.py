"""Detections that were made elsewhere: COCO's results, our lines of pictures, and lines of planned and detected boxes.

| form | content | boxes |
|---|---|---|
| COCO results | one JSON list of ``{image_id, category_id, bbox, score}`` | ``xywh`` pixels |
| lines | ``{"id", "detector", "detections": [{"box", "label", "score"}]}``, one a picture | named, 0 to 1 |
| pairs | ``{"planned": [{"bbox", "category_name"}], "detected": [...]}``, one a picture | must be said |

Four bare numbers are read as the form has it or as the caller says, never guessed; boxes that leave the canvas by more
than rounding are refused with what was expected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from diffusion.formats.boxes import XYWH, BoxReading, settle_box
from diffusion.formats.fields import Field, identity
from diffusion.layout import Box, Instance, Layout, LayoutError, load_json, read_text
from eval.report import Detection

Canvas = tuple[int, int]
"""(width, height) in pixels."""


@dataclass(frozen=True)
class Found:
    """The detections of one file, by the name of their picture, and how they were read."""

    by_picture: dict[str, tuple[Detection, ...]]
    detector: str
    kinds: frozenset[str] | None
    """What the detector could have found: COCO's categories; None where the file does not say."""
    have_scores: bool
    """False where the file gives none: every detection then stands with score 1, and no ranking can be judged."""
    reading: str
    """How its boxes are written, in words."""


@dataclass(frozen=True)
class Pair:
    """One picture of a file of pairs: both lists of bare boxes as they are written, with their labels."""

    name: str
    planned: tuple[Field, ...]
    detected: tuple[Field, ...]


def read_detections(
    path: Path,
    canvases: Mapping[str, Canvas],
    names: Mapping[str, str],
    categories: Mapping[int | str, str],
    bbox: BoxReading | None = None,
) -> Found:
    """The detections in a file.

    canvases: every picture's name and canvas. names: other names of a picture (COCO's id, file name) to that name.
    categories: COCO's category ids to nouns. LayoutError for whatever is wrong, pictures that are not planned included.
    """
    text = read_text(path)
    if text.lstrip().startswith("["):
        return _coco_results(load_json(text, str(path)), path, canvases, names, categories, bbox or XYWH)
    return _lines(text, path, canvases, names, bbox)


def read_pairs(path: Path) -> list[Pair] | None:
    """The pairs in a file of lines; None when its first line is no pair."""
    text = read_text(path)
    first = next((line for line in text.split("\n") if line.strip()), "")
    if not ('"planned"' in first and '"detected"' in first):
        return None
    lines = _objects(text, path)
    pairs = []
    for number, line in enumerate(lines, start=1):
        name = line.get("id") or line.get("scene")
        planned, detected = (tuple(line.need(key).elements()) for key in ("planned", "detected"))
        pairs.append(Pair(str(identity(name)) if name else str(number), planned, detected))
    return pairs


def pair_label(field: Field) -> str:
    return field.need("category_name").text()


def pair_numbers(field: Field) -> tuple[float, ...]:
    """The four bare numbers of a pair's box, which only a reading gives a meaning."""
    return field.need("bbox").numbers(4)


def pair_layout(pair: Pair, reading: BoxReading, canvas: Canvas) -> Layout:
    """The planned boxes of a pair as a Layout; LayoutError for boxes that leave the canvas by more than rounding."""
    instances = tuple(
        Instance(
            id=f"i{index}",
            category=pair_label(field),
            caption=pair_label(field),
            box=_box(field.need("bbox"), reading, canvas),
        )
        for index, field in enumerate(pair.planned, start=1)
    )
    caption = ", ".join(dict.fromkeys(instance.category for instance in instances)) or "nothing"
    return Layout(version=1, caption=caption, width=canvas[0], height=canvas[1], instances=instances)


def pair_detections(pair: Pair, reading: BoxReading, canvas: Canvas) -> tuple[Detection, ...]:
    return tuple(
        Detection(box=_box(field.need("bbox"), reading, canvas), label=pair_label(field), score=_score(field) or 1.0)
        for field in pair.detected
    )


def _coco_results(
    data: object,
    path: Path,
    canvases: Mapping[str, Canvas],
    names: Mapping[str, str],
    categories: Mapping[int | str, str],
    reading: BoxReading,
) -> Found:
    found: dict[str, list[Detection]] = {name: [] for name in canvases}
    for field in Field(data, "", str(path)).elements():
        name = _picture(field.need("image_id"), canvases, names)
        category = field.need("category_id")
        label = categories.get(identity(category))
        if label is None:
            raise category.wrong(
                "no category has this id: the layouts' COCO file says which there are, or --categories FILE"
            )
        score = _score(field)
        if score is None:
            raise field.wrong("a COCO result has a score from 0 to 1")
        found[name].append(Detection(box=_box(field.need("bbox"), reading, canvases[name]), label=label, score=score))
    by_picture = {name: _ranked(detections) for name, detections in found.items()}
    kinds = frozenset(categories.values())
    return Found(by_picture, path.stem, kinds, True, f"bbox read as {reading}")


def _lines(
    text: str, path: Path, canvases: Mapping[str, Canvas], names: Mapping[str, str], reading: BoxReading | None
) -> Found:
    found: dict[str, tuple[Detection, ...]] = {}
    detectors: set[str] = set()
    scored: set[bool] = set()
    bare = False
    for line in _objects(text, path):
        name = _picture(line.need("id"), canvases, names)
        if name in found:
            raise line.need("id").wrong("an earlier line has the detections of this picture")
        if detector := line.get("detector"):
            detectors.add(detector.text())
        detections = []
        for field in line.need("detections").elements():
            score = _score(field)
            scored.add(score is not None)
            bare = bare or field.get("box") is None
            detections.append(_detection(field, canvases[name], reading, score))
        found[name] = _ranked(detections)
    if missing := [name for name in canvases if name not in found]:
        raise LayoutError(
            f"{path}: {len(missing)} of {len(canvases)} pictures have no line, the first is {missing[0]!r}: a picture "
            "in which nothing was found has a line with an empty list"
        )
    if len(scored) > 1:
        raise LayoutError(f"{path}: some detections have a score and some have none: give all or none")
    if len(detectors) > 1:
        raise LayoutError(f"{path}: detections of several detectors ({', '.join(sorted(detectors))}): score them apart")
    how = f"bbox read as {reading}" if bare else "named coordinates, 0 to 1"
    return Found(found, next(iter(detectors), path.stem), None, scored != {False}, how)


def _detection(field: Field, canvas: Canvas, reading: BoxReading | None, score: float | None) -> Detection:
    named, bare = field.get("box"), field.get("bbox")
    if (named is None) == (bare is None):
        raise field.wrong("expected a box with named coordinates {x0, y0, x1, y1}, 0 to 1 (or a bbox of four numbers)")
    if named is not None:
        x0, y0, x1, y1 = (named.need(side).number() for side in ("x0", "y0", "x1", "y1"))
        place = named.build(Box, x0=x0, y0=y0, x1=x1, y1=y1)
    elif bare is not None:
        if reading is None:
            raise bare.wrong("four numbers without a meaning: say which with --detections-bbox xywh or xyxy")
        place = _box(bare, reading, canvas)
    colour, texture = field.get("colour"), field.get("texture")
    return Detection(
        box=place,
        label=field.need("label").text(),
        score=1.0 if score is None else score,
        colour=colour.text() if colour else None,
        texture=texture.text() if texture else None,
    )


def _picture(field: Field, canvases: Mapping[str, Canvas], names: Mapping[str, str]) -> str:
    name = str(identity(field))
    name = names.get(name, name)
    if name not in canvases:
        known = ", ".join(repr(known) for known in list(canvases)[:5])
        raise field.wrong(f"no picture with this name is planned; planned are {known}{', ...' * (len(canvases) > 5)}")
    return name


def _score(field: Field) -> float | None:
    score = field.get("score")
    if score is None:
        return None
    value = score.number()
    if not 0 <= value <= 1:
        raise score.wrong("expected a score from 0 to 1")
    return value


def _box(field: Field, reading: BoxReading, canvas: Canvas) -> Box:
    """Bare numbers as a Box; what leaves the canvas by rounding is cut, as everywhere."""
    width, height = canvas
    corners = reading.corners(field.numbers(4), width, height)
    advice = f"it was read as {reading}; another reading is asked for with --bbox or --detections-bbox"
    (x0, y0, x1, y1), _ = settle_box(field, corners, width, height, clip=False, mask=None, advice=advice)
    return field.build(Box, x0=x0 / width, y0=y0 / height, x1=x1 / width, y1=y1 / height)


def _objects(text: str, path: Path) -> list[Field]:
    return [
        Field(load_json(line, f"{path}: line {number}"), "", f"{path}: line {number}")
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip()
    ]


def _ranked(detections: Sequence[Detection]) -> tuple[Detection, ...]:
    return tuple(sorted(detections, key=lambda detection: -detection.score))
