"""Black-box multigrid as a preconditioner of `Diffusion`."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..kernels import multigrid_reference as reference
from ..linop import Preconditioner
from .diffusion import KERNEL_DTYPES, Diffusion


class Multigrid(Preconditioner):
    """M ≈ A⁻¹: one symmetric V(1,1) cycle of black-box multigrid (Dendy 1982) from zero.

    Interpolation takes its weights from A, coarse operators are Pᵀ A P, the smoother is
    Gauss-Seidel by colours, reversed after the correction; `kernels/multigrid_reference.py` says
    why. Any grid size. As M in CG to 1e-8: 8 iterations for constant a, 9 for a in {3, 12}, 12 for
    blobs with jumps of 1e4, from 65 x 65 to 257 x 257.

    It coarsens geometrically and smooths point by point, so it slows down where spacings differ
    (hx/hy = 2: 14 iterations, 4: 27) and where a jumps from node to node (white noise of contrast
    1e2: 26; of 1e4: more than 100, where `solve_sparse` is the way out).

    Set-up costs less than one cycle. Work arrays belong to the object: do not share it between
    threads.

    Raises:
        ValueError: the hierarchy of A is not positive definite in its dtype.
    """

    def __init__(self, A: Diffusion) -> None:
        self.grid = A.grid
        self.dtype = A.dtype
        faces = (face.detach().contiguous() for face in A.faces)
        self._cx, self._cy = reference.from_faces(*faces)
        if self._cx.device.type == "cpu" and self.dtype in KERNEL_DTYPES:
            self._setup_kernel()
        else:
            try:
                self._levels = reference.setup(self._cx, self._cy, *self.grid.shape)
            except torch.linalg.LinAlgError:
                raise self._not_positive() from None

    def _setup_kernel(self) -> None:
        from ..kernels import multigrid as kernels

        self._table, size = kernels.layout(*self.grid.shape)
        self._store = torch.zeros(size, dtype=self.dtype)
        arrays = (self._cx.numpy(), self._cy.numpy(), self._store.numpy(), self._table)
        if not kernels.setup(*arrays):
            raise self._not_positive()
        self._cycle = kernels.cycle
        self._arrays = arrays

    def _not_positive(self) -> ValueError:
        return ValueError(
            f"{self!r} lost positive definiteness in {self.dtype}: the coefficient's jumps "
            f"are beyond its precision. Use float64, or solve with method='direct'."
        )

    def apply(self, u: Float[Tensor, "*batch x y"]) -> Float[Tensor, "*batch x y"]:
        """M u in u's dtype, computed in that of A; it carries no gradient."""
        out = torch.empty_like(u, dtype=self.dtype, memory_format=torch.contiguous_format)
        return self.apply_into(u, out).to(u.dtype)

    def apply_into(
        self, u: Float[Tensor, "*batch x y"], out: Float[Tensor, "*batch x y"]
    ) -> Float[Tensor, "*batch x y"]:
        """M u written to `out`, which is returned."""
        b = u.detach().to(self.dtype)
        if not hasattr(self, "_cycle"):
            return out.copy_(reference.cycle(b, self._levels))
        if out.dtype != self.dtype or not out.is_contiguous():
            return out.copy_(self.apply(b))
        fields = b.contiguous().reshape(-1, *self.grid.shape).numpy()
        for field, result in zip(fields, out.view(fields.shape).numpy(), strict=True):
            self._cycle(field, *self._arrays, result)
        return out

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Unknowns per axis on each level, finest first."""
        n, m = self.grid.shape
        shapes = [(n, m)]
        while min(n, m) > reference.COARSEST:
            n, m = n // 2, m // 2
            shapes.append((n, m))
        return shapes

    def __repr__(self) -> str:
        return f"Multigrid({' > '.join(f'{n} x {m}' for n, m in self.shapes)})"
