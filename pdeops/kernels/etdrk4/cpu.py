"""The sums of an ETDRK4 step as fused loops (numba), on the CPU.

The plain twin is `etdrk4/reference.py`. The loops act on real and imaginary parts, as the factors
are real: torch would convert them to complex and take four passes. No threads are started.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..forms import twin_in_graphs
from ..runtime.jit import jit
from . import reference


@twin_in_graphs(reference.pair)
def pair(f: Tensor, u: Tensor, g: Tensor, v: Tensor, out: Tensor) -> None:
    """Same as `reference.pair`, for contiguous complex fields and real factors."""
    size = f.numel()
    _pair(_factor(f), _parts(u, size), _factor(g), _parts(v, size), _parts(out, size))


@twin_in_graphs(reference.last_stage)
def last_stage(E2: Tensor, a: Tensor, Q: Tensor, Nb: Tensor, Nu: Tensor, out: Tensor) -> None:
    """Same as `reference.last_stage`."""
    size = E2.numel()
    a, Nb, Nu, out = (_parts(z, size) for z in (a, Nb, Nu, out))
    _last_stage(_factor(E2), a, _factor(Q), Nb, Nu, out)


@twin_in_graphs(reference.update)
def update(u: Tensor, factors: Sequence[Tensor], N: Sequence[Tensor]) -> None:
    """Same as `reference.update`."""
    size = factors[0].numel()
    _update(_parts(u, size), *(_factor(f) for f in factors), *(_parts(z, size) for z in N))


def _factor(f: Tensor) -> Any:
    return f.numpy().reshape(-1)


def _parts(z: Tensor, size: int) -> Any:
    """(samples, 2 size): real and imaginary parts alternate."""
    array = z.numpy()
    return array.view(array.real.dtype).reshape(-1, 2 * size)


@jit
def _pair(f, u, g, v, out):
    for b in range(out.shape[0]):
        x, y, o = u[b], v[b], out[b]
        for k in range(f.size):
            o[2 * k] = f[k] * x[2 * k] + g[k] * y[2 * k]
            o[2 * k + 1] = f[k] * x[2 * k + 1] + g[k] * y[2 * k + 1]


@jit
def _last_stage(E2, a, Q, Nb, Nu, out):
    two = E2.dtype.type(2)
    for b in range(out.shape[0]):
        x, y, z, o = a[b], Nb[b], Nu[b], out[b]
        for k in range(E2.size):
            o[2 * k] = E2[k] * x[2 * k] + Q[k] * (two * y[2 * k] - z[2 * k])
            i = 2 * k + 1
            o[i] = E2[k] * x[i] + Q[k] * (two * y[i] - z[i])


@jit
def _update(u, E, f1, f2, f3, Nu, Na, Nb, Nc):
    two = E.dtype.type(2)
    for b in range(u.shape[0]):
        o, n0, n1, n2, n3 = u[b], Nu[b], Na[b], Nb[b], Nc[b]
        for k in range(E.size):
            e, p, q, r = E[k], f1[k], two * f2[k], f3[k]
            for i in (2 * k, 2 * k + 1):
                o[i] = e * o[i] + p * n0[i] + q * (n1[i] + n2[i]) + r * n3[i]
