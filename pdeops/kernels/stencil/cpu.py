"""The product with a symmetric stencil of 3^d points as one loop over flat fields (numba).

The plain twin, which defines what is computed, is `stencil/reference.py`. A neighbour is a distance
between flat indices. Couplings to neighbours outside the box are zero, so the loop need not know
the rows of the box, or how many axes it has. It starts no threads and releases the GIL.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from torch import Tensor

from ..runtime import row_blocks
from ..runtime.jit import jit
from .problem import Entries

BLOCK = 1024  # nodes whose results stay in the first-level cache


def bind(A: Entries, u: Tensor, out: Tensor) -> Callable[[], object]:
    """out = A u for one contiguous field, divided among threads if it is large."""
    arguments = (u.view(-1).numpy(), *_arrays(A), out.view(-1).numpy())
    num_blocks = row_blocks.count(u.numel(), row_blocks.VAST)
    if num_blocks == 1:
        return partial(apply, *arguments, 0, u.numel())
    return partial(row_blocks.split, partial(apply, *arguments), u.numel(), num_blocks)


def _arrays(A: Entries) -> tuple[np.ndarray, ...]:
    """Diagonal, couplings, and for each offset that fits into the box its number and distance."""
    if not A.arrays:
        strides = [math.prod(A.shape[axis + 1 :]) for axis in range(len(A.shape))]
        table = [
            (k, sum(o * s for o, s in zip(offset, strides, strict=True)))
            for k, offset in enumerate(A.offsets)
            if all(n > 1 or o == 0 for o, n in zip(offset, A.shape, strict=True))
        ]
        diagonal = A.diagonal.detach().contiguous().view(-1).numpy()
        couplings = A.couplings.detach().contiguous().view(len(A.offsets), -1).numpy()
        A.arrays.extend((diagonal, couplings, np.array(table, np.int64).reshape(-1, 2)))
    return tuple(A.arrays)


@jit
def apply(u, d, a, table, out, start, end):
    """The entries [start, end) of out = A u."""
    size = u.size
    for s in range(start, end, BLOCK):
        e = min(s + BLOCK, end)
        o, dr, ur = out[s:e], d[s:e], u[s:e]
        for q in range(e - s):
            o[q] = dr[q] * ur[q]
        for t in range(len(table)):
            row, step = a[table[t, 0]], table[t, 1]
            stop = min(e, size - step)
            if s < stop:
                ahead, v = row[s:stop], u[s + step : stop + step]
                for q in range(stop - s):
                    o[q] += ahead[q] * v[q]
            first = max(s, step)
            if first < e:
                behind, v, p = (
                    row[first - step : e - step],
                    u[first - step : e - step],
                    o[first - s :],
                )
                for q in range(e - first):
                    p[q] += behind[q] * v[q]
