"""How sure a mean is: bootstrap intervals with a fixed seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

CHUNK = 1 << 22
"""Drawn numbers held in memory at a time."""


def bootstrap_ci95(values: Sequence[float], *, seed: int = 0, resamples: int = 2000) -> tuple[float, float] | None:
    """The 95 % percentile interval of the mean of ``values``; None for fewer than two, which tell no spread.

    The same values and seed give the same interval, in whatever order the values come.
    """
    if len(values) < 2:
        return None
    sample = np.sort(np.asarray(values, dtype=np.float64))
    picks = np.random.default_rng(seed).integers(len(sample), size=(resamples, len(sample)))
    low, high = np.percentile(sample[picks].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def clustered_ci95(
    clusters: Sequence[Sequence[float]], *, seed: int = 0, resamples: int = 2000
) -> tuple[float, float] | None:
    """The 95 % percentile interval of the mean of all values when whole clusters are drawn anew.

    The things of one picture succeed and fail together, so that pictures and not things are the independent draws.
    None for fewer than two clusters with values. The same clusters give the same interval in whatever order they come.
    """
    parts = sorted((float(np.sum(cluster)), len(cluster)) for cluster in clusters if len(cluster))
    if len(parts) < 2:
        return None
    sums, sizes = np.array(parts, dtype=np.float64).T
    means = [counts @ sums / (counts @ sizes) for counts in drawn_counts(len(parts), resamples, seed)]
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return float(low), float(high)


def drawn_counts(size: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """How often each of ``size`` draws is taken in each bootstrap sample: (resamples, size) in chunks of rows."""
    rng, rows = np.random.default_rng(seed), max(1, CHUNK // size)
    chances = np.full(size, 1 / size)
    for start in range(0, resamples, rows):
        yield rng.multinomial(size, chances, size=min(rows, resamples - start))
