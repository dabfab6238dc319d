"""Black-box multigrid (Dendy 1982) in any dimension, on any boundary, in plain torch: to be read.

Twin of `blackbox/cpu.py` and `blackbox/setup.py`, which do the same with loops; a level is in
`blackbox/level_reference.py`, smoothers are in `blackbox/relax_reference.py`. Any device and dtype;
leading axes of the fields are a batch, those of the couplings a batch of operators. Differentiable
in both.

**Nodes.** An axis with n unknowns stores 2 (n // 2) + 3 nodes: the unknowns have the indices 1 ..
n. What lies beyond is a boundary node, where u = 0, or on a periodic axis a ghost: node 0 is node
n, and n + 1 is 1.

**Operators.** A is the graph Laplacian of the grid, boundary nodes included, and an excess e >= 0:
(A u)_p = Σ_δ c_δ(p) (u_p - u_(p+δ)) + e_p u_p over the neighbours p + δ. It stays of this form on
every level, since interpolation keeps constants and coarse operators are Pᵀ A P; e is lumped. A
side without flux and a solid node have no couplings: nothing else is to be said of them.

**Coarse nodes** are those with even indices on the axes that are coarsened. Only axes along which A
couples strongly are (semicoarsening): across the others smoothing point by point would do nothing.
Where lines are solved along the strongest axis it does not count, and the others are coarsened too.
Solids may be coarse nodes; then they stand for the fluid around them.

**Interpolation** takes its weights from A. Nodes with one odd index first, then two, then three:
the stencil is summed over the axes where the index is even, and A u = 0 there gives the value from
nodes with fewer odd indices; a negative weight, which only coarse levels know, is left out. So it
follows jumps of the coefficient and stops at walls. With lines, a node between two of them takes
from either side T⁻¹ C 1, T the matrix of its line and C its couplings to that side (Schaffer 1998):
along a line errors are alike, and so must be the weights, where C jumps.

**Cycle.** Gauss-Seidel by colours (indices modulo 2), residual restricted by R = Pᵀ, corrections
prolonged by P, Gauss-Seidel in the reversed order: symmetric, and positive definite because
S + Sᵀ - Sᵀ A S is. On three, five and seven points it is red-black. The coarsest level is solved
directly; if A has a kernel, up to it. Lines are solved instead of points where that is asked for:
by colours too, along one axis after the other.

A weight of P is known by its digits, one per axis: 0 at even indices (and where an axis is not
coarsened), 1 and 2 at odd ones, from the coarse node before and the one behind. Weights are stored
by
cells: cell I of an axis is that of the nodes 2I and 2I + 1. Capital letters belong to the coarser
level.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from . import layout
from .collapse import Offset, Shares, Stencil, collapse
from .layout import ASCEND, DESCEND, EXACT, PROLONG, RESTRICT, START, padded
from .level_reference import Level, pad, residual, shift, sync
from .relax_reference import smooth, solve_lines

DENSE = 4096  # unknowns of a coarsest level that is solved by a dense factor


def connected(level: Level, digits: Offset) -> tuple[Any, Any, Any]:
    """What a weight connects: fine nodes, its cells, coarse nodes."""
    fine: list[slice] = []
    cells: list[slice] = []
    coarse: list[slice] = []
    for n, wrap, coarsen, d in zip(level.n, level.wrap, level.coarsen, digits, strict=True):
        if not coarsen:
            for axis in (fine, cells, coarse):
                axis.append(slice(1, n + 1) if wrap else slice(None))
            continue
        if d == 0:
            first, last = (1, n // 2) if wrap else (0, n // 2 + 1)
        else:
            first, last = 0, n // 2 - 1 if wrap else n // 2
        fine.append(slice(2 * first + (d > 0), 2 * last + (d > 0) + 1, 2))
        cells.append(slice(first, last + 1))
        coarse.append(slice(first + (d == 2), last + 1 + (d == 2)))
    return (..., *fine), (..., *cells), (..., *coarse)


def prolong(U: Tensor, level: Level) -> Tensor:
    """P U at all nodes."""
    u = U.new_zeros(*level.batch(U), *map(padded, level.n))
    for digits, w in level.weights.items():
        fine, cells, coarse = connected(level, digits)
        u[fine] += w[cells] * U[coarse]
    return sync(u, level.n, level.wrap)


def restrict(r: Tensor, level: Level) -> Tensor:
    """Pᵀ r at the coarse unknowns."""
    ndim = len(level.n)
    B = r.new_zeros(*level.batch(r), *map(padded, level.N))
    for digits, w in level.weights.items():
        fine, cells, coarse = connected(level, digits)
        B[coarse] += w[cells] * r[fine]
    for a, n in enumerate(level.N):
        if level.wrap[a]:
            V = B.movedim(a - ndim, 0)
            V[n] += V[0]
            V[1] += V[n + 1]
    inside: Any = (..., *(slice(1, n + 1) for n in level.N))
    return pad(B[inside], ndim)


def interpolation(level: Level) -> dict[Offset, Tensor]:
    """The weights of P."""
    N, ndim = level.N, len(level.n)
    like = level.excess
    shape = [*like.shape[:-ndim], *map(padded, N)]
    codes = list(product(*[(0, 1, 2) if c else (0,) for c in level.coarsen]))
    w = {d: like.new_full(shape, 0.5 ** sum(x > 0 for x in d)) for d in codes}
    for d, x in w.items():
        for a, n in enumerate(level.n):
            # Where n is even the odd nodes n + 1 are boundary nodes: they take the value beyond.
            if d[a] and n % 2 == 0:
                x.movedim(a - ndim, 0)[n // 2] *= 0 if d[a] == 1 else 2
    uncoupled = {d: x.clone() for d, x in w.items()}
    for d, x in uncoupled.items():
        for a, n in enumerate(level.n):
            # Beside a side they take that of the unknowns alone: a constant must not leak through.
            if d[a] and not level.wrap[a]:
                along = x.movedim(a - ndim, 0)
                along[0] *= 0 if d[a] == 1 else 2
                if n % 2:
                    along[n // 2] *= 2 if d[a] == 1 else 0
    every = level.diagonal - level.excess
    kinds = {tuple(x > 0 for x in d) for d in codes if any(d)}
    for odd in sorted(kinds, key=sum):
        nodes, cells = [], []
        for a, n in enumerate(level.n):
            if odd[a]:
                nodes.append(slice(1, n + 1, 2))
                cells.append((0, (n - 1) // 2 + 1))
            elif level.coarsen[a]:
                nodes.append(slice(2, n + 1, 2))
                cells.append((1, n // 2 + 1))
            else:
                nodes.append(slice(1, n + 1))
                cells.append((1, n + 1))
        here: Any = (..., *(slice(*c) for c in cells))
        fine: Any = (..., *nodes)
        corners = [d for d in codes if tuple(x > 0 for x in d) == odd]
        v = {d: torch.zeros_like(w[d][here]) for d in corners}
        for delta, c in level.couplings.items():
            if not any(o and x for o, x in zip(odd, delta, strict=True)):
                continue
            coupling = c[fine]
            for d in corners:
                # The neighbour has fewer odd indices; this corner must be on its side.
                if any(o and x and x != 2 * y - 3 for o, x, y in zip(odd, delta, d, strict=True)):
                    continue
                of = tuple(0 if o and x else y for o, x, y in zip(odd, delta, d, strict=True))
                there: Any = tuple(
                    slice(s + (o and x > 0), e + (o and x > 0))
                    for o, x, (s, e) in zip(odd, delta, cells, strict=True)
                )
                v[d] = v[d] + coupling * w[of][(..., *there)]
        line = min((a for a in level.followed if not odd[a]), default=None)
        if sum(odd) == 1 and line is not None:
            sides = across_lines(level, line, odd.index(True))
            v = {d: torch.where(v[d] > 0, sides[max(d)][fine], v[d]) for d in corners}
        v = {d: x.clamp(min=0) for d, x in v.items()}
        total = sum(v.values(), torch.zeros_like(v[corners[0]]))
        solid = every[fine] <= 0
        for d in corners:
            kept = torch.where(solid, 0, uncoupled[d][here])
            # The inner `where` keeps the gradient finite at solid nodes.
            share = v[d] / torch.where(total > 0, total, 1)
            w[d][here] = torch.where(total > 0, share, kept)
            for a, k in enumerate(N):
                if level.wrap[a]:
                    x = w[d].movedim(a - ndim, 0)
                    if d[a]:
                        x[k] = x[0]
                    else:
                        x[0], x[k + 1] = x[k].clone(), x[1].clone()
    return w


def across_lines(level: Level, axis: int, odd: int) -> dict[int, Tensor]:
    """What nodes take from the low side (1) and the high side (2) of the axis `odd`, solved along
    their lines: T⁻¹ C 1 with T the matrix of the line and C its couplings to that side."""
    sides = {}
    for digit, side in ((1, -1), (2, 1)):
        C = [c for delta, c in level.couplings.items() if delta[odd] == side]
        sides[digit] = solve_lines(sum(C[1:], C[0]), level, axis)
    return sides


def combs(n: int, wrap: bool) -> list[list[int]]:
    """Indices in groups whose members are at least three apart, boundary nodes included."""
    if not wrap:
        return [list(range(first, n + 2, 3)) for first in range(3)]
    groups = [list(range(first, n // 3 * 3 + 1, 3)) for first in range(1, 4)]
    return [g for g in groups if g] + [[i] for i in range(n // 3 * 3 + 1, n + 1)]


def galerkin(level: Level) -> tuple[dict[Offset, Tensor], Tensor]:
    """Couplings and excess of Pᵀ A P, read off from its action on combs of coarse nodes.

    Coarse nodes three apart share no neighbour, so a comb shows one entry of each row. On a
    periodic axis of two nodes both neighbours are one node, and half of the entry goes to each
    side.
    """
    N, wrap = level.N, level.wrap
    shape = [padded(k) for k in N]
    plain = replace(level, excess=torch.zeros_like(level.excess), lines={})
    directions = [d for d in product((-1, 0, 1), repeat=len(N)) if any(d)]
    leading = level.batch(level.excess)
    C = {d: level.excess.new_zeros(*leading, *shape) for d in directions}
    for groups in product(*[combs(k, w) for k, w in zip(N, wrap, strict=True)]):
        comb = level.excess.new_zeros(shape)
        comb[torch.meshgrid(*[torch.tensor(g) for g in groups], indexing="ij")] = 1
        u = prolong(sync(comb, N, wrap), level)
        y = restrict(residual(u, torch.zeros_like(u), plain), level)  # minus the entries
        for d in directions:
            rows = shift(comb, d) * y
            for a, k in enumerate(N):
                if wrap[a] and k == 2 and d[a]:
                    rows = rows / 2
            C[d] += rows
    inside: Any = (..., *(slice(1, k + 1) for k in N))
    for d, c in C.items():
        C[d] = pad(c[inside], len(N))
    return C, restrict(level.excess, level)


def thin(
    couplings: dict[Offset, Tensor], N: tuple[int, ...], shares: Shares
) -> dict[Offset, Tensor]:
    """Couplings along the axes only (`blackbox/collapse.py`)."""
    ndim = len(N)
    stored = next(iter(couplings.values()))
    unknown = pad(torch.ones(N, dtype=stored.dtype, device=stored.device), ndim) > 0
    edges = {
        o: torch.where(unknown, c, shift(couplings[tuple(-x for x in o)], o))
        for o, c in couplings.items()
        if next(x for x in o if x) > 0
    }
    stencil = Stencil(N, edges)
    none = torch.zeros_like(stored)
    thinned = dict.fromkeys(couplings, none)
    inside: Any = (..., *(slice(1, k + 1) for k in N))
    for axis, edge in enumerate(collapse(stencil, shares(stencil))):
        unit = tuple(int(a == axis) for a in range(ndim))
        back = tuple(-x for x in unit)
        thinned[unit] = pad(edge[inside], ndim)
        thinned[back] = pad(shift(edge, back)[inside], ndim)
    return thinned


def invert(level: Level, singular: bool) -> Tensor:
    """A⁻¹ on all unknowns; the pseudo-inverse if A is singular.

    Raises:
        ValueError: too many unknowns for a dense matrix.
        torch.linalg.LinAlgError: A is not positive definite.
    """
    size = math.prod(level.n)
    if size > DENSE:
        raise ValueError(
            f"The coarsest level has {' x '.join(map(str, level.n))} unknowns, too many for a "
            f"dense factor. Elongated grids need the numba cycle: float32 or float64, on the CPU."
        )
    ndim = len(level.n)
    basis = torch.eye(size, dtype=level.excess.dtype, device=level.excess.device)
    u = sync(pad(basis.reshape(size, *level.n), ndim), level.n, level.wrap)
    # One axis more for the columns, behind those of the batch of operators.
    couplings = {d: c.unsqueeze(-ndim - 1) for d, c in level.couplings.items()}
    excess = level.excess.unsqueeze(-ndim - 1)
    one = Level(level.n, level.wrap, couplings, excess, level.coarsen)
    A = -residual(u, torch.zeros_like(u), one)[level.inside].flatten(-ndim)
    if not singular:
        return torch.cholesky_inverse(torch.linalg.cholesky(A))
    # The kernel K takes no part in the derivative, which `pinv` could not give: where eigenvalues
    # coincide, as those of a kernel do, that of eigenvectors does not exist.
    eigenvalues, vectors = torch.linalg.eigh(A.detach())
    size = eigenvalues[..., -1:].clamp(min=torch.finfo(A.dtype).tiny)
    small = 1e-12 if A.dtype == torch.float64 else 1e-5  # eigenvalues of round-off
    kernel = vectors * (eigenvalues <= small * size).to(A).unsqueeze(-2)
    K = kernel @ kernel.mT
    scale = size.unsqueeze(-1)
    return torch.cholesky_inverse(torch.linalg.cholesky(A + scale * K)) - K / scale


def setup(
    faces: Sequence[Tensor],
    excess: Tensor | None,
    wrap: Sequence[bool],
    coarsened: Sequence[Sequence[bool]],
    singular: bool,
    shares: Shares | None = None,
    followed: tuple[int, ...] = (),
    thinned: int = 1,
) -> list[Level]:
    """All levels, finest first, from the couplings at the faces (`diffusion/reference.py`).

    coarsened: which axes each level but the last coarsens (`blackbox_layout.layout`).
    shares: how couplings along diagonals are given to the axes on the first `thinned` coarse
    levels; None leaves them. followed: the axes that a line smoother follows; then interpolation
    does, too.
    """
    ndim = len(faces)
    n = tuple(k - (a == 0) for a, k in enumerate(faces[0].shape[-ndim:]))
    couplings = {}
    for axis, f in enumerate(faces):
        unit = tuple(int(a == axis) for a in range(ndim))
        couplings[tuple(-x for x in unit)] = pad(f.narrow(axis - ndim, 0, n[axis]), ndim)
        couplings[unit] = pad(f.narrow(axis - ndim, 1, n[axis]), ndim)
    none = torch.zeros_like(faces[0].narrow(-ndim, 0, n[0]))
    e = pad(none if excess is None else excess, ndim)
    levels: list[Level] = []
    for coarsen in coarsened:
        level = Level(n, tuple(wrap), couplings, e, tuple(coarsen), followed)
        level.weights = interpolation(level)
        levels.append(level)
        couplings, e = galerkin(level)
        n = level.N
        if shares is not None and len(levels) <= thinned:
            couplings = thin(couplings, n, shares)
    last = Level(n, tuple(wrap), couplings, e, (False,) * ndim)
    last.inverse = invert(last, singular)
    return [*levels, last]


def cycle(
    b: Float[Tensor, "*b_n"],
    levels: list[Level],
    schedule: Sequence[Sequence[int]],
    sweeps: tuple[int, int, bool] = (1, 1, True),
    sweep: Sequence[Sequence[int]] | None = None,
    lengths: Sequence[float] = (),
) -> Float[Tensor, "*b_n"]:
    """M b: from zero through the steps of a schedule (`blackbox_layout.schedule`).

    sweeps: before and after the correction; whether they are reversed after it. sweep: steps of one
    (`blackbox_layout.sweep`); by points unless given.
    """
    u: dict[int, Tensor] = {}
    ndim = len(levels[0].n)
    pre, post, mirrored = sweeps
    sweep = layout.sweep([True] * ndim).tolist() if sweep is None else sweep
    rhs = {0: pad(b, ndim)}
    for what, i in schedule:
        level = levels[i]
        if what == EXACT:
            assert level.inverse is not None
            inner = rhs[i][level.inside]
            exact = (inner.flatten(-ndim).unsqueeze(-2) @ level.inverse).reshape(inner.shape)
            u[i] = sync(pad(exact, ndim), level.n, level.wrap)
        elif what == RESTRICT:
            rhs[i + 1] = restrict(sync(rhs[i].clone(), level.n, level.wrap), level)
        elif what == PROLONG:
            u[i] = prolong(u[i + 1], level)
        elif what == ASCEND:
            u[i] = u[i] + prolong(u[i + 1], level)
            for _ in range(post):
                u[i] = smooth(u[i], rhs[i], level, sweep, mirrored, lengths)
        else:
            assert what in (START, DESCEND)
            if what == START:
                u[i] = torch.zeros_like(rhs[i])
            for _ in range(pre):
                u[i] = smooth(u[i], rhs[i], level, sweep, False, lengths)
            rhs[i + 1] = restrict(residual(u[i], rhs[i], level), level)
    return u[0][levels[0].inside]
