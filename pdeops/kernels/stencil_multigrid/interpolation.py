"""Interpolation weights of multigrid for stencils of 3^d points, computed from A (Dendy 1982).

Nodes with one odd index come first, then two, then three. The stencil at a node is summed over the
axes with an even index, as if u did not vary along them; A u = 0 then gives u at the node from
nodes with fewer odd indices, whose own weights are known. With S(δ) the negative of the summed
couplings and e the excess of the diagonal over all of them, the weight to a corner σ is

    w(σ) = Σ_δ S(δ) w(x + δ, σ) / (Σ_δ S(δ) + e),   δ in {0, σ}, δ ≠ 0.

A coupling of positive sign enters the sums like the others: for bilinear elements of any aspect
ratio the sums are negative and the weights those of bilinear interpolation. Where a sum has the
wrong sign the weight is 0, so all weights lie in [0, 1].

Arrays are those of `layout.py`; any device and dtype.
"""

from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from .layout import Grid, Index


def interpolation(entries: Float[Tensor, "k *stored"], grid: Grid) -> Float[Tensor, "t *cells"]:
    """The weights of P from the entries of A."""
    result = entries.new_zeros((len(grid.weights), *grid.coarse_size))
    number = {pair: t for t, pair in enumerate(grid.weights)}
    none = (0,) * grid.ndim
    result[number[none, none]][_cells(grid, none)] = 1
    for parity in sorted({p for p, _ in grid.weights}, key=sum):
        if any(parity):
            _fill(result, entries, grid, parity, number)
    return result


def _fill(
    result: Tensor,
    entries: Tensor,
    grid: Grid,
    parity: Index,
    number: dict[tuple[Index, Index], int],
) -> None:
    """The weights of the nodes with this parity."""
    none = (0,) * grid.ndim
    sums: dict[Index, Tensor] = {}
    for delta in product((-1, 0, 1), repeat=grid.ndim):
        if any(delta):
            kept = tuple(o * p for o, p in zip(delta, parity, strict=True))
            entry = _entry(entries, grid, parity, delta)
            sums[kept] = sums[kept].sub_(entry) if kept in sums else -entry
    along = sums.pop(none, 0)
    total = torch.stack(list(sums.values())).sum(0)
    excess = (_entry(entries, grid, parity, none) - total - along).clamp_(min=0)
    weights = {}
    for corner in product(*[(0, 1) if p else (0,) for p in parity]):
        weights[corner] = _numerator(result, sums, grid, parity, corner, number).clamp_(min=0)
    divisor = torch.maximum(total + excess, torch.stack(list(weights.values())).sum(0))
    scale = torch.where(divisor > 0, 1 / divisor, 0)
    for corner, weight in weights.items():
        result[number[parity, corner]][_cells(grid, parity)] = weight * scale


def _numerator(
    result: Tensor,
    sums: dict[Index, Tensor],
    grid: Grid,
    parity: Index,
    corner: Index,
    number: dict[tuple[Index, Index], int],
) -> Tensor:
    """Σ_δ S(δ) w(x + δ, σ) for one corner σ."""
    terms = []
    for moved in product(*[(0, 1) if p else (0,) for p in parity]):
        if not any(moved):
            continue
        delta = tuple(m * (2 * c - 1) for m, c in zip(moved, corner, strict=True))
        rest = tuple(p - m for p, m in zip(parity, moved, strict=True))
        if not any(rest):
            terms.append(sums[delta])
            continue
        remaining = tuple(c * r for c, r in zip(corner, rest, strict=True))
        higher = tuple(m * c for m, c in zip(moved, corner, strict=True))
        weight = result[number[rest, remaining]][_cells(grid, parity, higher)]
        terms.append(sums[delta] * weight)
    return torch.stack(terms).sum(0) if len(terms) > 1 else terms[0].clone()


def _cells(grid: Grid, parity: Index, shift: Index | None = None) -> tuple[slice, ...]:
    """The cells of the nodes with this parity, moved by `shift`."""
    moved = shift or (0,) * grid.ndim
    return tuple(
        slice(1 - p + s, k + 1 + s) for p, k, s in zip(parity, grid.coarse, moved, strict=True)
    )


def _entry(entries: Tensor, grid: Grid, parity: Index, delta: Index) -> Tensor:
    """a(x, x + δ) at the nodes x with this parity."""
    k, shift = len(grid.offsets), (0,) * grid.ndim
    if delta in grid.offsets:
        k = grid.offsets.index(delta)
    elif any(delta):
        k, shift = grid.offsets.index(tuple(-o for o in delta)), delta
    places = []
    for c, p, n, s in zip(grid.coarsen, parity, grid.coarse, shift, strict=True):
        if c:
            first = p if p else 2
            places.append(slice(first + s, 2 * n + p + s + 1, 2))
        else:
            places.append(slice(1 + s, n + 1 + s))
    return entries[k][tuple(places)]
