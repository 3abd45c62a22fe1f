"""The Frechet distance between two sets of feature vectors (Heusel et al., 2017), whatever network they come from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def frechet_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Between normal distributions with the means and covariances of (N, D) and (M, D); 0 for equal ones.

    It falls with N and M, so that only distances from sets of the same sizes compare. ValueError for fewer than two
    vectors, or for vectors of other lengths.
    """
    from scipy.linalg import sqrtm

    if min(len(a), len(b)) < 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"two sets of at least two vectors of one length are needed, not {a.shape} and {b.shape}")
    mean = a.mean(axis=0) - b.mean(axis=0)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    ridge = 1e-6 * np.eye(len(cov_a))
    root = sqrtm((cov_a + ridge) @ (cov_b + ridge)).real
    return max(0.0, float(mean @ mean + np.trace(cov_a + cov_b - 2 * root)))
