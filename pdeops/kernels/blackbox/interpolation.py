"""Interpolation of black-box multigrid: the weights of P from the couplings (numba).

The plain twin is `blackbox/reference.py`; arrays and indices are those of `blackbox/cpu.py`.
"""

import numpy as np

from ..runtime.jit import jit
from .index import start_of_row
from .lines import solve
from .relax import steps


@jit
def code_of(d, level):
    """The number of a weight from its ternary digits (`blackbox.digits`)."""
    code = 0
    for a in range(3):
        if level.coarsen[a]:
            code = 3 * code + d[a]
    return code


@jit
def uniform(w, level, coarse):
    """Equal weights everywhere, as they stay where there is nothing to interpolate.

    Where the number n of unknowns is even, the odd nodes n + 1 are boundary nodes and take the
    value of those beyond.
    """
    d = np.empty(3, np.int64)
    S = coarse.num_stored
    for code in range(level.num_weights):
        rest, share = code, 1.0
        for a in range(2, -1, -1):
            d[a] = 0
            if level.coarsen[a]:
                d[a] = rest % 3
                rest //= 3
                share *= 0.5 if d[a] else 1.0
        for x in range(code * S, (code + 1) * S):
            w[x] = share
        for a in range(3):
            n = level.n[a]
            if not (level.coarsen[a] and d[a] and n % 2 == 0):
                continue
            b, c = (a + 1) % 3, (a + 2) % 3
            factor = 0.0 if d[a] == 1 else 2.0
            for i in range(coarse.size[b]):
                for j in range(coarse.size[c]):
                    at = (n // 2) * coarse.stride[a] + i * coarse.stride[b] + j * coarse.stride[c]
                    w[code * S + at] *= factor


@jit
def inward(z, odd, place, level, wrap):
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
        if level.n[a] % 2 and place[a] == level.n[a] // 2:
            factor *= 0.0 if high else 2.0
    return factor


@jit
def across_lines(c, offsets, level, wrap, axis, odd, p, low, high):
    """What a node with an odd index on one axis takes from either side, solved along its line.

    With C the couplings to the low or the high side and T the matrix of the line along `axis`:
    T⁻¹ C 1, at the unknowns of `low` and `high`.
    """
    S, n = level.num_stored, level.n[2]
    step = np.empty(len(offsets), np.int64)
    K = steps(level, offsets, step)
    for i in range(level.present[0], level.n[0] + 1):
        for j in range(level.present[1], level.n[1] + 1):
            row = i * level.stride[0] + j * level.stride[1] + 1
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
    solve(low, line, level, wrap, axis, p, odd)
    solve(high, line, level, wrap, axis, p, odd)


@jit
def weights(c, offsets, level, coarse, wrap, w, store):
    """The weights of P from the couplings of the finer level.

    Nodes with one odd index first, then two, then three: the stencil is summed over the axes where
    the index is even, and A u = 0 there gives the node by those before it. No weight is negative.
    Where lines are solved along one of these axes, the sum is replaced by the line's solution.
    """
    S, SC, K = level.num_stored, coarse.num_stored, level.num_neighbours
    uniform(w, level, coarse)
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
    longest = level.n[2] + 2
    v = np.zeros((8, longest), c.dtype)
    total, every = np.zeros(longest, c.dtype), np.zeros(longest, c.dtype)
    stretch = 2 if level.coarsen[2] else 1
    below, above = (
        store[level.u : level.u + S],
        store[level.residual : level.residual + S],
    )  # free until the first cycle
    for count in range(1, 4):
        for pattern in range(1, 8):
            for a in range(3):
                odd[a] = (pattern >> a) & 1
            if odd.sum() != count:
                continue
            fits = True
            for a in range(3):
                fits = fits and (not odd[a] or level.coarsen[a] == 1)
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
                target[z] = code_of(d, level)
            for k in range(K):
                for side in range(2):
                    s = 2 * k + side
                    which[s], where[s], inner[s] = k, 0, True
                    for a in range(3):
                        delta[a] = offsets[k, a] * (1 - 2 * side)
                        where[s] -= side * offsets[k, a] * level.stride[a]
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
                                    cell[s, z] += (delta[a] > 0) * coarse.stride[a]
                        code[s, z] = code_of(d, level) if fits else -1
            for a in range(3):
                n = level.n[a]
                if odd[a]:
                    first[a], last[a] = 0, (n - 1) // 2
                elif level.coarsen[a]:
                    first[a], last[a] = 1, n // 2
                else:
                    first[a], last[a] = level.present[a], n if level.present[a] else 0
            line = -1
            if count == 1:
                for a in range(2, -1, -1):
                    if level.pivots[a] and not odd[a]:
                        line = a
            if line >= 0:
                p = store[level.pivots[line] : level.pivots[line] + (2 if wrap[line] else 1) * S]
                across_lines(c, offsets, level, wrap, line, odd.argmax(), p, below, above)
            M = last[2] - first[2] + 1
            for I in range(first[0], last[0] + 1):
                for J in range(first[1], last[1] + 1):
                    x, X = start_of_row(I, J, first[2], odd, level, coarse)
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
                                share[q] *= inward(z, odd, place, level, wrap)
                            else:  # solid
                                share[q] = 0
            for z in range(corners):
                fill_weights(w[target[z] * SC : (target[z] + 1) * SC], odd, level, coarse, wrap)


@jit
def fill_weights(w, odd, level, coarse, wrap):
    """Copy the weights of one kind to the cells over the seam of periodic axes."""
    for a in range(3):
        if not wrap[a]:
            continue
        N, stride = coarse.n[a], coarse.stride[a]
        b, c = (a + 1) % 3, (a + 2) % 3
        for i in range(coarse.size[b]):
            for j in range(coarse.size[c]):
                x = i * coarse.stride[b] + j * coarse.stride[c]
                if odd[a]:
                    w[x + N * stride] = w[x]
                else:
                    w[x] = w[x + N * stride]
                    w[x + (N + 1) * stride] = w[x + stride]
