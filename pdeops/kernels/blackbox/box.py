"""Transfers and exact solution of black-box multigrid in one to three dimensions (numba).

The plain twin, which explains the method, is `blackbox/reference.py`. A level is a record of
`table`, and its arrays lie in one flat `store` (`blackbox/layout.py`). Fields have three axes, of
which the leading ones may be missing: a missing axis has one node with index 0 and no ghosts. The
other axes have the unknowns at 1 .. n and ghosts around them.

The loops run over whole rows, so that they are vectorised, and write every other node. The sum over
the points of a stencil is a sum over rows, so the same code serves 3, 5, 7, 9 and 27 points.

Smoothers are in `blackbox/relax.py`, the set-up in `blackbox/box_setup.py`,
`blackbox/interpolation.py`, `blackbox/galerkin.py` and `blackbox/lines.py`. The loops start no
threads, so they are safe after a fork. Each is called from Python, level by level
(`box_hierarchy.py`), and compiled only if a problem needs it. What depends on the sizes of a level
alone is computed in Python too (`blackbox/box_tables.py`).
"""

from ..runtime.jit import jit
from .band import substitute_both

TILE = 32


@jit
def restrict(res, w, fine, weight_at, jump, n, slowest, B, first, end):
    """B = Pᵀ res at the coarse unknowns; the ghosts of `res` are filled.

    Rows [first, end) along the axis `slowest`; n are the coarse unknowns per axis, 1 on a missing
    axis. `fine` and `weight_at` are tables of `box_tables.Transfer`.
    """
    M, stretch = n[2], jump[2]
    I0, I1, J0, J1 = 0, n[0], 0, n[1]
    if slowest == 0:
        I0, I1 = first, end
    if slowest == 1:
        J0, J1 = first, end
    for I in range(I0, I1):
        for J in range(J0, J1):
            X = I * jump[3] + J * jump[4] + jump[5]
            out = B[X : X + M]
            for code in range(len(fine)):
                x = I * jump[0] + J * jump[1] + fine[code]
                row = res[x : x + stretch * (M - 1) + 1 : stretch]
                if code == 0:
                    for q in range(M):
                        out[q] = row[q]
                else:
                    at = X + weight_at[code]
                    weight = w[at : at + M]
                    for q in range(M):
                        out[q] += weight[q] * row[q]


@jit
def prolong(U, w, spans, jump, slowest, u, low, end):
    """u += P U at the unknowns of the coarse rows [low, end); row 0 is the boundary.

    `spans` is a table of `box_tables.Transfer`.
    """
    stretch = jump[2]
    for code in range(len(spans)):
        I0, I1, J0, J1 = spans[code, 0], spans[code, 1], spans[code, 2], spans[code, 3]
        if slowest == 0:
            I0, I1 = max(I0, low), min(I1, end)
        if slowest == 1:
            J0, J1 = max(J0, low), min(J1, end)
        M = spans[code, 4]
        for I in range(I0, I1):
            for J in range(J0, J1):
                x = I * jump[0] + J * jump[1] + spans[code, 5]
                X = I * jump[3] + J * jump[4]
                fine = u[x : x + stretch * (M - 1) + 1 : stretch]
                X_row = X + spans[code, 6]
                coarse_row = U[X_row : X_row + M]
                if code == 0:
                    for q in range(M):
                        fine[q] += coarse_row[q]
                else:
                    at = X + spans[code, 7]
                    weight = w[at : at + M]
                    for q in range(M):
                        fine[q] += weight[q] * coarse_row[q]


@jit
def solve_band(L, number, b, y, u):
    """u = A⁻¹ b on the coarsest level by the factor of `factor_band`; fills the ghosts of u.

    y is a vector with one entry per unknown.
    """
    for x in range(len(number)):
        # b is read at the unknowns only: their numbers are >= 0, those of ghosts are < -1.
        if number[x] >= 0:
            y[number[x]] = b[x]
    substitute_both(L, y)
    for x in range(len(number)):
        if number[x] >= 0:
            u[x] = y[number[x]]
        elif number[x] < -1:
            u[x] = y[-2 - number[x]]


@jit
def copy_tiled(to, source):
    """to = source, in tiles: the strides of the two may be in a different order."""
    n0, n1, n2 = source.shape
    for i in range(n0):
        for J in range(0, n1, TILE):
            for K in range(0, n2, TILE):
                for j in range(J, min(J + TILE, n1)):
                    for k in range(K, min(K + TILE, n2)):
                        to[i, j, k] = source[i, j, k]
