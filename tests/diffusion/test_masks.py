"""Masks as pixels agree with pycocotools, both ways, and with the extent that a Layout states without numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from diffusion.layout import Mask, Point, RunLength
from diffusion.masks import array_to_rle, mask_to_array

pixels = hnp.arrays(bool, st.tuples(st.integers(8, 24), st.integers(8, 24))).filter(lambda array: array.any())
coordinate = st.floats(0, 1, allow_nan=False, width=32)
polygon = (
    st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=8)
    .filter(lambda points: len({x for x, _ in points}) > 1 and len({y for _, y in points}) > 1)
    .map(lambda points: tuple(Point(x=x, y=y) for x, y in points))
)


@given(pixels)
def test_pixels_survive_the_run_length_code(array):
    height, width = array.shape
    assert np.array_equal(mask_to_array(Mask(rle=array_to_rle(array)), height, width), array)


@given(pixels)
def test_both_spellings_of_the_counts_mean_the_same(array):
    compressed = array_to_rle(array)
    listed = RunLength(size=compressed.size, counts=tuple(compressed.runs()))
    assert np.array_equal(mask_to_array(Mask(rle=listed), *array.shape), array)
    assert coco.frPyObjects({"size": list(listed.size), "counts": list(listed.counts)}, *array.shape) == {
        "size": list(compressed.size),
        "counts": compressed.counts.encode(),
    }


@given(pixels)
def test_extent_is_the_bounding_box_of_pycocotools(array):
    height, width = array.shape
    rle = array_to_rle(array)
    extent = Mask(rle=rle).extent()
    x, y, w, h = coco.toBbox({"size": list(rle.size), "counts": rle.counts.encode()})
    assert (extent.x0, extent.y0, extent.x1, extent.y1) == (x / width, y / height, (x + w) / width, (y + h) / height)


def test_long_runs_and_large_masks_are_exact():
    array = np.zeros((3000, 2000), dtype=bool)
    array[1000:2999, 17:1999] = True
    array[::7, ::11] ^= True
    assert np.array_equal(mask_to_array(Mask(rle=array_to_rle(array)), 3000, 2000), array)


@settings(max_examples=60)
@given(st.lists(polygon, min_size=1, max_size=3), st.integers(8, 64), st.integers(8, 64))
def test_polygons_are_joined_and_stay_within_their_extent(polygons, height, width):
    mask = Mask(polygons=tuple(polygons))
    array, extent = mask_to_array(mask, height, width), mask.extent()
    alone = [mask_to_array(Mask(polygons=(one,)), height, width) for one in polygons]
    assert array.shape == (height, width)
    assert np.array_equal(array, np.logical_or.reduce(alone))
    rows, columns = np.nonzero(array)
    if rows.size:
        assert columns.min() >= extent.x0 * width - 1 and columns.max() + 1 <= extent.x1 * width + 1
        assert rows.min() >= extent.y0 * height - 1 and rows.max() + 1 <= extent.y1 * height + 1


def test_a_rectangle_of_points_fills_its_pixels():
    corners = tuple(Point(x=x, y=y) for x, y in ((0.25, 0.5), (0.75, 0.5), (0.75, 1.0), (0.25, 1.0)))
    expected = np.zeros((40, 80), dtype=bool)
    expected[20:40, 20:60] = True
    assert np.array_equal(mask_to_array(Mask(polygons=(corners,)), 40, 80), expected)


def test_a_code_of_another_size_is_resampled_to_the_nearest_pixel():
    array = np.zeros((16, 8), dtype=bool)
    array[4:8, 2:4] = True
    larger = mask_to_array(Mask(rle=array_to_rle(array)), 32, 32)
    assert np.array_equal(larger, np.kron(array, np.ones((2, 4))).astype(bool))
    assert np.array_equal(mask_to_array(Mask(rle=array_to_rle(larger)), 16, 8), array)


def test_numbers_other_than_zero_are_inside():
    array = np.zeros((8, 8))
    array[2, 3] = 0.25
    assert mask_to_array(Mask(rle=array_to_rle(array)), 8, 8).sum() == 1


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((8, 8), dtype=bool), "the mask is empty"),
        (np.ones((8, 8, 1), dtype=bool), r"not the shape \(8, 8, 1\)"),
        (np.ones((4, 8), dtype=bool), "greater than or equal to 8"),
    ],
)
def test_arrays_that_are_no_mask_are_refused(array, message):
    with pytest.raises(ValueError, match=message):
        array_to_rle(array)
