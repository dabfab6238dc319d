"""Indices and ghosts that the loops of black-box multigrid share; arrays as in `blackbox.py`.

Compiled into those that call them: after a change touch blackbox_setup.py, blackbox_galerkin.py and
blackbox_interpolation.py, or numba takes its old code from the cache.
"""

import numba

from .blackbox_layout import COARSEN, N_, SIZE, STRIDE

_jit = numba.njit(cache=True, nogil=True, error_model="numpy")


@_jit
def start_of_row(I, J, L, parity, t, T):
    """Where the fine node of this parity in the cell (I, J, L), and the cell, lie in arrays."""
    x, X = 0, 0
    for a in range(3):
        P = I if a == 0 else (J if a == 1 else L)
        x += (2 * P + parity[a] if t[COARSEN + a] else P) * t[STRIDE + a]
        X += P * T[STRIDE + a]
    return x, X


@_jit
def refill(u, t, wrap):
    """Fill the ghosts of periodic axes."""
    for a in range(3):
        if not wrap[a]:
            continue
        n, stride = t[N_ + a], t[STRIDE + a]
        b, c = (a + 1) % 3, (a + 2) % 3
        for i in range(t[SIZE + b]):
            for j in range(t[SIZE + c]):
                x = i * t[STRIDE + b] + j * t[STRIDE + c]
                u[x] = u[x + n * stride]
                for g in range(n + 1, t[SIZE + a]):
                    u[x + g * stride] = u[x + (g - n) * stride]
