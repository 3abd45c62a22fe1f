"""Who looks at the pictures of a run: the judge, whose reports steer the replanning, and the referee, who scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.console import quiet_transformers
from eval.detector import Detector
from eval.detectors import load_detector, locate
from eval.fidelity import check
from eval.places import BUNDLED
from eval.referee import with_roles

if TYPE_CHECKING:
    from PIL.Image import Image

    from diffusion.layout import Layout
    from eval.report import FidelityReport


@dataclass(frozen=True)
class CheckSettings:
    """Detectors by name, as ``load_detector`` takes them; ``score_with`` None is the one of ``check_with``."""

    check_with: str = "tiny"
    score_with: str | None = None
    looks: str = "clip"


@dataclass(frozen=True)
class Checkers:
    """Loaded detectors; the referee may be the judge."""

    judge: Detector
    referee: Detector

    def check(self, layout: Layout, image: Image) -> FidelityReport:
        """What the judge says of a picture."""
        return check(layout, image, self.judge)

    def score(self, layout: Layout, image: Image, checked: FidelityReport) -> FidelityReport:
        """What the referee says of a picture that the judge has checked."""
        if self.referee.name == self.judge.name:
            return checked
        return with_roles(checked, check(layout, image, self.referee))

    def usage(self) -> dict[str, float]:
        """What asking a service took so far, of both together."""
        total: dict[str, float] = {}
        for detector in {self.judge.name: self.judge, self.referee.name: self.referee}.values():
            for kind, amount in detector.usage.items():
                total[kind] = total.get(kind, 0) + amount
        return total


def load_checkers(settings: CheckSettings, device: str = "cpu") -> Checkers:
    """Both detectors, ready to use; an error with an ``exit_code`` says what is not there and how to get it."""
    judge = load_checker(settings.check_with, settings.looks, device)
    if settings.score_with in (None, settings.check_with):
        return Checkers(judge, judge)
    return Checkers(judge, load_checker(settings.score_with, settings.looks, device))


def ensure_there(settings: CheckSettings) -> None:
    """Raises what ``load_checkers`` would raise for detectors that are not to be had, before anything large is loaded.

    What can be fetched is fetched.
    """
    for name in {settings.check_with, settings.score_with or settings.check_with}:
        if is_vlm(name):
            load_checker(name)
        else:
            locate(name, settings.looks)


def load_checker(name: str, looks: str = "clip", device: str = "cpu") -> Detector:
    """A detector by name: "vlm" is a VLM on a server, "vlm:NAME" that model there, the rest is ``load_detector``'s."""
    if is_vlm(name):
        from agent.vlm import VlmDetector

        return VlmDetector(name.partition(":")[2] or None)
    if name not in BUNDLED:
        quiet_transformers()
    return load_detector(name, device=device, looks=looks)


def is_vlm(name: str) -> bool:
    """Whether the detector of that name is a VLM on a server."""
    return name.partition(":")[0] == "vlm"
