"""python -m benchmarks.winner: noise on the initial weights of a network of sines.

u_t + u_x = 0 on the circle with u0 = exp(-((x - π)/0.5)²) sin 20x, one step of the midpoint rule
with Δt = 0.001, whose own error is below 1e-6, by `NeuralFieldStepper` with 3 x 20 sines.
Levenberg-Marquardt at 1000 uniform points (more than the 921 weights), 30 iterations from random
weights. Median and largest of five seeds: the error between the points, relative in L² at 3001
points. Seconds are processor time of one fit with one thread. Rows that the file holds already are
not measured again.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from pdeops.models import NeuralFieldStepper
from pdeops.solvers import AdvectionDiffusion
from pdeops.tasks.field_stepping import fit_steps

from .bench import RESULTS, add_missing, over_seeds
from .lagrangian_problems import CIRCLE

K = 20
INITIAL = ((5.0, 0.0), (5.0, 0.1), (5.0, 0.3), (5.0, 1.0), (K / 2, 0.0))  # ω, scale of the noise
FILE = RESULTS / "winner.csv"
SEEDS = range(5)
DT = 0.001
ITERATIONS, POINTS = 30, 1000
X = torch.linspace(0, 2 * math.pi, 3001, dtype=torch.float64)[None]


def packet(x: Tensor) -> Tensor:
    """A Gaussian times sin kx."""
    return torch.exp(-(((x - math.pi) / 0.5) ** 2)) * torch.sin(K * x)


def fitted(frequency: float, scale: float, seed: int) -> float:
    """The error after one step."""
    torch.manual_seed(seed)
    field = NeuralFieldStepper(
        AdvectionDiffusion(CIRCLE, [1.0]),
        packet,
        DT,
        num_steps=1,
        frequency=frequency,
        winner=scale,
    )
    fit_steps(field, points=POINTS, first_iterations=ITERATIONS)
    exact = packet(X - DT)
    return ((field(X, torch.full_like(X[0], DT)) - exact).norm() / exact.norm()).item()


def cases() -> Iterator[tuple[dict[str, str], Callable[[], list[dict[str, str]]]]]:
    """Each initialisation, for `add_missing`."""
    for frequency, scale in INITIAL:
        key = {"frequency": str(frequency), "winner": str(scale)}
        yield key, lambda f=partial(fitted, frequency, scale): [over_seeds(f, SEEDS)]


def main() -> None:
    """Measure every initialisation that winner.csv lacks, and write it."""
    torch.set_num_threads(1)
    add_missing(FILE, cases())


if __name__ == "__main__":
    main()
