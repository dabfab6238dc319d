"""Coarse operators of black-box multigrid: Pᵀ A P by couplings (numba).

The plain twin is `blackbox/galerkin_reference.py`; arrays and indices are those of
`blackbox/box.py`.
"""

import numpy as np

from ..runtime.jit import jit
from .index import start_of_row
from .relax import sync


@jit
def fold(u, level, wrap):
    """Add the values at ghosts of periodic axes to their nodes, then fill the ghosts."""
    for a in range(3):
        if not wrap[a]:
            continue
        n, stride = level.n[a], level.stride[a]
        b, c = (a + 1) % 3, (a + 2) % 3
        for i in range(level.size[b]):
            for j in range(level.size[c]):
                x = i * level.stride[b] + j * level.stride[c]
                u[x + n * stride] += u[x]
                u[x + stride] += u[x + (n + 1) * stride]
    sync(u, level, wrap)


@jit
def local(parity, delta, level, d, place):
    """Positions d of the two ends of a coupling in a closed coarse cell: 0, 1, 2 per axis.

    Column 0 is the node with this parity, column 1 its neighbour at `delta`. The index of the cell
    is half of the node's, minus `place`.
    """
    for a in range(3):
        place[a] = 0
        if level.coarsen[a]:
            d[a, 0] = parity[a]
            if delta[a] < 0 and parity[a] == 0:
                d[a, 0], place[a] = 2, 1
            d[a, 1] = d[a, 0] + delta[a]
        else:
            d[a, 0] = 0
            if delta[a] < 0:
                d[a, 0], place[a] = 1, 1
            d[a, 1] = d[a, 0] + delta[a]


@jit
def corner_weight(z, d, end, level, coarse, shift):
    """The number of the weight of corner z at one end of a coupling, -1 if there is none.

    shift[0] is the place of the weight relative to the cell.
    """
    code, shift[0] = 0, 0
    for a in range(3):
        high = (z >> a) & 1
        if level.coarsen[a]:
            digit = 0
            if d[a, end] == 1:
                digit = 1 + high
            elif (d[a, end] == 2) != (high == 1):
                return -1
            elif high:
                shift[0] += coarse.stride[a]
            code = 3 * code + digit
        else:
            if (d[a, end] == 1) != (high == 1):
                return -1
            if high:
                shift[0] += coarse.stride[a]
    return code


@jit
def galerkin(c, e, has_e, offsets, level, coarse, wrap, w, C, E):
    """Add the couplings C and the lumped excess E of Pᵀ A P, one fine coupling at a time.

    A coupling c between p and q adds c g gᵀ to the coarse matrix, with g the difference of the rows
    p and q of P; all its entries belong to the corners of one closed coarse cell.
    """
    S, SC, K, KC = level.num_stored, coarse.num_stored, level.num_neighbours, coarse.num_neighbours
    parity, place, shift = np.zeros(3, np.int64), np.zeros(3, np.int64), np.zeros(1, np.int64)
    d, first, last = np.zeros((3, 2), np.int64), np.zeros(3, np.int64), np.zeros(3, np.int64)
    code, at = np.zeros((8, 2), np.int64), np.zeros((8, 2), np.int64)
    pair = np.zeros((8, 8), np.int64)  # the index of the coupling of two corners
    used = np.zeros(8, np.int64)
    g = np.zeros((8, level.n[2] + 2), c.dtype)
    y = np.zeros(level.n[2] + 2, c.dtype)
    stretch = 2 if level.coarsen[2] else 1
    none = np.zeros(3, np.int64)
    for z in range(8):
        for o in range(z):
            for k in range(KC):
                same, opposite = True, True
                for a in range(3):
                    step = ((z >> a) & 1) - ((o >> a) & 1)
                    same = same and offsets[k, a] == step
                    opposite = opposite and offsets[k, a] == -step
                if same or opposite:
                    low, start = (o if same else z), k * SC
                    for a in range(3):
                        start += ((low >> a) & 1) * coarse.stride[a]
                    pair[z, o] = pair[o, z] = start
    for k in range(K + 1 if has_e else K):
        delta = offsets[k] if k < K else none  # the last pass is for the excess
        reach = 0
        for a in range(3):
            reach += delta[a] * level.stride[a]
        for pattern in range(8):
            fits = True
            for a in range(3):
                parity[a] = (pattern >> a) & 1
                fits = fits and (parity[a] == 0 or level.coarsen[a] == 1)
            if not fits:
                continue
            local(parity, delta, level, d, place)
            num = 0
            for z in range(8):
                first_code = corner_weight(z, d, 0, level, coarse, shift)
                first_at = shift[0]
                second_code = corner_weight(z, d, 1, level, coarse, shift)
                if first_code >= 0 or second_code >= 0:
                    used[num] = z
                    code[num, 0], at[num, 0] = first_code, first_code * SC + first_at
                    code[num, 1], at[num, 1] = second_code, second_code * SC + shift[0]
                    num += 1
            for a in range(3):
                low, high = level.present[a], level.n[a] if level.present[a] else 0
                if level.present[a] and not wrap[a]:
                    low, high = max(0, -delta[a]), level.n[a] + 1 - max(0, delta[a])
                if level.coarsen[a]:
                    first[a], last[a] = (low - parity[a] + 1) // 2, (high - parity[a]) // 2
                else:
                    first[a], last[a] = low, high
            M = last[2] - first[2] + 1
            for I in range(first[0], last[0] + 1):
                for J in range(first[1], last[1] + 1):
                    x, X = start_of_row(I, J, first[2], parity, level, coarse)
                    for a in range(3):
                        X -= place[a] * coarse.stride[a]
                    if k == K:
                        row = e[x : x + stretch * (M - 1) + 1 : stretch]
                        for z in range(num):
                            to = X
                            for a in range(3):
                                to += ((used[z] >> a) & 1) * coarse.stride[a]
                            weight, out = w[X + at[z, 0] : X + at[z, 0] + M], E[to : to + M]
                            for q in range(M):
                                out[q] += row[q] * weight[q]
                        continue
                    row = c[k * S + x : k * S + x + stretch * (M - 1) + 1 : stretch]
                    for z in range(num):
                        g_z = g[z, :M]
                        g_z[:] = 0
                        if code[z, 0] >= 0:
                            weight = w[X + at[z, 0] : X + at[z, 0] + M]
                            for q in range(M):
                                g_z[q] += weight[q]
                        if code[z, 1] >= 0:
                            weight = w[X + at[z, 1] : X + at[z, 1] + M]
                            for q in range(M):
                                g_z[q] -= weight[q]
                    for z in range(1, num):
                        g_z = g[z, :M]
                        for q in range(M):
                            y[q] = -row[q] * g_z[q]
                        for o in range(z):
                            to = X + pair[used[z], used[o]]
                            out, g_o = C[to : to + M], g[o, :M]
                            for q in range(M):
                                out[q] += y[q] * g_o[q]
    for k in range(KC):
        fold(C[k * SC : (k + 1) * SC], coarse, wrap)
    if has_e:
        fold(E, coarse, wrap)
