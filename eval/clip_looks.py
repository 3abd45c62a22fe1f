"""The colour, pattern and material of what a detector found, by CLIP, zero-shot on the box cut out of the picture.

Colours as in GenEval (Ghosh et al., NeurIPS 2023): its ten colours and three prompts, whose embeddings are averaged.
Materials as in InstanceDiffusion's attribute binding (Wang et al., CVPR 2024, section 4.2), which calls them textures.
Patterns in the same way, with the patterns that a plan's caption can ask for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

from diffusion.places import ModelUnavailable
from diffusion.tiny.vocabulary import TEXTURES
from eval.attributes import COLOUR_WORDS, MATERIALS, Palette
from eval.hub import load_whole, model_type
from eval.report import Detection

if TYPE_CHECKING:
    from PIL import Image

BATCH = 64


@dataclass(frozen=True)
class Question:
    """Words of which CLIP picks one, and the prompts that they are put in, with ``{}`` for the word."""

    words: tuple[str, ...]
    prompts: tuple[str, ...]


QUESTIONS = {
    "colour": Question(
        COLOUR_WORDS,
        ("a photo of a {} {noun}", "a photo of a {}-colored {noun}", "a photo of a {} object"),
    ),
    "texture": Question(tuple(TEXTURES), ("a photo of a {} {noun}", "a photo of a {} object")),
    "material": Question(tuple(MATERIALS), ("a {} object",)),
}


class ClipLooks:
    """A CLIP model of transformers that names the looks of detections."""

    def __init__(self, name: str, folder: Path, device: str = "cpu") -> None:
        if (kind := model_type(folder)) != "clip":
            raise ModelUnavailable(f"{folder} holds a model of type {kind!r}; looks are named by one of type 'clip'")
        self.name = name
        self._net = load_whole(CLIPModel, folder, device)
        self._device = device
        try:
            self._processor: Any = CLIPImageProcessorPil.from_pretrained(folder, local_files_only=True)
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise ModelUnavailable(f"{folder}: its preprocessing cannot be loaded: {error}") from error
        self._embedded: dict[tuple[str, str], Tensor] = {}

    def palette(self) -> Palette:
        return {attribute: frozenset(question.words) for attribute, question in QUESTIONS.items()}

    def name_all(self, pictures: Sequence[Image.Image], found: Sequence[Sequence[Detection]]) -> list[list[Detection]]:
        """The detections of each picture (RGB) with their colour, texture and material."""
        crops = [
            _cut(picture, detection)
            for picture, detections in zip(pictures, found, strict=True)
            for detection in detections
        ]
        seen = iter(self._see(crops))
        return [[self._named(detection, next(seen)) for detection in detections] for detections in found]

    def _named(self, detection: Detection, seen: Tensor) -> Detection:
        looks = {}
        for attribute, question in QUESTIONS.items():
            similarity = self._words(attribute, detection.label) @ seen
            looks[attribute] = question.words[int(similarity.argmax())]
        return detection.model_copy(update=looks)

    @torch.inference_mode()
    def _see(self, crops: list[Image.Image]) -> list[Tensor]:
        """(D,) of length 1 for each crop."""
        seen: list[Tensor] = []
        for start in range(0, len(crops), BATCH):
            pixels = self._processor(crops[start : start + BATCH], return_tensors="pt")["pixel_values"]
            seen += F.normalize(self._net.get_image_features(pixels.to(self._device)).pooler_output, dim=-1)
        return seen

    @torch.inference_mode()
    def _words(self, attribute: str, noun: str) -> Tensor:
        """(words, D) of length 1: for each word the mean over the prompts."""
        if (attribute, noun) not in self._embedded:
            question = QUESTIONS[attribute]
            texts = [prompt.format(word, noun=noun) for word in question.words for prompt in question.prompts]
            # A noun may be longer than what CLIP reads; the word asked for stands before it.
            tokens = self._tokenizer(
                texts,
                padding=True,
                truncation=True,
                max_length=self._net.config.text_config.max_position_embeddings,
                return_tensors="pt",
            ).to(self._device)
            embedded = F.normalize(self._net.get_text_features(**tokens).pooler_output, dim=-1)
            means = embedded.reshape(len(question.words), len(question.prompts), -1).mean(dim=1)
            self._embedded[attribute, noun] = F.normalize(means, dim=-1)
        return self._embedded[attribute, noun]


def _cut(picture: Image.Image, detection: Detection) -> Image.Image:
    """The box's pixels, at least one."""
    box = detection.box
    left, top = int(box.x0 * picture.width), int(box.y0 * picture.height)
    right, bottom = round(box.x1 * picture.width), round(box.y1 * picture.height)
    return picture.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
