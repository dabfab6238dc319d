"""Set-up of the line smoother of black-box multigrid: factorisation of the tridiagonal matrices.

For a line of n nodes with diagonal d and couplings c_i between i and i + 1, the inverse pivots are

    p_i = 1 / (d_i - c_(i-1)² p_(i-1)),

with which `blackbox/relax.py` solves. On a periodic axis the last node is eliminated last. Its
border w is the solution on the other nodes with the couplings to it as right-hand side, and

    p_n = 1 / (d_n - c_n w_1 - c_(n-1) w_(n-1)).

Arrays and indices are those of `blackbox/box.py`; the plain twin is `blackbox/relax_reference.py`.
"""

import numpy as np

from ..runtime.jit import inner, jit
from .box_geometry import Geometry
from .box_tables import PRESENT, STRIDE, N
from .index import diagonal


@inner
def ends(shape, axis, cut):
    """The last index per axis; `cut` omits the last node of the lines along `axis`."""
    last = np.empty(3, np.int64)
    for a in range(3):
        last[a] = shape[N, a] - (1 if cut and a == axis else 0)
    return last


@jit
def eliminate(c, shape, axis, cut, p):
    """Replace the diagonal p by the inverse pivots; 0 for a pivot at round-off level.

    c: couplings along the axis, stored at the lower of the two nodes.
    """
    s, small = shape[STRIDE, axis], 1e-12 if p.itemsize == 8 else 1e-5
    last = ends(shape, axis, cut)
    for i in range(shape[PRESENT, 0], last[0] + 1):
        for j in range(shape[PRESENT, 1], last[1] + 1):
            row = i * shape[STRIDE, 0] + j * shape[STRIDE, 1]
            for x in range(row + 1, row + last[2] + 1):
                value = p[x] - c[x - s] * c[x - s] * p[x - s]
                p[x] = 1 / value if value > small * p[x] else 0


@inner
def substitute(v, c, shape, axis, p, cut, odd):
    """Replace right-hand sides v of lines along an axis by the solutions.

    `cut` omits the last node. Only lines with an odd index along the axis `odd`; all if it is -1.
    """
    s = shape[STRIDE, axis]
    last = ends(shape, axis, cut)
    step = 2 if odd == 2 else 1
    for i in range(shape[PRESENT, 0], last[0] + 1, 2 if odd == 0 else 1):
        for j in range(shape[PRESENT, 1], last[1] + 1, 2 if odd == 1 else 1):
            row = i * shape[STRIDE, 0] + j * shape[STRIDE, 1]
            for x in range(row + 1, row + last[2] + 1, step):
                v[x] = p[x] * (v[x] + c[x - s] * v[x - s])
    last[axis] -= 1
    for i in range(last[0], shape[PRESENT, 0] - 1, -1):
        if odd == 0 and i % 2 == 0:
            continue
        for j in range(last[1], shape[PRESENT, 1] - 1, -1):
            if odd == 1 and j % 2 == 0:
                continue
            row = i * shape[STRIDE, 0] + j * shape[STRIDE, 1]
            for x in range(row + last[2] - (odd == 2 and last[2] % 2 == 0), row, -step):
                v[x] += p[x] * c[x] * v[x + s]


@inner
def solve(v, c, shape, wrap, axis, p, odd):
    """`substitute` for whole lines, periodic or not; p: pivots and borders; v is zero at ghosts."""
    substitute(v, c, shape, axis, p, wrap[axis], odd)
    if not wrap[axis]:
        return
    s, n, w = shape[STRIDE, axis], shape[N, axis], p[len(v) :]
    last = ends(shape, axis, False)
    first, end = np.ones(3, np.int64), last.copy()
    for a in range(3):
        first[a] = shape[PRESENT, a]
    first[axis], end[axis] = n, n
    for i in range(first[0], end[0] + 1):
        for j in range(first[1], end[1] + 1):
            for k in range(first[2], end[2] + 1):
                x = i * shape[STRIDE, 0] + j * shape[STRIDE, 1] + k
                low = x - (n - 1) * s
                v[x] = p[x] * (v[x] + c[x] * v[low] + c[x - s] * v[x - s])
                for q in range(low, x, s):
                    v[q] += w[q] * v[x]


@jit
def borders(c, shape, axis, p, w):
    """Compute the borders w of periodic lines, initially zero, and their last pivots."""
    s, n = shape[STRIDE, axis], shape[N, axis]
    small = 1e-12 if p.itemsize == 8 else 1e-5
    first, last = np.ones(3, np.int64), ends(shape, axis, False)
    for a in range(3):
        first[a] = shape[PRESENT, a]
    first[axis], last[axis] = 1, 1
    for stage in range(2):
        for i in range(first[0], last[0] + 1):
            for j in range(first[1], last[1] + 1):
                for k in range(first[2], last[2] + 1):
                    x = i * shape[STRIDE, 0] + j * shape[STRIDE, 1] + k
                    before, end = x + (n - 2) * s, x + (n - 1) * s
                    if stage == 0:  # the couplings of the last node to its neighbours
                        w[x] += c[end]
                        w[before] += c[before]
                    else:
                        value = p[end] - c[end] * w[x] - c[before] * w[before]
                        p[end] = 1 / value if value > small * p[end] else 0
        if stage == 0:
            substitute(w, c, shape, axis, p, True, -1)


def pivots(
    store: np.ndarray,
    level: np.void,
    g: Geometry,
    wrap: np.ndarray,
    c: np.ndarray,
    e: np.ndarray,
    has_e: bool,
) -> None:
    """Compute the pivots and borders of a level from its couplings."""
    S = int(level["num_stored"])
    for axis in level["pivots"].nonzero()[0].tolist():
        both = store[level["pivots"][axis] :]
        p, along = both[:S], c[(2 - axis) * S : (3 - axis) * S]
        diagonal(c, e, has_e, g.step, g.shape, p)
        eliminate(along, g.shape, axis, bool(wrap[axis]), p)
        if wrap[axis]:
            borders(along, g.shape, axis, p, both[S : 2 * S])
