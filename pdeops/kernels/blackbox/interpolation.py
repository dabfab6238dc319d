"""Interpolation of black-box multigrid: the weights of P from the couplings (numba).

The plain twin is `blackbox/reference.py`; arrays and indices are those of `blackbox/cpu.py`.
"""

import numpy as np

from ..runtime.jit import jit
from .index import start_of_row
from .layout import COARSEN, F_, K_, N_, P_, PRESENT, S_, SIZE, STRIDE, U_, W_
from .lines import solve
from .relax import steps


@jit
def code_of(d, t):
    """The number of a weight from its ternary digits (`blackbox.digits`)."""
    code = 0
    for a in range(3):
        if t[COARSEN + a]:
            code = 3 * code + d[a]
    return code


@jit
def uniform(w, t, T):
    """Equal weights everywhere, as they stay where there is nothing to interpolate.

    Where the number n of unknowns is even, the odd nodes n + 1 are boundary nodes and take the
    value of those beyond.
    """
    d = np.empty(3, np.int64)
    S = T[S_]
    for code in range(t[W_ + 1]):
        rest, share = code, 1.0
        for a in range(2, -1, -1):
            d[a] = 0
            if t[COARSEN + a]:
                d[a] = rest % 3
                rest //= 3
                share *= 0.5 if d[a] else 1.0
        for x in range(code * S, (code + 1) * S):
            w[x] = share
        for a in range(3):
            n = t[N_ + a]
            if not (t[COARSEN + a] and d[a] and n % 2 == 0):
                continue
            b, c = (a + 1) % 3, (a + 2) % 3
            factor = 0.0 if d[a] == 1 else 2.0
            for i in range(T[SIZE + b]):
                for j in range(T[SIZE + c]):
                    at = (n // 2) * T[STRIDE + a] + i * T[STRIDE + b] + j * T[STRIDE + c]
                    w[code * S + at] *= factor


@jit
def inward(z, odd, place, t, wrap):
    """What the equal weight of corner z is multiplied by at a node that couples with no corner:
    beside a side it takes the value of unknowns alone, for a constant must not leak through a
    closed side."""
    bit, factor = 0, 1.0
    for a in range(3):
        if not odd[a]:
            continue
        high = (z >> bit) & 1
        bit += 1
        if wrap[a]:
            continue
        if place[a] == 0:
            factor *= 2.0 if high else 0.0
        if t[N_ + a] % 2 and place[a] == t[N_ + a] // 2:
            factor *= 0.0 if high else 2.0
    return factor


@jit
def across_lines(c, offsets, t, wrap, axis, odd, p, low, high):
    """What a node with an odd index on one axis takes from either side, solved along its line.

    With C the couplings to the low or the high side and T the matrix of the line along `axis`:
    T⁻¹ C 1, at the unknowns of `low` and `high`.
    """
    S, n = t[S_], t[N_ + 2]
    step = np.empty(len(offsets), np.int64)
    K = steps(t, offsets, step)
    for i in range(t[PRESENT], t[N_] + 1):
        for j in range(t[PRESENT + 1], t[N_ + 1] + 1):
            row = i * t[STRIDE] + j * t[STRIDE + 1] + 1
            low[row : row + n] = 0
            high[row : row + n] = 0
            for k in range(K):
                if offsets[k, odd] == 0:
                    continue
                up = offsets[k, odd] > 0
                one, two = (high, low) if up else (low, high)
                for x in range(row, row + n):
                    one[x] += c[k * S + x]
                    two[x] += c[k * S + x - step[k]]
    line = c[(2 - axis) * S : (3 - axis) * S]
    solve(low, line, t, wrap, axis, p, odd)
    solve(high, line, t, wrap, axis, p, odd)


@jit
def weights(c, offsets, t, T, wrap, w, store):
    """The weights of P from the couplings of the finer level.

    Nodes with one odd index first, then two, then three: the stencil is summed over the axes where
    the index is even, and A u = 0 there gives the node by those before it. No weight is negative.
    Where lines are solved along one of these axes, the sum is replaced by the line's solution.
    """
    S, SC, K = t[S_], T[S_], t[K_]
    uniform(w, t, T)
    for x in range(SC):
        w[x] = 1
    odd = np.zeros(3, np.int64)
    first, last, place = np.zeros(3, np.int64), np.zeros(3, np.int64), np.zeros(3, np.int64)
    d, delta = np.zeros(3, np.int64), np.zeros(3, np.int64)
    # Per direction: which coupling, where it stands from the node, whether it counts; then per
    # corner: which weight of the neighbour, and where.
    which, where = np.zeros(26, np.int64), np.zeros(26, np.int64)
    inner = np.zeros(26, np.bool_)
    code, cell = np.zeros((26, 8), np.int64), np.zeros((26, 8), np.int64)
    target = np.zeros(8, np.int64)
    longest = t[N_ + 2] + 2
    v = np.zeros((8, longest), c.dtype)
    total, every = np.zeros(longest, c.dtype), np.zeros(longest, c.dtype)
    stretch = 2 if t[COARSEN + 2] else 1
    below, above = store[t[U_] : t[U_] + S], store[t[F_] : t[F_] + S]  # free until the first cycle
    for count in range(1, 4):
        for pattern in range(1, 8):
            for a in range(3):
                odd[a] = (pattern >> a) & 1
            if odd.sum() != count:
                continue
            fits = True
            for a in range(3):
                fits = fits and (not odd[a] or t[COARSEN + a] == 1)
            if not fits:
                continue
            corners = 1 << count
            for z in range(corners):
                bit = 0
                for a in range(3):
                    d[a] = 0
                    if odd[a]:
                        d[a] = 1 + ((z >> bit) & 1)
                        bit += 1
                target[z] = code_of(d, t)
            for k in range(K):
                for side in range(2):
                    s = 2 * k + side
                    which[s], where[s], inner[s] = k, 0, True
                    for a in range(3):
                        delta[a] = offsets[k, a] * (1 - 2 * side)
                        where[s] -= side * offsets[k, a] * t[STRIDE + a]
                        inner[s] = inner[s] and not (odd[a] and delta[a] != 0)
                    for z in range(corners):
                        bit, fits, cell[s, z] = 0, not inner[s], 0
                        for a in range(3):
                            d[a] = 0
                            if odd[a]:
                                high = (z >> bit) & 1
                                bit += 1
                                if delta[a] == 0:
                                    d[a] = 1 + high
                                else:
                                    fits = fits and high == (delta[a] > 0)
                                    cell[s, z] += (delta[a] > 0) * T[STRIDE + a]
                        code[s, z] = code_of(d, t) if fits else -1
            for a in range(3):
                n = t[N_ + a]
                if odd[a]:
                    first[a], last[a] = 0, (n - 1) // 2
                elif t[COARSEN + a]:
                    first[a], last[a] = 1, n // 2
                else:
                    first[a], last[a] = t[PRESENT + a], n if t[PRESENT + a] else 0
            line = -1
            if count == 1:
                for a in range(2, -1, -1):
                    if t[P_ + a] and not odd[a]:
                        line = a
            if line >= 0:
                p = store[t[P_ + line] : t[P_ + line] + (2 if wrap[line] else 1) * S]
                across_lines(c, offsets, t, wrap, line, odd.argmax(), p, below, above)
            M = last[2] - first[2] + 1
            for I in range(first[0], last[0] + 1):
                for J in range(first[1], last[1] + 1):
                    x, X = start_of_row(I, J, first[2], odd, t, T)
                    total[:M] = 0
                    every[:M] = 0
                    v[:, :M] = 0
                    for s in range(2 * K):
                        at = which[s] * S + x + where[s]
                        row = c[at : at + stretch * (M - 1) + 1 : stretch]
                        for q in range(M):
                            every[q] += row[q]
                        if inner[s]:
                            continue
                        for z in range(corners):
                            if code[s, z] >= 0:
                                at = code[s, z] * SC + X + cell[s, z]
                                share = w[at : at + M]
                                for q in range(M):
                                    v[z, q] += row[q] * share[q]
                    if line >= 0:
                        for z in range(2):
                            side = above if z else below
                            for q in range(M):
                                if v[z, q] > 0:
                                    v[z, q] = side[x + stretch * q]
                    for z in range(corners):
                        for q in range(M):
                            v[z, q] = max(v[z, q], 0)
                            total[q] += v[z, q]
                    for z in range(corners):
                        at = target[z] * SC + X
                        share = w[at : at + M]
                        for q in range(M):
                            if total[q] > 0:
                                share[q] = v[z, q] / total[q]
                            elif every[q] > 0:
                                place[0], place[1], place[2] = I, J, first[2] + q
                                share[q] *= inward(z, odd, place, t, wrap)
                            else:  # solid
                                share[q] = 0
            for z in range(corners):
                fill_weights(w[target[z] * SC : (target[z] + 1) * SC], odd, t, T, wrap)


@jit
def fill_weights(w, odd, t, T, wrap):
    """Copy the weights of one kind to the cells over the seam of periodic axes."""
    for a in range(3):
        if not wrap[a]:
            continue
        N, stride = T[N_ + a], T[STRIDE + a]
        b, c = (a + 1) % 3, (a + 2) % 3
        for i in range(T[SIZE + b]):
            for j in range(T[SIZE + c]):
                x = i * T[STRIDE + b] + j * T[STRIDE + c]
                if odd[a]:
                    w[x + N * stride] = w[x]
                else:
                    w[x] = w[x + N * stride]
                    w[x + (N + 1) * stride] = w[x + stride]
