"""python -m benchmarks.winner: noise on the initial weights of networks of sines.

u_t + u_x = 0 on the circle with u0 = exp(-((x - π)/0.5)²) sin 20x:

stepper  one step of the midpoint rule with Δt = 0.001, whose own error is below 1e-6, by
         `NeuralFieldStepper` with 3 x 20 sines; Levenberg-Marquardt at 1000 uniform points (more
         than the 921 weights), 30 iterations from random weights.
pinn     t <= 0.1 by a `PINN` with 3 x 20 sines, or tanh with random Fourier features; 30
         Levenberg-Marquardt steps at 200 x 6 random points each. Also with u0 = sin x.

Median and largest of the seeds, five and three: the error between the points, relative in L² at
3001 points, for the PINN the largest of four times. Seconds are processor time of one fit with one
thread. Rows that the files hold already are not measured again.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pdeops.models import PINN, NeuralFieldStepper
from pdeops.nn.space_time_field import SpaceTimeField
from pdeops.solvers import AdvectionDiffusion
from pdeops.tasks.field_stepping import fit_steps

from .bench import RESULTS, add_missing, over_seeds
from .lagrangian_problems import CIRCLE
from .trained_fields import train

K = 20
DT, T_END = 0.001, 0.1
# ω and scale of the noise.
STEPPERS = ((5.0, 0.0), (5.0, 0.1), (5.0, 0.3), (5.0, 1.0), (K / 2, 0.0))
# Random waves, the spread of their numbers of periods that of the spectrum of u0.
FEATURES = {"fourier_features": 10, "wave_deviation": float(K)}
PINNS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("packet", {}),
    ("packet", FEATURES),
    *(("packet", {"activation": "sine", "frequency": w, "winner": s}) for w, s in STEPPERS),
    ("sine", {"activation": "sine"}),
    ("sine", {"activation": "sine", "winner": 0.3}),
)
X = torch.linspace(0, 2 * math.pi, 3001, dtype=torch.float64)[None]


def packet(x: Tensor) -> Tensor:
    """A Gaussian times sin kx."""
    return torch.exp(-(((x - math.pi) / 0.5) ** 2)) * torch.sin(K * x)


INITIAL: dict[str, Callable[[Tensor], Tensor]] = {"packet": packet, "sine": torch.sin}


def error(field: SpaceTimeField, u0: Callable[[Tensor], Tensor], t: float) -> float:
    """Relative to the exact solution."""
    exact = u0(X - t)
    return ((field(X, torch.full_like(X[0], t)) - exact).norm() / exact.norm()).item()


def stepped(frequency: float, scale: float, seed: int) -> float:
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
    fit_steps(field, points=1000, first_iterations=30)
    return error(field, packet, DT)


def trained(u0: Callable[[Tensor], Tensor], options: dict[str, Any], seed: int) -> float:
    """The largest error of a PINN at four times."""
    torch.manual_seed(seed)
    equation = AdvectionDiffusion(CIRCLE, [1.0])
    field = PINN(equation, u0, T_END, hidden_channels=20, num_layers=3, **options)
    train(field, epochs=6, seed=seed, points=200, times=6)
    return max(error(field, u0, T_END * k / 4) for k in range(1, 5))


Case = tuple[dict[str, str], Callable[[], list[dict[str, str]]]]


def steppers() -> Iterator[Case]:
    """Each initialisation of a step, for `add_missing`."""
    for frequency, scale in STEPPERS:
        key = {"frequency": str(frequency), "winner": str(scale)}
        yield key, partial(over_seeds, partial(stepped, frequency, scale), range(5))


def pinns() -> Iterator[Case]:
    """Each PINN, for `add_missing`."""
    names = ("activation", "frequency", "winner", "fourier_features")
    for initial, options in PINNS:
        plain = {"activation": "tanh", "frequency": 5.0, "winner": 0.0, "fourier_features": 0}
        key = {"initial": initial} | {name: str((plain | options)[name]) for name in names}
        fit = partial(trained, INITIAL[initial], options)
        yield key, partial(over_seeds, fit, range(3))


def main() -> None:
    """Measure every row that winner.csv and winner_pinn.csv lack, and write it."""
    torch.set_num_threads(1)
    add_missing(RESULTS / "winner.csv", steppers())
    add_missing(RESULTS / "winner_pinn.csv", pinns())


if __name__ == "__main__":
    main()
