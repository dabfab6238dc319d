"""Coarse operators with couplings along the axes only, in plain torch: a third of the neighbours.

Pᵀ A P couples a node with all nodes around it: nine points in a plane, 27 in a box, where A had
five or seven. That is dear on the first coarse level; deeper ones are small. Here each coupling c
along a diagonal is given away to those along the axes of its cell: m of the axes change along it,
and c / 2^(m-1) goes to each of the 2^(m-1) parallel edges of each of these m axes. For a field that
is linear in the cell, and diagonals alike, the energy stays what it was: Σ c (u_p - u_q)² over
crossing diagonals = Σ over the axes of c |∂u|². What diagonals that differ would need, or a
coefficient that jumps in the cell, equal shares do not know; `Shares` multiply them, and a network
may say by what (`models/vcycle.py`).

All couplings stay >= 0 whatever the shares are, so that the level is symmetric and positive
(semi)definite, and five or seven points have cheap loops on every level.
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
    """The couplings of a coarse level before they are collapsed.

    Attributes:
        n: unknowns per axis, the nodes 1 .. n; the nodes 0 and n + 1 are known.
        edges: by offset o, the coupling of the nodes p and p + o at p, on all stored nodes. One of
            each pair of opposite offsets. Leading axes are a batch.
    """

    n: tuple[int, ...]
    edges: dict[Offset, Tensor]

    def at_cells(self, o: Offset) -> Float[Tensor, "..."]:
        """Couplings by the lower corner of their cell, 0 .. n per axis; zero between known nodes,
        where their value depends on who computed them."""
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


# Positive factors (..., k, *cells) of the equal shares, k in the order of `receivers`.
Shares = Callable[[Stencil], Float[Tensor, "..."]]


@lru_cache
def receivers(ndim: int) -> list[tuple[Offset, int, Offset]]:
    """Which couplings are given to which: diagonal, axis, and where the edge begins in the cell."""
    found = []
    for o in map(tuple, half_stencil([True] * ndim).tolist()):
        axes = [a for a in range(ndim) if o[a]]
        for axis in axes if len(axes) > 1 else []:
            free = [(0, 1) if a in axes and a != axis else (0,) for a in range(ndim)]
            found += [(o, axis, start) for start in product(*free)]
    return found


def equal_shares(stencil: Stencil) -> Float[Tensor, "..."]:
    """All ones."""
    like = next(iter(stencil.edges.values()))
    return like.new_ones(len(receivers(len(stencil.n))), *(n + 1 for n in stencil.n))


def collapse(stencil: Stencil, shares: Float[Tensor, "..."]) -> list[Float[Tensor, "..."]]:
    """The couplings along each axis, on all stored nodes, with what the diagonals gave."""
    ndim = len(stencil.n)
    units = [tuple(int(a == axis) for a in range(ndim)) for axis in range(ndim)]
    edges = [stencil.edges[unit].clone() for unit in units]
    diagonals = {o: stencil.at_cells(o).clamp(min=0) for o in stencil.edges if sum(map(abs, o)) > 1}
    for (o, axis, start), share in zip(receivers(ndim), shares.unbind(-ndim - 1), strict=True):
        to: Any = (..., *(slice(s, n + 1 + s) for s, n in zip(start, stencil.n, strict=True)))
        edges[axis][to] += diagonals[o] * share * 0.5 ** (sum(map(abs, o)) - 1)
    return [torch.clamp(edge, min=0) for edge in edges]
