"""Where pictures are drawn and checked: a model and a detector, loaded once, for groups of layouts.

A picture's bits must not depend on which others it was drawn with, or a batch that was killed would end with other
pictures than one that was not. So every UNet pass has the same number of rows, filled up where there are fewer, and
every detector batch the same number of pictures.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from agent.exits import ExitCode, expected_exit_code
from agent.render import Renderer, RenderSettings
from eval.referee import with_roles

if TYPE_CHECKING:
    from PIL.Image import Image

    from agent.checkers import Checkers, CheckSettings
    from diffusion.layout import Layout
    from eval.detector import Detector
    from eval.report import FidelityReport

ROWS_ON_CPU = 8
"""More rows make a pass hardly faster a row there, and the first pictures late."""
ROWS = 16


@dataclass(frozen=True)
class Setup:
    """What a studio loads. ``index`` chooses among several GPUs; ``threads`` of torch, its own choice when None."""

    model: str
    checking: CheckSettings
    settings: RenderSettings = field(default_factory=RenderSettings)
    index: int = 0
    threads: int | None = None


@dataclass(frozen=True)
class Job:
    """A picture to draw and check. Jobs with the same canvas and settings can share a pass."""

    layout: Layout
    seed: int
    settings: RenderSettings

    @property
    def kind(self) -> tuple[int, int, RenderSettings]:
        return self.layout.width, self.layout.height, self.settings


@dataclass(frozen=True, eq=False)
class Drawn:
    """A picture, what the judge says of it and, where that is another detector, the referee.

    Seconds are this picture's part. ``rows``: of the passes that drew it.
    """

    image: Image
    report: FidelityReport
    score: FidelityReport | None
    render_seconds: float
    check_seconds: float
    rows: int


@dataclass(frozen=True)
class Refusal:
    """Why a picture could not be drawn or checked. ``trace``: of a defect of ours. ``lasting``: no other can either."""

    phase: Literal["render", "check"]
    message: str
    exit_code: int
    trace: str = ""
    lasting: bool = False


Outcome = Drawn | Refusal


def group_size(rows: int) -> int:
    """How many pictures fill a pass when each has two rows, with and without guidance."""
    return max(1, rows // 2)


class Studio:
    """Loads on first use; what cannot be loaded is refused each time with the same words."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._device: str | None = None
        self._renderer: Renderer | None = None
        self._checkers: Checkers | None = None
        self._refusal: Refusal | None = None

    def rows(self) -> int:
        """How many rows a pass has here unless somebody says otherwise."""
        self._prepared()
        return ROWS_ON_CPU if self._device == "cpu" else ROWS

    def draw(self, jobs: Sequence[Job], rows: int) -> list[Outcome]:
        """An outcome for each job; all are of one kind. Passes that do not fit into memory are tried with half."""
        if refusal := self._loaded():
            return [refusal] * len(jobs)
        outcomes: list[Outcome] = []
        while len(outcomes) < len(jobs):
            part = jobs[len(outcomes) : len(outcomes) + group_size(rows)]
            try:
                outcomes += self._together(part, rows)
            except Exception as error:
                if is_out_of_memory(error) and rows > 1:
                    rows //= 2
                    _give_memory_back()
                elif len(part) > 1:
                    outcomes += [self.draw([job], rows)[0] for job in part]
                else:
                    outcomes.append(_refusal("render", error))
        return outcomes

    def _together(self, jobs: Sequence[Job], rows: int) -> list[Outcome]:
        assert self._renderer is not None
        started = time.perf_counter()
        layouts, renderer = [job.layout for job in jobs], self._renderer.changed(**asdict(jobs[0].settings))
        images = renderer.render_many(layouts, [job.seed for job in jobs], rows=rows)
        drawn = time.perf_counter()
        found = self._check(layouts, images, group_size(rows))
        render, check = drawn - started, time.perf_counter() - drawn
        return [
            reports
            if isinstance(reports, Refusal)
            else Drawn(image, *reports, render / len(jobs), check / len(jobs), rows)
            for image, reports in zip(images, found, strict=True)
        ]

    def _check(
        self, layouts: Sequence[Layout], images: Sequence[Image], size: int
    ) -> list[tuple[FidelityReport, FidelityReport | None] | Refusal]:
        """The judge's report and the referee's, if there is one, or why there are none."""
        assert self._checkers is not None
        judge, referee = self._checkers.judge, self._checkers.referee
        try:
            checked = _reports(layouts, images, judge, size)
            if referee is judge:
                return [(report, None) for report in checked]
            scored = _reports(layouts, images, referee, size)
            return [(report, with_roles(report, score)) for report, score in zip(checked, scored, strict=True)]
        except Exception as error:
            if is_out_of_memory(error):
                raise
            if len(images) == 1:
                return [_refusal("check", error)]
            pairs = zip(layouts, images, strict=True)
            return [self._check([layout], [image], size)[0] for layout, image in pairs]

    def _loaded(self) -> Refusal | None:
        if self._prepared() and self._device is not None and self._renderer is None:
            from agent.checkers import load_checkers
            from agent.render import load_renderer

            try:
                self._checkers = load_checkers(self._setup.checking, self._device)
                self._renderer = load_renderer(self._setup.model, replace(self._setup.settings, device=self._device))
            except Exception as error:
                self._refusal = replace(_refusal("render", error), lasting=True)
        return self._refusal

    def _prepared(self) -> bool:
        """Loads torch and chooses the device, the first time; False when nothing can be drawn."""
        if self._device is None and self._refusal is None:
            try:
                self._device = _device(self._setup)
            except Exception as error:
                self._refusal = replace(_refusal("render", error), lasting=True)
        return self._refusal is None


def _device(setup: Setup) -> str:
    from agent.render import pick_device

    if setup.threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(setup.threads)
    import torch

    if setup.threads is not None:
        torch.set_num_threads(setup.threads)
    device = pick_device(setup.settings.device)
    return f"cuda:{setup.index % torch.cuda.device_count()}" if device == "cuda" else device


def _reports(layouts: Sequence[Layout], images: Sequence[Image], detector: Detector, size: int) -> list[FidelityReport]:
    """What a detector says of each picture; it looks at ``size`` of them at a time where that changes no bit."""
    from eval.fidelity import check_batch

    size = size if detector.exact else 1
    reports: list[FidelityReport] = []
    for start in range(0, len(images), size):
        plans, pictures = list(layouts[start : start + size]), list(images[start : start + size])
        missing = size - len(plans)
        found = check_batch(plans + plans[-1:] * missing, pictures + pictures[-1:] * missing, detector)
        reports += found[: len(plans)]
    return reports


def is_out_of_memory(error: BaseException) -> bool:
    """True for what torch raises on any device when memory is used up."""
    import torch

    words = ("out of memory", "can't allocate memory", "cannot allocate memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)
    )


def _refusal(phase: Literal["render", "check"], error: Exception) -> Refusal:
    code = expected_exit_code(error)
    if code is None and is_out_of_memory(error):
        return Refusal(phase, f"not enough memory even for one row at a time: {error}", ExitCode.UNAVAILABLE)
    if code is None:
        trace = "".join(traceback.format_exception(error))
        return Refusal(phase, f"{type(error).__name__}: {error}", ExitCode.DEFECT, trace)
    return Refusal(phase, str(error), code)


def _give_memory_back() -> None:
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def null_outcome(job: Job, rows: int) -> Outcome:
    """What the engine that draws nothing answers: one colour, and a report that says that nothing was looked at."""
    from PIL import Image

    from eval.report import FidelityReport

    colour = tuple(job.seed.to_bytes(4)[1:])
    report = FidelityReport(
        detector="none",
        instances=(),
        unplanned=(),
        mean_iou=None,
        mean_iou_ci95=None,
        scored=0,
        recall_50=None,
        accepted=True,
        reasons=(),
    )
    return Drawn(Image.new("RGB", (job.layout.width, job.layout.height), colour), report, None, 0.0, 0.0, rows)
