"""Grounding DINO and MM Grounding DINO from transformers: one text holds all phrases, each box scores its every token.

Liu et al., "Grounding DINO" (2023); Zhao et al., "An Open and Comprehensive Pipeline" (2024).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessorPil,
    MMGroundingDinoForObjectDetection,
)

from eval.open_vocabulary import Candidates, OpenVocabularyDetector, Phrase, numbers

if TYPE_CHECKING:
    from PIL import Image

END = "."
"""Ends a phrase: tokens see those of their own phrase only."""
_SEPARATORS = re.compile(r"[.?]+")


class GroundingDino(OpenVocabularyDetector):
    network, image_processor = GroundingDinoForObjectDetection, GroundingDinoImageProcessorPil

    def _look(self, pictures: list[Image.Image], phrases: list[list[Phrase]]) -> list[Candidates]:
        """Phrases that are too many for one text are asked for in several; the boxes of all of them are candidates."""
        texts = [self._texts(one) for one in phrases]
        seen: list[list[Candidates]] = [[] for _ in pictures]
        pixels = self._processor(pictures, return_tensors="pt").to(self._device)
        for turn in range(max(len(one) for one in texts)):
            rows = [row for row, one in enumerate(texts) if turn < len(one)]
            tokens = self._tokenizer(
                [self._joined(texts[row][turn]) for row in rows], padding=True, return_tensors="pt"
            ).to(self._device)
            outputs = self._net(
                pixel_values=pixels["pixel_values"][rows], pixel_mask=pixels["pixel_mask"][rows], **tokens
            )
            for row, logits, boxes, ids in zip(
                rows, outputs.logits, outputs.pred_boxes, tokens["input_ids"], strict=True
            ):
                seen[row].append(self._read(logits.sigmoid(), boxes, ids, texts[row][turn]))
        return [_together(one) for one in seen]

    def _read(
        self, probabilities: torch.Tensor, boxes: torch.Tensor, ids: torch.Tensor, phrases: list[Phrase]
    ) -> Candidates:
        """A box stands for the phrase with the highest mean over its tokens, as in the official evaluation on COCO.

        probabilities: (queries, text length). boxes: (queries, 4), normalised centre, width and height.
        """
        end = self._tokenizer.convert_tokens_to_ids(END)
        ends = (ids == end).nonzero().flatten().tolist()
        starts = [1, *(place + 1 for place in ends[:-1])]
        means = torch.stack(
            [probabilities[:, start:stop].mean(dim=1) for start, stop in zip(starts, ends, strict=True)], dim=1
        )
        scores, best = means.max(dim=1)
        keep = scores >= self._thresholds.report
        centre, half = boxes[keep, :2], boxes[keep, 2:] / 2
        return Candidates(
            boxes=numbers(torch.cat([centre - half, centre + half], dim=1)),
            scores=numbers(scores[keep]),
            categories=tuple(phrases[index].category for index in best[keep].tolist()),
        )

    def _texts(self, phrases: list[Phrase]) -> list[list[Phrase]]:
        """The phrases in groups, each of which fits into one text."""
        most = self._net.config.max_text_len
        groups: list[list[Phrase]] = []
        room = 0
        for phrase in self._that_fit(phrases, most):
            # Of its length, two tokens open and close the whole text.
            needed = self._length(phrase) - 2
            if needed > room:
                groups.append([])
                room = most - 2
            groups[-1].append(phrase)
            room -= needed
        return groups

    def _joined(self, phrases: list[Phrase]) -> str:
        return " ".join(self._text(phrase) for phrase in phrases)

    def _text(self, phrase: Phrase) -> str:
        words = " ".join(_SEPARATORS.sub(" ", phrase.words).split())
        return f"{words} {END}"


class MMGroundingDino(GroundingDino):
    network = MMGroundingDinoForObjectDetection


def _together(parts: list[Candidates]) -> Candidates:
    empty: NDArray[np.float64] = np.zeros((0, 4))
    return Candidates(
        boxes=np.concatenate([empty, *(part.boxes for part in parts)]),
        scores=np.concatenate([empty[:, 0], *(part.scores for part in parts)]),
        categories=tuple(category for part in parts for category in part.categories),
    )
