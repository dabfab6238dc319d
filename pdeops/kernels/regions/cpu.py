"""Removal of means over regions in two passes (numba).

The plain twin is `regions/reference.py`. `labels` and `weights` are those of `regions.Projection`,
flat. No threads are started.
"""

import numpy as np

from ..runtime.jit import jit

LANES = 4  # independent partial sums per region


@jit
def project(u, labels, weights, out):
    """Same as `reference.project`, for one field; out may be u itself."""
    n = u.size
    sums = np.zeros((weights.size + 1, LANES))  # row 0 collects the solid nodes
    whole = n - n % LANES
    for k in range(0, whole, LANES):
        for lane in range(LANES):
            sums[labels[k + lane] + 1, lane] += u[k + lane]
    for k in range(whole, n):
        sums[labels[k] + 1, 0] += u[k]
    means = np.zeros(weights.size, u.dtype)
    for region in range(weights.size):
        means[region] = sums[region + 1].sum() * weights[region]
    for k in range(n):
        out[k] = u[k] - means[labels[k]] if labels[k] >= 0 else 0
