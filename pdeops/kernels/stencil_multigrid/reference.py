"""Multigrid for symmetric stencils of 3^d points, in plain torch; twin of `cpu.py`.

`layout.py` describes the arrays, `interpolation.py` the weights of P. Coarse operators are
Pᵀ A P, which again have 3^d points.

**Smoother.** Gauss-Seidel by points in 2^d colours (indices modulo 2), none of which couples two of
its nodes; or in a plane by lines along an axis or a diagonal, each solved exactly, in two or three
colours (`problem.Line`). After the correction the order of the colours is reversed. Then the cycle
is symmetric, and positive definite for every positive definite A: Gauss-Seidel converges, and the
correction is a projection in the inner product of A.

**Coarsest level.** Its matrix is inverted.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..blackbox import Cycle, Hierarchy, NotPositiveDefiniteError
from ..blackbox.layout import ASCEND, DESCEND, EXACT, PROLONG, RESTRICT, START, schedule
from . import layout
from .interpolation import interpolation
from .layout import Grid
from .problem import Colour, Line, StencilSystem, inverse


class Level:
    """A level: its grid, the entries of A, and what a cycle needs.

    Attributes:
        entries: couplings and diagonal, (K + 1, *stored).
        scale: 1 / diagonal, 0 where the diagonal is 0.
        pivots: per slope of lines, the inverse pivots of their tridiagonal matrices.
        weights: of P from the next level; None on the coarsest level.
        inverse: of A on the coarsest level.
    """

    def __init__(self, grid: Grid, entries: Tensor, slopes: Sequence[int]) -> None:
        self.grid, self.entries = grid, entries
        d, scale = entries[-1], entries.new_zeros(grid.size)
        scale[d > 0] = 1 / d[d > 0]
        self.scale = scale
        self.pivots = {slope: pivots(entries, grid, slope) for slope in slopes}
        self.weights: Tensor | None = None
        self.inverse: Tensor | None = None


Triple = Callable[[Grid, Tensor, Tensor], Tensor]


def galerkin(grid: Grid, entries: Tensor, weights: Tensor) -> Float[Tensor, "k *coarse"]:
    """The entries of Pᵀ A P."""
    result = entries.new_zeros((len(entries), *grid.coarse_size))
    out = result.flatten(1)
    a, w = entries.flatten(1), weights.flatten(1)
    fine, coarse = _rows_of_coarse_nodes(grid)
    for k, one, one_at, entry, entry_at, other, other_at in layout.galerkin(grid).tolist():
        out[k, coarse] += (
            w[one, coarse + one_at] * a[entry, fine + entry_at] * w[other, coarse + other_at]
        )
    return result


def _rows_of_coarse_nodes(grid: Grid) -> tuple[Tensor, Tensor]:
    """Flat indices of the coarse nodes on the fine and on the coarse level."""
    return _places(grid, 1)


def _places(grid: Grid, first: int) -> tuple[Tensor, Tensor]:
    """Flat indices of node 2I and of cell I, for I from `first` on axes that are coarsened."""
    fine, coarse = torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
    steps = zip(
        grid.coarse, grid.coarsen, grid.stride, layout.strides(grid.coarse_size), strict=True
    )
    for n, c, s, t in steps:
        index = torch.arange(first if c else 1, n + 1)
        fine = (fine[:, None] + index * (2 * s if c else s)).flatten()
        coarse = (coarse[:, None] + index * t).flatten()
    return fine, coarse


def build(system: StencilSystem, triple: Triple = galerkin) -> list[Level]:
    """All levels, finest first.

    Args:
        triple: computes the entries of Pᵀ A P.

    Raises:
        NotPositiveDefiniteError: a level is not positive definite in the system's dtype.
    """
    grids = system.grids()
    slopes = sorted({c.slope for c in system.sweep() if isinstance(c, Line)})
    entries = system.entries(grids[0])
    levels = []
    for grid in grids[:-1]:
        if bool((entries[-1] < 0).any()) or not bool(entries[-1].isfinite().all()):
            raise NotPositiveDefiniteError
        level = Level(grid, entries, slopes)
        if any(not bool((p >= 0).all()) for p in level.pivots.values()):
            raise NotPositiveDefiniteError
        level.weights = interpolation(entries, grid)
        entries = triple(grid, entries, level.weights)
        levels.append(level)
    last = Level(grids[-1], entries, [])
    last.inverse = inverse(dense(grids[-1], entries))
    if last.inverse is None:
        raise NotPositiveDefiniteError
    return [*levels, last]


def dense(grid: Grid, entries: Tensor) -> Float[Tensor, "n n"]:
    """The matrix of a small level; unknowns in C order."""
    index = torch.full(grid.size, -1, dtype=torch.int64)
    inside = grid.inside()
    index[inside] = torch.arange(index[inside].numel()).reshape(grid.n)
    flat, size = index.flatten(), index[inside].numel()
    here = index.flatten().ge(0).nonzero().flatten()
    A = entries.new_zeros(size, size)
    A[flat[here], flat[here]] = entries[-1].flatten()[here]
    for k, offset in enumerate(grid.offsets):
        there = here + layout.flat(offset, grid.stride)
        exists = flat[there] >= 0
        i, j, a = flat[here[exists]], flat[there[exists]], entries[k].flatten()[here[exists]]
        A[i, j], A[j, i] = a, a
    return A


def pivots(entries: Tensor, grid: Grid, slope: int) -> Float[Tensor, "*stored"]:
    """p_i = 1 / (d_i - c_(i-1)² p_(i-1)) along lines with couplings c; 0 at decoupled zeros."""
    c, d = entries[2 + slope], entries[-1]
    p = torch.zeros_like(d)
    for i in range(1, grid.n[0] + 1):
        pivot = d[i] - (c[i - 1] * c[i - 1] * p[i - 1]).roll(slope, -1)
        p[i] = torch.where(d[i] != 0, 1 / pivot, 0)
    return p


def residual(u: Tensor, b: Tensor, level: Level) -> Tensor:
    """b - A u at the unknowns, 0 at the other nodes; leading axes of u and b are a batch."""
    grid = level.grid
    r = b - level.entries[-1] * u
    lead = u.shape[: u.ndim - grid.ndim]
    flat_r, flat_u = r.reshape(*lead, -1), u.reshape(*lead, -1)
    for offset, a in zip(grid.offsets, level.entries.flatten(1), strict=False):
        step = layout.flat(offset, grid.stride)
        flat_r[..., :-step] -= a[:-step] * flat_u[..., step:]
        flat_r[..., step:] -= a[:-step] * flat_u[..., :-step]
    result = torch.zeros_like(u)
    result[grid.inside()] = r[grid.inside()]
    return result


def relax(u: Tensor, b: Tensor, level: Level, colour: Colour) -> Tensor:
    """Gauss-Seidel at the points or lines of one colour."""
    r, grid = residual(u, b, level), level.grid
    if not isinstance(colour, Line):
        nodes: list[Any] = [slice(2 - c, n + 1, 2) for c, n in zip(colour, grid.n, strict=True)]
        u, here = u.clone(), (..., *nodes)
        u[here] += (level.scale * r)[here]
        return u
    slope, p, c = colour.slope, level.pivots[colour.slope], level.entries[2 + colour.slope]
    i, j = (torch.arange(size, device=u.device) for size in grid.size)
    v = r * ((j - slope * i[:, None]) % colour.colours == colour.colour)
    for row in range(1, grid.n[0] + 1):
        before = (c[row - 1] * v[..., row - 1, :]).roll(slope, -1)
        v[..., row, :] = p[row] * (v[..., row, :] - before)
    for row in range(grid.n[0] - 1, 0, -1):
        v[..., row, :] -= p[row] * c[row] * v[..., row + 1, :].roll(-slope, -1)
    return u + v


def restrict(r: Tensor, level: Level) -> Tensor:
    """Pᵀ r."""
    grid, w = level.grid, level.weights
    assert w is not None
    out = r.new_zeros((*r.shape[: r.ndim - grid.ndim], *grid.coarse_size))
    flat_r, flat_out = r.flatten(-grid.ndim), out.flatten(-grid.ndim)
    fine, coarse = _places(grid, 0)
    for t, (at, corner) in enumerate(layout.transfers(grid).tolist()):
        flat_out.index_add_(-1, coarse + corner, w[t].flatten()[coarse] * flat_r[..., fine + at])
    return out


def prolong(U: Tensor, level: Level) -> Tensor:
    """P U."""
    grid, w = level.grid, level.weights
    assert w is not None
    out = U.new_zeros((*U.shape[: U.ndim - grid.ndim], *grid.size))
    flat_U, flat_out = U.flatten(-grid.ndim), out.flatten(-grid.ndim)
    fine, coarse = _places(grid, 0)
    for t, (at, corner) in enumerate(layout.transfers(grid).tolist()):
        flat_out[..., fine + at] += w[t].flatten()[coarse] * flat_U[..., coarse + corner]
    return out


class ReferenceHierarchy(Hierarchy):
    """Levels for any cycle of Gauss-Seidel, on any device and in any dtype; no gradient."""

    def __init__(self, system: StencilSystem) -> None:
        self.levels = build(system)
        self._order, self._sweep = system.order, system.sweep()
        back = [self._order.index(a) for a in range(len(self._order))]
        self.shapes = [tuple(level.grid.n[a] for a in back) for level in self.levels]

    def run(self, b: Tensor, out: Tensor, cycle: Cycle) -> None:
        axes = (0, *(1 + a for a in self._order))
        first = self.levels[0].grid
        rhs = b.new_zeros((len(b), *first.size))
        rhs[first.inside()] = b.permute(axes)
        out.permute(axes).copy_(self._cycle(rhs, cycle)[first.inside()])

    def _smooth(self, u: Tensor, b: Tensor, level: Level, sweeps: int, mirrored: bool) -> Tensor:
        for colour in sweeps * (self._sweep[::-1] if mirrored else self._sweep):
            u = relax(u, b, level, colour)
        return u

    def _cycle(self, b: Tensor, cycle: Cycle) -> Tensor:
        u: dict[int, Tensor] = {}
        rhs = {0: b}
        for step, i in schedule(len(self.levels), cycle.kind).tolist():
            level = self.levels[i]
            if step == EXACT:
                assert level.inverse is not None
                inside = level.grid.inside()
                u[i] = torch.zeros_like(rhs[i])
                inner = rhs[i][inside]
                flat = inner.flatten(-level.grid.ndim)
                u[i][inside] = (flat @ level.inverse).reshape(inner.shape)
            elif step == RESTRICT:
                rhs[i + 1] = restrict(rhs[i], level)
            elif step == PROLONG:
                u[i] = prolong(u[i + 1], level)
            elif step == ASCEND:
                u[i] = u[i] + prolong(u[i + 1], level)
                u[i] = self._smooth(u[i], rhs[i], level, cycle.post, cycle.mirrored)
            else:
                assert step in (START, DESCEND)
                if step == START:
                    u[i] = torch.zeros_like(rhs[i])
                u[i] = self._smooth(u[i], rhs[i], level, cycle.pre, False)
                rhs[i + 1] = restrict(residual(u[i], rhs[i], level), level)
        return u[0]


def set_up(system: StencilSystem) -> Hierarchy:
    """Same as `stencil_multigrid.set_up`."""
    return ReferenceHierarchy(system)
