"""The pointwise work of the 2D vorticity equation as fused loops (numba), on the CPU.

The plain twin, which defines what is computed, is `vorticity/reference.py`. Complex fields are read
as alternating real and imaginary parts. The loops start no threads, so they are safe after fork;
they release the GIL.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..forms import twin_in_graphs
from ..runtime.jit import jit
from . import reference

_TILED = 1 << 15  # below, two threads of torch are faster than one thread with tiles


@twin_in_graphs(reference.velocity)
def velocity(w: Tensor, per_x: Tensor, per_y: Tensor, out: Tensor) -> None:
    """Same as `reference.velocity`."""
    _velocity(_parts(w), per_x.numpy(), per_y.numpy(), _parts(out))


@twin_in_graphs(reference.products)
def products(z: Tensor) -> None:
    """Same as `reference.products`."""
    _square(_parts(z).reshape(-1))


@twin_in_graphs(reference.turn)
def turn(z: Tensor, first: int, count: int, out: Tensor) -> None:
    """Same as `reference.turn`; contiguous fields."""
    if z.shape[1] * count < _TILED and torch.get_num_threads() > 1:
        reference.turn(z, first, count, out)
    else:
        _turn(_words(z), first, count, _words(out))


@twin_in_graphs(reference.tendency)
def tendency(square: Tensor, a: Tensor, c: Tensor, out: Tensor) -> None:
    """Same as `reference.tendency`."""
    _tendency(_parts(square), a.numpy(), c.numpy(), _parts(out))


def _parts(z: Tensor) -> Any:
    """Alternating real and imaginary parts along the last axis."""
    array = z.numpy()  # a third of the time of torch.view_as_real and flatten
    return array.view(array.real.dtype)


def _words(z: Tensor) -> Any:
    """Complex numbers as units of one load: complex64 (two floats) as float64."""
    array = z.numpy()
    return array.view(np.float64) if array.dtype == np.complex64 else array


@jit
def _velocity(w, per_x, per_y, out):
    num_b, num_l, num_k = w.shape[0], w.shape[1], per_x.shape[1]
    last = 2 * (num_k - 1)
    for b in range(num_b):
        for l in range(num_l):
            s, z, fx, fy = w[b, l], out[b, num_l - 1 + l], per_x[l], per_y[l]
            for k in range(num_k):
                re, im = s[2 * k], s[2 * k + 1]
                z[2 * k] = fx[k] * re - fy[k] * im
                z[2 * k + 1] = fx[k] * im + fy[k] * re
            if l > 0:
                z = out[b, num_l - 1 - l]
                for k in range(num_k):
                    re, im = s[2 * k], s[2 * k + 1]
                    z[last - 2 * k] = -fx[k] * re - fy[k] * im
                    z[last - 2 * k + 1] = fx[k] * im - fy[k] * re


@jit
def _square(z):
    for i in range(z.size // 2):
        u, v = z[2 * i], z[2 * i + 1]
        z[2 * i] = (u - v) * (u + v)
        z[2 * i + 1] = 2 * u * v


@jit
def _turn(z, first, count, out):
    """`turn` in tiles of 8 x 16, in a third of the time of torch's copy (a cache line per value).

    Wider tiles are twice as slow where rows are a power of two apart: they share cache sets.
    """
    num_i = z.shape[1]
    for b in range(z.shape[0]):
        for i0 in range(0, num_i, 8):
            for j0 in range(0, count, 16):
                for j in range(j0, min(j0 + 16, count)):
                    for i in range(i0, min(i0 + 8, num_i)):
                        out[b, j, i] = z[b, i, first + j]


@jit
def _tendency(square, a, c, out):
    num_b, num_l, num_k = out.shape[0], out.shape[1], a.shape[1]
    first = num_k - 1  # place K of x, in parts
    last = first + 2 * (num_k - 1)
    quarter, half = a.dtype.type(0.25), a.dtype.type(0.5)
    for b in range(num_b):
        for l in range(num_l):
            here, there = square[b, num_l - 1 + l], square[b, num_l - 1 - l]
            o, fa, fc = out[b, l], a[l], c[l]
            for k in range(num_k):
                re, im = here[first + 2 * k], here[first + 2 * k + 1]
                re_, im_ = there[last - 2 * k], -there[last - 2 * k + 1]
                o[2 * k] = quarter * fa[k] * (im - im_) - half * fc[k] * (re + re_)
                o[2 * k + 1] = -quarter * fa[k] * (re - re_) - half * fc[k] * (im + im_)
