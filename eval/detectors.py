"""What a detector is, and the detectors that can be had by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from eval.report import Detection

if TYPE_CHECKING:
    from PIL import Image


class Detector(Protocol):
    """Finds things in pictures. ``detect`` is deterministic: the same image and queries give the same detections."""

    name: str

    def kinds(self) -> frozenset[str] | None:
        """The kinds of thing it can find, in the singular; None for an open vocabulary, where the queries decide."""
        ...

    def detect(self, image: Image.Image, queries: Sequence[str]) -> list[Detection]:
        """What is in the image, duplicates removed. ``queries`` are the nouns to look for; it may find more kinds."""
        ...


class DetectorError(Exception):
    """No detector of that name, or its weights cannot be loaded; the message says what to do."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def load_detector(name: str = "tiny") -> Detector:
    """The detector of that name, ready to use; DetectorError when there is none or it cannot be loaded."""
    if name not in DETECTORS:
        raise DetectorError(f"no detector is called {name!r}; there is: {', '.join(DETECTORS)}", exit_code=2)
    return DETECTORS[name]()


class _Tiny:
    """The bundled detector for the tiny world: it knows the world's kinds, whatever it is asked for."""

    name = "tiny"

    def __init__(self) -> None:
        from eval import tiny_detector

        try:
            self._model = tiny_detector.TinyDetector.load(tiny_detector.WEIGHTS)
        except (OSError, ValueError) as error:
            raise DetectorError(f"the bundled detector cannot be loaded: {error}", exit_code=4) from error

    def kinds(self) -> frozenset[str]:
        from diffusion.tiny.vocabulary import KINDS

        return frozenset(KINDS)

    def detect(self, image: Image.Image, queries: Sequence[str]) -> list[Detection]:
        return self._model.detect(image)


DETECTORS: dict[str, Callable[[], Detector]] = {"tiny": _Tiny}
