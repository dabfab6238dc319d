"""Means over the regions of a field, and what is left without them, in two passes (numba).

The plain twin is `Regions.project` in `solvers/operators/regions.py`. `labels` of nodes: -1
outside, else the
number of a region; `shares` is one over the number of nodes of each region whose mean is taken
away, and 0 for the others. Nothing here starts threads.
"""

import numpy as np

from ..runtime.jit import jit

LANES = 4  # sums of a region that do not wait for each other


@jit
def project(u, labels, shares, out):
    """out = u less its mean over each region, 0 outside; it may be u itself. Flat arrays."""
    n = u.size
    sums = np.zeros((shares.size + 1, LANES))  # row 0 is for nodes outside
    whole = n - n % LANES
    for k in range(0, whole, LANES):
        for lane in range(LANES):
            sums[labels[k + lane] + 1, lane] += u[k + lane]
    for k in range(whole, n):
        sums[labels[k] + 1, 0] += u[k]
    means = np.zeros(shares.size, u.dtype)
    for region in range(shares.size):
        means[region] = sums[region + 1].sum() * shares[region]
    for k in range(n):
        out[k] = u[k] - means[labels[k]] if labels[k] >= 0 else 0
