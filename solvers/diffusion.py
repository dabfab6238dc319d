"""The operator -div(a grad u) with u = 0 on the boundary, five-point finite volumes."""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from ..grid import Boundary, Grid, Placement
from ..kernels import multigrid_reference as reference
from ..linop import LinearOperator

if TYPE_CHECKING:
    import scipy.sparse

KERNEL_DTYPES = (torch.float64, torch.float32)


class Diffusion(LinearOperator):
    """A u = -div(a grad u) on the interior nodes of a 2D grid, zero Dirichlet boundary.

    (A u)_ij = Σ a_face (u_ij - u_neighbour) / h²  over the four faces,

    a at a face is the harmonic mean of the two nodes' values: the flux is exact where a jumps
    midway between nodes (Patankar 1980, sec. 4.2). Second order for smooth a. A is symmetric
    positive definite and an M-matrix. Differentiable in u and in the coefficient.

    Args:
        coefficient: a > 0 at all nodes of `grid`, boundary included.
        grid: 2D, Dirichlet with stored end points; A acts on fields of `grid.interior`.

    Raises:
        ValueError: another grid or shape, or a is not positive and finite everywhere.
    """

    symmetric = True
    positive_definite = True

    def __init__(self, coefficient: Float[Tensor, "x y"], grid: Grid) -> None:
        check_dirichlet_plane(grid)
        grid.check(coefficient, "coefficient")
        low, high = (v.item() for v in torch.aminmax(coefficient.detach()))
        if not (low > 0 and high < float("inf")):  # a NaN fails both
            raise ValueError(
                f"The coefficient must be positive and finite at every node; it lies in "
                f"[{low:g}, {high:g}]. A plane wall of no flux needs a Neumann boundary, not a = 0."
            )
        self.grid = grid.interior
        self.coefficient = coefficient
        hx, hy = grid.spacing
        if _has_kernel(coefficient):
            from ..kernels import multigrid as kernels

            shape = [reference.padded(n) for n in self.grid.shape]
            self.cx, self.cy = coefficient.new_zeros(shape), coefficient.new_zeros(shape)
            k = coefficient.detach().contiguous().numpy()
            kernels.faces(k, 1 / hx**2, 1 / hy**2, self.cx.numpy(), self.cy.numpy())
        else:
            self.cx, self.cy = reference.faces(coefficient, 1 / hx**2, 1 / hy**2)

    def apply(self, u: Float[Tensor, "*batch x y"]) -> Float[Tensor, "*batch x y"]:
        """A u; any leading axes."""
        if self._fast(u):
            return self.apply_into(u, torch.empty_like(u, memory_format=torch.contiguous_format))
        return reference.apply(u, self.cx, self.cy)

    def apply_into(
        self, u: Float[Tensor, "*batch x y"], out: Float[Tensor, "*batch x y"]
    ) -> Float[Tensor, "*batch x y"]:
        """A u written to `out`, which is returned."""
        if not (self._fast(u) and out.dtype == u.dtype and out.is_contiguous()):
            return out.copy_(reference.apply(u, self.cx, self.cy))
        from ..kernels import multigrid as kernels

        cx, cy = self.cx.detach().numpy(), self.cy.detach().numpy()
        fields = u.detach().contiguous().reshape(-1, *self.grid.shape).numpy()
        for field, result in zip(fields, out.view(fields.shape).numpy(), strict=True):
            kernels.apply(field, cx, cy, result)
        return out

    def diagonal(self) -> Float[Tensor, "x y"]:
        """The sum of each node's couplings to its neighbours, boundary nodes included."""
        return reference.diagonal(self.cx, self.cy, *self.grid.shape)

    def to_csr(self) -> "scipy.sparse.csr_array":
        """A as a float64 matrix; unknowns in C order."""
        import scipy.sparse

        n, m = self.grid.shape
        cx, cy = (c.detach().cpu().double() for c in (self.cx, self.cy))
        # Entry k of an off-diagonal couples unknown k with k + m (x) or k + 1 (y, none at row
        # ends).
        x = cx[1:n, 1 : m + 1].flatten()
        y = torch.cat((cy[1 : n + 1, 1:m], cy.new_zeros(n, 1)), dim=1).flatten()[:-1]
        bands = {0: reference.diagonal(cx, cy, n, m).flatten().numpy()}
        for offset, band in ((m, -x.numpy()), (1, -y.numpy())):
            # On a grid one node wide both neighbours are the next unknown, one of them with zero.
            bands[offset] = bands[offset] + band if offset in bands else band
        full = {**bands, **{-k: band for k, band in bands.items() if k > 0}}
        kept = {k: band for k, band in full.items() if band.size}
        A = scipy.sparse.diags_array(
            list(kept.values()), offsets=list(kept), shape=(n * m, n * m), format="csr"
        )
        A.eliminate_zeros()
        return A

    def __repr__(self) -> str:
        n, m = self.grid.shape
        low, high = (v.item() for v in torch.aminmax(self.coefficient.detach()))
        return f"Diffusion({n} x {m} unknowns, a in [{low:g}, {high:g}])"

    def _fast(self, u: Tensor) -> bool:
        return _has_kernel(u) and _has_kernel(self.cx) and u.dtype == self.cx.dtype


def _has_kernel(u: Tensor) -> bool:
    """On the CPU, in a compiled dtype, and no gradient is asked for."""
    recorded = u.requires_grad and torch.is_grad_enabled()
    return u.device.type == "cpu" and u.dtype in KERNEL_DTYPES and not recorded


def check_dirichlet_plane(grid: Grid) -> None:
    """Raise a ValueError unless the grid is 2D, Dirichlet, with stored end points and unknowns."""
    fits = grid.ndim == 2 and all(
        b is Boundary.DIRICHLET and p is Placement.ENDPOINTS
        for b, p in zip(grid.boundary, grid.placement, strict=True)
    )
    if not fits:
        raise ValueError(
            f"Diffusion needs a 2D grid with stored Dirichlet end points, as Grid((65, 65)) makes; "
            f"got shape {grid.shape}, boundary {[b.value for b in grid.boundary]}, placement "
            f"{[p.value for p in grid.placement]}."
        )
    if min(grid.shape) < 3:
        raise ValueError(
            f"A grid of shape {grid.shape} has no interior node; use at least 3 nodes per axis."
        )
