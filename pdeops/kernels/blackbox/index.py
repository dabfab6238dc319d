"""Indices and diagonals: what the set-up of black-box multigrid shares; see `blackbox/cpu.py`."""

from ..runtime.jit import jit


@jit
def start_of_row(I, J, L, parity, level, coarse):
    """Where the fine node of this parity in the cell (I, J, L), and the cell, lie in arrays."""
    x, X = 0, 0
    for a in range(3):
        P = I if a == 0 else (J if a == 1 else L)
        x += (2 * P + parity[a] if level.coarsen[a] else P) * level.stride[a]
        X += P * coarse.stride[a]
    return x, X


@jit
def diagonal(c, e, has_e, offsets, level, out):
    """The diagonal of A at the unknowns: the sum of a node's couplings, and its excess."""
    S, K, m = level.num_stored, level.num_neighbours, level.n[2]
    for i in range(level.present[0], level.n[0] + 1):
        for j in range(level.present[1], level.n[1] + 1):
            x = i * level.stride[0] + j * level.stride[1] + 1
            d = out[x : x + m]
            d[:] = 0
            if has_e:
                own = e[x : x + m]
                for q in range(m):
                    d[q] += own[q]
            for k in range(K):
                at = k * S + x
                there = at
                for a in range(3):
                    there -= offsets[k, a] * level.stride[a]
                one, two = c[at : at + m], c[there : there + m]
                for q in range(m):
                    d[q] += one[q] + two[q]
