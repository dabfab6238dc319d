"""Poisson's equation with a random source; see cards/poisson.md."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ...domain import Boundary, Grid
from ...linop import LinearOperator
from ...solvers.operators.boundary import with_boundary, without_boundary
from ...solvers.result import SolveResult
from ..spec import Field
from .problem import Problem
from .random_fields import GaussianField


@dataclass(frozen=True)
class Gaussian:
    """u = 0 on all sides; f ~ N(0, scale² (-Δ + τ²)^(-α)), constant mode included.

    With scale τ^α the mean of f is N(0, 1).
    """

    tau: float = 3.0
    alpha: float = 2.0
    scale: float = 9.0
    num_modes: int = 128

    isometric: ClassVar[bool] = True

    @property
    def boundary(self) -> tuple[Boundary, Boundary]:
        """Boundary condition of u at both ends of each axis."""
        return (Boundary.DIRICHLET, Boundary.DIRICHLET)

    def sample(self, grid: Grid, random: np.random.Generator) -> Float[Tensor, "1 *space"]:
        """The source at the nodes, in float64."""
        field = GaussianField(self.tau, self.alpha, self.num_modes, self.scale, zero_mean=False)
        return field.sample(grid, random)[None]


@dataclass(frozen=True)
class Neumann(Gaussian):
    """Zero normal derivative on all sides, u of zero mean; f as in `Gaussian` without the constant.

    A solution exists only if the mean of f over the box is zero. The mean over the nodes
    (trapezoidal rule) is then also zero if the grid resolves all modes (2 cells > num_modes - 1 per
    axis); on coarser grids the remaining mean is subtracted from the right-hand side.
    """

    @property
    def boundary(self) -> tuple[Boundary, Boundary]:
        return (Boundary.NEUMANN, Boundary.NEUMANN)

    def sample(self, grid: Grid, random: np.random.Generator) -> Float[Tensor, "1 *space"]:
        field = GaussianField(self.tau, self.alpha, self.num_modes, self.scale)
        return field.sample(grid, random)[None]


@dataclass(frozen=True)
class Mixed(Gaussian):
    """u = 0 at both ends of one axis, zero normal derivative at those of the other; f as in
    `Gaussian`.

    Attributes:
        dirichlet_axis: 0 for u = 0 at the ends of x, 1 at the ends of y.
    """

    dirichlet_axis: int = 0

    def __post_init__(self) -> None:
        if self.dirichlet_axis not in (0, 1):
            raise ValueError(f"dirichlet_axis is 0 (x) or 1 (y); got {self.dirichlet_axis}.")

    @property
    def boundary(self) -> tuple[Boundary, Boundary]:
        x, y = Boundary.DIRICHLET, Boundary.NEUMANN
        return (x, y) if self.dirichlet_axis == 0 else (y, x)


class Poisson(Problem):
    """Potential u of a random source, -Δu = f, with u = 0 or zero normal derivative at the ends of
    each axis.

    Second-order five-point differences (`solvers.Laplacian`), solved directly by sine and cosine
    transforms. If all sides are Neumann, u is the solution of zero mean (trapezoidal rule).
    """

    name = "poisson"
    fields = (
        Field("source", "input", "source f at the nodes"),
        Field("potential", "target", "potential u at the nodes"),
    )
    inputs: Gaussian
    KINDS = {"gaussian": Gaussian, "neumann": Neumann, "mixed": Mixed}  # noqa: RUF012 - a ClassVar

    def __init__(self, kind: str | None = None, **parameters: Any) -> None:
        super().__init__(kind, **parameters)
        self.equation = f"-laplace(potential) = source in the box, {self._sides()}"

    @property
    def boundary(self) -> tuple[Boundary, Boundary]:
        return self.inputs.boundary

    def operator(self, x: Float[Tensor, "1 x y"], grid: Grid) -> LinearOperator:
        """-Δ on the unknowns."""
        from ...solvers.operators.laplacian import Laplacian

        return Laplacian(grid)

    def diffusion(self, x: Float[Tensor, "1 x y"], grid: Grid) -> tuple[float, Tensor]:
        """The coefficient 1, and the source."""
        return 1.0, x[0]

    def rhs(self, x: Float[Tensor, "1 x y"], grid: Grid) -> Float[Tensor, "i j"]:
        """The source at the unknowns, times their cell fractions (`Laplacian.load`)."""
        from ...solvers.operators.laplacian import Laplacian

        return Laplacian(grid).load(without_boundary(x[0], grid))

    def solve(self, x: Float[Tensor, "1 x y"], grid: Grid, rtol: float = 1e-10) -> SolveResult:
        """The potential at all nodes, solved directly; `converged` states whether rtol is met."""
        from ...solvers.direct.dst import solve_poisson

        u = with_boundary(solve_poisson(self.rhs(x, grid), grid), grid)
        residual = self.residual(x[None], u[None, None], grid).item()
        return SolveResult(
            x=u,
            converged=residual <= rtol,
            iterations=1,
            residuals=[1.0, residual],
            reason=f"direct solve by fast transforms, |b - A x| = {residual:.1e} |b|",
        )

    def unfit_for_devices(self) -> str | None:
        """Zero normal derivatives on all sides: the operator is singular."""
        if Boundary.DIRICHLET in self.boundary:
            return None
        return f"{self.name} {self.kind} is singular, and other devices than CPUs have no solver"

    def unknowns_together(
        self, x: Float[Tensor, "m 1 x y"], b: Float[Tensor, "m i j"], grid: Grid, rtol: float
    ) -> Float[Tensor, "m i j"]:
        """The potentials at the unknowns, by multigrid-preconditioned conjugate gradients: one
        operator, several right-hand sides."""
        from ...solvers.multigrid.multigrid_cg import MultigridCG
        from ...solvers.operators.diffusion import Diffusion

        return MultigridCG(Diffusion(1.0, grid), device=b.device).solve(b, rtol=rtol).x

    def _sides(self) -> str:
        """The boundary condition in words."""
        if self.boundary == (Boundary.DIRICHLET, Boundary.DIRICHLET):
            return "potential = 0 on its boundary"
        if self.boundary == (Boundary.NEUMANN, Boundary.NEUMANN):
            return "its normal slope = 0 on the boundary, its mean = 0"
        zero, flat = "xy" if self.boundary[0] is Boundary.DIRICHLET else "yx"
        return f"potential = 0 at both ends of {zero}, its normal slope = 0 at those of {flat}"
