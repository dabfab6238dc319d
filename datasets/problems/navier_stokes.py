"""2D Navier-Stokes equations in vorticity form; see cards/navier_stokes.md."""

import math
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...domain import Grid
from ...solvers.evolution.evolution import Evolution
from ...trajectory_metrics import vorticity_budget
from .evolution import PeriodicProblem
from .periodic_fields import PeriodicGaussianField, RingVorticity


@dataclass(frozen=True)
class Flow:
    """What all kinds share: the parameters of the equation, and unless a kind has others, the unit
    box and no force."""

    viscosity: float = 1e-3
    drag: float = 0.0
    t_start: float = 0.0

    isometric: ClassVar[bool] = False  # vorticity changes its sign in a reflection

    @property
    def extent(self) -> tuple[float, float]:
        """Side lengths of the box."""
        return (1.0, 1.0)

    def forcing(self, grid: Grid) -> Tensor | None:
        """f at the nodes; None without a force."""
        return None


@dataclass(frozen=True)
class FNO(Flow):
    """The unit box, f = 0.1 (sin 2π(x + y) + cos 2π(x + y)), ω(0) ~ N(0, scale² (-Δ + τ²)^(-α)).

    The recipe of FNO's V1e-3 files (Li et al. 2021, arXiv 2010.08895): one frame per unit of time.
    """

    t_end: float = 50.0
    num_frames: int = 50
    dt: float = 0.02
    refinement: int = 4
    tau: float = 7.0
    alpha: float = 2.5
    scale: float = 7.0**1.5
    num_waves: int = 32

    def sample(self, grid: Grid, random: np.random.Generator) -> Float[Tensor, "1 *space"]:
        """ω(0) at the nodes, in float64."""
        field = PeriodicGaussianField(self.tau, self.alpha, self.scale, self.num_waves)
        return field.sample(grid, random)[None]

    def forcing(self, grid: Grid) -> Tensor | None:
        """f at the nodes."""
        phase = 2 * math.pi * grid.nodes().sum(0)
        return 0.1 * (torch.sin(phase) + torch.cos(phase))


@dataclass(frozen=True)
class FNO1em4(FNO):
    """Same as `FNO` with ν = 1e-4 up to t = 30."""

    viscosity: float = 1e-4
    t_end: float = 30.0
    num_frames: int = 30


@dataclass(frozen=True)
class FNO1em5(FNO):
    """Same as `FNO` with ν = 1e-5 up to t = 20."""

    viscosity: float = 1e-5
    t_end: float = 20.0
    num_frames: int = 20


@dataclass(frozen=True)
class FNOLate(FNO):
    """Same as `FNO` from t = 30 to t = 50, a frame every 0.2: 10 frames predict the next 40.

    These are the times of Spectral-Refiner's file of FNO's flow (Cao et al. 2025).
    """

    t_start: float = 30.0
    num_frames: int = 100


@dataclass(frozen=True)
class McWilliams(Flow):
    """Decaying turbulence on the box of side 2π: no force, energy near the wavenumber `peak`."""

    t_end: float = 10.0
    num_frames: int = 20
    dt: float = 0.02
    refinement: int = 4
    peak: float = 4.0
    num_waves: int = 32

    @property
    def extent(self) -> tuple[float, float]:
        """The box of side 2π."""
        return (2 * math.pi, 2 * math.pi)

    def sample(self, grid: Grid, random: np.random.Generator) -> Float[Tensor, "1 *space"]:
        """ω(0) at the nodes, in float64."""
        return RingVorticity(self.peak, self.num_waves).sample(grid, random)[None]


@dataclass(frozen=True)
class McWilliamsDense(McWilliams):
    """Same as `McWilliams` from t = 4.5, when vortices have formed, to 5.5, a frame every 0.01.

    Frames at this spacing determine ω_t: differences in time of fourth order leave a residual of
    the equation far below that of a wrong trajectory.
    """

    t_start: float = 4.5
    t_end: float = 5.5
    num_frames: int = 100
    dt: float = 0.01


@dataclass(frozen=True)
class Kolmogorov(McWilliams):
    """Sustained turbulence: `McWilliams` with force (amplitude sin(ky), 0) and drag."""

    drag: float = 0.1
    wavenumber: int = 4
    amplitude: float = 1.0

    def forcing(self, grid: Grid) -> Tensor | None:
        """The curl of the force, -amplitude k cos(ky)."""
        y = grid.nodes()[1]
        return -self.amplitude * self.wavenumber * torch.cos(self.wavenumber * y)


@dataclass(frozen=True)
class KolmogorovDense(Kolmogorov):
    """Same as `Kolmogorov` from t = 4.5 to 5.5, a frame every 0.01."""

    t_start: float = 4.5
    t_end: float = 5.5
    num_frames: int = 100
    dt: float = 0.01


@dataclass(frozen=True)
class TaylorGreen(Flow):
    """Decaying vortices on the unit box, an exact solution of the nonlinear equation:

        ω(x, y, t) = [a cos 2π(kx + p) cos 2π(ly + q) + b cos 2π(lx + r) cos 2π(ky + s)] e^(-λt),
        λ = 4π² ν (k² + l²) + μ.

    All its waves have the same wavenumber, so that ω is a multiple of the stream function and
    u·∇ω = 0 (Taylor & Green 1937; both orientations may be added). k and l are drawn from 1 to
    `num_waves`, the phases from [0, 1), a and b from [amplitude/2, amplitude].
    """

    t_end: float = 1.0
    num_frames: int = 100
    dt: float = 0.01
    refinement: int = 2
    amplitude: float = 10.0
    num_waves: int = 4

    def sample(self, grid: Grid, random: np.random.Generator) -> Float[Tensor, "1 *space"]:
        """ω(0) at the nodes, in float64."""
        k, l = random.integers(1, self.num_waves + 1, 2).tolist()
        a, b = random.uniform(self.amplitude / 2, self.amplitude, 2).tolist()
        p, q, r, s = random.uniform(0, 1, 4).tolist()
        x, y = grid.nodes()

        def wave(number: int, position: Tensor, phase: float) -> Tensor:
            return torch.cos(2 * math.pi * (number * position + phase))

        return (a * wave(k, x, p) * wave(l, y, q) + b * wave(l, x, r) * wave(k, y, s))[None]


class NavierStokes(PeriodicProblem):
    """Vorticity of 2D incompressible flow, trajectories ω(t_0), ω(t_1), .., ω(t_m)."""

    name = "navier_stokes"
    equation = (
        "vorticity_t + u . grad vorticity = viscosity laplace vorticity - drag vorticity + f, "
        "div u = 0, curl u = vorticity, periodic"
    )
    fields = (("vorticity", "vorticity at the nodes", "1"),)
    KINDS = {  # noqa: RUF012 - a ClassVar of Generated
        "fno_1e-3": FNO,
        "fno_1e-3_late": FNOLate,
        "fno_1e-4": FNO1em4,
        "fno_1e-5": FNO1em5,
        "kolmogorov": Kolmogorov,
        "kolmogorov_dense": KolmogorovDense,
        "mcwilliams": McWilliams,
        "mcwilliams_dense": McWilliamsDense,
        "taylor_green": TaylorGreen,
    }
    inputs: FNO | McWilliams | TaylorGreen

    def equation_on(self, grid: Grid) -> Evolution:
        """The solver's equation."""
        from ...solvers.evolution.equations.navier_stokes import NavierStokes as Equation

        kind = self.inputs
        forcing = kind.forcing(grid)
        return Equation(grid, kind.viscosity, drag=kind.drag, forcing=forcing)

    def diagnostics(
        self, u: Float[Tensor, "b t 1 x y"], grid: Grid
    ) -> dict[str, Float[Tensor, "b t"]]:
        """Energy, enstrophy, and the terms of their balance; see `VorticityBudget`."""
        kind = self.inputs
        budget = vorticity_budget(
            u, grid, viscosity=kind.viscosity, drag=kind.drag, forcing=kind.forcing(grid)
        )
        return {f.name: getattr(budget, f.name) for f in fields(budget)}
