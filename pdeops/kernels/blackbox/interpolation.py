"""Interpolation of black-box multigrid: the weights of P from the couplings (numba).

The plain twin is `blackbox/transfer_reference.py`; arrays and indices are those of
`blackbox/box.py`, tables of indices those of `blackbox/box_tables.py`.
"""

import numpy as np

from ..runtime.jit import inner, jit
from .box_geometry import Geometry
from .box_tables import PRESENT, SIZE, STRIDE, N
from .lines import solve


def weights(
    c: np.ndarray,
    level: np.void,
    g: Geometry,
    wrap: np.ndarray,
    offsets: np.ndarray,
    w: np.ndarray,
    store: np.ndarray,
) -> None:
    """The weights w of P from the couplings c of the finer level.

    Nodes with one odd index come first, then two, then three. The stencil is summed over the axes
    with an even index, and A u = 0 gives the value at the node from nodes with fewer odd indices.
    Negative weights are omitted. If lines are solved along one of the summed axes, the sum is
    replaced by a solution along the line.
    """
    S = int(level["num_stored"])
    fields = w.reshape(-1, *g.coarse_shape[SIZE])
    by_digit = fields.reshape(*(3 if c else 1 for c in level["coarsen"]), *fields.shape[1:])
    uniform(fields, level, g)
    work = np.zeros((10, int(level["n"][2]) + 2), c.dtype)
    # They are unused until the first cycle.
    below, above = store[level["u"] :][:S], store[level["residual"] :][:S]
    has_lines, periodic = bool(level["pivots"].any()), bool(wrap.any())
    for pattern in g.patterns:
        odd, line = pattern.odd, -1
        if has_lines and odd.sum() == 1:
            line = next((a for a in range(3) if level["pivots"][a] and not odd[a]), -1)
        if line >= 0:
            p = store[level["pivots"][line] :][: (2 if wrap[line] else 1) * S]
            across = (wrap, line, int(odd.argmax()), p, below, above)
            across_lines(c, offsets, g.step, g.shape, *across)
        tables = (pattern.span, g.jump, pattern.start, pattern.corner, pattern.target)
        interpolate(c, w, *tables, odd, g.shape, wrap, work, line >= 0, below, above)
        if periodic:
            targets = by_digit[tuple(slice(1, 3) if o else 0 for o in odd)]
            fill_weights(targets, odd, g.coarse_shape, wrap)


def uniform(fields: np.ndarray, level: np.void, g: Geometry) -> None:
    """Set equal weights everywhere; they remain where nothing is interpolated.

    If the number n of unknowns is even, the odd nodes n + 1 are boundary nodes; they take the value
    of the coarse node beyond them.
    """
    for field, digits in zip(fields, g.digits.tolist(), strict=True):
        field.fill(0.5 ** sum(digit > 0 for digit in digits))
    for a in range(3):
        n = int(level["n"][a])
        if level["coarsen"][a] and n % 2 == 0:
            for digit, factor in ((1, 0), (2, 2)):
                (codes,) = (g.digits[:, a] == digit).nonzero()
                fields[(codes, *(slice(None),) * a, n // 2)] *= factor


@inner
def inward(z, odd, I, J, L, shape, wrap):
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
        place = I if a == 0 else (J if a == 1 else L)
        if place == 0:
            factor *= 2.0 if high else 0.0
        if shape[N, a] % 2 and place == shape[N, a] // 2:
            factor *= 0.0 if high else 2.0
    return factor


@jit
def across_lines(c, offsets, step, shape, wrap, axis, odd, p, low, high):
    """Weights of the lower and the higher coarse neighbour along the axis `odd`, solved by lines.

    With C the couplings to the lower or the higher side and T the matrix of the line along `axis`,
    the result is T⁻¹ C 1, stored in `low` and `high` at the unknowns.
    """
    S, n = len(low), shape[N, 2]
    for i in range(shape[PRESENT, 0], shape[N, 0] + 1):
        for j in range(shape[PRESENT, 1], shape[N, 1] + 1):
            row = i * shape[STRIDE, 0] + j * shape[STRIDE, 1] + 1
            for x in range(row, row + n):
                low[x] = high[x] = 0
            for k in range(len(step)):
                if offsets[k, odd] == 0:
                    continue
                up = offsets[k, odd] > 0
                plus, minus = (high, low) if up else (low, high)
                for x in range(row, row + n):
                    plus[x] += c[k * S + x]
                    minus[x] += c[k * S + x - step[k]]
    line = c[(2 - axis) * S : (3 - axis) * S]
    solve(low, line, shape, wrap, axis, p, odd)
    solve(high, line, shape, wrap, axis, p, odd)


@jit
def interpolate(
    c, w, span, jump, start, corner, target, odd, shape, wrap, work, by_lines, below, above
):
    """The weights of the nodes of one pattern.

    If `by_lines`, `below` and `above` replace the sums. `work` are ten rows of the field.
    """
    first, M, stretch, num = span[4], span[5], jump[2], len(target)
    total, coupling_sum = work[8], work[9]
    for I in range(span[0], span[1]):
        for J in range(span[2], span[3]):
            x = I * jump[0] + J * jump[1] + span[6]
            X = I * jump[3] + J * jump[4] + first
            for q in range(M):
                total[q] = coupling_sum[q] = 0
            for z in range(num):
                v = work[z]
                for q in range(M):
                    v[q] = 0
            for s in range(len(start)):
                at = start[s] + x
                row = c[at : at + stretch * (M - 1) + 1 : stretch]
                for q in range(M):
                    coupling_sum[q] += row[q]
                for z in range(num):
                    if corner[s, z] >= 0:
                        at, v = X + corner[s, z], work[z]
                        weight = w[at : at + M]
                        for q in range(M):
                            v[q] += row[q] * weight[q]
            if by_lines:
                for z in range(2):
                    side, v = above if z else below, work[z]
                    for q in range(M):
                        if v[q] > 0:
                            v[q] = side[x + stretch * q]
            for z in range(num):
                v = work[z]
                for q in range(M):
                    v[q] = max(v[q], 0)
                    total[q] += v[q]
            for z in range(num):
                at, v = X + target[z], work[z]
                weight = w[at : at + M]
                for q in range(M):
                    if total[q] > 0:
                        weight[q] = v[q] / total[q]
                    elif coupling_sum[q] > 0:
                        weight[q] *= inward(z, odd, I, J, first + q, shape, wrap)
                    else:  # solid
                        weight[q] = 0


def fill_weights(targets: np.ndarray, odd: np.ndarray, shape: np.ndarray, wrap: np.ndarray) -> None:
    """Copy the weights of one pattern to the ghost cells of periodic axes; `shape` is coarse."""
    for a in np.flatnonzero(wrap):
        n, w = shape[N, a], np.moveaxis(targets, a - 3, 0)
        if odd[a]:
            w[n] = w[0]
        else:
            w[0] = w[n]
            w[n + 1] = w[1]
