"""Steady Darcy flow through a random permeability; see cards/darcy.md."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...domain import Grid
from ...linop import LinearOperator
from ...solvers.result import SolveResult
from ..spec import Field
from .problem import Problem
from .random_fields import GaussianField


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

    isometric: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not (self.low > 0 and self.high > 0):
            raise ValueError(
                f"A permeability is positive; got low {self.low} and high {self.high}."
            )

    def sample(self, grid: Grid, random: np.random.Generator) -> Float[Tensor, "1 *space"]:
        """The permeability at the nodes, in float64."""
        field = GaussianField(self.tau, self.alpha, self.num_modes).sample(grid, random)
        return torch.where(field >= 0, self.high, self.low).to(torch.float64)[None]


@dataclass(frozen=True)
class Rough(Piecewise):
    """Same as `Piecewise` with smaller features and a contrast of 6: values {2, 12}, τ = 5.

    256 modes per axis: structure down to two cells of 257 nodes.
    """

    low: float = 2.0
    tau: float = 5.0
    num_modes: int = 256


@dataclass(frozen=True)
class Lognormal:
    """k = exp(g), g ~ N(0, scale² (-Δ + τ²)^(-α)), constant mode included: smooth, k > 0."""

    tau: float = 3.0
    alpha: float = 2.0
    scale: float = 1.0
    num_modes: int = 128

    isometric: ClassVar[bool] = True

    def sample(self, grid: Grid, random: np.random.Generator) -> Float[Tensor, "1 *space"]:
        """The permeability at the nodes, in float64."""
        field = GaussianField(self.tau, self.alpha, self.num_modes, self.scale, zero_mean=False)
        return field.sample(grid, random).exp()[None]


@dataclass(frozen=True)
class Multiscale:
    """k = Π_(j=1..n) (1 + ½ cos(a_j π (x + y))) (1 + ½ sin(a_j π (y - 3x))): waves on n scales.

    a_j is uniform in [2^(j-1), 1.5·2^(j-1)]. The waves run along (1, 1) and (-3, 1), and all peak
    at the corner x = y = 0: no symmetry of the box maps the law to itself.
    """

    num_scales: int = 6

    isometric: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.num_scales < 1:
            raise ValueError(f"num_scales must be at least 1; got {self.num_scales}.")

    def sample(self, grid: Grid, random: np.random.Generator) -> Float[Tensor, "1 *space"]:
        """The permeability at the nodes, in float64."""
        lowest = 2.0 ** np.arange(self.num_scales)
        x, y = grid.nodes()
        k = torch.ones(grid.shape, dtype=torch.float64)
        for a in random.uniform(lowest, 1.5 * lowest).tolist():
            k *= 1 + torch.cos(a * math.pi * (x + y)) / 2
            k *= 1 + torch.sin(a * math.pi * (y - 3 * x)) / 2
        return k[None]


class Darcy(Problem):
    """Pressure p of steady Darcy flow, -div(k grad p) = 1 with p = 0 on the boundary.

    Five-point finite volumes with k at the nodes and harmonic means at the faces (Patankar 1980,
    sec. 4.2); second order, also if k jumps midway between nodes. Grids store the boundary:
    Grid((421, 421)) has 419² unknowns, and the nodes of 65 are nested in those of 129.
    """

    name = "darcy"
    equation = "-div(permeability grad pressure) = 1 in the box, pressure = 0 on its boundary"
    fields = (
        Field("permeability", "input", "permeability k at the nodes"),
        Field("pressure", "target", "pressure p at the nodes, zero on the boundary"),
    )
    KINDS = {  # noqa: RUF012 - a ClassVar of Problem
        "piecewise": Piecewise,
        "lognormal": Lognormal,
        "rough": Rough,
        "multiscale": Multiscale,
    }

    def operator(self, x: Float[Tensor, "1 x y"], grid: Grid) -> LinearOperator:
        """-div(k grad .) on the interior nodes."""
        from ...solvers.operators.diffusion import Diffusion

        return Diffusion(x[0], grid)

    def diffusion(self, x: Float[Tensor, "1 x y"], grid: Grid) -> tuple[Tensor, Tensor]:
        """The permeability, and the source 1."""
        return x[0], torch.ones(grid.shape, dtype=torch.float64)

    def rhs(self, x: Float[Tensor, "1 x y"], grid: Grid) -> Float[Tensor, "i j"]:
        """The source f = 1 at the interior nodes."""
        return torch.ones(grid.interior.shape, dtype=torch.float64)

    def solve(self, x: Float[Tensor, "1 x y"], grid: Grid, rtol: float = 1e-10) -> SolveResult:
        """The pressure at all nodes, by multigrid-preconditioned conjugate gradients."""
        from ...solvers.darcy import solve_darcy

        f = torch.nn.functional.pad(self.rhs(x, grid), (1, 1, 1, 1))
        return solve_darcy(x[0], f, grid, rtol=rtol)

    def unfit_for_devices(self) -> str | None:
        """None: devices have multigrid-preconditioned conjugate gradients."""
        return None

    def unknowns_together(
        self, x: Float[Tensor, "m 1 x y"], b: Float[Tensor, "m i j"], grid: Grid, rtol: float
    ) -> Float[Tensor, "m i j"]:
        """The pressures at the interior nodes, by one hierarchy for all samples."""
        from ...solvers.multigrid.side_by_side import solve_side_by_side
        from ...solvers.operators.diffusion import Diffusion

        return solve_side_by_side([Diffusion(k[0], grid) for k in x], b, rtol=rtol)
