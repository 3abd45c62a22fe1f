"""The bundled model and detector together, on scenes no training saw; and the benchmark's own floor and ceiling."""

import pytest
import torch

from diffusion.checkpoints import load_pipeline
from diffusion.layout import Box
from diffusion.tiny.world import sample_scene
from eval.colours import colour_share
from eval.tiny_bench import bench_tiny, held_out_scenes
from eval.tiny_detector import TinyDetector

PICTURES = 12
SEED = 70_000_000


@pytest.fixture(scope="module")
def scores():
    pipeline = load_pipeline("tiny", device="cpu")
    pipeline.set_progress_bar_config(disable=True)

    def draw(layouts, seeds):
        return pipeline(layouts, generator=[torch.Generator().manual_seed(seed) for seed in seeds]).images

    return bench_tiny(draw, TinyDetector.load(), PICTURES, seed=SEED)


def value(scores, column, name):
    return scores[column][name]["value"]


def test_the_bundled_model_draws_what_is_planned_where_it_is_planned(scores):
    assert value(scores, "drawn", "mean_iou") > 0.5
    assert value(scores, "drawn", "kind") > 0.6
    assert value(scores, "drawn", "colour") > 0.8
    assert value(scores, "drawn", "colour_by_threshold") > 0.85


def test_real_pictures_are_the_ceiling_and_other_layouts_the_floor(scores):
    for name in ("mean_iou", "kind", "colour", "colour_by_threshold"):
        assert value(scores, "real", name) > 0.85
        assert value(scores, "shuffled", name) < 0.4
        assert value(scores, "shuffled", name) < value(scores, "drawn", name)


def test_every_score_carries_its_denominator(scores):
    assert scores["pictures"] == PICTURES
    assert all(entry["of"] == scores["things"] for entry in scores["drawn"].values())


def test_held_out_scenes_are_small_enough_and_new():
    for scene in held_out_scenes(20, 3, SEED):
        assert 1 <= len(scene.things) <= 3 and scene.seed >= SEED


def test_a_things_colour_fills_its_box_and_other_colours_do_not():
    scene = next(s for s in map(sample_scene, range(100)) if s.things[0].colour == "red" and len(s.things) == 1)
    box = scene.things[0].box
    assert colour_share(scene.image, box, "red") > 0.2 > colour_share(scene.image, box, "purple")
    corner = Box(x0=0.0, y0=0.0, x1=0.01, y1=0.01)
    assert colour_share(scene.image, corner, "red") in (0.0, 1.0)
