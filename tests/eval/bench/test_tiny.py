"""The bundled model and detectors together, on scenes no training saw; and the benchmark's own floor and ceiling."""

import numpy as np
import pytest
import torch

from diffusion.checkpoints import load_pipeline
from diffusion.layout import Box
from diffusion.tiny.vocabulary import describe
from diffusion.tiny.world import sample_scene
from eval.bench.frechet import frechet_distance
from eval.bench.tiny import bench_formats, bench_tiny, look
from eval.bench.tiny_ablations import ablations
from eval.bench.tiny_scenes import FORMATS, fresh_scenes, is_unseen, located_by
from eval.colours import colour_share
from eval.places import BUNDLED
from eval.tiny_detector import TinyDetector

PICTURES = 12
SEED = 70_000_000


@pytest.fixture(scope="module")
def referee():
    return TinyDetector.load(BUNDLED["tiny-referee"], "tiny-referee")


@pytest.fixture(scope="module")
def draw():
    pipeline = load_pipeline("tiny", device="cpu")
    pipeline.set_progress_bar_config(disable=True)

    def drawn(layouts, seeds):
        return pipeline(layouts, generator=[torch.Generator().manual_seed(seed) for seed in seeds]).images

    return drawn


@pytest.fixture(scope="module")
def scores(draw, referee):
    return bench_tiny(draw, [referee, TinyDetector.load()], PICTURES, largest=5, seed=SEED)


def value(scores, column, name):
    return scores[column][name]["value"]


def test_the_bundled_model_draws_what_is_planned_where_it_is_planned(scores):
    assert value(scores, "drawn", "mean_iou") > 0.5
    assert value(scores, "drawn", "in_place") > 0.7
    assert value(scores, "drawn", "kind_in_place") > 0.7
    assert value(scores, "drawn", "colour_in_place") > 0.85
    assert value(scores, "drawn", "colour_by_threshold") > 0.85


def test_real_pictures_are_the_ceiling_and_other_layouts_the_floor(scores):
    for name in ("mean_iou", "ap_50", "mask_iou", "point_in_mask", "scribble_in_mask"):
        assert value(scores, "real", name) > 0.75
        assert value(scores, "shuffled", name) < 0.3 < value(scores, "drawn", name)
    assert value(scores, "real", "kind_in_place") > 0.9


def test_a_second_detector_has_a_say(scores):
    assert scores["detector"] == "tiny-referee" and list(scores["other_detectors"]) == ["tiny"]
    assert value(scores["other_detectors"]["tiny"], "real", "mean_iou") > 0.8


def test_every_score_carries_its_denominator(scores):
    assert scores["pictures"] == PICTURES
    assert scores["drawn"]["mean_iou"]["of"] == scores["drawn"]["in_place"]["of"] == scores["things"]
    inside = round(value(scores, "drawn", "in_place") * scores["things"])
    assert scores["drawn"]["kind_in_place"]["of"] == inside
    pairs = [scores["pairs"][name]["drawn"]["in_place"]["of"] for name in ("trained", "unseen")]
    assert sum(pairs) == scores["things"] and min(pairs) > 0


def test_drawn_pictures_are_farther_from_real_ones_than_real_ones_are(scores):
    assert scores["frechet"]["drawn_to_real"] > 0 and scores["frechet"]["pictures"] == PICTURES // 2


def test_each_location_alone_reaches_the_model(draw, referee):
    seen = []

    def kept(layouts, seeds):
        seen.extend(layouts)
        return [sample_scene(seed, "held_out").image for seed in seeds]

    formats = bench_formats(kept, referee, 2, largest=5, seed=SEED)["formats"]
    assert list(formats) == [*FORMATS, "real"]
    uses = {
        name: {
            field for instance in layout for field in ("box", "point", "scribble", "mask") if getattr(instance, field)
        }
        for name, layout in zip(FORMATS, seen[::2], strict=True)
    }
    assert [uses[name] for name in ("box", "point", "scribble", "mask")] == [
        {"box"},
        {"point"},
        {"scribble"},
        {"box", "mask"},
    ]


def test_an_ablation_is_held_against_the_first_row(referee):
    """A setting that ruins every other picture costs that much; one that changes nothing costs nothing."""
    asked = []

    def draw(layouts, seeds, settings):
        asked.append(settings)
        pictures = [s.image for s in fresh_scenes(4, 5, SEED) if s.seed in seeds]
        return [p.point(lambda _: 128) if settings.get("ruin") else p for p in pictures]

    settings = (("as it is", {}), ("same", {"steps": 4}), ("grey", {"ruin": True}))
    ready: list[str] = []
    result = ablations(draw, referee, 4, largest=5, seed=SEED, own={"steps": 4}, settings=settings, on_row=ready.append)
    rows = result["rows"]
    assert asked == [{}, {"ruin": True}], "what comes to the same is drawn once"
    assert ready == [row["name"] for row in rows] == ["as it is", "same", "grey"]
    assert (result["pictures"], result["box_convention"]) == (4, "normalised xyxy")
    assert rows[1]["difference"]["mean_iou"]["value"] == 0
    assert rows[2]["difference"]["mean_iou"]["value"] == pytest.approx(-rows[0]["scores"]["mean_iou"]["value"])


def test_fresh_scenes_are_small_enough_and_half_of_them_new_pairs():
    scenes = fresh_scenes(20, 3, SEED)
    assert all(1 <= len(scene.things) <= 3 and scene.seed >= SEED for scene in scenes)
    assert [any(map(is_unseen, scene.things)) for scene in scenes] == [True, False] * 10


def test_masks_of_a_real_picture_are_the_worlds_own(referee):
    scenes = fresh_scenes(10, 3, SEED)
    marks = [m for picture in look(scenes, [s.image for s in scenes], referee).marks for m in picture if m.kind]
    assert len(marks) > 10
    assert np.mean([m.mask_iou for m in marks]) > 0.8
    assert np.mean([m.point_in_mask for m in marks]) > 0.9


def test_mixed_layouts_locate_their_instances_in_turn():
    layout = next(layout for layout in located_by(fresh_scenes(20, 5, SEED), "mixed") if len(layout.instances) >= 4)
    box, mask, scribble, point = layout.instances[:4]
    assert box.box and not (box.mask or box.point or box.scribble)
    assert mask.mask and scribble.scribble and point.point and not (scribble.box or point.box)


def test_frechet_distance_of_shifted_and_stretched_clouds():
    cloud = np.random.default_rng(0).normal(size=(20_000, 3))
    assert frechet_distance(cloud, cloud) == pytest.approx(0, abs=1e-3)
    assert frechet_distance(cloud, cloud + np.array([2, 0, 0])) == pytest.approx(4, abs=0.05)
    assert frechet_distance(cloud, cloud * 3) == pytest.approx(3 * (3 - 1) ** 2, abs=0.3)
    with pytest.raises(ValueError, match="at least two"):
        frechet_distance(cloud[:1], cloud)


def test_a_part_of_another_colour_is_told_from_the_thing():
    told = describe("a white house with a red roof")
    assert (told.kind, told.colour, told.part_colour, told.unknown_words) == ("house", "white", "red", ())


def test_a_things_colour_fills_its_box_and_other_colours_do_not():
    scene = next(s for s in map(sample_scene, range(100)) if s.things[0].colour == "red" and len(s.things) == 1)
    box = scene.things[0].box
    assert colour_share(scene.image, box, "red") > 0.2 > colour_share(scene.image, box, "purple")
    corner = Box(x0=0.0, y0=0.0, x1=0.01, y1=0.01)
    assert colour_share(scene.image, corner, "red") in (0.0, 1.0)
