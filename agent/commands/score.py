"""``scenewright score``: how faithful a set of pictures is to its plans, with denominators, floor and ceiling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.commands import options
from agent.console import emit_json
from agent.exits import Stop
from diffusion.formats import ReadOptions

if TYPE_CHECKING:
    from agent.score_sources import Source
    from eval.judged import Judged
    from eval.score_record import ScoreRecord

ELSEWHERE = "Detections made elsewhere"
BESIDE = "What stands beside the scores"


def score(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A run's folder; or layouts (a file or a folder) with --images or --detections; or lines of planned "
            "and detected boxes; or a score file.",
            show_default=False,
        ),
    ],
    images: Annotated[
        Path | None, typer.Option("--images", metavar="DIR", help="The layouts' pictures.", show_default=False)
    ] = None,
    detections: Annotated[
        Path | None,
        typer.Option(
            "--detections",
            metavar="FILE",
            rich_help_panel=ELSEWHERE,
            help="COCO results JSON, or lines of {id, detections}.",
            show_default=False,
        ),
    ] = None,
    detections_bbox: Annotated[
        str | None,
        typer.Option(
            "--detections-bbox",
            metavar="xywh|xyxy|yxyx|cxcywh",
            rich_help_panel=ELSEWHERE,
            help="How their bbox is read, as with --bbox; xywh pixels for COCO results when not given.",
            show_default=False,
        ),
    ] = None,
    categories: Annotated[
        Path | None,
        typer.Option(
            "--categories",
            metavar="FILE",
            rich_help_panel=ELSEWHERE,
            help="A COCO file that names the category ids; the layouts' own when not given.",
            show_default=False,
        ),
    ] = None,
    min_score: Annotated[
        float,
        typer.Option("--min-score", min=0.0, max=1.0, rich_help_panel=ELSEWHERE, help="Fainter ones do not count."),
    ] = 0.0,
    readings: Annotated[
        bool,
        typer.Option(
            "--readings",
            rich_help_panel=ELSEWHERE,
            help="Of lines of planned and detected boxes: the mean IoU under each reading and way of counting.",
        ),
    ] = False,
    detector: Annotated[
        str | None,
        typer.Option(
            "--detector",
            metavar="NAME",
            help="Looks at the pictures; tiny when not given. Of a run, looks again instead of taking its reports.",
            show_default=False,
        ),
    ] = None,
    real: Annotated[
        Path | None,
        typer.Option(
            "--real",
            metavar="LAYOUTS",
            rich_help_panel=BESIDE,
            help="The true boxes of real pictures, for the ceiling; where the tiny detector looked, its world draws "
            "the plans when not given.",
            show_default=False,
        ),
    ] = None,
    real_images: Annotated[
        Path | None,
        typer.Option(
            "--real-images", metavar="DIR", rich_help_panel=BESIDE, help="Those pictures.", show_default=False
        ),
    ] = None,
    ceiling: Annotated[
        bool, typer.Option("--ceiling/--no-ceiling", rich_help_panel=BESIDE, help="Whether to measure a ceiling.")
    ] = True,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            metavar="B",
            help="Compare with another run or score file of the same items: a paired test.",
            show_default=False,
        ),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Score the items that have a picture, though others have none.")
    ] = False,
    worst: Annotated[int, typer.Option("--worst", min=0, help="How many of the worst items to list.")] = 10,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Keep the scores as JSON.", show_default=False)
    ] = None,
    json: options.Json = False,
    format: options.Format = None,
    bbox: options.Bbox = None,
    canvas: options.Canvas = None,
    clip: options.Clip = False,
    resample: options.Resample = False,
) -> None:
    """Score pictures against their plans: means with misses as 0, recall, COCO AP, attributes, counts; worst first."""
    from agent.commands.plan_file import parse_canvas

    reading: ReadOptions = {
        "format": format,
        "bbox": bbox,
        "canvas": parse_canvas(canvas),
        "clip": clip,
        "resample": resample,
    }
    if readings:
        _readings(source, parse_canvas(canvas), json)
        return
    given = _Given(images, detections, detections_bbox, categories, min_score, detector, partial, reading)
    beside = _Beside(ceiling, real, real_images, detector, reading)
    record = _record(source, given, beside)
    if output is not None:
        from agent.files import write_output

        write_output(output, (record.to_json() + "\n").encode())
    if against is not None:
        _compare(record, _record(against, _Given(detector=detector, partial=partial), beside), json)
    elif json:
        emit_json(record.model_dump(mode="json"))
    else:
        from agent.score_tables import show_record

        show_record(record, worst)


@dataclass(frozen=True)
class _Given:
    """What the person says of the pictures beside their source."""

    images: Path | None = None
    detections: Path | None = None
    detections_bbox: str | None = None
    categories: Path | None = None
    min_score: float = 0.0
    detector: str | None = None
    partial: bool = False
    reading: ReadOptions = field(default_factory=lambda: ReadOptions())


@dataclass(frozen=True)
class _Beside:
    """What the person says of the ceiling."""

    wanted: bool
    layouts: Path | None
    images: Path | None
    detector: str | None
    reading: ReadOptions


def _record(path: Path, given: _Given, beside: _Beside) -> ScoreRecord:
    """The scores in a score file, or those of the pictures that are given."""
    from eval.score_record import is_record, make_record, read_record

    if path.is_file() and is_record(path):
        return read_record(path)
    found = _source(path, given)
    if not found.pictures:
        raise Stop(f"{path}: no pictures to score")
    ceiling, notes = _ceiling(found.pictures, beside)
    return make_record(
        found.pictures,
        source=found.name,
        readings=found.readings,
        images=found.images,
        ranked=found.ranked,
        ceiling=ceiling,
        notes=[*found.notes, *notes],
    )


def _source(path: Path, given: _Given) -> Source:
    from agent import score_sources as sources
    from agent.checkers import load_checker
    from agent.kept import is_run
    from eval.detection_files import read_pairs

    if not path.exists():
        raise Stop(f"{path}: there is no such file or folder")
    if given.detections is not None:
        return sources.from_detections(
            path,
            given.detections,
            given.reading,
            bbox=given.detections_bbox,
            categories=given.categories,
            min_score=given.min_score,
            images=given.images,
        )
    if given.images is not None:
        return sources.from_images(path, given.images, load_checker(given.detector or "tiny"), given.reading)
    if path.is_dir() and is_run(path):
        again = load_checker(given.detector) if given.detector else None
        return sources.from_run(path, partial=given.partial, detector=again)
    if path.is_file() and (pairs := read_pairs(path)) is not None:
        reading = given.reading
        return sources.from_pairs(
            str(path), pairs, reading.get("bbox"), given.detections_bbox, canvas=reading.get("canvas")
        )
    raise Stop(f"{path}: no run and no score file: layouts are scored with --images DIR or --detections FILE")


def _ceiling(pictures: Sequence[Judged], beside: _Beside) -> tuple[list[Judged] | None, list[str]]:
    """Real pictures with true boxes as the same detector sees them, and what to know of them."""
    from agent.checkers import load_checker
    from agent.score_sources import from_images
    from eval.places import BUNDLED

    if not beside.wanted:
        return None, []
    looked = pictures[0].report.detector
    if beside.layouts is not None:
        if beside.images is None:
            raise Stop(f"--real {beside.layouts}: say where the pictures are with --real-images DIR")
        name = beside.detector or looked
        found = from_images(beside.layouts, beside.images, load_checker(name), beside.reading)
        if found.pictures[0].report.detector != looked:
            raise Stop(f"the pictures were looked at by {looked}, the real ones by {name}: choose one --detector")
        return found.pictures, [f"ceiling: {len(found.pictures)} real pictures of {beside.layouts}", *found.notes]
    if looked not in BUNDLED:
        return None, [
            f"no ceiling: give real pictures with true boxes to the detector {looked} (--real, --real-images)"
        ]
    from eval.ceiling import world_ceiling

    drawn, refused = world_ceiling(pictures, load_checker(looked))
    left_out = f"; {refused} plans it cannot draw are left out" if refused else ""
    return drawn, [f"ceiling: {len(drawn)} of the {len(pictures)} plans as the tiny world itself draws them{left_out}"]


def _readings(path: Path, canvas: tuple[int, int] | None, json: bool) -> None:
    from agent.score_tables import show_readings
    from eval.detection_files import read_pairs
    from eval.readings import count_readings

    pairs = read_pairs(path)
    if pairs is None:
        raise Stop(f'{path}: --readings is for lines of {{"planned": [...], "detected": [...]}}')
    counted = count_readings(pairs, canvas)
    emit_json([asdict(one) for one in counted]) if json else show_readings(counted)


def _compare(a: ScoreRecord, b: ScoreRecord, json: bool) -> None:
    from agent.score_tables import show_comparison
    from eval.score_record import compare_records

    differences, notes = compare_records(a, b)
    if json:
        found = {name: asdict(difference) for name, difference in differences.items()}
        emit_json({"a": a.source, "b": b.source, "detector": a.detector, "scores": found, "notes": notes})
    else:
        show_comparison(differences, notes, a.source, b.source)
