"""How sure a mean is: bootstrap intervals with a fixed seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


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
