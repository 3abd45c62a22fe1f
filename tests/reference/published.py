"""Rebuilds the weights and inputs behind the golden tensors: every number follows from a name and a shape.

The golden tensors were recorded from the published implementation of InstanceDiffusion with these weights. A weight's
name is its key in the published checkpoint; the port's key is the one that our network has.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from diffusion.unifusion import FORMATS, Grounding

DATA = Path(__file__).parents[1] / "data" / "reference"
SLOTS = 30
MAP_SIZE = 512


@functools.cache
def golden(name: str) -> Mapping[str, torch.Tensor]:
    return load_file(DATA / f"{name}.safetensors")


@functools.cache
def facts(name: str) -> Any:
    return json.loads((DATA / f"{name}.json").read_text())


ERRORS: list[float] = []
"""What relative_error returned in the present test; conftest.py tells the largest."""


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    ERRORS.append(((actual.double() - expected.double()).norm() / expected.double().norm()).item())
    return ERRORS[-1]


def uniform(name: str, shape: Sequence[int]) -> np.ndarray:
    """Float64 in [0, 1)."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    bits = np.random.PCG64(seed).random_raw(math.prod(shape))
    return ((bits >> np.uint64(40)) * 2.0**-24).reshape(shape)


def drawn(name: str, shape: Sequence[int], std: float = 1.0, mean: float = 0.0) -> torch.Tensor:
    """Float32 with that standard deviation and mean."""
    values = (2 * uniform(name, shape) - 1) * (math.sqrt(3) * std) + mean
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def weights(size: str, prefix: str = "") -> dict[str, torch.Tensor]:
    """The weights of the "full" or the "reduced" network whose keys start with the prefix; the keys come without it."""
    shapes = facts("manifest_port") if size == "full" else facts("manifest_reduced")
    return {
        port.removeprefix(prefix): _weight(official, shapes[port if size == "full" else official][0])
        for official, port in facts("official_to_port").items()
        if port.startswith(prefix)
    }


def _weight(name: str, shape: Sequence[int]) -> torch.Tensor:
    return drawn(name, shape, *_spread(name, shape))


def _spread(name: str, shape: Sequence[int]) -> tuple[float, float]:
    """Standard deviation and mean of a weight."""
    last = name.rsplit(".", 1)[-1]
    if last in ("alpha_attn", "alpha_dense"):
        return 0.1, 0.5
    if name.startswith("scaleu_"):
        return 0.3, 0.0
    if last.startswith("null_"):
        return 0.5, 0.0
    if last == "pos_embedding":
        return 0.2, 0.0
    if last == "gamma":
        return 0.05, 0.3
    if len(shape) >= 2:
        gain = 1.5 if name.endswith(("to_q.weight", "to_k.weight")) else 1.0
        return gain / math.sqrt(math.prod(shape[1:])), 0.0
    return {"weight": (0.1, 1.0), "bias": (0.05, 0.0)}[last]


def grounding(
    layout: str,
    configuration: str,
    *,
    tag: str | None = None,
    text_dim: int = 768,
    available: Sequence[Sequence[str]] | None = None,
) -> Grounding:
    """The grounding of a published case.

    layout: its name in cases.json; tag: the prefix of its random numbers, the layout's name unless given.
    configuration: box, point, scribble or mask. available: which of scribble, polygon and seg each instance has.
    """
    tag = tag or layout
    boxes = np.array(facts("cases")["layouts"][layout])
    low, side, n = boxes[:, :2], boxes[:, 2:] - boxes[:, :2], len(boxes)
    has = {
        name: np.array([available is None or name in available[i] for i in range(n)], dtype=float)
        for name in ("scribble", "polygon", "seg")
    }
    scribbles = low[:, None] + uniform(f"{tag}.scribbles", (n, 20, 2)) * side[:, None]
    polygons = low[:, None] + uniform(f"{tag}.polygons", (n, 256, 2)) * side[:, None]
    maps = np.stack([ellipse(box) for box in boxes])
    text = torch.zeros(1, SLOTS, text_dim)
    text[0, :n] = drawn(f"{tag}.text_embeddings", (n, text_dim))
    dropped = facts("cases")["drops"][configuration]
    return Grounding(
        valid=_slots(np.ones(n)),
        text=text,
        boxes=_slots(boxes),
        points=_slots(low + (0.25 + 0.5 * uniform(f"{tag}.points", (n, 2))) * side),
        scribbles=_slots(scribbles.reshape(n, -1) * has["scribble"][:, None]),
        polygons=_slots(polygons.reshape(n, -1) * has["polygon"][:, None]),
        maps=_slots(maps * has["seg"][:, None, None]),
        uses=torch.tensor([[not dropped[name] for name in FORMATS]]),
    )


def ellipse(box: np.ndarray) -> np.ndarray:
    """The map of an instance: the ellipse in its box, bool (512, 512)."""
    x0, y0, x1, y1 = (math.floor(MAP_SIZE * value + 0.5) for value in box)
    y, x = np.mgrid[:MAP_SIZE, :MAP_SIZE]
    width, height = x1 - x0, y1 - y0
    return ((2 * x + 1 - (x0 + x1)) * height) ** 2 + ((2 * y + 1 - (y0 + y1)) * width) ** 2 <= (width * height) ** 2


def _slots(values: np.ndarray) -> torch.Tensor:
    """(n, ...) -> (1, SLOTS, ...) in float32, zeros in unused slots."""
    padded = torch.zeros(1, SLOTS, *values.shape[1:])
    padded[0, : len(values)] = torch.from_numpy(values.astype(np.float32))
    return padded
