"""Distances of pictures inside and outside boxes."""

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity

from diffusion.layout import Box
from eval.closeness import closeness

BOX = Box(x0=0.25, y0=0.5, x1=0.5, y1=0.75)
"""8 x 8 of 32 x 32 pixels."""


def grey(level: int) -> Image.Image:
    return Image.new("RGB", (32, 32), (level,) * 3)


def test_a_change_inside_stays_inside():
    after = grey(100)
    after.paste((151, 100, 100), (8, 16, 16, 24))
    found = closeness(grey(100), after, [BOX])
    assert found.edited == 64 / 1024
    assert found.inside == pytest.approx(51 / 255 / 3)
    assert found.outside == 0
    assert found.ssim_inside < found.ssim_outside <= 1


def test_a_change_outside_is_found_outside():
    after = grey(110)
    after.paste((100,) * 3, (8, 16, 16, 24))
    found = closeness(grey(100), after, [BOX])
    assert found.inside == 0 and found.outside == pytest.approx(10 / 255)


def test_overlapping_boxes_count_once_and_an_edge_on_a_border_touches_one_side():
    found = closeness(grey(0), grey(255), [BOX, BOX, Box(x0=0.25, y0=0.5, x1=0.55, y1=0.75)])
    assert found.edited == 10 * 8 / 1024
    assert found.inside == found.outside == 1


def test_without_boxes_all_is_outside_and_with_the_whole_canvas_none_is():
    nothing, whole = (closeness(grey(0), grey(51), boxes) for boxes in ([], [Box(x0=0, y0=0, x1=1, y1=1)]))
    assert (nothing.inside, nothing.outside, nothing.edited) == (None, pytest.approx(0.2), 0)
    assert (whole.inside, whole.outside, whole.ssim_outside) == (pytest.approx(0.2), None, None)


def test_ssim_is_that_of_the_library():
    random = np.random.default_rng(0)
    one, two = (random.integers(0, 256, (40, 24, 3), dtype=np.uint8) for _ in range(2))
    found = closeness(Image.fromarray(one), Image.fromarray(two), [])
    _, full = structural_similarity(one, two, channel_axis=2, full=True)
    assert found.ssim_outside == pytest.approx(full.mean(), abs=1e-3)


def test_pictures_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match=r"\(32, 32\) and \(8, 8\)"):
        closeness(grey(0), Image.new("RGB", (8, 8)), [])
