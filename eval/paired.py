"""Whether one set of pictures scores better than another of the same items: a paired permutation test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.intervals import drawn_counts

PERMUTATIONS = 10_000


@dataclass(frozen=True)
class Difference:
    """A minus B. ``p_value`` is two-sided; ``of`` counts values on either side, ``pictures`` what was resampled."""

    a: float
    b: float
    difference: float
    ci95: tuple[float, float] | None
    p_value: float | None
    of: tuple[int, int]
    pictures: int


def compare(
    a: Sequence[Sequence[float]], b: Sequence[Sequence[float]], *, seed: int = 0, resamples: int = PERMUTATIONS
) -> Difference | None:
    """The difference of the two means; picture ``i`` of ``a`` and of ``b`` are the same item, each with its values.

    The interval draws pictures anew, keeping both sides of each together. The p-value is the share of sign flips, one
    chance for each picture that its two sides change places, whose difference is at least as large (Monte Carlo, the
    observed one counted: Phipson and Smyth 2010). None when either side has no values; no interval and no p-value for a
    single picture. ValueError when the sides have different numbers of pictures.
    """
    sides = [
        (np.array([sum(v), len(v)], dtype=float), np.array([sum(w), len(w)], dtype=float)) for v, w in _pairs(a, b)
    ]
    if not sides:
        return None
    left, right = (np.array(side).T for side in zip(*sides, strict=True))
    if not left[1].sum() or not right[1].sum():
        return None
    mean_a, mean_b = left[0].sum() / left[1].sum(), right[0].sum() / right[1].sum()
    observed = mean_a - mean_b
    interval = p_value = None
    if len(sides) > 1:
        interval = _interval(left, right, seed, resamples)
        p_value = _p_value(left, right, float(observed), seed, resamples)
    return Difference(
        a=float(mean_a),
        b=float(mean_b),
        difference=float(observed),
        ci95=interval,
        p_value=p_value,
        of=(int(left[1].sum()), int(right[1].sum())),
        pictures=len(sides),
    )


def _pairs(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> list[tuple[Sequence[float], Sequence[float]]]:
    """Pictures that have a value on either side."""
    return [(v, w) for v, w in zip(a, b, strict=True) if len(v) or len(w)]


def _interval(left: np.ndarray, right: np.ndarray, seed: int, resamples: int) -> tuple[float, float] | None:
    differences = []
    for counts in drawn_counts(left.shape[1], resamples, seed):
        with np.errstate(invalid="ignore"):
            differences.append(counts @ left[0] / (counts @ left[1]) - counts @ right[0] / (counts @ right[1]))
    drawn = np.concatenate(differences)
    low, high = np.percentile(drawn[np.isfinite(drawn)], [2.5, 97.5])
    return float(low), float(high)


def _p_value(left: np.ndarray, right: np.ndarray, observed: float, seed: int, resamples: int) -> float:
    rng, size = np.random.default_rng(seed), left.shape[1]
    as_large, rows = 0, max(1, (1 << 22) // size)
    for start in range(0, resamples, rows):
        stay = rng.integers(2, size=(min(rows, resamples - start), size))
        with np.errstate(invalid="ignore"):
            mean_a = (stay @ left[0] + (1 - stay) @ right[0]) / (stay @ left[1] + (1 - stay) @ right[1])
            mean_b = (stay @ right[0] + (1 - stay) @ left[0]) / (stay @ right[1] + (1 - stay) @ left[1])
        # Rounding makes the observed assignment a hair smaller than itself.
        as_large += int((np.abs(mean_a - mean_b) >= abs(observed) - 1e-12).sum())
    return (as_large + 1) / (resamples + 1)
