"""The files of one item: its best round under the batch's folders, and the rounds before it, kept as they are drawn.

A round that is not the last is on disk with all that the next one starts from, so that an item that is killed between
two rounds goes on with the second.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from agent.batch.folder import BatchFolder
from agent.batch.items import Item
from agent.chat.usage import Usage
from agent.planner import Plan
from agent.run import picture_text, png_bytes
from diffusion.layout import LayoutError, read_layout
from eval.manifest import Entry, Round, Score, Timings
from eval.report import FidelityReport

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, eq=False)
class DrawnRound:
    """A round of an item: what was planned, drawn and found, and what it took. ``score``: the referee's report."""

    number: int
    plan: Plan
    seed: int
    image: Image
    report: FidelityReport
    score: FidelityReport | None
    timings: Timings

    @property
    def final(self) -> FidelityReport:
        """What is said of the picture in the end."""
        return self.score or self.report


class _Told(BaseModel):
    """round.json: what the other files of a round do not say. It is written last."""

    model_config = ConfigDict(extra="forbid", strict=True)

    item_sha256: str
    seed: int
    notes: tuple[str, ...]
    usage: dict[str, float]
    new_seed: bool
    timings: Timings
    score: FidelityReport | None


class ItemFiles:
    """Where an item's files are, relative to the batch's folder."""

    def __init__(self, folder: BatchFolder, item: Item, model: str) -> None:
        self._folder, self._item, self._model = folder, item, model

    def keep(self, drawn: DrawnRound) -> None:
        """Puts a round on disk under ``rounds``."""
        place = self._round(drawn.number)
        self._write_round(drawn, drawn.report, f"{place}/plan.json", f"{place}/image.png", f"{place}/report.json")
        told = _Told(
            item_sha256=self._item.digest(),
            seed=drawn.seed,
            notes=drawn.plan.notes,
            usage=drawn.plan.usage,
            new_seed=drawn.plan.new_seed,
            timings=drawn.timings,
            score=drawn.score,
        )
        self._folder.write(f"{place}/round.json", told.model_dump_json().encode())

    def recall(self, number: int) -> DrawnRound | None:
        """The round of that number when it is on disk as a whole, and this item's."""
        from PIL import Image

        place = self._folder.path / self._round(number)
        try:
            told = _Told.model_validate_json((place / "round.json").read_bytes())
            layout = read_layout(place / "plan.json")
            report = FidelityReport.model_validate_json((place / "report.json").read_bytes())
            with Image.open(place / "image.png") as file:
                image = file.convert("RGB")
        except (OSError, ValidationError, LayoutError):
            return None
        if told.item_sha256 != self._item.digest():
            return None
        plan = Plan(layout, told.notes, told.usage, new_seed=told.new_seed)
        return DrawnRound(number, plan, told.seed, image, report, told.score, told.timings)

    def write_plan(self, plan: Plan) -> tuple[str, str]:
        """Puts the plan of an item that has no picture on disk; its path and hash."""
        path = f"plans/{self._item.name}.json"
        return path, self._write(path, _plan_bytes(plan))

    def write_best(
        self, rounds: Sequence[DrawnRound], best: DrawnRound, notes: Sequence[str], usage: Usage, finished: str
    ) -> Entry:
        """Puts the best round in its place, and says what goes into the manifest."""
        name = self._item.name
        plan, image, report = f"plans/{name}.json", f"images/{name}.png", f"reports/{name}.json"
        hashes = self._write_round(best, best.final, plan, image, report)
        return Entry(
            id=self._item.id,
            name=name,
            item_sha256=self._item.digest(),
            state="done" if best.final.accepted else "not_accepted",
            prompt=self._item.prompt,
            seed=self._item.seed,
            plan=plan,
            plan_sha256=hashes[0],
            image=image,
            image_sha256=hashes[1],
            report=report,
            report_sha256=hashes[2],
            score=_score(best.final),
            best_round=best.number,
            rounds=tuple(self._line(drawn, alone=len(rounds) == 1) for drawn in rounds),
            timings=_sum([drawn.timings for drawn in rounds]),
            usage=usage,
            notes=tuple(notes),
            finished=finished,
        )

    def _line(self, drawn: DrawnRound, *, alone: bool) -> Round:
        name, place = self._item.name, self._round(drawn.number)
        return Round(
            number=drawn.number,
            seed=drawn.seed,
            accepted=drawn.report.accepted,
            mean_iou=drawn.report.mean_iou,
            plan=f"plans/{name}.json" if alone else f"{place}/plan.json",
            image=f"images/{name}.png" if alone else f"{place}/image.png",
            report=f"reports/{name}.json" if alone else f"{place}/report.json",
        )

    def _round(self, number: int) -> str:
        return f"rounds/{self._item.name}/{number:02d}"

    def _write_round(
        self, drawn: DrawnRound, found: FidelityReport, plan: str, image: str, report: str
    ) -> tuple[str, str, str]:
        text = picture_text(self._item.text, drawn.plan.layout, drawn.seed, self._model)
        return (
            self._write(plan, _plan_bytes(drawn.plan)),
            self._write(image, png_bytes(drawn.image, text)),
            self._write(report, (found.to_json() + "\n").encode()),
        )

    def _write(self, name: str, data: bytes) -> str:
        self._folder.write(name, data)
        return hashlib.sha256(data).hexdigest()


def _plan_bytes(plan: Plan) -> bytes:
    return (plan.layout.to_json() + "\n").encode()


def _score(report: FidelityReport) -> Score:
    return Score(detector=report.detector, mean_iou=report.mean_iou, recall_50=report.recall_50, scored=report.scored)


def _sum(parts: Sequence[Timings]) -> Timings:
    return Timings(**{phase: sum(getattr(part, phase) for part in parts) for phase in Timings.model_fields})
