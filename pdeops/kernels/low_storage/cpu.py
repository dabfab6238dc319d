"""One stage of a low-storage implicit-explicit step as one loop (numba), on the CPU.

The plain twin is `low_storage/reference.py`. The loops act on real and imaginary parts, as the
factors are real: torch would convert them to complex and take four passes. No threads are started.
"""

from torch import Tensor

from ..forms import twin_in_graphs
from ..runtime.jit import jit
from . import reference


@twin_in_graphs(reference.update)
def update(u: Tensor, h: Tensor, N: Tensor, beta: float, decay: Tensor, gain: Tensor) -> None:
    """Same as `reference.update`, for contiguous complex fields and real factors."""
    d, g = decay.numpy().reshape(-1), gain.numpy().reshape(-1)
    z, s, n = (v.numpy().view(d.dtype).reshape(-1, 2 * d.size) for v in (u, h, N))
    _update(z, s, n, d.dtype.type(beta), d, g)


@jit
def _update(u, h, N, beta, decay, gain):
    for b in range(u.shape[0]):
        z, g, n = u[b], h[b], N[b]
        if beta == 0:
            for k in range(z.size):
                g[k] = n[k]
        else:
            for k in range(z.size):
                g[k] = n[k] + beta * g[k]
        for k in range(decay.size):
            z[2 * k] = decay[k] * z[2 * k] + gain[k] * g[2 * k]
            z[2 * k + 1] = decay[k] * z[2 * k + 1] + gain[k] * g[2 * k + 1]
