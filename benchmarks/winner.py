"""python -m benchmarks.winner: noise on the initial weights of a network of sines.

u_t + u_x = 0 on the circle with u0 = exp(-((x - π)/0.5)²) sin kx, one step of the midpoint rule
with kΔt = 0.02, whose own error is below 1e-6, by `NeuralFieldStepper` with 3 x 20 sines.
Levenberg-Marquardt at 1000 uniform points (more than the 921 weights), 30 iterations from random
weights. `ω` is `frequency`, `s` is `winner`. Median and largest of five seeds: the error between
the points, relative in L² at 3001 points. Seconds are processor time of one fit with one thread.
"""

import math
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor

from pdeops.compare.tables import write_csv
from pdeops.models import NeuralFieldStepper
from pdeops.solvers import AdvectionDiffusion
from pdeops.tasks.field_stepping import fit_steps

from .bench import RESULTS, machine
from .lagrangian_problems import CIRCLE

WAVES = (20, 60)
SEEDS = range(5)
ITERATIONS, POINTS = 30, 1000
X = torch.linspace(0, 2 * math.pi, 3001, dtype=torch.float64)[None]


def packet(k: int) -> Callable[[Tensor], Tensor]:
    """A Gaussian times sin kx."""
    return lambda x: torch.exp(-(((x - math.pi) / 0.5) ** 2)) * torch.sin(k * x)


def fitted(k: int, frequency: float, scale: float, seed: int) -> float:
    """The error after one step."""
    torch.manual_seed(seed)
    u0, dt = packet(k), 0.02 / k
    field = NeuralFieldStepper(
        AdvectionDiffusion(CIRCLE, [1.0]), u0, dt, num_steps=1, frequency=frequency, winner=scale
    )
    fit_steps(field, points=POINTS, first_iterations=ITERATIONS)
    exact = u0(X - dt)
    return ((field(X, torch.full_like(X[0], dt)) - exact).norm() / exact.norm()).item()


def row(k: int, frequency: float, scale: float) -> dict[str, Any]:
    """The row of one initialisation."""
    start = time.process_time()
    errors = [fitted(k, frequency, scale, seed) for seed in SEEDS]
    seconds = (time.process_time() - start) / len(SEEDS)
    return {
        "k": k,
        "frequency": frequency,
        "winner": scale,
        "median_error": f"{median(errors):.1e}",
        "largest_error": f"{max(errors):.1e}",
        "seconds": f"{seconds:.2f}",
        **machine(),
    }


def main() -> None:
    """Measure every initialisation and write winner.csv."""
    torch.set_num_threads(1)
    rows = []
    for k in WAVES:
        for frequency, scale in ((5.0, 0.0), (5.0, 0.1), (5.0, 0.3), (5.0, 1.0), (k / 2, 0.0)):
            rows.append(row(k, frequency, scale))
            print(*list(rows[-1].values())[:6], sep=" | ", flush=True)
            write_csv(RESULTS / "winner.csv", rows)


if __name__ == "__main__":
    main()
