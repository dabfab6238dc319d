"""Steady Darcy flow through a random permeability; see cards/darcy.md."""

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
class Piecewise:
    """k = high where a Gaussian field N(0, (-Δ + τ²)^(-α)) without mean is >= 0, low elsewhere.

    The defaults are those of the published Darcy files: {3, 12}, τ = 3, α = 2.
    """

    low: float = 3.0
    high: float = 12.0
    tau: float = 3.0
    alpha: float = 2.0
    num_modes: int = 128

    def __post_init__(self) -> None:
        if not (self.low > 0 and self.high > 0):
            raise ValueError(
                f"A permeability is positive; got low {self.low} and high {self.high}."
            )

    def sample(self, grid: Grid, random: np.random.Generator) -> Float[Tensor, "1 *space"]:
        """The permeability at the nodes, in float64."""
        field = GaussianField(self.tau, self.alpha, self.num_modes).sample(grid, random)
        return torch.where(field >= 0, self.high, self.low).to(torch.float64)[None]


class Darcy(Problem):
    """Pressure p of steady Darcy flow, -div(k grad p) = 1 with p = 0 on the boundary.

    Five-point finite volumes with k at the nodes and harmonic means at the faces (Patankar 1980,
    sec. 4.2): second order, also where k jumps midway between nodes. Grids store the boundary: on
    Grid((421, 421)) there are 419² unknowns, and 65 nodes nest in 129.
    """

    name = "darcy"
    equation = "-div(permeability grad pressure) = 1 in the box, pressure = 0 on its boundary"
    fields = (
        Field("permeability", "input", "permeability k at the nodes"),
        Field("pressure", "target", "pressure p at the nodes, zero on the boundary"),
    )
    isometric = True
    KINDS = {"piecewise": Piecewise}  # noqa: RUF012 - a ClassVar of Problem

    def operator(self, x: Float[Tensor, "1 x y"], grid: Grid) -> LinearOperator:
        """-div(k grad .) on the interior nodes."""
        from ..solvers.diffusion import Diffusion

        return Diffusion(x[0], grid)

    def rhs(self, x: Float[Tensor, "1 x y"], grid: Grid) -> Float[Tensor, "i j"]:
        """The source f = 1 at the interior nodes."""
        return torch.ones(grid.interior.shape, dtype=torch.float64)

    def solve(self, x: Float[Tensor, "1 x y"], grid: Grid, rtol: float = 1e-10) -> SolveResult:
        """The pressure at all nodes, by multigrid-preconditioned conjugate gradients."""
        from ..solvers.darcy import solve_darcy

        f = torch.nn.functional.pad(self.rhs(x, grid), (1, 1, 1, 1))
        return solve_darcy(x[0], f, grid, rtol=rtol)
