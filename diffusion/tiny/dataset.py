"""Training examples of the tiny world as plain arrays: latents, token ids, locations; batches drawn by step number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from diffusion.conditions import Slots, ground
from diffusion.layout import Layout
from diffusion.unifusion import Grounding

CAPTION_TOKENS = 16
FORMAT_CHOICES = {
    "box": ((True, True, False, False), 0.62),
    "point": ((False, True, False, False), 0.10),
    "scribble": ((True, True, True, False), 0.08),
    "mask": ((True, True, False, True), 0.12),
    "all": ((True, True, True, True), 0.08),
}
DROP_TEXT, DROP_INSTANCES, DROP_BOTH = 0.10, 0.10, 0.05
CAPTION_OF_THE_THING = 0.5
UNKNOWN_WORD = 0.02
LACKS_DRAWING = 0.25


@dataclass(frozen=True)
class Batch:
    """latents (B, C, h, w); prompt (B, tokens), phrases (K, tokens) ids; owner (K, 2): row and slot of each phrase."""

    latents: torch.Tensor
    prompt: torch.Tensor
    phrases: torch.Tensor
    owner: torch.Tensor
    grounding: Grounding

    def to(self, device: torch.device | str) -> Batch:
        moved = (getattr(self, name).to(device) for name in ("latents", "prompt", "phrases", "owner", "grounding"))
        return Batch(*moved)


class TinyDataset:
    """Encoded scenes in memory. Text embeddings are trained along, so a batch carries token ids instead of them."""

    def __init__(
        self, latents: np.ndarray, layouts: Sequence[Layout], tokenizer: PreTrainedTokenizerFast, slots: Slots
    ):
        self.latents, self.layouts, self.slots, self.tokenizer = latents, layouts, slots, tokenizer
        self.prompts = _ids(tokenizer, [layout.caption for layout in layouts], tokenizer.model_max_length)
        self.first = np.cumsum([0, *(len(layout.instances) for layout in layouts)])
        self.phrases = _ids(tokenizer, [i.caption for layout in layouts for i in layout], CAPTION_TOKENS)

    def batch(self, step: int, size: int, *, seed: int = 0, rank: int = 0) -> Batch:
        """The batch of that step: the same arguments give the same batch, so that training can resume anywhere."""
        random = np.random.default_rng([seed, step, rank])
        rows = random.integers(len(self.layouts), size=size)
        parts, prompts, phrases, owner = [], [], [], []
        for b, row in enumerate(rows):
            layout = self.layouts[row]
            drop = random.random()
            without_text = drop < DROP_TEXT + DROP_BOTH
            without_instances = DROP_TEXT <= drop < DROP_TEXT + DROP_BOTH + DROP_INSTANCES
            prompt = self.prompts[row]
            if len(layout.instances) == 1 and random.random() < CAPTION_OF_THE_THING:
                prompt = _padded(self.phrases[self.first[row]], prompt.shape[0])
            prompts.append(self.empty_prompt if without_text else prompt)
            grounding = _thinned(self._ground(layout, random), random)
            if without_instances:
                grounding = grounding.null()
            else:
                order = random.permutation(self.slots.max_instances)
                grounding = _permuted(grounding, order)
                for i in range(len(layout.instances)):
                    phrases.append(self.phrases[self.first[row] + i])
                    owner.append((b, int(np.nonzero(order == i)[0][0])))
            parts.append(grounding)
        return Batch(
            latents=torch.from_numpy(np.asarray(self.latents[rows], dtype=np.float32)),
            prompt=self._with_unknowns(np.stack(prompts), random),
            phrases=self._with_unknowns(np.stack(phrases), random),
            owner=torch.tensor(owner),
            grounding=Grounding.cat(parts),
        )

    @property
    def empty_prompt(self) -> np.ndarray:
        return _ids(self.tokenizer, [""], self.tokenizer.model_max_length)[0]

    def _ground(self, layout: Layout, random: np.random.Generator) -> Grounding:
        names = list(FORMAT_CHOICES)
        choice = random.choice(len(names), p=[weight for _, weight in FORMAT_CHOICES.values()])
        uses = FORMAT_CHOICES[names[choice]][0]
        kept = {"scribble": uses[2], "mask": uses[3]}
        bare = layout.model_copy(
            update={
                "instances": tuple(i.model_copy(update={k: None for k, v in kept.items() if not v}) for i in layout)
            }
        )
        grounding = ground(bare, torch.zeros(len(layout.instances), self.slots.text_dim), self.slots)
        return Grounding(**{**vars(grounding), "uses": torch.tensor([uses])})

    def _with_unknowns(self, ids: np.ndarray, random: np.random.Generator) -> torch.Tensor:
        """Some words become the unknown token, so that a word from outside the world does not throw the model off."""
        special = (ids == self.tokenizer.bos_token_id) | (ids == self.tokenizer.eos_token_id)
        unknown = ~special & (random.random(ids.shape) < UNKNOWN_WORD)
        return torch.from_numpy(np.where(unknown, self.tokenizer.unk_token_id, ids)).long()


def with_text(batch: Batch, embeddings: torch.Tensor) -> Grounding:
    """The batch's Grounding with the phrases' embeddings (K, C) in their slots."""
    text = embeddings.new_zeros(batch.grounding.text.shape)
    text[batch.owner[:, 0], batch.owner[:, 1]] = embeddings
    return Grounding(**{**vars(batch.grounding), "text": text})


def _thinned(grounding: Grounding, random: np.random.Generator) -> Grounding:
    """Some instances lose their scribble or mask: layouts mix formats."""
    slots = grounding.valid.shape[1]
    keep_scribble, keep_mask = (torch.from_numpy(random.random((1, slots)) >= LACKS_DRAWING) for _ in range(2))
    return Grounding(
        **{
            **vars(grounding),
            "scribbles": grounding.scribbles * keep_scribble[..., None],
            "polygons": grounding.polygons * keep_mask[..., None],
            "maps": grounding.maps * keep_mask[..., None, None],
        }
    )


def _permuted(grounding: Grounding, order: np.ndarray) -> Grounding:
    return Grounding(
        **{
            name: value if name == "uses" else value[:, torch.from_numpy(order)]
            for name, value in vars(grounding).items()
        }
    )


def _ids(tokenizer: PreTrainedTokenizerFast, texts: list[str], length: int) -> np.ndarray:
    encoded = tokenizer(texts, padding="max_length", truncation=True, max_length=length)
    return np.array(encoded["input_ids"], dtype=np.int32)


def _padded(ids: np.ndarray, length: int) -> np.ndarray:
    return np.concatenate((ids, np.full(length - len(ids), ids[-1], dtype=ids.dtype)))
