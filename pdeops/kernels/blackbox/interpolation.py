"""Interpolation of black-box multigrid: the weights of P from the couplings (numba).

The plain twin is `blackbox/transfer_reference.py`; arrays and indices are those of
`blackbox/box.py`.
"""

import numpy as np

from ..runtime.jit import jit
from .index import start_of_row, steps
from .lines import solve


@jit
def code_of(d, level):
    """The number of a weight from its ternary digits (`box.digits`)."""
    code = 0
    for a in range(3):
        if level.coarsen[a]:
            code = 3 * code + d[a]
    return code


@jit
def uniform(w, level, coarse):
    """Set equal weights everywhere; they remain where nothing is interpolated.

    If the number n of unknowns is even, the odd nodes n + 1 are boundary nodes; they take the value
    of the coarse node beyond them.
    """
    d = np.empty(3, np.int64)
    S = coarse.num_stored
    for code in range(level.num_weights):
        rest, weight = code, 1.0
        for a in range(2, -1, -1):
            d[a] = 0
            if level.coarsen[a]:
                d[a] = rest % 3
                rest //= 3
                weight *= 0.5 if d[a] else 1.0
        for x in range(code * S, (code + 1) * S):
            w[x] = weight
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
    """The factor of the equal weight of corner z at a node without couplings to the corners.

    Next to the boundary the node takes the value of unknowns only, so that interpolation preserves
    constants at a boundary without flux.
    """
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
    """Weights of the lower and the higher coarse neighbour along the axis `odd`, solved by lines.

    With C the couplings to the lower or the higher side and T the matrix of the line along `axis`,
    the result is T⁻¹ C 1, stored in `low` and `high` at the unknowns.
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
                plus, minus = (high, low) if up else (low, high)
                for x in range(row, row + n):
                    plus[x] += c[k * S + x]
                    minus[x] += c[k * S + x - step[k]]
    line = c[(2 - axis) * S : (3 - axis) * S]
    solve(low, line, level, wrap, axis, p, odd)
    solve(high, line, level, wrap, axis, p, odd)


@jit
def weights(c, offsets, level, coarse, wrap, w, store):
    """The weights w of P from the couplings c of the finer level.

    Nodes with one odd index come first, then two, then three. The stencil is summed over the axes
    with an even index, and A u = 0 gives the value at the node from nodes with fewer odd indices.
    Negative weights are omitted. If lines are solved along one of the summed axes, the sum is
    replaced by a solution along the line.
    """
    S, SC, K = level.num_stored, coarse.num_stored, level.num_neighbours
    uniform(w, level, coarse)
    for x in range(SC):
        w[x] = 1
    odd = np.zeros(3, np.int64)
    first, last, place = np.zeros(3, np.int64), np.zeros(3, np.int64), np.zeros(3, np.int64)
    d, delta = np.zeros(3, np.int64), np.zeros(3, np.int64)
    # Per direction: its coupling, the place of the coupling relative to the node, and whether the
    # neighbour has the same odd indices. Per direction and corner: the weight of the neighbour, -1
    # for none, and its coarse cell.
    coupling, place_of = np.zeros(26, np.int64), np.zeros(26, np.int64)
    same = np.zeros(26, np.bool_)
    code, cell = np.zeros((26, 8), np.int64), np.zeros((26, 8), np.int64)
    target = np.zeros(8, np.int64)
    longest = level.n[2] + 2
    v = np.zeros((8, longest), c.dtype)
    total, coupling_sum = np.zeros(longest, c.dtype), np.zeros(longest, c.dtype)
    stretch = 2 if level.coarsen[2] else 1
    below, above = (
        store[level.u : level.u + S],
        store[level.residual : level.residual + S],
    )  # unused until the first cycle
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
                    coupling[s], place_of[s], same[s] = k, 0, True
                    for a in range(3):
                        delta[a] = offsets[k, a] * (1 - 2 * side)
                        place_of[s] -= side * offsets[k, a] * level.stride[a]
                        same[s] = same[s] and not (odd[a] and delta[a] != 0)
                    for z in range(corners):
                        bit, fits, cell[s, z] = 0, not same[s], 0
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
                    coupling_sum[:M] = 0
                    v[:, :M] = 0
                    for s in range(2 * K):
                        at = coupling[s] * S + x + place_of[s]
                        row = c[at : at + stretch * (M - 1) + 1 : stretch]
                        for q in range(M):
                            coupling_sum[q] += row[q]
                        if same[s]:
                            continue
                        for z in range(corners):
                            if code[s, z] >= 0:
                                at = code[s, z] * SC + X + cell[s, z]
                                weight = w[at : at + M]
                                for q in range(M):
                                    v[z, q] += row[q] * weight[q]
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
                        weight = w[at : at + M]
                        for q in range(M):
                            if total[q] > 0:
                                weight[q] = v[z, q] / total[q]
                            elif coupling_sum[q] > 0:
                                place[0], place[1], place[2] = I, J, first[2] + q
                                weight[q] *= inward(z, odd, place, level, wrap)
                            else:  # solid
                                weight[q] = 0
            for z in range(corners):
                fill_weights(w[target[z] * SC : (target[z] + 1) * SC], odd, level, coarse, wrap)


@jit
def fill_weights(w, odd, level, coarse, wrap):
    """Copy the weights of one kind to the ghost cells of periodic axes."""
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
