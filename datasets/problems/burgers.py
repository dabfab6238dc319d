"""Viscous Burgers' equation in 1D from random initial fields; see cards/burgers.md."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ...calculus.spectrum import shell_spectrum
from ...domain import Grid
from ...solvers.evolution.evolution import Evolution
from .evolution import PeriodicProblem
from .periodic_fields import PeriodicGaussianField


@dataclass(frozen=True)
class Gaussian:
    """u(0) ~ N(0, scale² (-Δ + τ²)^(-α)) on the unit interval, and u at t = 1.

    The parameters are those of FNO's R10 file (Li et al. 2021): N(0, 625 (-Δ + 25)^(-2)), ν = 0.1.
    """

    viscosity: float = 0.1
    t_end: float = 1.0
    num_frames: int = 1
    dt: float = 0.005
    refinement: int = 2
    tau: float = 5.0
    alpha: float = 2.0
    scale: float = 25.0
    num_waves: int = 128

    isometric: ClassVar[bool] = False  # u changes its sign in a reflection

    @property
    def extent(self) -> tuple[float]:
        """The unit interval."""
        return (1.0,)

    def sample(self, grid: Grid, random: np.random.Generator) -> Float[Tensor, "1 x"]:
        """u(0) at the nodes, in float64."""
        field = PeriodicGaussianField(self.tau, self.alpha, self.scale, self.num_waves)
        return field.sample(grid, random)[None]


@dataclass(frozen=True)
class Thin(Gaussian):
    """ν = 0.01 and ten frames: fronts of a few hundredths of the interval form and move."""

    viscosity: float = 0.01
    num_frames: int = 10


class Burgers(PeriodicProblem):
    """Trajectories u(0), u(t_1), .., u(t_m) of u_t + u u_x = ν u_xx."""

    name = "burgers"
    ndim = 1
    equation = "u_t + u u_x = viscosity u_xx, periodic"
    fields = (("u", "velocity at the nodes", "1"),)
    KINDS = {"gaussian": Gaussian, "thin": Thin}  # noqa: RUF012 - a ClassVar of Generated
    inputs: Gaussian

    def equation_on(self, grid: Grid) -> Evolution:
        """The solver's equation."""
        from ...solvers.evolution.equations.burgers import Burgers as Equation

        return Equation(grid, self.inputs.viscosity)

    def diagnostics(
        self, u: Float[Tensor, "b t 1 x"], grid: Grid
    ) -> dict[str, Float[Tensor, "b t"]]:
        """Energy ½∫u², which falls by ν∫u_x² per unit of time, and this dissipation."""
        spectra = (shell_spectrum(u[:, :, 0], grid, order=order).sum(-1) for order in (0, 1))
        energy, gradient = (grid.volume * half for half in spectra)
        return {"energy": energy, "energy_dissipation": 2 * self.inputs.viscosity * gradient}
