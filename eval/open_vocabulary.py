"""What detectors that look for any words have in common: the phrases they are asked, batches, and suppression."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer

from diffusion.layout import Box
from diffusion.places import ModelUnavailable
from eval.attributes import Palette, own_words
from eval.boxes import nms
from eval.detector import Detector, DetectorError, Query
from eval.hub import load_whole, model_type
from eval.report import Detection
from eval.thresholds import THRESHOLDS

if TYPE_CHECKING:
    from PIL import Image

    from eval.clip_looks import ClipLooks

BATCH = 8
"""At most so many pictures go through a network at once."""
MOST_DETECTIONS = 100


@dataclass(frozen=True)
class Phrase:
    """Words that a network is asked for, and the category that they stand for; ``noun``: they are its noun alone."""

    words: str
    category: str
    noun: bool


@dataclass(frozen=True)
class Candidates:
    """What a network saw in one picture. boxes: (N, 4) normalised xyxy, which may leave the picture. scores: (N,)."""

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    categories: tuple[str, ...]


def phrases_of(queries: Sequence[Query]) -> list[Phrase]:
    """Each category, then what each caption says of the thing itself; words that stand for two are asked for once."""
    categories = [Phrase(" ".join(query.category.lower().split()), query.category, noun=True) for query in queries]
    captions = [Phrase(own_words(query.caption), query.category, noun=False) for query in queries]
    first: dict[str, Phrase] = {}
    for phrase in [*categories, *captions]:
        if phrase.words:
            first.setdefault(phrase.words, phrase)
    return list(first.values())


class OpenVocabularyDetector(Detector):
    """A network of one family with its preprocessing, thresholds and class-aware suppression of duplicates.

    ``looks`` names the colour and the texture of what was found; without it no attribute is told.
    """

    network: Any
    """The class of transformers, and that of the image processor that needs no torchvision."""
    image_processor: Any

    def __init__(self, name: str, folder: Path, device: str, looks: ClipLooks | None = None) -> None:
        self._thresholds = THRESHOLDS[model_type(folder)]
        self._net = load_whole(self.network, folder, device)
        self._device, self._looks = device, looks
        try:
            self._processor = self.image_processor.from_pretrained(folder, local_files_only=True)
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise ModelUnavailable(f"{folder}: its preprocessing cannot be loaded: {error}") from error
        self.name = f"{name} + {looks.name}" if looks else name
        self.confident = self._thresholds.confident

    def palette(self) -> Palette:
        return self._looks.palette() if self._looks else {}

    def detect_batch(self, images: Sequence[Image.Image], queries: Sequence[Sequence[Query]]) -> list[list[Detection]]:
        pictures = [image.convert("RGB") for image in images]
        asked = [phrases_of(one) for one in queries]
        found: list[list[Detection]] = [[] for _ in pictures]
        for places in self._batches(pictures, asked):
            with torch.inference_mode():
                seen = self._look([pictures[i] for i in places], [asked[i] for i in places])
            for i, candidates in zip(places, seen, strict=True):
                found[i] = self._best(candidates)
        return self._looks.name_all(pictures, found) if self._looks else found

    @abstractmethod
    def _look(self, pictures: list[Image.Image], phrases: list[list[Phrase]]) -> list[Candidates]:
        """Everything with at least the threshold's score; one entry a picture, each of which is asked for something."""

    def _that_fit(self, phrases: list[Phrase], most: int) -> list[Phrase]:
        """The phrases of at most so many tokens: a longer caption is not asked for, its noun is.

        DetectorError for a noun that is too long itself.
        """
        fitting = []
        for phrase in phrases:
            if self._length(phrase) <= most:
                fitting.append(phrase)
            elif phrase.noun:
                raise DetectorError(
                    f"the category {phrase.category!r} is too long for {self.name}, which reads {most} tokens at once: "
                    "give the plan a shorter noun",
                    exit_code=2,
                )
        return fitting

    def _length(self, phrase: Phrase) -> int:
        """Tokens of the phrase as it is asked, with those that open and close it."""
        return len(self._tokenizer(self._text(phrase))["input_ids"])

    def _text(self, phrase: Phrase) -> str:
        return phrase.words

    def _batches(self, pictures: list[Image.Image], phrases: list[list[Phrase]]) -> Iterator[list[int]]:
        """Places of pictures that go through the network together: of one size, so that none is padded for another."""
        by_size: dict[tuple[int, int], list[int]] = {}
        for place, picture in enumerate(pictures):
            if phrases[place]:
                by_size.setdefault(picture.size, []).append(place)
        for places in by_size.values():
            yield from (places[start : start + BATCH] for start in range(0, len(places), BATCH))

    def _best(self, candidates: Candidates) -> list[Detection]:
        boxes = candidates.boxes.clip(0.0, 1.0)
        kept = nms(boxes, candidates.scores, self._thresholds.nms_iou, candidates.categories)
        inside = [i for i in kept if boxes[i, 0] < boxes[i, 2] and boxes[i, 1] < boxes[i, 3]]
        return [
            Detection(
                box=Box(**dict(zip(("x0", "y0", "x1", "y1"), boxes[i].tolist(), strict=True))),
                label=candidates.categories[i],
                score=float(candidates.scores[i]),
            )
            for i in inside[:MOST_DETECTIONS]
        ]


def numbers(tensor: torch.Tensor) -> NDArray[np.float64]:
    return tensor.double().cpu().numpy()
