"""Box geometry against counted pixels and against its own laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion.layout import Box, Point
from eval.boxes import area, as_array, iou, nms, pairwise_distance, pairwise_intersection, pairwise_iou, share_inside

SIDE = 12


@st.composite
def pixel_boxes(draw, most=4):
    """Boxes with whole-number corners on a small grid, as an (N, 4) array."""
    corners = st.integers(0, SIDE - 1)

    def one():
        x0, y0 = draw(corners), draw(corners)
        return [x0, y0, draw(st.integers(x0 + 1, SIDE)), draw(st.integers(y0 + 1, SIDE))]

    return np.array([one() for _ in range(draw(st.integers(1, most)))], dtype=float)


span = st.lists(st.floats(0, 1), min_size=2, max_size=2).map(sorted)
unit_boxes = st.tuples(span, span).map(lambda spans: [spans[0][0], spans[1][0], spans[0][1], spans[1][1]])


def filled(box):
    grid = np.zeros((SIDE, SIDE), dtype=bool)
    x0, y0, x1, y1 = box.astype(int)
    grid[y0:y1, x0:x1] = True
    return grid


@given(pixel_boxes(), pixel_boxes())
def test_areas_intersections_and_iou_agree_with_counted_pixels(a, b):
    for i, one in enumerate(a):
        assert area(a)[i] == filled(one).sum()
        for j, other in enumerate(b):
            shared, union = (filled(one) & filled(other)).sum(), (filled(one) | filled(other)).sum()
            assert pairwise_intersection(a, b)[i, j] == shared
            assert pairwise_iou(a, b)[i, j] == pytest.approx(shared / union)


@given(st.lists(unit_boxes, max_size=4), st.lists(unit_boxes, max_size=4))
def test_iou_is_symmetric_and_between_0_and_1(a, b):
    overlaps = pairwise_iou(a, b)
    assert overlaps.shape == (len(a), len(b))
    assert np.array_equal(overlaps, pairwise_iou(b, a).T)
    assert ((overlaps >= 0) & (overlaps <= 1)).all()


@given(pixel_boxes(), pixel_boxes(), st.floats(0.1, 50), st.floats(0.1, 50))
def test_iou_of_normalised_boxes_is_the_iou_in_pixels_of_any_canvas(a, b, width, height):
    scale = np.array([width, height, width, height])
    assert np.allclose(pairwise_iou(a * scale, b * scale), pairwise_iou(a, b))


@given(pixel_boxes())
def test_a_box_is_itself_and_nothing_else_is(a):
    overlaps = pairwise_iou(a, a)
    same = (a[:, None] == a[None]).all(axis=2)
    assert ((overlaps == 1) == same).all()


def test_known_values():
    assert pairwise_iou([[0, 0, 2, 2]], [[1, 1, 3, 3], [0, 0, 2, 1], [2, 0, 4, 2], [5, 5, 6, 6]])[0] == pytest.approx(
        [1 / 7, 1 / 2, 0, 0]
    )


def test_two_layout_boxes_have_one_number():
    a, b = Box(x0=0.0, y0=0.0, x1=0.5, y1=0.5), Box(x0=0.25, y0=0.25, x1=0.75, y1=0.75)
    assert iou(a, b) == pytest.approx(1 / 7)


def test_boxes_without_area_overlap_nothing_and_divide_by_nothing():
    with np.errstate(all="raise"):
        assert pairwise_iou([[1, 1, 1, 1], [2, 2, 1, 1]], [[1, 1, 1, 1], [0, 0, 3, 3]]).tolist() == [[0, 0], [0, 0]]


def test_layout_boxes_become_rows_and_no_boxes_no_rows():
    assert as_array([Box(x0=0.1, y0=0.2, x1=0.3, y1=0.9)]).tolist() == [[0.1, 0.2, 0.3, 0.9]]
    assert as_array([]).shape == (0, 4)
    assert pairwise_iou([], [[0, 0, 1, 1]]).shape == (0, 1)


@pytest.mark.parametrize("wrong", [[0.1, 0.2, 0.3, 0.4], [[0.1, 0.2, 0.3]], [[[0, 0, 1, 1]]]])
def test_another_shape_is_refused(wrong):
    with pytest.raises(ValueError, match=r"shape \(N, 4\)"):
        area(wrong)


def test_distance_is_between_centres():
    assert pairwise_distance([[0, 0, 2, 2]], [[3, 4, 5, 6], [0, 0, 2, 2]]).tolist() == [[5, 0]]


def test_share_inside_counts_points_edges_included():
    points = [Point(x=0.1, y=0.1), Point(x=0.5, y=0.5), Point(x=0.9, y=0.9), Point(x=0.9, y=0.1)]
    shares = share_inside(points, [[0.0, 0.0, 0.5, 0.5], [0.0, 0.0, 1.0, 1.0], [0.2, 0.2, 0.3, 0.3]])
    assert shares.tolist() == [0.5, 1.0, 0.0]


scored_boxes = pixel_boxes(8).flatmap(
    lambda boxes: st.tuples(
        st.just(boxes),
        st.lists(st.sampled_from([0.1, 0.5, 0.9]), min_size=len(boxes), max_size=len(boxes)),
        st.lists(st.sampled_from(["cat", "dog"]), min_size=len(boxes), max_size=len(boxes)),
        st.sampled_from([0.0, 0.3, 0.5, 0.8]),
    )
)


@given(scored_boxes)
def test_suppression_keeps_exactly_what_no_better_box_of_its_label_covers(case):
    boxes, scores, labels, threshold = case
    kept = nms(boxes, scores, threshold, labels)
    assert [scores[i] for i in kept] == sorted((scores[i] for i in kept), reverse=True)

    def covers(a, b):
        return labels[a] == labels[b] and pairwise_iou(boxes[[a]], boxes[[b]])[0, 0] > threshold

    assert not any(covers(a, b) for a in kept for b in kept if a != b)
    for gone in set(range(len(boxes))) - set(kept):
        assert any(covers(better, gone) and scores[better] >= scores[gone] for better in kept)


@given(scored_boxes)
def test_class_aware_suppression_is_suppression_within_each_label(case):
    boxes, scores, labels, threshold = case
    within = []
    for label in set(labels):
        mine = [i for i, name in enumerate(labels) if name == label]
        within += [mine[i] for i in nms(boxes[mine], [scores[i] for i in mine], threshold)]
    assert sorted(within) == sorted(nms(boxes, scores, threshold, labels))


def test_nothing_to_suppress_among_no_boxes():
    assert nms([], [], 0.5) == [] == nms([], [], 0.5, [])
