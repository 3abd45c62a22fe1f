"""Training examples of the tiny world as plain arrays: latents, token ids, locations; batches drawn by step number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from diffusion.conditions import Slots, ground
from diffusion.layout import Instance, Layout
from diffusion.unifusion import Grounding

CAPTION_TOKENS = 16
LOCATIONS = {
    "box": (("box",), 0.60),
    "point": (("point",), 0.12),
    "scribble": (("scribble",), 0.10),
    "mask": (("box", "mask"), 0.12),
    "all": (("box", "point", "scribble", "mask"), 0.06),
}
"""Where an instance is said to be, and how often so."""
MIXED = 0.2
"""Samples whose instances are located each in its own way; in the others all are in the same."""
DROP_TEXT, DROP_INSTANCES, DROP_BOTH = 0.10, 0.10, 0.05
CAPTION_OF_THE_THING = 0.5
UNKNOWN_WORD = 0.02


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
            grounding = self._ground(layout, random)
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
        ways = [kept for kept, _ in LOCATIONS.values()]
        count = len(layout.instances)
        drawn = random.choice(len(ways), size=count, p=[share for _, share in LOCATIONS.values()])
        if random.random() >= MIXED:
            drawn[:] = drawn[0]
        located = tuple(_located(instance, ways[way]) for instance, way in zip(layout, drawn, strict=True))
        seen = layout.model_copy(update={"instances": located})
        return ground(seen, torch.zeros(count, self.slots.text_dim), self.slots, seed=int(random.integers(1 << 31)))

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


def _located(instance: Instance, kept: Sequence[str]) -> Instance:
    return instance.model_copy(update=dict.fromkeys({"box", "point", "scribble", "mask"} - set(kept)))


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
