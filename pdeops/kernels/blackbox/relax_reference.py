"""Smoothers of black-box multigrid in plain torch: part of the twin that `blackbox/reference.py`
describes."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .layout import padded
from .level_reference import Level, residual, shift, sync
from .sparsify import Offset


def relax(u: Tensor, b: Tensor, level: Level, start: Sequence[int]) -> Tensor:
    """u after Gauss-Seidel at every other node from `start`; these nodes are not neighbours."""

    def at(x: Tensor, delta: Offset | None = None) -> Tensor:
        shifts = delta or (0,) * len(level.n)
        own = (slice(s + d, n + 1 + d, 2) for s, n, d in zip(start, level.n, shifts, strict=True))
        where: Any = (..., *own)
        return x[where]

    total = at(b).clone()
    for delta, c in level.couplings.items():
        total += at(c) * at(u, delta)
    d = at(level.diagonal)
    u = u.clone()
    at(u).copy_(torch.where(d > 0, total / torch.where(d > 0, d, 1), 0))
    return sync(u, level.n, level.wrap)


def eliminate(level: Level, axis: int) -> tuple[list[Tensor], list[Tensor] | None]:
    """Inverse pivots of the lines along an axis, and their borders if it is periodic.

    Both are lists by the index along the axis (`blackbox/lines.py`). A pivot at round-off level has
    the inverse 0.
    """
    n, wrap = level.n[axis], level.wrap[axis]
    ndim = len(level.n)
    d, c = along(level.diagonal, axis, ndim), along(forward(level, axis), axis, ndim)
    small = 1e-12 if level.excess.dtype == torch.float64 else 1e-5

    def inverse(value: Tensor, i: int) -> Tensor:
        sound = value > small * d[i]
        return torch.where(sound, 1 / torch.where(sound, value, 1), 0)

    p = [torch.zeros_like(d[0])]
    for i in range(1, n if wrap else n + 1):
        p.append(inverse(d[i] - c[i - 1] ** 2 * p[i - 1], i))
    if not wrap:
        return p, None
    v = [torch.zeros_like(d[0]) for _ in range(n)]
    v[1] = v[1] + c[n]
    v[n - 1] = v[n - 1] + c[n - 1]
    w = solve(v, c, p, n - 1)
    p.append(inverse(d[n] - c[n] * w[1] - c[n - 1] * w[n - 1], n))
    return p, w


def solve(f: Sequence[Tensor], c: Sequence[Tensor], p: Sequence[Tensor], n: int) -> list[Tensor]:
    """The solution on the nodes 1 .. n of lines with couplings c and inverse pivots p."""
    x = [torch.zeros_like(p[0])]
    for i in range(1, n + 1):
        x.append(p[i] * (f[i] + c[i - 1] * x[i - 1]))
    for i in range(n - 1, 0, -1):
        x[i] = x[i] + p[i] * c[i] * x[i + 1]
    return x


def forward(level: Level, axis: int) -> Tensor:
    """Couplings to the next node along an axis."""
    return level.couplings[tuple(int(a == axis) for a in range(len(level.n)))]


def along(x: Tensor, axis: int, ndim: int) -> tuple[Tensor, ...]:
    """The slices of a field along an axis."""
    return x.unbind(axis - ndim)


def solve_lines(f: Tensor, level: Level, axis: int) -> Tensor:
    """The solutions for all lines along an axis with right-hand side f; zero at ghosts."""
    n, ndim = level.n[axis], len(level.n)
    if axis not in level.lines:
        level.lines[axis] = eliminate(level, axis)
    p, border = level.lines[axis]
    values, c = along(f, axis, ndim), along(forward(level, axis), axis, ndim)
    if border is None:
        x = solve(values, c, p, n)
    else:
        x = solve(values, c, p, n - 1)
        end = p[n] * (values[n] + c[n] * x[1] + c[n - 1] * x[n - 1])
        x = [*(y + w * end for y, w in zip(x, border, strict=True)), end]
    x += [torch.zeros_like(x[0])] * (padded(n) - len(x))
    return torch.stack(torch.broadcast_tensors(*x), axis - ndim)


def relax_lines(u: Tensor, b: Tensor, level: Level, axis: int, start: Sequence[int]) -> Tensor:
    """u after every other line along an axis is solved, from `start` on the other axes.

    These lines are not neighbours.
    """
    own = [slice(s, k + 1, 2) for s, k in zip(start, level.n, strict=True)]
    own[axis] = slice(None)
    ours = torch.zeros(u.shape[-len(level.n) :], dtype=torch.bool, device=u.device)
    ours[tuple(own)] = True
    others = torch.where(ours, 0, u)
    f = b
    for delta, coupling in level.couplings.items():
        f = f + coupling * shift(others, delta)
    return sync(torch.where(ours, solve_lines(f, level, axis), u), level.n, level.wrap)


def smooth(
    u: Tensor,
    b: Tensor,
    level: Level,
    sweep: Sequence[Sequence[int]],
    backward: bool = False,
    lengths: Sequence[float] = (),
) -> Tensor:
    """u after one sweep: Gauss-Seidel in colours, or u + ω D⁻¹ (b - A u) for each step length ω."""
    for omega in lengths:
        d = level.diagonal
        u = u + torch.where(d > 0, omega * residual(u, b, level) / torch.where(d > 0, d, 1), 0)
        sync(u, level.n, level.wrap)
    if lengths:
        return u
    for axis, *start in reversed(sweep) if backward else sweep:
        u = relax(u, b, level, start) if axis < 0 else relax_lines(u, b, level, axis, start)
    return u
