"""What a detector is: something that finds things in pictures, whether it runs here or is asked for on a server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from eval.attributes import Palette
from eval.report import Detection
from eval.thresholds import TINY

if TYPE_CHECKING:
    from PIL import Image

    from diffusion.layout import Layout


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
    confident: float = TINY.confident
    """From this score on a thing that nobody planned counts against the picture."""
    exact: bool = False
    """Whether batches of one size give the same bits for an image whatever else they hold."""
    usage: Mapping[str, float] = MappingProxyType({})
    """Tokens and cost of asking a service so far; empty for a detector that runs here."""

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
    """What to look for in the picture of a layout: a query for each thing, also for things that are asked for alike."""
    return [Query(instance.category, instance.caption) for instance in layout]


class DetectorError(Exception):
    """No detector of that name, or its weights cannot be loaded; the message says what to do."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
