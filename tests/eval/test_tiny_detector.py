"""The bundled detector on scenes that it never saw, and the training script end to end in miniature."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from diffusion.layout import Box, Instance, Layout
from diffusion.tiny.vocabulary import COLOURS, KINDS, TEXTURES
from diffusion.tiny.world import draw_layout, sample_scene
from eval.boxes import iou
from eval.measure_tiny_detector import measure
from eval.places import BUNDLED
from eval.report import Detection
from eval.thresholds import TINY
from eval.tiny_detector import (
    MOST_DETECTIONS,
    DetectorConfig,
    TinyDetector,
    group_pixels,
)
from eval.train_tiny_detector import FIRST_TRAINING_SEED, giou, main, targets


@pytest.fixture(scope="module")
def detector() -> TinyDetector:
    return TinyDetector.load()


def drawn(caption: str, box: Box, size: tuple[int, int] = (128, 128), background: str = "grass") -> Image.Image:
    instance = Instance(id="a", category="thing", caption=caption, box=box)
    layout = Layout(version=1, caption="c", background=background, width=size[0], height=size[1], instances=(instance,))
    return draw_layout(layout, seed=11).image


@pytest.fixture(scope="module")
def quality(detector):
    first = 20_000_000
    assert first < FIRST_TRAINING_SEED
    return measure(detector, [sample_scene(first + index, "any") for index in range(80)])


def test_it_finds_the_things_of_fresh_scenes(quality):
    assert quality["ap50"] > 0.93
    assert quality["recall"] > 0.9
    assert quality["precision"] > 0.9
    assert quality["mean_iou_of_matched"] > 0.85


def test_it_tells_colours_and_textures(quality):
    assert quality["colour_accuracy"] > 0.97
    assert quality["texture_accuracy"] > 0.85


def test_no_kind_is_lost(quality):
    assert min(ap for ap in quality["ap50_per_kind"].values() if ap >= 0) > 0.6


def test_held_out_pairs_are_seen_as_well(detector):
    found = measure(detector, [sample_scene(index, "held_out") for index in range(40)])
    assert found["recall"] > 0.88
    assert found["colour_accuracy"] > 0.95


@pytest.mark.parametrize("size", [(128, 128), (512, 512), (384, 256), (64, 64)])
def test_pictures_of_any_size_give_normalised_boxes(detector, size):
    box = Box(x0=0.25, y0=0.3, x1=0.7, y1=0.85)
    [found] = detector.detect(drawn("a red ball", box, size))
    assert (found.label, found.colour, found.texture) == ("ball", "red", "plain")
    assert iou(found.box, box) > 0.75


def test_a_blurred_picture_is_still_read(detector):
    box = Box(x0=0.3, y0=0.3, x1=0.7, y1=0.7)
    [found] = detector.detect(drawn("a blue star", box).filter(ImageFilter.GaussianBlur(1.2)))
    assert (found.label, found.colour) == ("star", "blue")


def test_an_empty_background_holds_nothing(detector):
    layouts = [
        Layout(version=1, caption="c", background=name, width=128, height=128, instances=())
        for name in ("grass", "night", "street", "grey", "beach", "room")
    ]
    found = [detector.detect(draw_layout(layout, seed=5).image) for layout in layouts]
    assert sum(map(len, found)) <= 1


def test_detections_are_deterministic_sorted_apart_and_of_this_world(detector):
    for seed in range(12):
        image = sample_scene(seed, "any").image
        found = detector.detect(image)
        assert found == detector.detect(image)
        assert len(found) <= MOST_DETECTIONS
        assert [d.score for d in found] == sorted((d.score for d in found), reverse=True)
        for index, d in enumerate(found):
            assert d.score >= TINY.report
            assert d.label in KINDS and d.colour in COLOURS and d.texture in TEXTURES
            assert all(iou(d.box, other.box) <= TINY.nms_iou for other in found[:index])


def test_noise_and_odd_modes_do_not_break_it(detector):
    noise = np.random.default_rng(0).integers(0, 256, (90, 200, 3), dtype=np.uint8)
    for mode in ("RGB", "L", "RGBA", "P"):
        detector.detect(Image.fromarray(noise).convert(mode))


def test_weights_survive_saving(detector, tmp_path):
    detector.save(tmp_path)
    image = sample_scene(3, "any").image
    assert TinyDetector.load(tmp_path).detect(image) == detector.detect(image)


def test_the_bundled_weights_are_small(detector):
    assert sum(p.numel() for p in detector.net.parameters()) <= 1_300_000
    assert sum(f.stat().st_size for f in BUNDLED["tiny"].iterdir()) < 2_700_000


def test_broken_weights_are_named(detector, tmp_path):
    with pytest.raises(OSError, match=r"config\.json"):
        TinyDetector.load(tmp_path)
    detector.save(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(ValueError, match=r"model\.safetensors: not the weights"):
        TinyDetector.load(tmp_path)
    (tmp_path / "config.json").write_text('{"width": [1]}')
    with pytest.raises(ValueError, match=r"config\.json: not a detector's configuration"):
        TinyDetector.load(tmp_path)


def test_targets_peak_at_the_centres_of_full_boxes():
    scene = sample_scene(4, "any")
    boxes = np.array([thing.box.xyxy() for thing in scene.things])
    owners = np.zeros((128, 128), np.uint8)
    maps = targets(scene, boxes, owners, DetectorConfig())
    for thing, (x0, y0, x1, y1) in zip(scene.things, boxes, strict=True):
        row, column = int((y0 + y1) / 2 * 32), int((x0 + x1) / 2 * 32)
        assert maps["heat"][list(KINDS).index(thing.kind), row, column] == 1
        assert maps["weight"][row, column] == 1
    assert maps["heat"].sum(dim=(1, 2)).count_nonzero() == len({thing.kind for thing in scene.things})


def test_every_pixel_of_a_thing_points_at_the_centre_of_its_box():
    scene = next(s for s in map(sample_scene, range(50)) if len(s.things) > 2)
    boxes = np.array([thing.box.xyxy() for thing in scene.things])
    owners = sum(thing.mask * np.uint8(i + 1) for i, thing in enumerate(scene.things))
    seen, x, y = targets(scene, boxes, owners, DetectorConfig(masks=True))["owners"].numpy()
    rows, columns = np.nonzero(seen)
    assert len(rows) == np.count_nonzero(owners[::2, ::2])
    for row, column in zip(rows, columns, strict=True):
        box = scene.things[owners[2 * row, 2 * column] - 1].box
        assert x[row, column] + (column + 0.5) / 64 == pytest.approx((box.x0 + box.x1) / 2)
        assert y[row, column] + (row + 0.5) / 64 == pytest.approx((box.y0 + box.y1) / 2)


def test_pixels_go_to_the_detection_they_point_at():
    boxes = [Box(x0=0.1, y0=0.1, x1=0.4, y1=0.5), Box(x0=0.5, y0=0.2, x1=0.9, y1=0.8)]
    grid = (torch.arange(64) + 0.5) / 64
    owners = torch.full((1, 3, 64, 64), -5.0)
    for x0, y0, x1, y1 in (box.xyxy() for box in boxes):
        inside = ((grid > y0) & (grid < y1))[:, None] & ((grid > x0) & (grid < x1))[None]
        to_centre = torch.stack([((x0 + x1) / 2 - grid).expand(64, 64), ((y0 + y1) / 2 - grid)[:, None].expand(64, 64)])
        owners[0, 0][inside] = 5.0
        owners[0, 1:][:, inside] = to_centre[:, inside]
    masks = group_pixels(owners, [Detection(box=box, label="ball", score=1.0) for box in boxes])
    for mask, box in zip(masks, boxes, strict=True):
        rows, columns = np.nonzero(mask)
        assert mask.mean() == pytest.approx(box.area, abs=0.02)
        assert columns.min() / 128 == pytest.approx(box.x0, abs=0.02)
        assert rows.max() / 128 == pytest.approx(box.y1, abs=0.02)


def test_a_detector_without_the_head_has_no_masks(detector):
    with pytest.raises(ValueError, match="no head for masks"):
        detector.masks(sample_scene(0).image, [])


def test_giou_of_equal_touching_and_distant_boxes():
    a = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    assert giou(a, a).item() == pytest.approx(1)
    assert giou(a, torch.tensor([[1.0, 0.0, 2.0, 1.0]])).item() == pytest.approx(0)
    assert giou(a, torch.tensor([[3.0, 0.0, 4.0, 1.0]])).item() == pytest.approx(-0.5)


def test_training_resumes_where_it_stopped(tmp_path):
    for steps in (1, 3):
        main(["--out", str(tmp_path), "--steps", str(steps), "--batch", "2", "--masks"])
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert (state["step"], state["seen"]) == (3, 6)
    assert TinyDetector.load(tmp_path / "detector").detect(sample_scene(0).image) == []
