"""What a run leaves on disk: a folder that can be read at any moment, also after an interruption.

    plan.json image.png overlay.png report.json   the best round so far
    rounds/01/{plan.json,image.png,report.json}   the story of the rounds
    run.json                                      state, options, seeds, versions, timings, hashes

Every file is written whole or not at all; run.json says "running" first and is replaced as the run goes on.
"""

from __future__ import annotations

import functools
import io
import json
import platform
import re
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agent.console import warn
from agent.exits import Defect, Stop, expected_exit_code, is_interruption, write_traceback
from agent.files import sha256, write_bytes, write_text

if TYPE_CHECKING:
    from PIL.Image import Image

    from agent.loop import Discarded, Round
    from diffusion.layout import Layout
    from eval.report import FidelityReport

State = Literal["running", "done", "not_accepted", "interrupted", "failed"]

RUN_FILE = "run.json"
OWN_FILES = (RUN_FILE, "plan.json", "image.png", "overlay.png", "report.json", "traceback.txt")
PACKAGES = ("scenewright", "torch", "diffusers", "transformers", "openai", "pydantic", "numpy", "pillow")


class RunFolder:
    """One run's folder and its run.json. A context manager: leaving it by an exception records how the run ended.

    ``record`` is what run.json holds; entries set by the caller are saved with the next ``save``.
    """

    def __init__(self, path: Path, record: dict[str, Any]) -> None:
        self.path = path
        self.record: dict[str, Any] = {
            "state": "running",
            "folder": str(path),
            "started": now(),
            "finished": None,
            **record,
            "versions": versions(),
            "timings": {},
            "rounds": [],
            "best_round": None,
            "files": {},
        }
        self._start = time.monotonic()

    @classmethod
    def create(cls, path: Path, record: dict[str, Any], *, overwrite: bool) -> RunFolder:
        """Makes the folder; Stop when it holds a run already and ``overwrite`` is off, or cannot be written."""
        if path.exists() and not path.is_dir():
            raise Stop(f"{path}: not a folder; -o names the folder that the run is kept in")
        try:
            path.mkdir(parents=True, exist_ok=True)
            taken = [name for name in (*OWN_FILES, "rounds") if (path / name).exists()]
            if taken and not overwrite:
                raise Stop(
                    f"{path}: there is a run in this folder ({', '.join(taken)}); choose another, or --overwrite it"
                )
            for name in OWN_FILES:
                (path / name).unlink(missing_ok=True)
            for old_round in (path / "rounds").glob("[0-9][0-9]"):
                shutil.rmtree(old_round)
            run = cls(path.resolve(), record)
            run.save()
        except OSError as error:
            raise Stop(f"{path}: cannot be used as the run's folder ({error.strerror or error})") from error
        return run

    def save(self) -> None:
        """Replaces run.json by the present record."""
        self.record["timings"]["total"] = round(time.monotonic() - self._start, 3)
        write_text(self.path / RUN_FILE, json.dumps(self.record, ensure_ascii=False, indent=2) + "\n")

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Adds the seconds that the block takes to the phase's entry in ``timings``."""
        start = time.monotonic()
        try:
            yield
        finally:
            timings = self.record["timings"]
            timings[phase] = round(timings.get(phase, 0.0) + time.monotonic() - start, 3)

    def save_plan(self, layout: Layout, folder: Path | None = None) -> None:
        write_text((folder or self.path) / "plan.json", layout.to_json() + "\n")

    def save_round(self, drawn: Round) -> None:
        """Writes ``rounds/NN`` and its entry in run.json."""
        report, layout = drawn.report, drawn.plan.layout
        folder = self._round_folder(drawn.number)
        self.save_plan(layout, folder)
        self.save_picture(layout, drawn.image, drawn.seed, folder)
        write_text(folder / "report.json", report.to_json() + "\n")
        self._add_round(
            drawn.number,
            drawn=True,
            seed=drawn.seed,
            accepted=report.accepted,
            mean_iou=report.mean_iou,
            scored=report.scored,
            reasons=list(report.reasons),
            notes=list(drawn.plan.notes),
            seconds={phase: round(seconds, 3) for phase, seconds in asdict(drawn.timings).items()},
        )

    def save_unchecked(self, number: int, layout: Layout, image: Image, seed: int, **entry: Any) -> None:
        """Writes ``rounds/NN`` of a run whose pictures are not checked, and its entry in run.json."""
        folder = self._round_folder(number)
        self.save_plan(layout, folder)
        self.save_picture(layout, image, seed, folder)
        self._add_round(number, drawn=True, seed=seed, **entry)

    def save_discarded(self, discarded: Discarded) -> None:
        """Writes the plan of a round that was not drawn, if there is one, and the round's entry in run.json."""
        if discarded.plan is not None:
            self.save_plan(discarded.plan.layout, self._round_folder(discarded.number))
        self._add_round(discarded.number, drawn=False, reasons=[discarded.reason])

    def save_best(self, drawn: Round) -> None:
        """Makes this round's plan, picture, overlay and report the run's own."""
        layout = drawn.plan.layout
        self.save_plan(layout)
        self.save_picture(layout, drawn.image, drawn.seed)
        self._save_report(layout, drawn.image, drawn.report)
        self.record["best_round"] = drawn.number
        self.save()

    def save_score(self, best: Round, report: FidelityReport) -> None:
        """Makes this report on the best round the run's own, in report.json, overlay.png and run.json."""
        self._save_report(best.plan.layout, best.image, report)
        roles = report.roles.model_dump(mode="json") if report.roles else {}
        self.record["score"] = {
            **roles,
            "accepted": report.accepted,
            "mean_iou": report.mean_iou,
            "scored": report.scored,
            "reasons": list(report.reasons),
        }
        self.save()

    def save_picture(self, layout: Layout, image: Image, seed: int, folder: Path | None = None) -> None:
        write_bytes((folder or self.path) / "image.png", png_bytes(image, self._picture_text(layout, seed)))

    def finish(self, state: State, message: str | None = None) -> None:
        """Writes the final run.json, with the hash of every file of the run."""
        self.record["state"] = state
        self.record["finished"] = now()
        if message is not None:
            self.record["message"] = message
        files = [self.path / name for name in OWN_FILES if name != RUN_FILE]
        files += sorted((self.path / "rounds").glob("[0-9][0-9]/*"))
        self.record["files"] = {
            path.relative_to(self.path).as_posix(): {"sha256": sha256(path), "bytes": path.stat().st_size}
            for path in files
            if path.is_file() and path.suffix != ".part"
        }
        self.save()

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, SystemExit) or self.record["state"] != "running":
            return
        interrupted = is_interruption(error)
        defect: Defect | None = None
        # A second Ctrl-C must not leave the story half written.
        handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            if expected_exit_code(error) is None:
                defect = Defect(error, write_traceback(error, self.path))
            self.finish("interrupted" if interrupted else "failed", "interrupted" if interrupted else str(error))
        except OSError as problem:
            warn(f"{self.path}: the end of the run could not be recorded ({problem.strerror or problem})")
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        if interrupted:
            warn(f"what was done so far is in {self.path}")
        if defect is not None:
            raise defect from error

    def _save_report(self, layout: Layout, image: Image, report: FidelityReport) -> None:
        from eval.overlay import draw_overlay

        write_bytes(self.path / "overlay.png", png_bytes(draw_overlay(image, layout, report), {}))
        write_text(self.path / "report.json", report.to_json() + "\n")

    def _round_folder(self, number: int) -> Path:
        return self.path / "rounds" / f"{number:02d}"

    def _add_round(self, number: int, **entry: Any) -> None:
        folder = self._round_folder(number).relative_to(self.path).as_posix()
        self.record["rounds"].append({"round": number, "folder": folder, **entry})
        self.save()

    def _picture_text(self, layout: Layout, seed: int) -> dict[str, str]:
        prompt = str(self.record.get("prompt", layout.caption))
        return picture_text(prompt, layout, seed, str(self.record.get("options", {}).get("model", "")))


def default_folder(prompt: str, base: Path = Path("runs")) -> Path:
    """``runs/<time>-<slug>``, a name that no run has yet."""
    slug = re.sub(r"[^a-z0-9]+", "-", prompt.lower())[:40].strip("-") or "scene"
    name = f"{datetime.now():%Y%m%d-%H%M%S}-{slug}"
    taken = (number for number in range(1, 10_000) if not (base / _numbered(name, number)).exists())
    return base / _numbered(name, next(taken))


def png_bytes(image: Image, text: dict[str, str]) -> bytes:
    """The image as a PNG whose text chunks hold ``text``; Pillow reads them back as ``image.text``."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, value in text.items():
        info.add_itxt(key, value)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", pnginfo=info)
    return buffer.getvalue()


def picture_text(prompt: str, layout: Layout, seed: int, model: str) -> dict[str, str]:
    """What a picture says of itself in its text chunks."""
    return {
        "Software": f"scenewright {versions()['scenewright']}",
        "prompt": prompt,
        "plan": layout.to_json(indent=None),
        "seed": str(seed),
        "model": model,
    }


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


@functools.cache
def versions() -> dict[str, str | None]:
    """Of Python, the platform and the packages that a picture depends on."""
    found: dict[str, str | None] = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def now() -> str:
    """UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
