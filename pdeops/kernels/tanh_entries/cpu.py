"""The entries of tanh and their reverse step as fused loops (numba), on the CPU.

The plain twin is `tanh_entries/reference.py`. A row of points stays in the first cache while all
entries of a channel are computed. The exponential is torch's, which is vectorised, in
tanh v = 2 / (1 + exp(-2v)) - 1. No threads are started.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..runtime.jit import jit

if TYPE_CHECKING:
    from . import Product


def entries(v: Tensor, bias: Tensor, products: "Sequence[Product]", out: Tensor) -> None:
    """Same as `reference.entries`, for contiguous fields of one compiled dtype."""
    half = out[:, 0]
    torch.add((2 * bias)[:, None], v[:, 0], alpha=2, out=half)
    half.sigmoid_()
    a, o = v.detach().numpy(), out.numpy()
    _entries(a, *_table(tuple(products), a.dtype), o)


def slopes(f: Tensor, g: Tensor, products: "Sequence[Product]") -> None:
    """Same as `reference.slopes`."""
    a = f.numpy()
    _slopes(a, *_table(tuple(products), a.dtype), g.numpy())


@cache
def _table(products: "tuple[Product, ...]", dtype: Any) -> tuple[Any, Any]:
    """The entries (p, 3) and the factors of the products."""
    which = np.array([p[:3] for p in products], np.int64).reshape(-1, 3)
    return which, np.array([p.factor for p in products], dtype)


@jit
def _entries(v, which, factors, out):
    one, two = v.dtype.type(1), v.dtype.type(2)
    num_q, num_n = v.shape[1], v.shape[2]
    for k in range(v.shape[0]):
        f = out[k, 0]
        for n in range(num_n):
            f[n] = two * f[n] - one
        for i in range(1, num_q):
            x, o = v[k, i], out[k, i]
            for n in range(num_n):
                o[n] = (one - f[n] * f[n]) * x[n]
        for p in range(factors.size):
            w = -two * factors[p]
            o, fa, vb = out[k, which[p, 0]], out[k, which[p, 1]], v[k, which[p, 2]]
            for n in range(num_n):
                o[n] += w * f[n] * fa[n] * vb[n]


@jit
def _slopes(f, which, factors, g):
    one, two = f.dtype.type(1), f.dtype.type(2)
    num_q, num_n = f.shape[1], f.shape[2]
    has_term = np.zeros(num_q, np.bool_)
    for p in range(factors.size):
        has_term[which[p, 0]] = True
    for k in range(f.shape[0]):
        value, g0 = f[k, 0], g[k, 0]
        for n in range(num_n):
            g0[n] *= one - value[n] * value[n]
        for i in range(1, num_q):
            x, y = f[k, i], g[k, i]
            for n in range(num_n):
                g0[n] -= two * value[n] * x[n] * y[n]
            if not has_term[i]:
                for n in range(num_n):
                    y[n] *= one - value[n] * value[n]
        for p in range(factors.size):
            w, a, b = two * factors[p], which[p, 1], which[p, 2]
            y, fa, fb, ga, gb = g[k, which[p, 0]], f[k, a], f[k, b], g[k, a], g[k, b]
            for n in range(num_n):
                g0[n] -= w * y[n] * fa[n] * fb[n]
            for n in range(num_n):
                ga[n] -= w * value[n] * y[n] * fb[n]
            for n in range(num_n):
                gb[n] -= w * value[n] * y[n] * fa[n]
        for i in range(1, num_q):
            if has_term[i]:
                y = g[k, i]
                for n in range(num_n):
                    y[n] *= one - value[n] * value[n]
