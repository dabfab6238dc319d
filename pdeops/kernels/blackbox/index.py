"""Indices and diagonals for the set-up of black-box multigrid; arrays as in `blackbox/box.py`."""

import numpy as np

from ..runtime.jit import jit


@jit
def steps(level, offsets, out):
    """Flat distances to one of each pair of opposite neighbours; returns their number."""
    for k in range(level.num_neighbours):
        out[k] = 0
        for a in range(3):
            out[k] += offsets[k, a] * level.stride[a]
    return level.num_neighbours


@jit
def start_of_row(I, J, L, parity, level, coarse):
    """Flat indices of the node with this parity in the coarse cell (I, J, L), and of the cell."""
    x, X = 0, 0
    for a in range(3):
        P = I if a == 0 else (J if a == 1 else L)
        x += (2 * P + parity[a] if level.coarsen[a] else P) * level.stride[a]
        X += P * coarse.stride[a]
    return x, X


@jit
def diagonal(c, e, has_e, offsets, level, out):
    """The diagonal of A at the unknowns: the sum of the couplings of a node plus its excess."""
    S, m = level.num_stored, level.n[2]
    step = np.empty(len(offsets), np.int64)
    K = steps(level, offsets, step)
    for i in range(level.present[0], level.n[0] + 1):
        for j in range(level.present[1], level.n[1] + 1):
            x = i * level.stride[0] + j * level.stride[1] + 1
            d = out[x : x + m]
            d[:] = 0
            if has_e:
                excess = e[x : x + m]
                for q in range(m):
                    d[q] += excess[q]
            for k in range(K):
                at = k * S + x
                ahead, behind = c[at : at + m], c[at - step[k] : at - step[k] + m]
                for q in range(m):
                    d[q] += ahead[q] + behind[q]
