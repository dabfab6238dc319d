"""Problems of transport on the circle with their exact solutions, for networks and for ETDRK4."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pdeops.domain import Grid
from pdeops.nn.space_time_field import SpaceTimeField
from pdeops.solvers import AdvectionDiffusion, Burgers, Transport, cole_hopf
from pdeops.tasks.classical_solution import solved

CIRCLE = Grid((64,), 2 * math.pi, "periodic")
TIMES = [k / 20 for k in range(1, 21)]
# 100 points are too few: with them the error depends on where a front of width 0.02 lies.
TEST_POINTS = torch.linspace(0, 2 * math.pi, 401, dtype=torch.float64)

ROUND_OFF = 1e-12  # the classical solver need not be better than this

Solution = Callable[[Tensor, float], Tensor]


@dataclass(frozen=True)
class Problem:
    """An equation on the circle with u0 = mean + sin x, and its exact solution.

    Attributes:
        speed: the mean of f₁ at t = 0.
        mean: the mean of u0, which errors are relative to.
    """

    name: str
    c: float
    viscosity: float
    equation: Transport
    exact: Solution
    speed: float
    mean: float = 0.0

    def u0(self, x: Tensor) -> Tensor:
        """mean + sin x."""
        return self.mean + torch.sin(x)

    def in_moving_frame(self) -> Transport:
        """The equation for u(x + speed t, t)."""
        equation, c = self.equation, self.speed

        def velocity(u: Tensor, x: Tensor, t: Any) -> Tensor:
            return equation.velocity_at(u, x + c * t, t) - c

        return Transport(CIRCLE, velocity=velocity, diffusivity=self.viscosity)

    def of_field(self, field: SpaceTimeField) -> Solution:
        """The solution that a network holds."""
        return lambda x, t: field(x[None], torch.full_like(x, t))[0]

    def in_fixed_frame(self, field: SpaceTimeField) -> Solution:
        """That of a network in the moving frame."""
        moving = self.of_field(field)
        return lambda x, t: moving(x - self.speed * t, t)

    def error(self, u: Solution, points: Tensor | None = None) -> float:
        """The relative error over all times."""
        x = TEST_POINTS if points is None else points
        wrong, size = 0.0, 0.0
        for t in TIMES:
            exact = self.exact(x, t)
            wrong += (u(x, t) - exact).square().sum().item()
            size += (exact - self.mean).square().sum().item()
        return math.sqrt(wrong / size)


def convection() -> Iterator[Problem]:
    """u_t + c u_x = 0."""
    for c in (0.0, 5.0, 10.0, 20.0, 30.0, 50.0):
        yield Problem(
            "convection", c, 0.0, AdvectionDiffusion(CIRCLE, [c]),
            lambda x, t, c=c: torch.sin(x - c * t), c,
        )  # fmt: skip


def burgers() -> Iterator[Problem]:
    """u_t + u u_x = ν u_xx, u0 = c + sin x."""
    for nu in (0.1, 0.05, 0.01):
        for c in (0.0, 10.0, 50.0):

            def exact(x: Tensor, t: float, c: float = c, nu: float = nu) -> Tensor:
                return c + cole_hopf(torch.sin, lambda y: -torch.cos(y), x - c * t, t, nu)

            yield Problem("burgers", c, nu, Burgers(CIRCLE, nu), exact, c, c)


def varying() -> Iterator[Problem]:
    """u_t + c (1 + sin x / 2) u_x = 0, by characteristics backward in time."""
    for c in (1.0, 2.0, 5.0, 10.0):

        def speed(x: Tensor, c: float = c) -> Tensor:
            return c * (1 + torch.sin(x) / 2)

        def exact(x: Tensor, t: float, speed: Callable[[Tensor], Tensor] = speed) -> Tensor:
            num_steps = 500
            h = -t / num_steps
            for _ in range(num_steps):
                k1 = speed(x)
                k2 = speed(x + h / 2 * k1)
                k3 = speed(x + h / 2 * k2)
                x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + speed(x + h * k3))
            return torch.sin(x)

        equation = Transport(CIRCLE, velocity=lambda u, x, t, speed=speed: speed(x))
        yield Problem("varying", c, 0.0, equation, exact, c)


PROBLEMS = {"convection": convection, "burgers": burgers, "varying": varying}


def classical(p: Problem, error: float) -> tuple[int, float]:
    """Nodes and seconds of ETDRK4 with an error that is not larger."""
    nodes = 8
    while True:
        grid = CIRCLE.with_shape((nodes,))
        start = time.process_time()
        try:
            u = solved(p.equation, p.u0, nodes, TIMES, 1 / 20)[:, 0]
        except ValueError:  # too coarse: the solver stopped
            u = torch.full((len(TIMES), nodes), math.nan, dtype=torch.float64)
        seconds = time.process_time() - start
        frames = dict(zip(TIMES, u, strict=True))
        if p.error(lambda x, t: frames[t], grid.axis(0)) <= max(error, ROUND_OFF):  # noqa: B023
            return nodes, seconds
        if nodes == 4096:
            return nodes, math.nan
        nodes *= 2
