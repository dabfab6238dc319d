"""Loops for -div(a grad u) + c u on a uniform grid of one to three axes (numba).

The plain twin, which defines what is computed, is `diffusion/reference.py`. Fields have three axes;
leading axes that are missing have length one, and `first` is their number. `wrap[axis]` is True for
a periodic axis. Each row is read once and stays in the first-level cache. A call computes the rows
[start, end), where row i n + j is (i, j, ·). The loops start no threads, so they are safe after a
fork, and release the GIL.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..runtime import row_blocks
from ..runtime.jit import jit
from ..runtime.memory import empty
from .factors import Factors
from .problem import Couplings, Profiles


def bind(A: Couplings | Profiles, u: Tensor, out: Tensor) -> Callable[[], object]:
    """out = A u for one contiguous field, its rows divided among threads if there are many."""
    shape = (1,) * (3 - u.ndim) + tuple(u.shape)
    field, result = u.view(shape).numpy(), out.view(shape).numpy()
    if u.dtype not in A.arrays:
        A.arrays[u.dtype] = _arrays(A, u.dtype)
    loop, arguments = (apply if isinstance(A, Couplings) else apply_constant), A.arrays[u.dtype]
    rows = math.prod(shape[:-1])
    num_blocks = row_blocks.count(u.numel(), row_blocks.VAST)
    if num_blocks == 1:
        return partial(loop, field, *arguments, result, 0, rows)
    return partial(row_blocks.split, partial(loop, field, *arguments, result), rows, num_blocks)


def _arrays(A: Couplings | Profiles, dtype: torch.dtype) -> tuple[Any, ...]:
    """The arguments of the loops other than the fields, on three axes."""
    missing = 3 - len(A.shape)
    wrap = np.array([False] * missing + list(A.periodic))
    if isinstance(A, Profiles):
        t = [torch.zeros(2)] * missing + list(A.couplings)
        s = [torch.ones(1)] * missing + list(A.fractions)
        excess = torch.tensor([A.excess], dtype=dtype).numpy()[0]
        return (*(x.to(dtype).numpy() for x in (*t, *s)), excess, missing, wrap)
    lead = (1,) * missing
    faces = [f.detach().contiguous().reshape(lead + tuple(f.shape)).numpy() for f in A.faces]
    e = faces[0].reshape(-1)[:0].reshape(0, 0, 0)
    if A.excess is not None:
        e = A.excess.detach().contiguous().reshape(lead + tuple(A.shape)).numpy()
    return (*[faces[-1]] * missing, *faces, e, missing, wrap)


def harmonic_faces(a: Tensor, factors: Factors, skipped: Sequence[int]) -> Tensor:
    """Same as `reference.harmonic_faces`, by a loop that reads each value once."""
    missing = 3 - a.ndim
    lead = (1,) * missing
    if a.dtype not in factors.arrays:
        whole = [torch.ones(n, dtype=a.dtype) for n in factors.shape]
        given = [
            one if p is None else p.to(a.dtype) for p, one in zip(factors.along, whole, strict=True)
        ]
        factors.arrays[a.dtype] = [
            p.numpy() for p in [torch.ones(1, dtype=a.dtype)] * missing + given
        ]
    result, nodes = empty(factors.shape, a), a.detach().contiguous()
    fill: Any = faces
    fill(
        nodes.view(lead + nodes.shape).numpy(), missing + factors.axis,
        *[0] * missing, *skipped, *factors.arrays[a.dtype],
        result.view(lead + result.shape).numpy(),
    )  # fmt: skip
    return result


@jit
def apply(u, f0, f1, f2, excess, first, wrap, out, start, end):
    """out = A u from the couplings at all faces; an `excess` of size zero means none."""
    l, n, m = u.shape
    zero = np.zeros(m, u.dtype)
    for i in range(start // n, (end + n - 1) // n):
        for j in range(max(start - i * n, 0), min(end - i * n, n)):
            c, o, side = u[i, j], out[i, j], f2[i, j]
            if first < 2:
                up = u[i, j - 1] if j > 0 else (u[i, n - 1] if wrap[1] else zero)
                down = u[i, j + 1] if j < n - 1 else (u[i, 0] if wrap[1] else zero)
                above, below = f1[i, j], f1[i, j + 1]
                for k in range(m):
                    o[k] = above[k] * (c[k] - up[k]) + below[k] * (c[k] - down[k])
            else:
                o[:] = 0
            if first < 1:
                up = u[i - 1, j] if i > 0 else (u[l - 1, j] if wrap[0] else zero)
                down = u[i + 1, j] if i < l - 1 else (u[0, j] if wrap[0] else zero)
                above, below = f0[i, j], f0[i + 1, j]
                for k in range(m):
                    o[k] += above[k] * (c[k] - up[k]) + below[k] * (c[k] - down[k])
            o[0] += side[0] * (c[0] - (c[m - 1] if wrap[2] else 0))
            for k in range(m - 1):
                o[k] += side[k + 1] * (c[k] - c[k + 1])
            for k in range(1, m):
                o[k] += side[k] * (c[k] - c[k - 1])
            o[m - 1] += side[m] * (c[m - 1] - (c[0] if wrap[2] else 0))
            if excess.size > 0:
                e = excess[i, j]
                for k in range(m):
                    o[k] += e[k] * c[k]


@jit
def apply_constant(u, t0, t1, t2, s0, s1, s2, c, first, wrap, out, start, end):
    """out = A u for a constant coefficient: couplings and excess are products of profiles.

    t are the couplings at the faces of each axis, s the fractions of a cell that belong to the
    nodes of each axis, c is the excess of a whole cell.
    """
    l, n, m = u.shape
    zero = np.zeros(m, u.dtype)
    for i in range(start // n, (end + n - 1) // n):
        for j in range(max(start - i * n, 0), min(end - i * n, n)):
            row, o = u[i, j], out[i, j]
            up = u[i, j - 1] if j > 0 else (u[i, n - 1] if wrap[1] else zero)
            down = u[i, j + 1] if j < n - 1 else (u[i, 0] if wrap[1] else zero)
            back = u[i - 1, j] if i > 0 else (u[l - 1, j] if wrap[0] else zero)
            front = u[i + 1, j] if i < l - 1 else (u[0, j] if wrap[0] else zero)
            a, b, d, e, s = zero[0], zero[0], zero[0], zero[0], s0[i] * s1[j]
            if first < 2:
                a, b = s0[i] * t1[j], s0[i] * t1[j + 1]
            if first < 1:
                d, e = s1[j] * t0[i], s1[j] * t0[i + 1]
            diagonal = a + b + d + e + s * c
            if first < 1:
                for k in range(m):
                    sides = a * up[k] + b * down[k] + d * back[k] + e * front[k]
                    o[k] = s2[k] * (diagonal * row[k] - sides)
            else:
                for k in range(m):
                    o[k] = s2[k] * (diagonal * row[k] - (a * up[k] + b * down[k]))
            o[0] += s * t2[0] * (row[0] - (row[m - 1] if wrap[2] else 0))
            o[0] += s * t2[1] * (row[0] - row[1]) if m > 1 else zero[0]
            for k in range(1, m - 1):
                o[k] += s * (
                    (t2[k] + t2[k + 1]) * row[k] - t2[k] * row[k - 1] - t2[k + 1] * row[k + 1]
                )
            if m > 1:
                o[m - 1] += s * t2[m - 1] * (row[m - 1] - row[m - 2])
            o[m - 1] += s * t2[m] * (row[m - 1] - (row[0] if wrap[2] else 0))


@jit
def faces(a, axis, o0, o1, o2, t0, t1, t2, out):
    """out = the harmonic mean of the two nodes at each face of an axis, times three profiles.

    The lower of the two nodes at the face (i, j, k) is a[i + o0, j + o1, k + o2].
    """
    l, n, m = out.shape
    two = a.dtype.type(2)
    for i in range(l):
        for j in range(n):
            here, row, s, t = a[i + o0, j + o1, o2 : o2 + m], out[i, j], t0[i], t1[j]
            if axis == 0:
                there = a[i + o0 + 1, j + o1, o2 : o2 + m]
            elif axis == 1:
                there = a[i + o0, j + o1 + 1, o2 : o2 + m]
            else:
                there = a[i + o0, j + o1, o2 + 1 : o2 + 1 + m]
            for k in range(m):
                row[k] = two * here[k] * (there[k] / (here[k] + there[k])) * s * t * t2[k]
