"""Coarse operators of black-box multigrid in plain torch: part of the twin that
`blackbox/reference.py` describes."""

from dataclasses import replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from .layout import padded
from .level_reference import Level, pad, residual, shift, sync
from .sparsify import Offset, Shares, Stencil, sparsify
from .transfer_reference import prolong, restrict


def combs(n: int, wrap: bool) -> list[list[int]]:
    """Groups of indices, boundary nodes included, whose members are at least three apart."""
    if not wrap:
        return [list(range(first, n + 2, 3)) for first in range(3)]
    groups = [list(range(first, n // 3 * 3 + 1, 3)) for first in range(1, 4)]
    return [g for g in groups if g] + [[i] for i in range(n // 3 * 3 + 1, n + 1)]


def galerkin(level: Level) -> tuple[dict[Offset, Tensor], Tensor]:
    """Couplings and excess of Pᵀ A P, from its action on combs of coarse nodes.

    Coarse nodes three apart have no common neighbour, so a comb gives one entry of each row. On a
    periodic axis of two nodes both neighbours are the same node, and each coupling is half of the
    entry.
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


def sparsified(
    couplings: dict[Offset, Tensor], N: tuple[int, ...], shares: Shares
) -> dict[Offset, Tensor]:
    """Couplings along the axes only (`blackbox/sparsify.py`)."""
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
    result = dict.fromkeys(couplings, none)
    inside: Any = (..., *(slice(1, k + 1) for k in N))
    for axis, edge in enumerate(sparsify(stencil, shares(stencil))):
        unit = tuple(int(a == axis) for a in range(ndim))
        back = tuple(-x for x in unit)
        result[unit] = pad(edge[inside], ndim)
        result[back] = pad(shift(edge, back)[inside], ndim)
    return result
