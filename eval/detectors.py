"""What a detector is, and the detectors that can be had by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eval.attributes import TINY_PALETTE, Palette
from eval.report import Detection

if TYPE_CHECKING:
    from PIL import Image

    from diffusion.layout import Layout

BATCH = 16
"""At most so many pictures go through a network at once."""


@dataclass(frozen=True)
class Query:
    """What to look for: the noun, and the words for this one thing."""

    category: str
    caption: str = ""


class Detector(ABC):
    """Finds things in pictures. The same batch gives the same detections; between batches that hold the same image,
    numbers differ by float rounding at most."""

    name: str
    """Which detector, with its weights: what a report quotes."""
    confident: float = 0.5
    """From this score on a thing that nobody planned counts against the picture."""

    def detect(self, image: Image.Image, queries: Sequence[Query]) -> list[Detection]:
        """What is in the image, the most confident first, duplicates removed.

        It may find kinds that no query names; with an open vocabulary a detection's label is a query's category.
        """
        return self.detect_batch([image], [queries])[0]

    @abstractmethod
    def detect_batch(self, images: Sequence[Image.Image], queries: Sequence[Sequence[Query]]) -> list[list[Detection]]:
        """``detect`` for several images, of any sizes, each with its own queries."""

    def kinds(self) -> frozenset[str] | None:
        """The kinds of thing it can find, in the singular; None for an open vocabulary, where the queries decide."""
        return None

    def palette(self) -> Palette:
        """The attributes it can tell, each with the values that it chooses from."""
        return {}


def queries_of(layout: Layout) -> list[Query]:
    """What to look for in the picture of a layout: each thing once."""
    return list(dict.fromkeys(Query(instance.category, instance.caption) for instance in layout))


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


class _Tiny(Detector):
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

    def palette(self) -> Palette:
        return TINY_PALETTE

    def detect_batch(self, images: Sequence[Image.Image], queries: Sequence[Sequence[Query]]) -> list[list[Detection]]:
        found: list[list[Detection]] = []
        for start in range(0, len(images), BATCH):
            found += self._model.detect_batch(list(images[start : start + BATCH]))
        return found


DETECTORS: dict[str, Callable[[], Detector]] = {"tiny": _Tiny}
