"""A batch's manifest: ``manifest.jsonl`` holds one line for each item that is finished, written after all its files.

    batch.json                      what the whole batch was drawn with
    manifest.jsonl                  one Entry a line; an item without a line is not finished
    images/ plans/ reports/         the best round of each item, named by ``Entry.name``
    rounds/NAME/NN/                 the other rounds that were drawn

Paths in a line are relative to the batch's folder, with ``/`` between their parts. No torch, no numpy.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from diffusion.layout import explain

MANIFEST = "manifest.jsonl"
BATCH_FILE = "batch.json"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Seconds = Annotated[float, Field(ge=0.0)]
State = Literal["done", "not_accepted", "failed"]


class ManifestError(ValueError):
    """A manifest that cannot be read; the message names the file, the line and the field."""

    exit_code = 2


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Score(_Record):
    """What the best round's report says; ``scored`` is the denominator, as in FidelityReport."""

    detector: str
    mean_iou: float | None
    recall_50: float | None
    scored: int


class Timings(_Record):
    """Seconds of all rounds together; of work that several items shared, this item's part."""

    plan: Seconds = 0.0
    render: Seconds = 0.0
    check: Seconds = 0.0


class Round(_Record):
    """A round that was drawn, with its files."""

    number: int
    seed: int
    accepted: bool
    mean_iou: float | None
    plan: str
    image: str
    report: str


class Failure(_Record):
    """Why an item is not finished. ``phase``: what was being done; ``exit_code``: that of a command that fails so."""

    phase: Literal["plan", "render", "check", "save"]
    exit_code: int
    message: str


class Entry(_Record):
    """One finished item. A failed one has a failure and perhaps a plan; every other has all files and a score."""

    version: Literal[1] = 1
    id: str
    """The item's own, or made from its content; unique in the batch."""
    name: str
    """The id as a file name without ending; unique in the batch whatever the file system."""
    item_sha256: Sha256
    """Of all that the item itself decides: id, prompt, layout, seed, options."""
    state: State
    """``done``: drawn, and accepted where it was checked."""
    prompt: str | None
    """None for an item that came as a ready layout."""
    seed: int
    plan: str | None = None
    plan_sha256: Sha256 | None = None
    image: str | None = None
    image_sha256: Sha256 | None = None
    report: str | None = None
    report_sha256: Sha256 | None = None
    score: Score | None = None
    best_round: int | None = None
    rounds: tuple[Round, ...] = ()
    """Those that were drawn, in order."""
    timings: Timings = Timings()
    usage: dict[str, float] = {}
    """What asking an LLM took, over all rounds, as in a planner's Plan."""
    notes: tuple[str, ...] = ()
    failure: Failure | None = None
    finished: str
    """UTC, ISO 8601."""

    def to_line(self) -> str:
        """JSON on one line, with its line end."""
        return self.model_dump_json() + "\n"


def read_manifest(folder: Path) -> list[Entry]:
    """The entries of a batch's folder in the order in which they were finished; ManifestError, or OSError."""
    return [entry for entry, _ in iterate_manifest(folder)]


def iterate_manifest(folder: Path, start: int = 0) -> Iterator[tuple[Entry, int]]:
    """Each entry with the byte at which its line ends, from the line that begins at byte ``start``.

    A last line without its end was never finished, and is passed over.
    """
    path = folder / MANIFEST
    with path.open("rb") as file:
        end = file.seek(start)
        for line in file:
            if not line.endswith(b"\n"):
                return
            try:
                entry = Entry.model_validate_json(line)
            except ValidationError as error:
                number = path.read_bytes()[:end].count(b"\n") + 1
                raise ManifestError(explain(error, f"{path}: line {number}")) from error
            end += len(line)
            yield entry, end
