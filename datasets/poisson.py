"""Poisson's equation with a random source; see cards/poisson.md."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..grid import Grid
from ..linop import LinearOperator
from ..solvers.result import SolveResult
from .problem import Problem
from .random_fields import GaussianField
from .spec import Field


@dataclass(frozen=True)
class Gaussian:
    """f ~ N(0, scale² (-Δ + τ²)^(-α)), constant mode included; with scale τ^α its mean is N(0,
    1)."""

    tau: float = 3.0
    alpha: float = 2.0
    scale: float = 9.0
    num_modes: int = 128

    def sample(self, grid: Grid, random: np.random.Generator) -> Float[Tensor, "1 *space"]:
        """The source at the nodes, in float64."""
        field = GaussianField(self.tau, self.alpha, self.num_modes, self.scale, zero_mean=False)
        return field.sample(grid, random)[None]


class Poisson(Problem):
    """Potential u of a random source, -Δu = f with u = 0 on the boundary.

    Five-point differences, solved directly by sine transforms (DST-I): second order.
    """

    name = "poisson"
    equation = "-laplace(potential) = source in the box, potential = 0 on its boundary"
    fields = (
        Field("source", "input", "source f at the nodes"),
        Field("potential", "target", "potential u at the nodes, zero on the boundary"),
    )
    isometric = True
    KINDS = {"gaussian": Gaussian}  # noqa: RUF012 - a ClassVar of Problem

    def operator(self, x: Float[Tensor, "1 x y"], grid: Grid) -> LinearOperator:
        """-Δ on the interior nodes."""
        from ..solvers.diffusion import Diffusion

        return Diffusion(torch.ones(grid.shape, dtype=torch.float64), grid)

    def rhs(self, x: Float[Tensor, "1 x y"], grid: Grid) -> Float[Tensor, "i j"]:
        """The source at the interior nodes."""
        return x[0, 1:-1, 1:-1].contiguous()

    def solve(self, x: Float[Tensor, "1 x y"], grid: Grid, rtol: float = 1e-10) -> SolveResult:
        """The potential at all nodes; direct, so `converged` says whether rtol was met."""
        from ..solvers.dst import solve_poisson

        u = torch.nn.functional.pad(solve_poisson(self.rhs(x, grid), grid), (1, 1, 1, 1))
        residual = self.residual(x[None], u[None, None], grid).item()
        return SolveResult(
            x=u,
            converged=residual <= rtol,
            iterations=1,
            residuals=[1.0, residual],
            reason=f"direct solve by sine transforms, |b - A x| = {residual:.1e} |b|",
        )
