"""Launches of `triton_setup.py`, and the terms of a Galerkin product."""

from collections.abc import Sequence
from functools import cache
from itertools import product

import torch
from torch import Tensor

from ..runtime.tiles import FUSION, cdiv
from . import triton_setup as kernels
from .level import Offset, coarse_shape, digit_codes
from .triton_launch import three, triples

BLOCK = 256  # coarse nodes of a program
# Values of a coarse basis function that are not stored; smaller than any place in memory. The
# kernel has the same numbers.
ZERO, ONE = -(2**30), 1 - 2**30


def weights(
    c: Tensor, n: Sequence[int], coarsen: Sequence[bool], sides: Sequence[Tensor] = ()
) -> Tensor:
    """The weights of P: nodes with one odd index first, because others use their weights.

    Args:
        sides: for lines, per coarsened axis the values of its odd nodes' weights to both sides;
            empty along the axis of the lines.
    """
    shape = coarse_shape(n, coarsen)
    C, G = three(shape, 1), three([int(g) for g in coarsen], 0)
    w = c.new_empty(len(digit_codes(coarsen)), *shape)
    odd_axes = sorted(product(*[(0, 1) if g else (0,) for g in G]), key=sum)[1:]
    with torch.cuda.device_of(c):
        for odd in odd_axes:
            lower, upper = c, c
            if sides and sum(odd) == 1:
                first = 2 * sum(G[: odd.index(1)])
                lower, upper = sides[first], sides[first + 1]
            kernels.weights[(cdiv(C[0] * C[1] * C[2], BLOCK),)](
                c, w, lower, upper, *three(n, 0), *C, *three(c.shape[1:], 1)[1:],
                c.stride(0), *three(c.stride()[1:], 0), D=len(n),
                OFFSETS=triples(len(n), len(c)), GZ=G[0], GX=G[1], GY=G[2],
                OZ=odd[0], OX=odd[1], OY=odd[2], BY_LINES=lower is not c and lower.numel() > 0,
                BLOCK=BLOCK, **FUSION,
            )  # fmt: skip
    return w


def coarse_couplings(c: Tensor, w: Tensor, n: Sequence[int], coarsen: Sequence[bool]) -> Tensor:
    """The couplings of Pᵀ A P."""
    shape = coarse_shape(n, coarsen)
    S, C, G = three(c.shape[1:], 1), three(shape, 1), three([int(g) for g in coarsen], 0)
    out = c.new_empty(3 ** len(n) // 2, *shape)
    strides = (c.stride(0), *three(c.stride()[1:], 0))
    starts, terms = galerkin_terms(len(n), len(c), tuple(G), strides, tuple(C), c.device)
    with torch.cuda.device_of(c):
        kernels.coarse_couplings[(cdiv(C[0] * C[1] * C[2], BLOCK), len(out))](
            c, w, out, starts, terms, *three(n, 0), *S, *C, *strides[1:],
            D=len(n), GZ=G[0], GX=G[1], GY=G[2], WIDTH=terms.shape[1], BLOCK=BLOCK,
            **FUSION,
        )  # fmt: skip
    return out


@cache
def galerkin_terms(
    ndim: int,
    num_couplings: int,
    coarsen: tuple[int, ...],
    strides: tuple[int, ...],
    C: tuple[int, ...],
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """The fine edges (p, q) that contribute to each coarse coupling of I and J = I + Δ.

    Returns:
        starts: (k, 5): first and last row of Δ_k, and Δ_k.
        terms: (rows, 11): p - 2I, q - p, the place of the coupling relative to node 2I, and the
            places of φ_I(p), φ_I(q), φ_J(p), φ_J(q) in the weights relative to cell I, or `ZERO`
            or `ONE`. Along an axis that is not coarsened 2I stands for I.
    """
    starts: list[list[int]] = []
    terms: list[list[int]] = []
    ranges = [
        (-2, -1, 0, 1, 2) if g else (-1, 0, 1) if s > 1 else (0,)
        for g, s in zip(coarsen, C, strict=True)
    ]
    for delta in triples(ndim, 3**ndim // 2):
        first = len(terms)
        for (k, edge), p in product(enumerate(triples(ndim, num_couplings)), product(*ranges)):
            q = tuple(a + b for a, b in zip(p, edge, strict=True))
            phi = [place(x, at, coarsen, C) for at in ((0, 0, 0), delta) for x in (p, q)]
            if phi[:2] != [ZERO, ZERO] and phi[2:] != [ZERO, ZERO]:
                offset = sum(x * s for x, s in zip((k, *p), strides, strict=True))
                terms.append([*p, *edge, offset, *phi])
        starts.append([first, len(terms), *delta])
    return torch.tensor(starts, device=device), torch.tensor(terms, device=device)


def place(p: Offset, J: Offset, coarsen: Sequence[int], C: Sequence[int]) -> int:
    """Where the weight of coarse node I + J at the fine node 2I + p is, relative to cell I."""
    code, cell = 0, 0
    for x, j, g, size in zip(p, J, coarsen, C, strict=True):
        distance = x - (1 + g) * j
        if abs(distance) > g:
            return ZERO
        code = code * (1 + 2 * g) + distance % 3  # the digits 0, 1 and, before the node, 2
        cell = cell * size + j - (distance < 0)
    return (code - 1) * C[0] * C[1] * C[2] + cell if code else ONE
