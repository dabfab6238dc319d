"""Coarse operators of black-box multigrid: Pᵀ A P by couplings (numba).

The plain twin is `blackbox/galerkin_reference.py`; arrays and indices are those of
`blackbox/box.py`. The tables of indices are computed in `blackbox/galerkin_tables.py`.
"""

import numpy as np

from ..runtime.jit import jit
from .box_geometry import Geometry
from .box_tables import SIZE, N
from .relax import sync


def galerkin(
    c: np.ndarray,
    e: np.ndarray | None,
    g: Geometry,
    wrap: np.ndarray,
    w: np.ndarray,
    C: np.ndarray,
    E: np.ndarray | None,
) -> None:
    """Add the couplings C and the lumped excess E of Pᵀ A P; None without excess.

    A coupling c between p and q adds c g gᵀ to the coarse matrix, with g the difference of the rows
    p and q of P; all its entries belong to the corners of one closed coarse cell.
    """
    longest, t = int(g.shape[N, 2]) + 2, g.terms
    work = np.empty((9, longest), c.dtype)
    add_couplings(c, w, t.span, g.jump, t.num, t.weight, g.pair, work[:8], work[8], C)
    if e is not None:
        t = g.excess
        add_excess(e, w, t.span, g.jump, t.num, g.lumps, t.weight, E)
    if wrap.any():
        fold(C, g.coarse_shape, wrap)
        if E is not None:
            fold(E, g.coarse_shape, wrap)


@jit
def add_couplings(c, w, span, jump, num, weight, pair, g, y, C):
    """Add the couplings of Pᵀ A P, one fine coupling at a time."""
    stretch = jump[2]
    for t in range(len(num)):
        M = span[t, 4]
        for I in range(span[t, 0], span[t, 1]):
            for J in range(span[t, 2], span[t, 3]):
                x = I * jump[0] + J * jump[1] + span[t, 5]
                X = I * jump[3] + J * jump[4] + span[t, 6]
                row = c[x : x + stretch * (M - 1) + 1 : stretch]
                for z in range(num[t]):
                    g_z = g[z]
                    for q in range(M):
                        g_z[q] = 0
                    if weight[t, z, 0] >= 0:
                        at = X + weight[t, z, 0]
                        w_z = w[at : at + M]
                        for q in range(M):
                            g_z[q] += w_z[q]
                    if weight[t, z, 1] >= 0:
                        at = X + weight[t, z, 1]
                        w_z = w[at : at + M]
                        for q in range(M):
                            g_z[q] -= w_z[q]
                for z in range(1, num[t]):
                    g_z = g[z]
                    for q in range(M):
                        y[q] = -row[q] * g_z[q]
                    for o in range(z):
                        to = X + pair[t, z, o]
                        out, g_o = C[to : to + M], g[o]
                        for q in range(M):
                            out[q] += y[q] * g_o[q]


@jit
def add_excess(e, w, span, jump, num, corner, weight, E):
    """Add the lumped excess of Pᵀ A P; `corner` are places relative to the coarse cell."""
    stretch = jump[2]
    for t in range(len(num)):
        M = span[t, 4]
        for I in range(span[t, 0], span[t, 1]):
            for J in range(span[t, 2], span[t, 3]):
                x = I * jump[0] + J * jump[1] + span[t, 5]
                X = I * jump[3] + J * jump[4] + span[t, 6]
                row = e[x : x + stretch * (M - 1) + 1 : stretch]
                for z in range(num[t]):
                    at, to = X + weight[t, z, 0], X + corner[t, z]
                    w_z, out = w[at : at + M], E[to : to + M]
                    for q in range(M):
                        out[q] += row[q] * w_z[q]


def fold(fields: np.ndarray, shape: np.ndarray, wrap: np.ndarray) -> None:
    """Add the values at ghosts of periodic axes to their nodes, then fill the ghosts.

    `fields` are one or more fields, one after the other.
    """
    for u in fields.reshape(-1, *shape[SIZE]):
        for a in np.flatnonzero(wrap):
            n, u_a = shape[N, a], np.moveaxis(u, a, 0)
            u_a[n] += u_a[0]
            u_a[1] += u_a[n + 1]
        sync(u.reshape(-1), shape, wrap)
