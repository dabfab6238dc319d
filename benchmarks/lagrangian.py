"""python -m benchmarks.lagrangian convection burgers varying: PINN and LPINN by random features.

Every method has as many features and points and the same least-squares solver: 250 random tanh
features of (cos x, sin x, t) per network, 64 x 48 points, float64; the spread of the features is
chosen for each formulation. The rows are PINN, with causal weights, in time windows (one per radian
that the mean speed crosses, ten at most), and in the frame that moves with the mean speed; LPINN
without and with the drift subtracted, and the published LPINN with diffusion in labels. The
classical solver is ETDRK4 on the smallest grid of
powers of two, with Courant number 1/2, whose error is not larger. Errors are relative to |u - c| in
L² over 101 points and 20 times in (0, 1]. Seconds are processor time with one thread.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pdeops.compare.tables import write_csv
from pdeops.domain import Grid
from pdeops.models import LPINN, PINN
from pdeops.solvers import AdvectionDiffusion, Burgers, Transport, cole_hopf
from pdeops.tasks.classical_solution import solved
from pdeops.tasks.random_features import fit_random_features

from .bench import RESULTS, machine

CIRCLE = Grid((64,), 2 * math.pi, "periodic")
TIMES = [k / 20 for k in range(1, 21)]
FEATURES = 250
SPREAD = {"deviation": 0.7, "time_deviation": 0.7}
# Chosen by hand for each problem.
PINN_SPREAD = {
    "convection": {"deviation": 0.7, "time_deviation": 2.0},
    "burgers": {"deviation": 3.0, "time_deviation": 2.0},
    "varying": {"deviation": 0.7, "time_deviation": 2.0},
}
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

    def error(self, u: Solution, points: Tensor | None = None) -> float:
        """The relative error over all times."""
        x = torch.linspace(0, 2 * math.pi, 101, dtype=torch.float64) if points is None else points
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


def pinn(p: Problem, *, moving: bool = False, windows: int = 1, causality: float = 0.0) -> Solution:
    """A PINN, possibly in the moving frame."""
    equation = p.in_moving_frame() if moving else p.equation
    field = PINN(equation, p.u0, 1.0, hidden_channels=FEATURES, num_layers=1, windows=windows)
    fit_random_features(field, causality=causality, **PINN_SPREAD[p.name])
    shift = p.speed if moving else 0.0
    return lambda x, t: field((x - shift * t)[None], torch.full_like(x, t))[0]


def lpinn(p: Problem, **arguments: Any) -> Solution:
    """An LPINN."""
    one = {"position_layers": 1, "value_layers": 1}
    field = LPINN(p.equation, p.u0, 1.0, hidden_channels=FEATURES, **one, **arguments)
    fit_random_features(field, **SPREAD)
    return lambda x, t: field.at(x[None], t).u[0]


METHODS: dict[str, Callable[[Problem], Solution]] = {
    "PINN": pinn,
    "PINN, causal weights": lambda p: pinn(p, causality=1.0),
    "PINN, time windows": lambda p: pinn(p, windows=max(1, min(10, round(p.speed)))),
    "PINN, moving frame": lambda p: pinn(p, moving=True),
    "LPINN, drift not subtracted": lambda p: lpinn(p, subtract_drift=False),
    "LPINN": lpinn,
    "LPINN, diffusion in labels": lambda p: lpinn(p, metric="label"),
}


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


def main() -> None:
    """Run the chosen problems and write lagrangian_<problem>.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problems", nargs="+", choices=PROBLEMS)
    torch.set_num_threads(1)
    for name in parser.parse_args().problems:
        rows = []
        for p in PROBLEMS[name]():
            for method, solve in METHODS.items():
                if "labels" in method and p.viscosity == 0:
                    continue
                start = time.process_time()
                solution = solve(p)
                seconds = time.process_time() - start
                try:
                    error = p.error(solution)
                except ValueError as failure:  # the map has folded in the wrong place
                    print(f"{method}, c = {p.c}: {failure}")
                    error = math.nan
                nodes, reference = classical(p, error) if error < 1 else (0, math.nan)
                rows.append(
                    {
                        "problem": name,
                        "c": f"{p.c:g}",
                        "viscosity": f"{p.viscosity:g}",
                        "method": method,
                        "error": f"{error:.2e}",
                        "seconds": f"{seconds:.2f}",
                        "etdrk4_nodes": nodes,
                        "etdrk4_seconds": f"{reference:.4f}",
                        **machine(),
                    }
                )
                print(*list(rows[-1].values())[:8], sep=" | ", flush=True)
            write_csv(RESULTS / f"lagrangian_{name}.csv", rows)


if __name__ == "__main__":
    main()
