"""Geometric multigrid for -a Δu + c u with zero sides, in plain torch: to be read.

Twin of `constant.py`. The numbers of unknowns are odd, so that the coarse grid of every other node
has the same box: its operator is the same one with twice the spacing, interpolation is linear along
each axis, restriction its adjoint. With the sums of Pᵀ r as right-hand side the coarse operator
counts 2^d-fold. All else is as in `blackbox/reference.py`, whose levels these are; on constant
couplings its colours are red and black.
"""

from collections.abc import Sequence
from itertools import product

import torch

from ..blackbox import reference
from ..blackbox.layout import padded


def level(
    n: Sequence[int], weights: Sequence[float], c: float, like: torch.Tensor
) -> reference.Level:
    """One grid with couplings a/h² per axis and reaction c; halved along all axes."""
    ndim = len(n)
    stored = [padded(k) for k in n]
    couplings = {}
    for axis, w in enumerate(weights):
        for sign in (-1, 1):
            couplings[tuple(sign * (a == axis) for a in range(ndim))] = like.new_full(stored, w)
    inside = reference.pad(like.new_full(tuple(n), c), ndim)
    result = reference.Level(tuple(n), (False,) * ndim, couplings, inside, (True,) * ndim)
    for digits in product((0, 1, 2), repeat=ndim):
        share = 0.5 ** sum(d > 0 for d in digits)
        result.weights[digits] = like.new_full([padded(k) for k in result.N], share)
    return result


def setup(
    shapes: Sequence[Sequence[int]],
    halved: int,
    weights: Sequence[float],
    c: float,
    like: torch.Tensor,
) -> list[reference.Level]:
    """All levels, finest first: `halved` of this kind, then black-box ones.

    shapes: unknowns of all levels. weights: a/h² per axis on the finest.
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
    return levels + reference.setup(faces, excess, (False,) * ndim, coarsened, singular=False)
