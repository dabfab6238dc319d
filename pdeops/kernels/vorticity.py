"""The pointwise work of 2D vorticity in waves as fused loops (numba), on the CPU.

The plain twin, which says what is computed and why, is `vorticity_reference.py`. Complex fields
come as their parts: the factors are real or imaginary, and torch would make complex ones of them.
Nothing here starts threads, so the loops are safe after fork; they release the GIL.
"""

from typing import Any

import numba
from torch import Tensor

_jit = numba.njit(cache=True, nogil=True, error_model="numpy")


def velocity(w: Tensor, per_x: Tensor, per_y: Tensor, out: Tensor) -> None:
    """As the twin."""
    _velocity(_parts(w), per_x.numpy(), per_y.numpy(), _parts(out))


def products(uv: Tensor) -> None:
    """As the twin."""
    _products(*uv.view(2, -1).numpy())


def tendency(hat: Tensor, a: Tensor, c: Tensor, out: Tensor) -> None:
    """As the twin."""
    _tendency(_parts(hat), a.numpy(), c.numpy(), _parts(out))


def _parts(z: Tensor) -> Any:
    """Real and imaginary parts side by side, along the last axis."""
    array = z.numpy()  # a third of the time of torch.view_as_real and flatten
    return array.view(array.real.dtype)


@_jit
def _velocity(w, per_x, per_y, out):
    num_b, num_l, num_k = w.shape[0], w.shape[1], per_x.shape[1]
    positive = (num_k + 1) // 2
    gap = out.shape[3] - 2 * num_k  # of zeros, in parts
    for b in range(num_b):
        for l in range(num_l):
            s, u, v, fx, fy = w[b, l], out[0, b, l], out[1, b, l], per_x[l], per_y[l]
            for start, end, shift in ((0, positive, 0), (positive, num_k, gap)):
                for k in range(start, end):
                    re, im = s[2 * k], s[2 * k + 1]
                    u[2 * k + shift] = -fy[k] * im
                    u[2 * k + shift + 1] = fy[k] * re
                    v[2 * k + shift] = fx[k] * im
                    v[2 * k + shift + 1] = -fx[k] * re


@_jit
def _products(p, q):
    for x in range(p.size):
        u, v = p[x], q[x]
        p[x] = u * v
        q[x] = (v - u) * (v + u)


@_jit
def _tendency(hat, a, c, out):
    num_b, num_l, num_k = out.shape[0], out.shape[1], a.shape[1]
    positive = (num_k + 1) // 2
    gap = hat.shape[3] - 2 * num_k
    for b in range(num_b):
        for l in range(num_l):
            p, q, o, fa, fc = hat[0, b, l], hat[1, b, l], out[b, l], a[l], c[l]
            for start, end, shift in ((0, positive, 0), (positive, num_k, gap)):
                for k in range(start, end):
                    o[2 * k] = fa[k] * p[2 * k + shift] + fc[k] * q[2 * k + shift]
                    o[2 * k + 1] = fa[k] * p[2 * k + shift + 1] + fc[k] * q[2 * k + shift + 1]
