"""Diagonals for the set-up of black-box multigrid; arrays as in `blackbox/box.py`."""

from ..runtime.jit import jit


@jit
def diagonal(c, e, has_e, step, level, out):
    """The diagonal of A at the unknowns: the sum of the couplings of a node plus its excess."""
    S, m = level.num_stored, level.n[2]
    for i in range(level.present[0], level.n[0] + 1):
        for j in range(level.present[1], level.n[1] + 1):
            x = i * level.stride[0] + j * level.stride[1] + 1
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
