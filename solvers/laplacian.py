"""The operator -Δ on a box with Dirichlet or Neumann sides, finite volumes around the nodes."""

import math
from functools import reduce
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..grid import Boundary, Grid, Placement
from ..linop import LinearOperator

if TYPE_CHECKING:
    import scipy.sparse


class Laplacian(LinearOperator):
    """A u = -Δu integrated over the cell of each node, per volume of a whole cell.

    Along one axis, with u = 0 at the ends of a Dirichlet axis and no flux through those of a
    Neumann axis, whose end nodes are unknowns with half a cell:

        (T u)_i = (2 u_i - u_(i-1) - u_(i+1)) / h²,    (T u)_0 = (u_0 - u_1) / h²  (Neumann)

    and A = Σ_a T_a Π_(b≠a) s_b, s the share of a cell that belongs to the node: 1, and ½ at a
    Neumann end. A is symmetric in the plain inner product on every boundary; A / s is the second
    difference with mirrored ghost nodes, which is symmetric under the weights s of the trapezoidal
    rule only. Second order. Any dimension.

    With Neumann sides alone the constants are the kernel of A: A u = b has solutions only where the
    entries of b sum to zero, and they differ by constants. `load` makes such a b.

    Args:
        grid: each axis Dirichlet (ends stored or not) or Neumann with stored ends; A acts on
            fields of `grid.interior`.

    Raises:
        ValueError: another grid.
    """

    symmetric = True

    def __init__(self, grid: Grid) -> None:
        for axis, (b, p) in enumerate(zip(grid.boundary, grid.placement, strict=True)):
            if b is Boundary.PERIODIC or p is Placement.CENTERS:
                raise ValueError(
                    f"Laplacian needs Dirichlet or Neumann nodes at the ends of every axis; axis "
                    f"{axis} has boundary {b.value!r}, placement {p.value!r}. Use for example "
                    f"Grid({grid.shape}, boundary='neumann')."
                )
        self.grid = grid.interior
        self.positive_definite = Boundary.DIRICHLET in grid.boundary

    def load(self, f: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """The right-hand side b of -Δu = f: f at the unknowns, times their shares of a cell.

        With Neumann sides alone f loses its mean, taken by the trapezoidal rule.
        """
        self.grid.check(f, "source at the unknowns")
        s = self.shares().to(f)
        if not self.positive_definite:
            f = f - self.mean(f)[(..., *(None,) * self.grid.ndim)]
        return s * f

    def mean(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch"]:
        """Mean of a field over the box by the trapezoidal rule, Dirichlet ends counted as zero."""
        w = self.grid.quadrature().to(u) / math.prod(self.grid.extent)
        return (w * u).flatten(-self.grid.ndim).sum(-1)

    def shares(self) -> Float[Tensor, "*space"]:
        """The share of a whole cell that belongs to each unknown."""
        return reduce(lambda a, b: a[..., None] * b, self._axis_shares())

    def apply(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """A u; any leading axes."""
        result = torch.zeros_like(u)
        axis_shares = self._axis_shares()
        for axis, (b, h) in enumerate(zip(self.grid.boundary, self.grid.spacing, strict=True)):
            line = u.movedim(axis - self.grid.ndim, -1)
            if b is Boundary.DIRICHLET:
                flux = F.pad(line, (1, 1)).diff()
            else:
                flux = F.pad(line.diff(), (1, 1))
            term = -flux.diff().movedim(-1, axis - self.grid.ndim) / h**2
            for other, s in enumerate(axis_shares):
                if other != axis:
                    term = term * s.to(u)[(..., *(None,) * (self.grid.ndim - 1 - other))]
            result = result + term
        return result

    def diagonal(self) -> Float[Tensor, "*space"]:
        """The diagonal of A: the shares times Σ 2/h²."""
        return self.shares() * sum(2 / h**2 for h in self.grid.spacing)

    def to_csr(self) -> "scipy.sparse.csr_array":
        """A as a float64 matrix; unknowns in C order. Singular with Neumann sides alone."""
        import scipy.sparse as sp

        shares = [sp.diags_array(s.numpy()) for s in self._axis_shares()]
        A = sp.csr_array(self.shape)
        for axis, (s, h) in enumerate(zip(self._axis_shares(), self.grid.spacing, strict=True)):
            n = self.grid.shape[axis]
            off = torch.full((n - 1,), -1.0, dtype=torch.float64).numpy()
            T = sp.diags_array((off, 2 * s.numpy(), off), offsets=(-1, 0, 1), shape=(n, n)) / h**2
            A = A + reduce(sp.kron, [T if a == axis else w for a, w in enumerate(shares)])
        return sp.csr_array(A)

    def _axis_shares(self) -> list[Float[Tensor, " n"]]:
        """1, and ½ at the ends of a Neumann axis."""
        shares = []
        for n, b in zip(self.grid.shape, self.grid.boundary, strict=True):
            s = torch.ones(n, dtype=torch.float64)
            if b is Boundary.NEUMANN:
                s[[0, -1]] = 0.5
            shares.append(s)
        return shares

    def __repr__(self) -> str:
        sides = ", ".join(b.value for b in self.grid.boundary)
        return f"Laplacian({' x '.join(map(str, self.grid.shape))} unknowns, {sides})"
