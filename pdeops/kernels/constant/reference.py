"""Geometric multigrid for -a Δu + c u with zero Dirichlet values, in plain torch.

Twin of `constant/cpu.py`. The numbers of unknowns are odd, so the coarse grid of every other node
covers the same box. The coarse operator is the same operator with twice the spacing; interpolation
is linear along each axis and restriction is its adjoint. Since the right-hand side Pᵀ r contains
sums over 2^d nodes, the coarse operator is multiplied by 2^d. Everything else is as in
`blackbox/reference.py`, whose `Level` is used here; with five or seven points its order of colours
is red-black.
"""

from collections.abc import Sequence
from itertools import product

import torch

from ..blackbox import reference
from ..blackbox.hierarchy import Cycle, Hierarchy
from ..blackbox.layout import padded, schedule
from ..blackbox.level_reference import Level, pad
from ..blackbox.ordered import Ordered
from .problem import Constant


def level(n: Sequence[int], weights: Sequence[float], c: float, like: torch.Tensor) -> Level:
    """One grid with couplings a/h² per axis and reaction c, coarsened along all axes."""
    ndim = len(n)
    stored = [padded(k) for k in n]
    couplings = {}
    for axis, w in enumerate(weights):
        for sign in (-1, 1):
            couplings[tuple(sign * (a == axis) for a in range(ndim))] = like.new_full(stored, w)
    inside = pad(like.new_full(tuple(n), c), ndim)
    result = Level(tuple(n), (False,) * ndim, couplings, inside, (True,) * ndim)
    for digits in product((0, 1, 2), repeat=ndim):
        weight = 0.5 ** sum(d > 0 for d in digits)
        result.weights[digits] = like.new_full([padded(k) for k in result.N], weight)
    return result


def build_levels(
    shapes: Sequence[Sequence[int]],
    halved: int,
    weights: Sequence[float],
    c: float,
    like: torch.Tensor,
) -> list[Level]:
    """All levels, finest first: `halved` levels of this kind, then levels of black-box multigrid.

    Args:
        shapes: unknowns per axis of all levels.
        weights: a/h² per axis on the finest level.
    """
    ndim = len(shapes[0])
    levels = []
    for depth in range(halved):
        # Twice the spacing is a quarter of the coupling; and Pᵀ sums over 2^d nodes.
        scale = 2.0 ** (ndim * depth)
        levels.append(
            level(shapes[depth], [scale * w / 4**depth for w in weights], scale * c, like)
        )
    scale, n = 2.0 ** (ndim * halved), tuple(shapes[halved])
    faces = []
    for axis, w in enumerate(weights):
        size = [k + (a == axis) for a, k in enumerate(n)]
        faces.append(like.new_full(size, scale * w / 4**halved))
    coarsened = [
        [k < m for k, m in zip(coarse, fine, strict=True)]
        for fine, coarse in zip(shapes[halved:-1], shapes[halved + 1 :], strict=True)
    ]
    excess = like.new_full(n, scale * c) if c else None
    return levels + reference.build_levels(
        faces, excess, (False,) * ndim, coarsened, singular=False
    )


class ReferenceHierarchy(Hierarchy):
    """Levels for V(1,1) by points, on any device and in any dtype."""

    def __init__(self, problem: Constant, like: torch.Tensor) -> None:
        halved, coarse = problem.halved(), Ordered.of(problem.coarse_system(like), ())
        table, _, _ = coarse.layout()
        self.shapes = halved + coarse.shapes(table)[1:]
        weights = problem.couplings(problem.shape)
        self._levels = build_levels(self.shapes, len(halved) - 1, weights, problem.c, like)
        self._steps = schedule(len(self.shapes), "V").tolist()

    def run(self, b: torch.Tensor, out: torch.Tensor, cycle: Cycle) -> None:
        out.copy_(reference.apply_cycle(b, self._levels, self._steps))

    def runs(self, cycle: Cycle) -> bool:
        return cycle == Cycle()


def set_up(problem: Constant, like: torch.Tensor) -> Hierarchy:
    """Same as `constant.set_up`."""
    return ReferenceHierarchy(problem, like)
