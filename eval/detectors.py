"""The detectors that can be had by name, bundled or for any words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eval.attributes import TINY_PALETTE, Palette
from eval.detector import Detector, DetectorError, Query
from eval.places import BUNDLED
from eval.report import Detection
from eval.thresholds import THRESHOLDS

if TYPE_CHECKING:
    from PIL import Image

    from eval.open_vocabulary import OpenVocabularyDetector

DETECTORS = {"owlv2": "google/owlv2-base-patch16-ensemble", "grounding-dino": "IDEA-Research/grounding-dino-base"}
"""Detectors for any words, by a short name, and where they are on the hub."""
CLIP = "openai/clip-vit-large-patch14"
"""The model that GenEval names colours with."""
BATCH = 16
"""At most so many pictures go through a network at once."""


def load_detector(name: str = "tiny", *, device: str = "cpu", looks: str = "clip") -> Detector:
    """The detector of that name, ready to use.

    ``name``: "tiny" and "tiny-referee" are bundled; "owlv2" and "grounding-dino" look for any words, as does any other
    model of these families, given by its hub id or folder. ``looks`` names the colour and texture of what these find:
    "clip", another CLIP by hub id or folder, or "none". An error with an ``exit_code`` (DetectorError,
    ModelUnavailable) says what is not there and how to get it.
    """
    models = locate(name, looks)
    if models is None:
        return _Tiny(name)
    from eval.clip_looks import ClipLooks

    clip = ClipLooks(models.looks, models.looks_folder, device) if models.looks and models.looks_folder else None
    return _families()[models.kind](models.place, models.folder, device, clip)


@dataclass(frozen=True)
class Models:
    """Where the models of a detector for any words are, fetched and not yet loaded."""

    place: str
    folder: Path
    kind: str
    looks: str | None
    looks_folder: Path | None


def locate(name: str, looks: str = "clip") -> Models | None:
    """The models that ``load_detector`` would load, fetched where they are not here; None for what is bundled.

    Raises what ``load_detector`` raises for a name that means nothing and for models that are not to be had.
    """
    if name in BUNDLED:
        return None
    from eval.hub import is_place, model_folder, model_type

    place = DETECTORS.get(name, name)
    if not is_place(place):
        there = ", ".join([*BUNDLED, *DETECTORS])
        raise DetectorError(
            f"no detector is called {name!r}; there is: {there}, or the hub id or folder of a model of their families",
            exit_code=2,
        )
    folder = model_folder(place)
    if (kind := model_type(folder)) not in THRESHOLDS:
        raise DetectorError(
            f"{place} holds a model of type {kind!r}; a detector is one of: {', '.join(THRESHOLDS)}", exit_code=4
        )
    namer = None if looks == "none" else CLIP if looks == "clip" else looks
    if namer and not is_place(namer):
        raise DetectorError(
            f"--looks {namer}: no such model; give clip, none, or the hub id or folder of a CLIP", exit_code=2
        )
    return Models(place, folder, kind, namer, model_folder(namer) if namer else None)


def _families() -> dict[str, type[OpenVocabularyDetector]]:
    from eval.grounding_dino import GroundingDino, MMGroundingDino
    from eval.owl import Owlv2, OwlViT

    return {
        "owlvit": OwlViT,
        "owlv2": Owlv2,
        "grounding-dino": GroundingDino,
        "mm-grounding-dino": MMGroundingDino,
    }


class _Tiny(Detector):
    """A bundled detector for the tiny world: it knows the world's kinds, whatever it is asked for."""

    exact = True

    def __init__(self, name: str = "tiny") -> None:
        from eval import tiny_detector

        self.name = name
        try:
            self._model = tiny_detector.TinyDetector.load(BUNDLED[name], name)
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
