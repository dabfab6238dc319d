"""The residual of a linear boundary-value problem in the dual of the energy norm."""
# Axes: b batch, *space nodes, *unknowns nodes of A.grid.

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..domain import Grid
from ..linop import LinearOperator
from ..solvers.direct.dst import FastPoisson
from ..solvers.krylov.cg import cg
from ..solvers.multigrid.multigrid import Multigrid
from ..solvers.operators.boundary import without_boundary
from ..solvers.operators.diffusion import Diffusion

Inverse = Callable[[Tensor], Tensor]

_RTOL = 1e-11  # of A z = r by conjugate gradients; η² has the square of this error


class SteadyResidual:
    """Fields u ↦ η, (b, 1, *space) ↦ (b,): η² = V r·A⁻¹r with r = b - A u, V the volume of a cell.

    For a symmetric positive definite A it is the norm of r in the dual of the energy norm, and
    equal to the energy norm of the error against the discrete solution u_h = A⁻¹b:
    η² = V (u_h - u)·A (u_h - u), for Darcy flow the discrete ∫ k |∇(u_h - u)|². The error of u_h
    itself is not counted.

    For a semidefinite A (Neumann and periodic sides) r is in the range of A, and a constant added
    to u does not count. The computation is in float64; the gradient is exact.

    Args:
        A: one operator for all samples, or one per sample.
        b: the right-hand side on `A.grid`, one for all samples or one per sample.
        grid: the nodes of u, if u holds values at known Dirichlet ends, which are not used; by
            default u is given at the unknowns, `A.grid`.
        inverse: r ↦ A⁻¹r of a batch (b, *unknowns), or one per operator; by default transforms if
            the coefficients of a `Diffusion` are constant, else conjugate gradients with multigrid.

    Raises:
        ValueError: A is not declared positive (semi)definite, shapes differ, b is not in the range
            of a singular A, or A is no `Diffusion` and no inverse is given.
    """

    def __init__(
        self,
        A: LinearOperator | Sequence[LinearOperator],
        b: Float[Tensor, "*batch_unknowns"],
        *,
        grid: Grid | None = None,
        inverse: Inverse | Sequence[Inverse] | None = None,
    ) -> None:
        self.operators = [A] if isinstance(A, LinearOperator) else list(A)
        if inverse is None:
            self.inverses = [_inverse(A) for A in self.operators]
        else:
            self.inverses = list(inverse) if isinstance(inverse, Sequence) else [inverse]
        first = self.operators[0]
        for operator in self.operators:
            if not (operator.positive_definite or operator.semidefinite):
                raise ValueError(
                    f"The energy norm needs a positive (semi)definite operator; "
                    f"{type(operator).__name__} does not declare to be."
                )
            if operator.grid != first.grid:
                raise ValueError(
                    f"All operators must have the unknowns {first.grid}; got {operator.grid}."
                )
        if len(self.inverses) != len(self.operators):
            raise ValueError(
                f"Give one inverse per operator, {len(self.operators)}; got {len(self.inverses)}."
            )
        self.grid = first.grid if grid is None else grid
        first.grid.check(b, "right-hand side")
        self.b = b.detach().double()
        self.cell = math.prod(first.grid.spacing)
        self._require_range()

    def __call__(self, u: Float[Tensor, "b 1 *space"]) -> Float[Tensor, " b"]:
        """η of each sample.

        Raises:
            ValueError: u is not of this shape, of another number of samples than A or b, or not
                finite.
        """
        r = self.residual(u)
        z = torch.empty_like(r)
        with torch.no_grad():
            for part, inverse in self._parts(len(r), self.inverses):
                z[part] = inverse(r[part].detach())
        product = self.cell * (r * z).flatten(1).sum(1)
        # z depends on r: the gradient of r·A⁻¹r is 2 A⁻¹r.
        squares = (2 * product - product.detach()).clamp(min=0)
        eta = torch.where(squares > 0, squares, 1.0).sqrt() * (squares > 0)
        return eta.to(u.dtype)

    def residual(self, u: Float[Tensor, "b 1 *space"]) -> Float[Tensor, "b *unknowns"]:
        """b - A u at the unknowns, in float64."""
        self.grid.check(u, "field")
        if u.ndim != self.grid.ndim + 2 or u.shape[1] != 1:
            raise ValueError(
                f"A field is of shape (batch, 1, *space); got {tuple(u.shape)}. Add the batch or "
                f"channel axis."
            )
        if not u.isfinite().all():
            raise ValueError("The field holds NaN or infinity. Check the prediction.")
        samples = {len(self.operators), *([len(self.b)] if self._b_per_sample else [])} - {1}
        if samples and samples != {len(u)}:
            raise ValueError(
                f"There are operators or right-hand sides of {max(samples)} samples, but fields of "
                f"{len(u)}."
            )
        x = without_boundary(u[:, 0].double(), self.grid)
        parts = self._parts(len(x), self.operators)
        Au = torch.cat([A.apply(x[part].contiguous()) for part, A in parts])
        return self.b.to(u.device) - Au

    @property
    def _b_per_sample(self) -> bool:
        return self.b.ndim > self.operators[0].grid.ndim

    def _parts(self, samples: int, each: Sequence[Any]) -> list[tuple[slice, Any]]:
        """The samples of each operator or inverse."""
        if len(each) == 1:
            return [(slice(0, samples), each[0])]
        return [(slice(i, i + 1), one) for i, one in enumerate(each)]

    def _require_range(self) -> None:
        """Raise a ValueError unless b is in the range of every singular A."""
        for i, A in enumerate(self.operators):
            if A.positive_definite:
                continue
            b = self.b[i] if len(self.operators) > 1 and self._b_per_sample else self.b
            if (b - A.project(b)).norm() > 1e-8 * b.norm():
                raise ValueError(
                    f"{A} is singular and b is not in its range, so there is no solution. Use "
                    f"b = A.load(f), or A.project(b)."
                )


def _inverse(A: LinearOperator) -> Inverse:
    """r ↦ A⁻¹r of a `Diffusion`."""
    if not isinstance(A, Diffusion):
        raise ValueError(
            f"There is no inverse of {type(A).__name__} here; give inverse=, a function r ↦ A⁻¹r."
        )
    if A.constant is not None and A.regions.labels is None:
        return FastPoisson(A.grid, coefficient=A.constant[0], reaction=A.constant[1]).apply
    exact = A.to(torch.float64)
    M = Multigrid(exact)

    def solve(r: Tensor) -> Tensor:
        result = cg(exact, r.contiguous(), M=M, rtol=_RTOL)
        if not result.converged:
            raise ValueError(f"The dual norm needs A⁻¹r, which was not found: {result.reason}.")
        return result.x

    return solve
