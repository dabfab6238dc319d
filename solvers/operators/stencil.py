"""A symmetric stencil of 3^d points with variable entries, as an operator on fields."""

import math
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from ...domain import Boundary, Grid
from ...kernels import stencil
from ...kernels.stencil import paired, stencil_offsets
from ...linop import LinearOperator

if TYPE_CHECKING:
    import scipy.sparse

__all__ = ["Stencil", "stencil_offsets"]


class Stencil(LinearOperator):
    """A u for a symmetric matrix that couples each node of a box to its 3^d - 1 neighbours.

    (A u)_p = d_p u_p + Σ_i a_i(p) u_(p+δ_i) + a_i(p-δ_i) u_(p-δ_i)

    The offsets δ_i are those of `stencil_offsets`: four in 2D (nine points), thirteen in 3D
    (27 points). Bilinear and trilinear finite elements and differences with a cross derivative have
    this form; `Diffusion` is faster where all couplings lie along the axes. Couplings of either
    sign are allowed. A node without couplings is an equation by itself, such as u = b at a node
    that a hole in the domain has removed.

    A is positive definite if it is diagonally dominant, d_p >= Σ |a|, and each connected component
    has a row with d_p > Σ |a|. Entries of other definite matrices do not prove it; the caller
    declares it.

    Args:
        diagonal: d at the unknowns, float64 or float32.
        couplings: `couplings[i]` at p is the entry a(p, p + δ_i); 0 where p + δ_i is outside.
        grid: the grid whose nodes are the unknowns, without a periodic axis.
        positive_definite: declares what the entries do not prove; None: read it from the entries.

    Raises:
        ValueError: shapes or dtypes differ, the grid is periodic, an entry is not finite, or a
            coupling leads out of the box.
    """

    symmetric = True

    def __init__(
        self,
        diagonal: Float[Tensor, "*space"],
        couplings: Float[Tensor, "k *space"],
        grid: Grid,
        *,
        positive_definite: bool | None = None,
    ) -> None:
        offsets = stencil_offsets(grid.ndim)
        if tuple(diagonal.shape) != grid.shape or tuple(couplings.shape) != (
            len(offsets),
            *grid.shape,
        ):
            raise ValueError(
                f"A stencil on {grid.shape} nodes has a diagonal of that shape and couplings of "
                f"shape {(len(offsets), *grid.shape)}, one per offset {offsets}; got "
                f"{tuple(diagonal.shape)} and {tuple(couplings.shape)}."
            )
        if diagonal.dtype != couplings.dtype or not diagonal.is_floating_point():
            raise ValueError(
                f"Diagonal and couplings must have one floating-point dtype; got {diagonal.dtype} "
                f"and {couplings.dtype}. Convert both by .double()."
            )
        if Boundary.PERIODIC in grid.boundary:
            raise ValueError(
                f"A stencil couples no node across the sides of its box; got the periodic grid "
                f"{grid}. Use a Matrix."
            )
        self.grid, self.dtype = grid, diagonal.dtype
        self.couplings = couplings
        self._entries = stencil.Entries(diagonal, couplings)
        self._check_entries()
        self.positive_definite = (
            self._is_dominant() if positive_definite is None else positive_definite
        )
        self.semidefinite = self.positive_definite

    def _check_entries(self) -> None:
        for a in (self._entries.diagonal, self.couplings):
            low, high = (v.item() for v in torch.aminmax(a.detach()))
            if not (math.isfinite(low) and math.isfinite(high)):
                raise ValueError("The stencil holds NaN or infinity. Check where it was made.")
        for offset, a in zip(stencil_offsets(self.ndim), self.couplings.detach(), strict=True):
            for axis, o in enumerate(offset):
                end = {-1: 0, 1: self.grid.shape[axis] - 1}.get(o)
                if end is not None and a.select(axis, end).any():
                    raise ValueError(
                        f"Couplings with offset {offset} must be 0 at index {end} of axis {axis}: "
                        f"the neighbours there lie outside the box of {self.grid.shape} nodes."
                    )

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.grid.ndim

    @property
    def device(self) -> torch.device:
        """Device of the entries."""
        return self.couplings.device

    @property
    def entries(self) -> stencil.Entries:
        """The entries in the form that the kernels take."""
        return self._entries

    @cached_property
    def mean_couplings(self) -> dict[tuple[int, ...], float]:
        """The mean coupling at each offset, over the nodes that have a neighbour there."""
        sums = self.couplings.detach().flatten(1).sum(1).tolist()
        result = {}
        for offset, total in zip(stencil_offsets(self.ndim), sums, strict=True):
            count = math.prod(n - abs(o) for n, o in zip(self.grid.shape, offset, strict=True))
            result[offset] = total / max(count, 1)
        return result

    def diagonal(self) -> Float[Tensor, "*space"]:
        return self._entries.diagonal

    def to(self, dtype: torch.dtype) -> "Stencil":
        """The operator with its entries rounded to another precision; it carries no gradient.

        Raises:
            ValueError: an entry becomes infinite, or the diagonal zero.
        """
        d, a = self.diagonal().detach().to(dtype), self.couplings.detach().to(dtype)
        if d.count_nonzero() != self.diagonal().count_nonzero():
            raise ValueError(f"Diagonal entries vanish in {dtype}. Keep {self.dtype}.")
        return Stencil(d, a, self.grid, positive_definite=self.positive_definite)

    def apply(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """A u; any leading axes."""
        return stencil.apply(self._entries, u)

    def apply_into(
        self, u: Float[Tensor, "*batch_space"], out: Float[Tensor, "*batch_space"]
    ) -> Float[Tensor, "*batch_space"]:
        """A u written to `out`, which is returned."""
        return stencil.apply_into(self._entries, u, out)

    def bind(
        self, u: Float[Tensor, "*batch_space"], out: Float[Tensor, "*batch_space"]
    ) -> Callable[[], object]:
        """`apply_into(u, out)` without arguments; for one field the compiled loop itself."""
        return stencil.bind(self._entries, u, out)

    def to_csr(self) -> "scipy.sparse.csr_array":
        """A as a float64 matrix; unknowns in C order. Couplings that are zero are not stored."""
        import scipy.sparse

        index = torch.arange(self.grid.num_nodes).reshape(self.grid.shape)
        rows, columns = [index.flatten()], [index.flatten()]
        values = [self.diagonal().detach().cpu().double().flatten()]
        for offset, a in zip(stencil_offsets(self.ndim), self.couplings, strict=True):
            here, there = paired(offset, self.grid.shape)
            i, j = index[here].flatten(), index[there].flatten()
            entries = a[here].detach().cpu().double().flatten()
            rows += [i, j]
            columns += [j, i]
            values += [entries, entries]
        where = (torch.cat(rows).numpy(), torch.cat(columns).numpy())
        A = scipy.sparse.coo_array((torch.cat(values).numpy(), where), shape=self.shape).tocsr()
        A.eliminate_zeros()
        return A

    def _is_dominant(self) -> bool:
        """Whether every row is diagonally dominant and each component has a strict one."""
        d, a = self.diagonal().detach(), self.couplings.detach()
        sizes = stencil.apply(stencil.Entries(torch.zeros_like(d), a.abs()), torch.ones_like(d))
        round_off = 100 * torch.finfo(self.dtype).eps * (sizes + d.abs())
        excess = d - sizes
        if not bool((excess >= -round_off).all()) or not bool((d > 0).all()):
            return False
        return _all_reached(excess > round_off, a != 0)

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.grid.shape))
        kind = "positive definite" if self.positive_definite else "definiteness unknown"
        return f"Stencil({shape} unknowns, {3**self.ndim} points, {kind})"


def _all_reached(strict: Tensor, coupled: Tensor) -> bool:
    """Whether couplings connect each node with a node of `strict`."""
    ndim = strict.ndim
    offsets = stencil_offsets(ndim)
    reached = strict.clone()
    for axis in range(ndim):  # resolves boxes without waiting for a search of the graph
        unit = tuple(int(a == axis) for a in range(ndim))
        linked = coupled[offsets.index(unit)].movedim(axis, 0)
        rows = reached.movedim(axis, 0)
        for i in range(1, len(rows)):
            rows[i] |= rows[i - 1] & linked[i - 1]
        for i in range(len(rows) - 1, 0, -1):
            rows[i - 1] |= rows[i] & linked[i - 1]
    return bool(reached.all()) or _all_connected(strict, coupled)


def _all_connected(strict: Tensor, coupled: Tensor) -> bool:
    """The same by a search for connected components."""
    import numpy as np
    import scipy.sparse
    from scipy.sparse.csgraph import connected_components

    index = torch.arange(strict.numel()).reshape(strict.shape)
    pairs = []
    for offset, linked in zip(stencil_offsets(strict.ndim), coupled.cpu(), strict=True):
        here, there = paired(offset, strict.shape)
        open_ = linked[here]
        pairs.append(torch.stack((index[here][open_], index[there][open_])))
    i, j = torch.cat(pairs, dim=1).numpy()
    graph = scipy.sparse.coo_array((np.ones(len(i)), (i, j)), shape=(strict.numel(),) * 2)
    num, component = connected_components(graph, directed=False)
    return len(np.unique(component[strict.cpu().flatten().numpy()])) == num
