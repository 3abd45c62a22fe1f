"""What the page of a run shows, as plain JSON types: items with pictures, boxes, verdicts and rounds; scores.

Boxes are [x0, y0, x1, y1] in shares of the picture: the page's own shorthand, which nothing else reads.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from agent.exits import Stop
from agent.kept import KeptItem, KeptRound, KeptRun, read_report
from agent.score_sources import judged_as_reported
from agent.score_tables import TITLES
from diffusion.layout import Box, Instance, Layout, LayoutError, read_layout
from eval.report import FidelityReport, InstanceVerdict
from eval.scores import scores, things

QUALITY = 80


def page_data(run: KeptRun, side: int, on_item: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Everything that the page shows. ``side``: the longer side of the pictures in it, in pixels at most.

    ``pictures`` are data URIs; an item's ``image`` is its place among them.
    """
    items, places, reported, shelf = [], [], [], _Shelf(side)
    for item in run.items:
        shown, layout, report = _item(item, shelf)
        items.append(shown)
        if layout is not None and report is not None:
            places.append(len(items) - 1)
            reported.append((item.id, layout, report))
        on_item()
    pictures = judged_as_reported(reported)
    points = [
        {"item": places[thing.picture], "iou": thing.iou, "area": thing.area, "overlap": thing.overlap}
        for thing in things(pictures)
    ]
    told = {name: estimate for name, estimate in scores(pictures).items() if estimate.of}
    return {
        "title": run.folder.resolve().name,
        "detectors": sorted({picture.report.detector for picture in pictures}),
        "items": items,
        "unfinished": run.unfinished,
        "pictures": shelf.pictures,
        "points": points,
        "scores": [{"title": TITLES[name], **asdict(estimate)} for name, estimate in told.items()],
    }


class _Shelf:
    """The pictures of the page, each once, as WebP of at most ``side`` pixels a side."""

    def __init__(self, side: int) -> None:
        self.pictures: list[str] = []
        self._side = side
        self._places: dict[Path, int] = {}

    def put(self, path: Path) -> int:
        if path not in self._places:
            self._places[path] = len(self.pictures)
            self.pictures.append(_data_uri(path, self._side))
        return self._places[path]


def _item(item: KeptItem, shelf: _Shelf) -> tuple[dict[str, Any], Layout | None, FidelityReport | None]:
    layout = item.layout() if item.plan is not None else None
    report = item.read_report() if item.report is not None else None
    image = item.image_file() if item.drawn else None
    shown = {
        "id": item.id,
        "prompt": item.prompt if item.prompt is not None else layout.caption if layout else "",
        "seed": item.seed,
        "state": item.state,
        "message": item.message,
        "plan": layout.to_json() if layout else None,
        "failures": _failures(item, report),
        "rounds": [_round(one, shelf) for one in item.rounds] if len(item.rounds) > 1 else [],
        **_picture(image, layout, report, shelf),
    }
    return shown, layout, report


def _picture(image: Path | None, layout: Layout | None, report: FidelityReport | None, shelf: _Shelf) -> dict[str, Any]:
    """A picture and what is drawn over it."""
    verdicts = {verdict.id: verdict for verdict in report.instances} if report else {}
    return {
        "image": None if image is None else shelf.put(image),
        "width": layout.width if layout else 1,
        "height": layout.height if layout else 1,
        "accepted": bool(report and report.accepted),
        "iou": report.mean_iou if report else None,
        "reasons": list(report.reasons) if report else [],
        "things": [_thing(instance, verdicts.get(instance.id)) for instance in layout or ()],
        "unplanned": [
            {"what": " ".join(filter(None, (d.colour, d.label))), "box": _corners(d.box), "score": d.score}
            for d in (report.unplanned if report else ())
        ],
    }


def _thing(instance: Instance, verdict: InstanceVerdict | None) -> dict[str, Any]:
    points = instance.scribble.points if instance.scribble else (instance.point,) if instance.point else ()
    return {
        "id": instance.id,
        "category": instance.category,
        "caption": instance.caption,
        "planned": _corners(instance.extent()),
        "points": [[point.x, point.y] for point in points],
        "detected": _corners(verdict.detected) if verdict else None,
        "iou": verdict.iou if verdict else None,
        "score": verdict.score if verdict else None,
        "accepted": bool(verdict and verdict.accepted),
        "reason": verdict.reason if verdict else "not checked",
    }


def _round(one: KeptRound, shelf: _Shelf) -> dict[str, Any]:
    """A round as the run left it; a file that is gone is left out of the page and said so."""
    told = list(one.told)
    try:
        plan = read_layout(one.plan) if one.plan else None
        judged = read_report(one.report) if one.report else None
        picture = _picture(one.image, plan, judged, shelf)
    except (OSError, LayoutError, Stop) as error:
        told.append(f"cannot be shown: {error}")
        picture = _picture(None, None, None, shelf)
    return {"number": one.number, "told": told, **picture}


def _failures(item: KeptItem, report: FidelityReport | None) -> list[str]:
    """What went wrong, in the words that the page filters by; empty for an accepted picture."""
    if report is None:
        return ["failed" if not item.drawn else "not checked"]
    found = {
        "missing": any(v.detected is None and v.id not in report.unjudged for v in report.instances),
        "misplaced": any(v.detected is not None and "needed" in v.reason for v in report.instances),
        "wrong attribute": any(a.ok is False for v in report.instances for a in v.attributes),
        "not judged": bool(report.unjudged),
        # One reason for each thing that is not accepted; one more is for what nobody planned.
        "unplanned": len(report.reasons) > sum(not verdict.accepted for verdict in report.instances),
    }
    return [name for name, here in found.items() if here]


def _corners(box: Box | None) -> Sequence[float] | None:
    return None if box is None else [round(side, 4) for side in box.xyxy()]


def _data_uri(path: Path, side: int) -> str:
    with Image.open(path) as picture:
        small = picture.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=QUALITY, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
