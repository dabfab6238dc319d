"""Set-up of the line smoother of black-box multigrid: every line's tridiagonal matrix, eliminated.

Along a line of n nodes with diagonal d and coupling c_i between i and i + 1, the inverse pivots are

    p_i = 1 / (d_i - c_(i-1)² p_(i-1)),

of which `blackbox.relax_lines` makes the solution. On a periodic axis the last node is eliminated
last: with w the solution on the others for its own couplings to them, its border,

    p_n = 1 / (d_n - c_n w_1 - c_(n-1) w_(n-1)).

Arrays and indices are those of `blackbox.py`; the plain twin is `blackbox_reference.py`.
"""

import numba
import numpy as np

from .blackbox_layout import C_, E_, K_, N_, P_, PRESENT, S_, STRIDE

_jit = numba.njit(cache=True, nogil=True, error_model="numpy")


@_jit
def ends(t, axis, cut):
    """The last index per axis; `cut` leaves out the last node of lines along an axis."""
    last = np.empty(3, np.int64)
    for a in range(3):
        last[a] = t[N_ + a] - (1 if cut and a == axis else 0)
    return last


@_jit
def diagonal(c, e, has_e, step, t, d):
    """The diagonal of A at the unknowns."""
    S, K = t[S_], t[K_]
    last = ends(t, 0, False)
    for i in range(t[PRESENT], last[0] + 1):
        for j in range(t[PRESENT + 1], last[1] + 1):
            row = i * t[STRIDE] + j * t[STRIDE + 1]
            for x in range(row + 1, row + last[2] + 1):
                d[x] = e[x] if has_e else 0
            for k in range(K):
                for x in range(row + 1, row + last[2] + 1):
                    d[x] += c[k * S + x] + c[k * S + x - step[k]]


@_jit
def eliminate(c, t, axis, cut, p):
    """Diagonal p to inverse pivots. A pivot of round-off gives 0: its node is left out.

    c: couplings along the axis, each right at the node before.
    """
    s, small = t[STRIDE + axis], 1e-12 if p.itemsize == 8 else 1e-5
    last = ends(t, axis, cut)
    for i in range(t[PRESENT], last[0] + 1):
        for j in range(t[PRESENT + 1], last[1] + 1):
            row = i * t[STRIDE] + j * t[STRIDE + 1]
            for x in range(row + 1, row + last[2] + 1):
                value = p[x] - c[x - s] * c[x - s] * p[x - s]
                p[x] = 1 / value if value > small * p[x] else 0


@_jit
def border(c, t, axis, p, w):
    """The borders w of periodic lines, given as zeros, and their last pivots."""
    s, n = t[STRIDE + axis], t[N_ + axis]
    small = 1e-12 if p.itemsize == 8 else 1e-5
    last = ends(t, axis, True)
    at = np.zeros(3, np.int64)
    for i in range(t[PRESENT], last[0] + 1):
        for j in range(t[PRESENT + 1], last[1] + 1):
            for k in range(1, last[2] + 1):
                at[0], at[1], at[2] = i, j, k
                x = i * t[STRIDE] + j * t[STRIDE + 1] + k
                w[x] = c[x - s] * w[x - s]
                if at[axis] == 1:
                    w[x] += c[x - s]  # the coupling over the seam
                if at[axis] == n - 1:
                    w[x] += c[x]
                w[x] *= p[x]
    for i in range(last[0], t[PRESENT] - 1, -1):
        for j in range(last[1], t[PRESENT + 1] - 1, -1):
            for k in range(last[2], 0, -1):
                at[0], at[1], at[2] = i, j, k
                x = i * t[STRIDE] + j * t[STRIDE + 1] + k
                if at[axis] < n - 1:
                    w[x] += p[x] * c[x] * w[x + s]
                if at[axis] == 1:
                    end = x + (n - 1) * s
                    value = p[end] - c[x - s] * w[x] - c[end - s] * w[end - s]
                    p[end] = 1 / value if value > small * p[end] else 0


@_jit
def setup(store, table, offsets, wrap, has_e):
    """The pivots of all levels but the coarsest, whose couplings are there."""
    step = np.zeros(len(offsets), np.int64)
    for level in range(len(table) - 1):
        t = table[level]
        S, K = t[S_], t[K_]
        c = store[t[C_] : t[C_] + K * S]
        e = store[t[E_] : t[E_] + (S if has_e else 0)]
        for k in range(K):
            step[k] = (offsets[k] * t[STRIDE : STRIDE + 3]).sum()
        for axis in range(3):
            if not t[P_ + axis]:
                continue
            p = store[t[P_ + axis] : t[P_ + axis] + S]
            along = c[(2 - axis) * S : (3 - axis) * S]
            diagonal(c, e, has_e, step, t, p)
            eliminate(along, t, axis, wrap[axis], p)
            if wrap[axis]:
                w = store[t[P_ + axis] + S : t[P_ + axis] + 2 * S]
                border(along, t, axis, p, w)
