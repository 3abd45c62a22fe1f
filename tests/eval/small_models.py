"""Detectors and a CLIP of transformers, as small as they work, saved the way people save them.

The world they live in: coloured rectangles on grey. "apple" is a red one, "lime" a green one, "plum" a blue one.
OWLv2 and CLIP have learned it: ``python -m tests.eval.small_models`` wrote their folders in tests/data/small_models.
Grounding DINO has random weights.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch.nn import functional as F
from transformers import (
    BertConfig,
    BertTokenizer,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessorPil,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2ImageProcessorPil,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    SwinConfig,
)

from diffusion.layout import Box

SAVED = Path(__file__).parents[1] / "data" / "small_models"

COLOUR_OF = {"apple": (220, 30, 30), "lime": (40, 180, 60), "plum": (40, 60, 220)}
GREY = (128, 128, 128)
COLOURS = {
    "red": (215, 30, 35),
    "orange": (245, 140, 25),
    "yellow": (245, 220, 40),
    "green": (35, 160, 60),
    "blue": (35, 70, 220),
    "purple": (120, 40, 170),
    "pink": (250, 140, 190),
    "brown": (110, 65, 30),
    "black": (20, 20, 20),
    "white": (245, 245, 245),
}
WORDS = f"a photo of object colored - small apple lime plum pear {' '.join(COLOURS)}"
TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
LENGTH = 16


def picture(width: int, height: int, *things: tuple[str, Box]) -> Image.Image:
    """The things, in the order given, as rectangles on grey."""
    image = Image.new("RGB", (width, height), GREY)
    draw = ImageDraw.Draw(image)
    for name, box in things:
        draw.rectangle((box.x0 * width, box.y0 * height, box.x1 * width - 1, box.y1 * height - 1), COLOUR_OF[name])
    return image


def train_owlv2(folder: Path, steps: int = 700) -> None:
    """An OWLv2 of 8 x 8 patches that has learned to find the world's things in pictures of any shape."""
    torch.manual_seed(0)
    tokenizer, processor = _words(), Owlv2ImageProcessorPil(size={"height": 64, "width": 64})
    vocabulary = {"vocab_size": len(tokenizer), "max_position_embeddings": LENGTH}
    net = Owlv2ForObjectDetection(
        Owlv2Config(
            text_config={**TOWER, **vocabulary, "bos_token_id": 1, "eos_token_id": len(tokenizer) - 1},
            vision_config={**TOWER, "image_size": 64, "patch_size": 8},
            projection_dim=32,
        )
    )
    net.box_head.dense2.weight.data *= 0.01  # A box starts as its patch.
    scenes = [_scene(random.Random(seed)) for seed in range(240)]
    pixels = processor([image for image, _ in scenes], return_tensors="pt")["pixel_values"]
    targets = [_targets(image, things) for image, things in scenes]
    boxes, classes, inside = (torch.stack(field) for field in zip(*targets, strict=True))
    texts = [f"a photo of a {name}" for name in COLOUR_OF]
    tokens = tokenizer(texts, padding="max_length", max_length=LENGTH, return_tensors="pt")
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        rows = torch.arange(12) + 12 * (step % (len(scenes) // 12))
        asked = {name: tokens[name].repeat(len(rows), 1) for name in ("input_ids", "attention_mask")}
        outputs = net(pixel_values=pixels[rows], **asked)
        loss = F.binary_cross_entropy_with_logits(outputs.logits, classes[rows]) * 3
        loss = loss + F.l1_loss(outputs.pred_boxes[inside[rows]], boxes[rows][inside[rows]]) * 5
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    _save(folder, net, processor, tokenizer)


def train_clip(folder: Path, steps: int = 250) -> None:
    """A CLIP that has learned the names of ten colours on patches of them, lighter and darker."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    tokenizer = _words()
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    text = {**TOWER, "vocab_size": len(tokenizer), "max_position_embeddings": LENGTH}
    net = CLIPModel(
        CLIPConfig(
            text_config={**text, "bos_token_id": 1, "eos_token_id": len(tokenizer) - 1},
            vision_config={**TOWER, "image_size": 32, "patch_size": 16},
            projection_dim=32,
        )
    )
    names = list(COLOURS)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    for step in range(steps):
        shades = np.array(list(COLOURS.values())) + rng.normal(0, 12, (len(names), 3))
        patches = [np.full((32, 32, 3), shade.clip(0, 255), dtype=np.uint8) for shade in shades]
        noun = ["apple", "lime", "plum", "pear", "object"][step % 5]
        texts = [f"a photo of a {name} {noun}" for name in names]
        outputs = net(**tokenizer(texts, padding=True, return_tensors="pt"), **processor(patches, return_tensors="pt"))
        loss = F.cross_entropy(outputs.logits_per_image, torch.arange(len(names)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    _save(folder, net, processor, tokenizer)


def save_grounding_dino(folder: Path, longest: int = 256, seed: int = 0) -> Path:
    """Random weights; a token a word, at the ids that this family's code knows by heart."""
    torch.manual_seed(seed)
    words = ["[PAD]", *(f"[unused{n}]" for n in range(1, 1030))]
    words[100:104] = ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words[1012], words[1029] = ".", "?"
    vocabulary = [*dict.fromkeys(WORDS.split())]
    words[200 : 200 + len(vocabulary)] = vocabulary
    net = GroundingDinoForObjectDetection(
        GroundingDinoConfig(
            backbone_config=SwinConfig(
                image_size=64, patch_size=4, embed_dim=8, depths=[1, 1, 1], num_heads=[1, 2, 2], window_size=4,
                out_features=["stage1", "stage2", "stage3"],
            ),
            text_config=BertConfig(vocab_size=len(words), max_position_embeddings=512, **TOWER),
            d_model=32, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=32, decoder_ffn_dim=32,
            encoder_attention_heads=2, decoder_attention_heads=2, num_queries=30, num_feature_levels=4,
            max_text_len=longest,
        )
    )  # fmt: skip
    with torch.no_grad():
        # Wide enough that what is seen and asked for shows in the scores.
        net.model.text_projection.weight *= 8
    tokenizer = BertTokenizer(vocab={word: n for n, word in enumerate(words)})
    processor = GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96})
    _save(folder, net, processor, tokenizer)
    return folder


def _save(folder: Path, net: PreTrainedModel, processor: object, tokenizer: object) -> None:
    net.save_pretrained(folder)
    processor.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _scene(rng: random.Random) -> tuple[Image.Image, list[tuple[str, Box]]]:
    """One thing in each half of a picture of any shape, or in one half only."""
    width, height = rng.randint(40, 120), rng.randint(40, 120)
    things = []
    for left in rng.choice([[0.0], [0.5], [0.0, 0.5]]):
        x0, y0 = left + rng.uniform(0.02, 0.15), rng.uniform(0.02, 0.5)
        box = Box(x0=x0, y0=y0, x1=x0 + rng.uniform(0.2, 0.3), y1=y0 + rng.uniform(0.25, 0.45))
        things.append((rng.choice(list(COLOUR_OF)), box))
    return picture(width, height, *things), things


def _targets(image: Image.Image, things: list[tuple[str, Box]]) -> tuple[torch.Tensor, ...]:
    """For each of the 64 patches of the padded square: centre, width and height, one-hot class, whether in a thing."""
    longest = max(image.size)
    boxes, classes, inside = torch.zeros(64, 4), torch.zeros(64, 3), torch.zeros(64, dtype=torch.bool)
    for name, box in things:
        x0, x1 = (value * image.width / longest for value in (box.x0, box.x1))
        y0, y1 = (value * image.height / longest for value in (box.y0, box.y1))
        for patch in range(64):
            x, y = (patch % 8 + 0.5) / 8, (patch // 8 + 0.5) / 8
            if x0 <= x <= x1 and y0 <= y <= y1:
                boxes[patch] = torch.tensor([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0])
                classes[patch, list(COLOUR_OF).index(name)], inside[patch] = 1.0, True
    return boxes, classes, inside


def _words() -> PreTrainedTokenizerFast:
    """A token a word; the end has the highest id, by which these text encoders find it."""
    words = ["<pad>", "<start>", "<other>", *dict.fromkeys(WORDS.split()), "<end>"]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<other>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 1), ("<end>", len(words) - 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=LENGTH,
        pad_token="<pad>",
        unk_token="<other>",
        bos_token="<start>",
        eos_token="<end>",
    )


if __name__ == "__main__":
    train_owlv2(SAVED / "owlv2")
    train_clip(SAVED / "clip")
