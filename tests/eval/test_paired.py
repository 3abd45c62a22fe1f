"""The paired test: exact on small cases, symmetric, and no more alarms than it promises."""

import itertools

import numpy as np
import pytest

from eval.paired import compare


def test_the_p_value_is_the_share_of_sign_flips_that_are_as_large():
    a, b = [[0.9], [0.8], [0.7], [0.6]], [[0.5], [0.7], [0.6], [0.65]]
    gaps = [x[0] - y[0] for x, y in zip(a, b, strict=True)]
    flips = [abs(np.mean(np.multiply(gaps, signs))) for signs in itertools.product((1, -1), repeat=4)]
    exact = np.mean([flip >= abs(np.mean(gaps)) - 1e-12 for flip in flips])
    assert compare(a, b).p_value == pytest.approx(exact, abs=0.02)


def test_the_difference_is_one_of_means_over_all_values():
    found = compare([[1.0, 0.0, 0.0], [1.0]], [[1.0], [0.0, 0.0]])
    assert (found.a, found.b, found.of, found.pictures) == (pytest.approx(0.5), pytest.approx(1 / 3), (4, 3), 2)


def test_exchanging_the_sides_turns_the_sign():
    rng = np.random.default_rng(2)
    a, b = rng.random((20, 3)).tolist(), rng.random((20, 3)).tolist()
    ahead, behind = compare(a, b), compare(b, a)
    assert ahead.difference == pytest.approx(-behind.difference)
    assert ahead.p_value == pytest.approx(behind.p_value)
    assert ahead.ci95 == pytest.approx((-behind.ci95[1], -behind.ci95[0]))


def test_equal_sides_differ_by_nothing():
    same = [[0.2, 0.4], [0.9], [0.5]]
    found = compare(same, same)
    assert (found.difference, found.p_value, found.ci95) == (0.0, 1.0, (0.0, 0.0))


def test_it_raises_no_more_alarms_than_it_promises_and_sees_what_is_there():
    rng = np.random.default_rng(0)
    noise = rng.normal(0.5, 0.1, size=(300, 25, 1))
    null = [compare(side.tolist(), (side + rng.normal(0, 0.1, side.shape)).tolist(), resamples=500) for side in noise]
    alarms = np.mean([found.p_value <= 0.05 for found in null])
    assert 0.01 <= alarms <= 0.09
    better = compare((noise[0] + 0.1).tolist(), (noise[0] + rng.normal(0, 0.05, noise[0].shape)).tolist())
    assert better.p_value < 0.01 and better.ci95[0] > 0


def test_one_picture_tells_no_spread_and_none_tells_nothing():
    assert compare([[0.5]], [[0.7]]).p_value is None
    assert compare([[]], [[0.7]]) is None
    with pytest.raises(ValueError):
        compare([[0.5]], [])
