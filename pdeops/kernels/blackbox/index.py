"""Indices and diagonals: what the set-up of black-box multigrid shares; see `blackbox/cpu.py`."""

from ..runtime.jit import jit
from .layout import COARSEN, K_, N_, PRESENT, S_, STRIDE


@jit
def start_of_row(I, J, L, parity, t, T):
    """Where the fine node of this parity in the cell (I, J, L), and the cell, lie in arrays."""
    x, X = 0, 0
    for a in range(3):
        P = I if a == 0 else (J if a == 1 else L)
        x += (2 * P + parity[a] if t[COARSEN + a] else P) * t[STRIDE + a]
        X += P * T[STRIDE + a]
    return x, X


@jit
def diagonal(c, e, has_e, offsets, t, out):
    """The diagonal of A at the unknowns: the sum of a node's couplings, and its excess."""
    S, K, m = t[S_], t[K_], t[N_ + 2]
    for i in range(t[PRESENT], t[N_] + 1):
        for j in range(t[PRESENT + 1], t[N_ + 1] + 1):
            x = i * t[STRIDE] + j * t[STRIDE + 1] + 1
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
                    there -= offsets[k, a] * t[STRIDE + a]
                one, two = c[at : at + m], c[there : there + m]
                for q in range(m):
                    d[q] += one[q] + two[q]
