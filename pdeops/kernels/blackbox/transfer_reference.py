"""Interpolation and restriction of black-box multigrid in plain torch: part of the twin that
`blackbox/reference.py` describes."""

from itertools import product
from typing import Any

import torch
from torch import Tensor

from .layout import padded
from .level_reference import Level, pad, sync
from .relax_reference import solve_lines
from .sparsify import Offset


def connected(level: Level, digits: Offset) -> tuple[Any, Any, Any]:
    """The fine nodes, cells and coarse nodes that a weight connects, as indices."""
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
            # If n is even, the odd node n + 1 is a boundary node: it takes the value beyond.
            if d[a] and n % 2 == 0:
                x.movedim(a - ndim, 0)[n // 2] *= 0 if d[a] == 1 else 2
    uncoupled = {d: x.clone() for d, x in w.items()}
    for d, x in uncoupled.items():
        for a, n in enumerate(level.n):
            # Next to the boundary, weights of unknowns only: they preserve constants.
            if d[a] and not level.wrap[a]:
                along = x.movedim(a - ndim, 0)
                along[0] *= 0 if d[a] == 1 else 2
                if n % 2:
                    along[n // 2] *= 2 if d[a] == 1 else 0
    coupling_sum = level.diagonal - level.excess
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
        solid = coupling_sum[fine] <= 0
        for d in corners:
            kept = torch.where(solid, 0, uncoupled[d][here])
            # The inner `where` keeps the gradient finite at solid nodes.
            weight = v[d] / torch.where(total > 0, total, 1)
            w[d][here] = torch.where(total > 0, weight, kept)
            for a, k in enumerate(N):
                if level.wrap[a]:
                    x = w[d].movedim(a - ndim, 0)
                    if d[a]:
                        x[k] = x[0]
                    else:
                        x[0], x[k + 1] = x[k].clone(), x[1].clone()
    return w


def across_lines(level: Level, axis: int, odd: int) -> dict[int, Tensor]:
    """Weights of the lower (1) and the higher (2) neighbour along the axis `odd`, solved by lines.

    T⁻¹ C 1, with T the matrix of the line of a node and C its couplings to that side.
    """
    sides = {}
    for digit, side in ((1, -1), (2, 1)):
        C = [c for delta, c in level.couplings.items() if delta[odd] == side]
        sides[digit] = solve_lines(sum(C[1:], C[0]), level, axis)
    return sides
