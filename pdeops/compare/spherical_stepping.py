"""Time stepping on the sphere as a competitor of learned operators."""
# Axes: b batch, t time, c channel, lat lon nodes, l degree, m order.

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..calculus.harmonic_fit import HarmonicFit
from ..calculus.spherical import evaluate
from ..domain import Sphere
from ..solvers.evolution.equations.shallow_water import ShallowWater
from ..solvers.evolution.etdrk4 import ETDRK4
from ..solvers.evolution.evolve import evolve
from ..solvers.evolution.stepper import Stepper
from ..solvers.evolution.trajectory import Trajectory


class SphericalTimeStepping:
    """Initial fields at the nodes of `start` -> trajectories at the nodes of `test`, by one
    stepper; both are on the sphere of the equation.

    The solver starts from the harmonics of the initial field up to its degree, or up to the largest
    that the nodes determine, and its frames are the values of its harmonics at `test`.

    Args:
        equation: on the Gauss grid of the method, built once for all calls.
        dt: the largest step; steps are equal between two times.
        times: times of the frames, increasing, from the initial field at time 0.

    Raises:
        ValueError: the spheres have different radii.
    """

    def __init__(
        self,
        equation: ShallowWater,
        dt: float,
        times: Sequence[float],
        *,
        start: Sphere,
        test: Sphere,
        stepper: type[Stepper] = ETDRK4,
    ) -> None:
        radii = {start.radius, test.radius, equation.grid.radius}
        if len(radii) > 1:
            raise ValueError(
                f"Time stepping needs one sphere for data and equation; got the radii "
                f"{sorted(radii)}. Use the radius of the equation."
            )
        self.equation, self.dt, self.times = equation, dt, tuple(times)
        self.test, self.stepper = test, stepper
        degree = equation.transform.degree
        self._given = HarmonicFit(start, degree)
        self._missing = degree - self._given.degree

    def __call__(self, u0: Float[Tensor, "b c lat lon"]) -> Trajectory:
        """The trajectory from u0 on `start`; `completed` is False where the method is unstable."""
        u_hat = self._given.forward(u0)
        u_hat = torch.nn.functional.pad(u_hat, (0, self._missing, 0, self._missing))
        transform = self.equation.transform
        first = transform.inverse(u_hat)
        result = evolve(self.equation, first, self.times, dt=self.dt, stepper=self.stepper)
        if not result.u.numel():
            return replace(result, u=result.u.new_zeros(*result.u.shape[:3], *self.test.shape))
        return replace(result, u=evaluate(transform.forward(result.u), self.test))
