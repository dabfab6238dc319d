"""Sparsified coarse operators: Pᵀ A P reduced to couplings along the axes, in plain torch.

The Galerkin operator Pᵀ A P couples a node with all nodes around it: nine points in a plane, 27 in
a box, although A has five or seven. This is expensive on the first coarse levels. Here each
coupling c along a diagonal is distributed to edges of its cell along the axes: if the diagonal
changes m of the indices, each of these m axes has 2^(m-1) parallel edges in the cell, and every one
of these receives c / 2^(m-1). If crossing diagonals have equal couplings, the energy of a field u
that is linear in the cell is preserved: Σ c (u_p - u_q)² over the diagonals = Σ over the axes of
c |∂u|². If diagonals differ or the coefficient jumps within the cell, equal shares are only an
approximation; `Shares` are factors that change them, and can be learned
(`models/corrections/vcycle.py`).

All couplings stay >= 0 for any non-negative shares, so the level remains symmetric and positive
(semi)definite. This is a non-Galerkin coarse operator by sparsification (Falgout & Schroder 2014).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .layout import half_stencil

Offset = tuple[int, ...]


@dataclass(frozen=True)
class Stencil:
    """The couplings of a coarse level before it is sparsified.

    Attributes:
        n: unknowns per axis, the nodes 1 .. n; the nodes 0 and n + 1 are boundary nodes.
        edges: for each offset o, the coupling of the nodes p and p + o, stored at p, on all stored
            nodes. One of each pair of opposite offsets. Leading axes are a batch.
    """

    n: tuple[int, ...]
    edges: dict[Offset, Tensor]

    def at_cells(self, o: Offset) -> Float[Tensor, "..."]:
        """Couplings indexed by the lower corner of their cell, 0 .. n per axis.

        Those between two boundary nodes are zero here; the stored values have no meaning.
        """
        cells: Any = (..., *(slice(x < 0, n + 1 + (x < 0)) for x, n in zip(o, self.n, strict=True)))
        c = self.edges[o][cells]
        near, far = c.new_ones(()), c.new_ones(())
        for a, (x, n) in enumerate(zip(o, self.n, strict=True)):
            i = torch.arange(n + 1, device=c.device).reshape(-1, *(1,) * (len(self.n) - 1 - a))
            p = i + (x < 0)
            near = near * ((p >= 1) & (p <= n))
            far = far * ((p + x >= 1) & (p + x <= n))
        return c * torch.maximum(near, far)

    def at_unknowns(self, o: Offset) -> Float[Tensor, "..."]:
        """Couplings of the unknowns with their neighbours at any offset o."""
        here = o in self.edges
        first = (1 if here else 1 + x for x in o)
        own: Any = (..., *(slice(f, n + f) for f, n in zip(first, self.n, strict=True)))
        return self.edges[o if here else tuple(-x for x in o)][own]


# Positive factors (..., k, *cells) that multiply the equal shares, k in the order of `receivers`.
Shares = Callable[[Stencil], Float[Tensor, "..."]]


@lru_cache
def receivers(ndim: int) -> list[tuple[Offset, int, Offset]]:
    """The edges that receive a share of each diagonal: (diagonal, axis, start of edge in cell)."""
    found = []
    for o in map(tuple, half_stencil([True] * ndim).tolist()):
        axes = [a for a in range(ndim) if o[a]]
        for axis in axes if len(axes) > 1 else []:
            free = [(0, 1) if a in axes and a != axis else (0,) for a in range(ndim)]
            found += [(o, axis, start) for start in product(*free)]
    return found


def equal_shares(stencil: Stencil) -> Float[Tensor, "..."]:
    """Shares of one: every edge receives the same part of a diagonal."""
    like = next(iter(stencil.edges.values()))
    return like.new_ones(len(receivers(len(stencil.n))), *(n + 1 for n in stencil.n))


def sparsify(stencil: Stencil, shares: Float[Tensor, "..."]) -> list[Float[Tensor, "..."]]:
    """The couplings along each axis, on all stored nodes, plus the shares of the diagonals."""
    ndim = len(stencil.n)
    units = [tuple(int(a == axis) for a in range(ndim)) for axis in range(ndim)]
    edges = [stencil.edges[unit].clone() for unit in units]
    diagonals = {o: stencil.at_cells(o).clamp(min=0) for o in stencil.edges if sum(map(abs, o)) > 1}
    for (o, axis, start), share in zip(receivers(ndim), shares.unbind(-ndim - 1), strict=True):
        to: Any = (..., *(slice(s, n + 1 + s) for s, n in zip(start, stencil.n, strict=True)))
        edges[axis][to] += diagonals[o] * share * 0.5 ** (sum(map(abs, o)) - 1)
    return [torch.clamp(edge, min=0) for edge in edges]
