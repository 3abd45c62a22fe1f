"""OWL-ViT and OWLv2 from transformers (Minderer et al., 2022, 2023): every patch has a box, scored for each phrase."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers import (
    Owlv2ForObjectDetection,
    Owlv2ImageProcessorPil,
    OwlViTForObjectDetection,
    OwlViTImageProcessorPil,
)

from eval.open_vocabulary import Candidates, OpenVocabularyDetector, Phrase, numbers

if TYPE_CHECKING:
    from PIL import Image


class OwlViT(OpenVocabularyDetector):
    network, image_processor = OwlViTForObjectDetection, OwlViTImageProcessorPil

    def _look(self, pictures: list[Image.Image], phrases: list[list[Phrase]]) -> list[Candidates]:
        most = self._net.config.text_config.max_position_embeddings
        asked = [self._that_fit(one, most) for one in phrases]
        pixels = self._processor(pictures, return_tensors="pt")["pixel_values"].to(self._device)
        outputs = self._net(**self._tokens(asked, most), pixel_values=pixels)
        # OWLv2 looks at a square that is padded at the right and at the bottom; its own code scales the boxes back.
        sizes = [(picture.height, picture.width) for picture in pictures]
        results = self._processor.post_process_object_detection(
            outputs, threshold=self._thresholds.report, target_sizes=torch.tensor(sizes, device=self._device)
        )
        return [
            Candidates(
                boxes=numbers(result["boxes"]) / np.array([width, height, width, height]),
                scores=numbers(result["scores"]),
                categories=tuple(one[label].category for label in result["labels"].tolist()),
            )
            for result, one, (height, width) in zip(results, asked, sizes, strict=True)
        ]

    def _text(self, phrase: Phrase) -> str:
        """The prompt of the paper's single inference; captions bring their own article."""
        return f"a photo of a {phrase.words}" if phrase.noun else f"a photo of {phrase.words}"

    def _tokens(self, asked: list[list[Phrase]], length: int) -> dict[str, torch.Tensor]:
        """(pictures x most phrases, length) ids; a picture with fewer phrases gets rows of zeros, which ask nothing."""
        ids = torch.zeros(len(asked), max(len(one) for one in asked), length, dtype=torch.long)
        mask = torch.ones_like(ids)
        for row, one in enumerate(asked):
            tokens = self._tokenizer(
                [self._text(phrase) for phrase in one], padding="max_length", max_length=length, return_tensors="pt"
            )
            ids[row, : len(one)], mask[row, : len(one)] = tokens["input_ids"], tokens["attention_mask"]
        return {
            "input_ids": ids.flatten(0, 1).to(self._device),
            "attention_mask": mask.flatten(0, 1).to(self._device),
        }


class Owlv2(OwlViT):
    network, image_processor = Owlv2ForObjectDetection, Owlv2ImageProcessorPil
