"""Scribbles and polygon points drawn from masks, to the pixel."""

from __future__ import annotations

import json

import numpy as np
import pytest

from diffusion.conditions import polygon_points, scribble_points
from diffusion.layout import Mask, RunLength
from diffusion.masks import mask_to_array
from tests.reference.published import DATA, ellipse, facts, golden

LAYOUTS = DATA.parent / "layouts"
MASKS = ["ellipse0", "ellipse1", "ellipse2", "corgi0", "corgi2", "corgi7"]


def pixels(name: str) -> np.ndarray:
    number = int(name[-1])
    if name.startswith("ellipse"):
        return ellipse(np.array(facts("cases")["layouts"]["pub.A"][number]))
    code = json.loads((LAYOUTS / "demo_corgi_kitchen.json").read_text())["annos"][number]["mask"]
    return mask_to_array(Mask(rle=RunLength(size=tuple(code["size"]), counts=code["counts"])), *code["size"])


@pytest.mark.parametrize("name", MASKS)
def test_pixels(name: str):
    assert pixels(name).sum() == golden("preprocess")[f"{name}.popcount"]


@pytest.mark.parametrize("name", MASKS)
def test_scribble(name: str):
    mask, expected = pixels(name), golden("preprocess")[f"{name}.scribble20_xy"].numpy().reshape(-1, 2)
    seed = int(name[-1]) if name.startswith("ellipse") else 0
    points = scribble_points(mask, 20, np.random.RandomState(seed))
    np.testing.assert_array_equal(points * mask.shape[::-1], expected)


@pytest.mark.parametrize("name", MASKS)
def test_polygon(name: str):
    mask, expected = pixels(name), golden("preprocess")[f"{name}.polygon256_xy"].numpy().reshape(-1, 2)
    points = polygon_points(mask, 256, np.random.RandomState(0))
    np.testing.assert_array_equal(points, np.minimum(expected / mask.shape[::-1], 1))


def test_a_mask_with_few_pixels_has_as_many_points():
    mask = np.zeros((32, 32), bool)
    mask[4:12, 6:18] = True
    points = polygon_points(mask, 256, np.random.default_rng(0))
    assert points.size == golden("preprocess")["tiny8x12.polygon256_len"]
