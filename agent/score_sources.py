"""What ``score`` can score: a run's folder, layouts with images, layouts with detections made elsewhere, pairs of both.

Each becomes a ``Source``: judged pictures, and how every input's boxes were read. Layouts and pictures belong together
by name: a folder's files by their stems, COCO's images by file name, lines of layouts by line number. What has no
counterpart is refused, on either side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.exits import Stop
from agent.kept import KeptItem, read_run
from agent.pictures import check_size, open_image
from diffusion.formats import BoxReading, Reading, ReadOptions, read_any
from diffusion.layout import Layout, LayoutError, load_json, read_text
from eval.attributes import TINY_PALETTE, Palette
from eval.detector import Detector, queries_of
from eval.detectors import BATCH
from eval.judged import Judged, judge_all, judged
from eval.places import BUNDLED

if TYPE_CHECKING:
    from eval.detection_files import Pair
    from eval.report import Detection, FidelityReport

PICTURES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"))
FAINT = 0.05
"""Detectors that answer with scores as low as this leave the choice of a threshold to their user."""


@dataclass(frozen=True)
class Source:
    """Judged pictures, where they come from, and how the boxes of each input were read."""

    name: str
    pictures: list[Judged]
    readings: dict[str, str]
    images: dict[str, Path]
    notes: list[str]
    ranked: list[Judged] | None
    """The same pictures with every detection, whatever its score; None when the detections have no scores."""


@dataclass(frozen=True)
class Planned:
    """A layout by the name of its picture; ``also`` are other names that a file has for it."""

    name: str
    also: tuple[str, ...]
    reading: Reading

    @property
    def layout(self) -> Layout:
        return self.reading.layout


def from_run(folder: Path, *, partial: bool, detector: Detector | None = None) -> Source:
    """The pictures of a run's folder, by its reports; with a ``detector`` they are looked at again."""
    run = read_run(folder)
    items = run.drawn(partial=partial)
    layouts, images = [item.layout() for item in items], {item.id: item.image_file() for item in items}
    missing = run.expected - len(items)
    notes = [f"{missing} of {run.expected} items have no picture and are not scored"] if missing else []
    if detector is not None:
        pictures = _look(list(images), layouts, list(images.values()), detector)
    else:
        pictures = judged_as_reported([_reported(item, layout) for item, layout in zip(items, layouts, strict=True)])
        if len(detectors := {picture.report.detector for picture in pictures}) > 1:
            raise Stop(
                f"{folder}: checked by several detectors ({', '.join(sorted(detectors))}): choose one --detector"
            )
        notes += dict.fromkeys(picture.report.roles.note for picture in pictures if picture.report.roles is not None)
    readings = {"plans": "named coordinates, 0 to 1", "detections": "named coordinates, 0 to 1"}
    return Source(str(folder), pictures, readings, images, notes, pictures)


def from_images(layouts: Path, images: Path, detector: Detector, options: ReadOptions) -> Source:
    """Layouts and the folder of their pictures, which the detector looks at now."""
    planned = read_planned(layouts, options)
    files = match_images(planned, images)
    pictures = _look([p.name for p in planned], [p.layout for p in planned], [files[p.name] for p in planned], detector)
    readings = {"layouts": _how(planned, options), "detections": "named coordinates, 0 to 1"}
    return Source(f"{layouts} with {images}", pictures, readings, files, _notes(planned), pictures)


def from_detections(
    layouts: Path,
    detections: Path,
    options: ReadOptions,
    *,
    bbox: str | None = None,
    categories: Path | None = None,
    min_score: float = 0.0,
    images: Path | None = None,
) -> Source:
    """Layouts and a file of detections made elsewhere; images only to point at, and to hold the sizes against."""
    from eval.detection_files import read_detections

    planned = read_planned(layouts, options)
    found = read_detections(
        detections,
        {plan.name: (plan.layout.width, plan.layout.height) for plan in planned},
        {other: plan.name for plan in planned for other in plan.also},
        _categories(categories or layouts, required=categories is not None),
        BoxReading.parse(bbox) if bbox else None,
    )
    files = match_images(planned, images) if images else {}
    every = [(plan.name, plan.layout, found.by_picture[plan.name]) for plan in planned]
    pictures, ranked, notes = _judge_found(every, found.detector, found.kinds, found.have_scores, min_score)
    readings = {"layouts": _how(planned, options), "detections": found.reading}
    return Source(f"{layouts} with {detections}", pictures, readings, files, [*_notes(planned), *notes], ranked)


def from_pairs(
    name: str,
    pairs: Sequence[Pair],
    bbox: str | None,
    detections_bbox: str | None,
    canvas: tuple[int, int] | None,
) -> Source:
    """Planned and detected boxes of one file: both readings and the canvas must be said, for the file does not."""
    from eval.detection_files import pair_detections, pair_layout

    if bbox is None or canvas is None:
        raise Stop(
            f"{name}: holds planned and detected boxes as four bare numbers on a canvas it does not name: say how they "
            "are read, as in --bbox xyxy --canvas 512x512 (--detections-bbox where the detected ones are written "
            "otherwise); --readings shows what each reading gives"
        )
    planned_as, detected_as = BoxReading.parse(bbox), BoxReading.parse(detections_bbox or bbox)
    every = [
        (pair.name, pair_layout(pair, planned_as, canvas), pair_detections(pair, detected_as, canvas)) for pair in pairs
    ]
    pictures, _, notes = _judge_found(every, Path(name).stem, None, False, 0.0)
    readings = {"planned": f"bbox read as {planned_as}", "detected": f"bbox read as {detected_as}"}
    return Source(name, pictures, readings, {}, notes, None)


def read_planned(path: Path, options: ReadOptions) -> list[Planned]:
    """The layouts of a file or of a folder's .json files, each with its name; LayoutError for any that is refused."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix == ".json")
        if not files:
            raise Stop(f"{path}: no layouts here: a folder of layouts holds one .json file a picture")
        return [Planned(file.stem, (file.name,), _only(file, options)) for file in files]
    planned = []
    for reading in read_any(path, **options):
        *also, name = reading.names or (path.stem,)
        planned.append(Planned(name, (*also, Path(name).stem), reading))
    if not planned:
        raise Stop(f"{path}: holds no layout")
    return planned


def match_images(planned: Sequence[Planned], folder: Path) -> dict[str, Path]:
    """Each layout's picture; Stop when one is missing, is there twice or has another size, or when one is left over."""
    if not folder.is_dir():
        raise Stop(f"{folder}: not a folder of pictures")
    files = {file for file in folder.rglob("*") if file.suffix.lower() in PICTURES and not file.name.startswith(".")}
    found: dict[str, Path] = {}
    for plan in planned:
        mine = [file for file in files if _is_called(file, folder, plan)]
        if len(mine) > 1:
            raise Stop(f"{folder}: several pictures are called {plan.name!r}: {mine[0].name}, {mine[1].name}")
        if mine:
            found[plan.name] = mine[0]
    missing = [plan.name for plan in planned if plan.name not in found]
    left_over = sorted(str(file.relative_to(folder)) for file in files - set(found.values()))
    if missing or left_over:
        raise Stop(
            f"{folder}: {len(files)} pictures for {len(planned)} layouts"
            + _first(missing, "layouts have no picture")
            + _first(left_over, "pictures have no layout")
        )
    for plan in planned:
        check_size(found[plan.name], plan.layout, "give the pictures that were drawn from these layouts")
    return found


def _reported(item: KeptItem, layout: Layout) -> tuple[str, Layout, FidelityReport]:
    if item.report is None:
        raise Stop(f"{item.id!r} was drawn and never checked: say which --detector is to look")
    report = item.read_report()
    if [verdict.id for verdict in report.instances] != [instance.id for instance in layout]:
        raise Stop(f"{item.report}: not a report of {item.plan}: it is on other instances")
    return item.id, layout, report


def judged_as_reported(reported: Sequence[tuple[str, Layout, FidelityReport]]) -> list[Judged]:
    """Pictures by the reports that a run kept of them: (id, plan, report) each. No detector is loaded."""
    found = [report.detections() for _, _, report in reported]
    every = [detection for detections in found for detection in detections]
    palettes = {name: _palette(name, every) for name in {report.detector for _, _, report in reported}}
    return [
        Judged(id, layout, detections, report, kinds_of(report.detector), palettes[report.detector])
        for (id, layout, report), detections in zip(reported, found, strict=True)
    ]


def kinds_of(detector: str) -> frozenset[str] | None:
    """The kinds that a detector could have found, by the name that stands in its reports."""
    from diffusion.tiny.vocabulary import KINDS

    return frozenset(KINDS) if detector in BUNDLED else None


def _palette(detector: str, detections: Sequence[Detection]) -> Palette:
    """The attributes a detector can tell: of one that is not bundled, those that it names in these detections."""
    if detector in BUNDLED:
        return TINY_PALETTE
    named = {"colour": lambda found: found.colour, "texture": lambda found: found.texture}
    return {name: TINY_PALETTE[name] for name, said in named.items() if any(said(found) for found in detections)}


def _look(ids: Sequence[str], layouts: Sequence[Layout], files: Sequence[Path], detector: Detector) -> list[Judged]:
    found: list[list[Detection]] = []
    for start in range(0, len(files), BATCH):
        part = slice(start, start + BATCH)
        found += detector.detect_batch([open_image(file) for file in files[part]], [*map(queries_of, layouts[part])])
    return judge_all(ids, layouts, found, detector.name, detector.kinds(), detector.palette(), detector.confident)


def _judge_found(
    every: Sequence[tuple[str, Layout, tuple[Detection, ...]]],
    detector: str,
    kinds: frozenset[str] | None,
    have_scores: bool,
    min_score: float,
) -> tuple[list[Judged], list[Judged] | None, list[str]]:
    """The pictures with the detections from ``min_score`` on, the same with all of them, and what to know of it."""

    palette = _palette(detector, [detection for _, _, found in every for detection in found])

    def judge_from(least: float) -> list[Judged]:
        return [
            judged(name, layout, tuple(d for d in found if d.score >= least), detector, kinds, palette)
            for name, layout, found in every
        ]

    pictures = judge_from(min_score)
    if not have_scores:
        return pictures, None, ["the detections have no scores: no average precision, and ties are kept as they come"]
    lowest = min((d.score for _, _, found in every for d in found), default=1.0)
    notes = []
    if min_score > lowest:
        notes = [f"detections with a score from {min_score:g} on count (average precision takes all)"]
    elif lowest < FAINT:
        notes = [f"detections of any score count, down to {lowest:.3f}: --min-score leaves faint ones out"]
    return pictures, pictures if min_score <= lowest else judge_from(0.0), notes


def _only(file: Path, options: ReadOptions) -> Reading:
    readings = read_any(file, **options)
    if len(readings) != 1:
        raise LayoutError(f"{file}: holds {len(readings)} layouts; in a folder each file holds one")
    return readings[0]


def _is_called(file: Path, folder: Path, plan: Planned) -> bool:
    names = (plan.name, *plan.also)
    inside = file.relative_to(folder)
    line = plan.name.isdecimal() and inside.stem.isdecimal() and int(inside.stem) == int(plan.name)
    return line or str(inside) in names or inside.name in names or str(inside.with_suffix("")) in names


def _categories(path: Path, required: bool) -> dict[int | str, str]:
    """COCO's category ids to nouns, from a COCO file; empty for another file, unless it must be one."""
    from diffusion.formats.fields import Field, identity

    if path.is_dir() or (not required and not read_text(path).lstrip().startswith("{")):
        return {}
    try:
        root = Field(load_json(read_text(path), str(path)), "", str(path))
        if root.get("categories") is None and not required:
            return {}
        listed = root.need("categories").elements()
        return {identity(one.need("id")): one.need("name").text() for one in listed}
    except LayoutError:
        if required:
            raise
        return {}


def _first(names: Sequence[str], what: str) -> str:
    return f"; {len(names)} {what}, the first is {names[0]!r}" if names else ""


def _how(planned: Sequence[Planned], options: ReadOptions) -> str:
    stated = options.get("bbox")
    return f"bbox read as {stated}" if stated else "named coordinates, or a bbox as its format has it"


def _notes(planned: Sequence[Planned]) -> list[str]:
    def each() -> Iterator[str]:
        for plan in planned:
            yield from (f"{plan.name}: {note}" for note in plan.reading.notes)

    return list(each())
