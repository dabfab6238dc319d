"""Diagonals for the set-up of black-box multigrid; arrays as in `blackbox/box.py`."""

from ..runtime.jit import jit
from .box_tables import PRESENT, STRIDE, N


@jit
def diagonal(c, e, has_e, step, shape, out):
    """The diagonal of A at the unknowns: the sum of the couplings of a node plus its excess."""
    S, m = len(out), shape[N, 2]
    for i in range(shape[PRESENT, 0], shape[N, 0] + 1):
        for j in range(shape[PRESENT, 1], shape[N, 1] + 1):
            x = i * shape[STRIDE, 0] + j * shape[STRIDE, 1] + 1
            d = out[x : x + m]
            for q in range(m):
                d[q] = 0
            if has_e:
                excess = e[x : x + m]
                for q in range(m):
                    d[q] += excess[q]
            for k in range(len(step)):
                at = k * S + x
                ahead, behind = c[at : at + m], c[at - step[k] : at - step[k] + m]
                for q in range(m):
                    d[q] += ahead[q] + behind[q]
