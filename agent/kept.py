"""Runs as they are read back: the items of a folder that ``generate``, ``render`` or ``batch`` left, with their files.

Whoever scores, exports or shows a run reads it here. Nothing is believed unseen: a file that is missing or is not the
one the run recorded (by its hash) is refused.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from agent.exits import Stop
from agent.files import sha256
from agent.pictures import check_size
from agent.run import RUN_FILE
from diffusion.layout import Layout, explain, load_json, read_layout, read_text

if TYPE_CHECKING:
    from eval.manifest import Entry
    from eval.report import FidelityReport


@dataclass(frozen=True)
class KeptRound:
    """One round of an item. ``image`` and ``report`` are None for a round that was not drawn; ``told`` says why."""

    number: int
    plan: Path | None
    image: Path | None
    report: Path | None
    accepted: bool
    told: tuple[str, ...] = ()


@dataclass(frozen=True)
class KeptItem:
    """One picture of a run, the best of its rounds. Paths are None for what the run did not leave.

    ``name`` is a file name without ending, unique in the run. ``state`` is the run's own word for how the item ended,
    ``message`` says why when it failed.
    """

    id: str
    name: str
    prompt: str | None
    seed: int
    state: str
    plan: Path | None
    image: Path | None
    report: Path | None
    rounds: tuple[KeptRound, ...]
    hashes: dict[Path, str]
    """The recorded SHA-256 of its files."""
    message: str | None = None

    @property
    def drawn(self) -> bool:
        return self.plan is not None and self.image is not None

    def layout(self) -> Layout:
        return read_layout(self._checked(self.plan, "plan"))

    def image_file(self) -> Path:
        """The picture's file, which is the one that the run drew and has the plan's size; Stop when it is not."""
        path = self._checked(self.image, "picture")
        check_size(path, self.layout(), "this is not the picture that was drawn from it")
        return path

    def read_report(self) -> FidelityReport:
        return read_report(self._checked(self.report, "report"))

    def _checked(self, path: Path | None, what: str) -> Path:
        if path is None:
            raise Stop(f"{self.id}: the run has no {what} of it (state {self.state})")
        if not path.is_file():
            raise Stop(f"{path}: is missing, though the run recorded it")
        if path in self.hashes and sha256(path) != self.hashes[path]:
            raise Stop(f"{path}: not the file that the run wrote (its SHA-256 is another): draw it again")
        return path


@dataclass(frozen=True)
class KeptRun:
    """A run's folder. ``record`` is what it says of itself: run.json, or batch.json of a batch.

    ``unfinished``: how many items of a batch have no line in its manifest yet.
    """

    folder: Path
    record: dict[str, Any]
    items: tuple[KeptItem, ...]
    unfinished: int = 0

    @property
    def expected(self) -> int:
        """How many items the run has, finished or not."""
        return len(self.items) + self.unfinished

    def drawn(self, *, partial: bool) -> list[KeptItem]:
        """The items that have a picture; Stop when some have none, unless ``partial`` says that this will do."""
        missing = [item for item in self.items if not item.drawn]
        if (missing or self.unfinished) and not partial:
            states = Counter(item.state for item in missing) + Counter(unfinished=self.unfinished)
            told = ", ".join(f"{count} {state}" for state, count in states.items())
            first = f", the first is {missing[0].id!r}" if missing else ""
            raise Stop(
                f"{self.folder}: {len(missing) + self.unfinished} of {self.expected} items have no "
                f"picture ({told}){first}: finish the run, or go on with the others by --partial"
            )
        if len(missing) == len(self.items):
            raise Stop(f"{self.folder}: no item has a picture")
        return [item for item in self.items if item.drawn]


def is_run(path: Path) -> bool:
    from eval.manifest import MANIFEST

    return (path / RUN_FILE).is_file() or (path / MANIFEST).is_file()


def read_run(folder: Path) -> KeptRun:
    """The run in a folder; Stop or ManifestError says what is wrong with it."""
    from eval.manifest import BATCH_FILE, MANIFEST, read_manifest

    if (folder / MANIFEST).is_file():
        items = tuple(_batch_item(folder, entry) for entry in _by_id(read_manifest(folder)))
        record = _object(folder / BATCH_FILE) if (folder / BATCH_FILE).is_file() else {}
        expected = record.get("items")
        unfinished = expected - len(items) if isinstance(expected, int) else 0
        return KeptRun(folder, record, items, unfinished=max(0, unfinished))
    if (folder / RUN_FILE).is_file():
        record = _object(folder / RUN_FILE)
        return KeptRun(folder, record, (_single_item(folder, record),))
    raise Stop(f"{folder}: no run is kept here: there is neither {RUN_FILE} nor {MANIFEST}")


def read_report(path: Path) -> FidelityReport:
    from eval.report import FidelityReport

    try:
        return FidelityReport.model_validate_json(read_text(path))
    except ValidationError as error:
        raise Stop(explain(error, str(path))) from error


def _by_id(entries: list[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: entry.id)


def _batch_item(folder: Path, entry: Entry) -> KeptItem:
    def inside(path: str | None) -> Path | None:
        return None if path is None else _inside(folder, path)

    files = (
        (entry.plan, entry.plan_sha256),
        (entry.image, entry.image_sha256),
        (entry.report, entry.report_sha256),
    )
    return KeptItem(
        id=entry.id,
        name=entry.name,
        prompt=entry.prompt,
        seed=entry.seed,
        state=entry.state,
        plan=inside(entry.plan),
        image=inside(entry.image),
        report=inside(entry.report),
        rounds=tuple(
            KeptRound(
                number=drawn.number,
                plan=_inside(folder, drawn.plan),
                image=_inside(folder, drawn.image),
                report=_inside(folder, drawn.report),
                accepted=drawn.accepted,
            )
            for drawn in entry.rounds
        ),
        hashes={_inside(folder, path): digest for path, digest in files if path is not None and digest is not None},
        message=entry.failure.message if entry.failure else None,
    )


def _single_item(folder: Path, record: dict[str, Any]) -> KeptItem:
    try:
        files = {_inside(folder, name): str(file["sha256"]) for name, file in record["files"].items()}
        best = {name: folder / name if folder / name in files else None for name in _OWN}
        return KeptItem(
            id=folder.resolve().name,
            name=folder.resolve().name,
            prompt=record.get("prompt"),
            seed=int(record["seed"]),
            state=str(record["state"]),
            plan=best["plan.json"],
            image=best["image.png"],
            report=best["report.json"],
            rounds=tuple(_rounds(folder, record["rounds"])),
            hashes=files,
            message=record.get("message"),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Stop(f"{folder / RUN_FILE}: not the record of a run ({type(error).__name__}: {error})") from error


_OWN = ("plan.json", "image.png", "report.json")


def _rounds(folder: Path, entries: list[dict[str, Any]]) -> Iterator[KeptRound]:
    for entry in entries:
        here = _inside(folder, entry["folder"])
        plan, image, report = (here / name if (here / name).is_file() else None for name in _OWN)
        reasons = tuple(map(str, entry.get("reasons", ())))
        yield KeptRound(int(entry["round"]), plan, image, report, bool(entry.get("accepted")), reasons)


def _inside(folder: Path, name: str) -> Path:
    """A recorded path, which may not lead out of the run's folder."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise Stop(f"{folder}: the run names a file outside of its folder: {name!r}")
    return folder / name


def _object(path: Path) -> dict[str, Any]:
    value = load_json(read_text(path), str(path))
    if not isinstance(value, dict):
        raise Stop(f"{path}: expected a JSON object, found {json.dumps(value)[:40]}")
    return value
