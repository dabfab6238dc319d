"""python -m benchmarks.insr [PART ...]: neural fields with a time scheme, by two optimisers.

The Gaussian of the paper (INSR-PDE, Chen et al., ICML 2023): centre -1.5, width 0.1 on [-2, 2],
speed 0.25, Δt = 0.05, 240 steps. Errors are relative in L² at 2000 points, against the exact shift
and against the exact solution in space of the same time scheme (`fit_error`: the network alone).
Seconds are processor time with one thread.

gauss_newton: `NeuralFieldStepper` on a periodic box of the same length, where the Gaussian stays
away from the ends: midpoint and Lobatto, 240 steps; tanh instead of sine, 40 steps.
adam: the published recipe, from its description: SIREN of x (901 weights, float32), 5000 new random
points in each iteration, a penalty on u at the ends, Adam with lr 1e-4, times 0.1 on plateaus
(patience 500) until lr <= 1.1e-8, at most 20,000 iterations per step, the next step from the same
weights. `--steps` of the 240 are measured, after the fit of the initial field.
classical: ETDRK4 on the smallest grid of powers of two with an error of at most 1e-3, 2 % and 5 %,
by its Fourier series at the 2000 points.
taylor_green: 100 steps of inviscid flow, Δt = 0.05, by stream function and vorticity.
"""

import argparse
import copy
import math
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from pdeops.calculus.fourier import resample
from pdeops.compare.tables import write_csv
from pdeops.domain import Grid
from pdeops.models import NeuralFieldStepper
from pdeops.solvers import AdvectionDiffusion, NavierStokes, evolve
from pdeops.solvers.evolution.implicit_scheme import SCHEMES
from pdeops.solvers.evolution.initial import Gaussian, TaylorGreen
from pdeops.tasks.field_stepping import fit_steps
from pdeops.tasks.residual_fit import ResidualFit

from .bench import RESULTS, machine

LINE = Grid((2000,), 4.0, "periodic")  # x + 2
SPEED, DT, STEPS = 0.25, 0.05, 240
U0 = Gaussian(LINE, 0.1, centre=[0.5])
REPORTED = (1, 2, 3, 5, 10, 20, 40, 80, 160, 240)

Row = dict[str, Any]


def exact(n: int) -> Tensor:
    """The shift after n steps."""
    return U0(LINE.nodes()[None] - SPEED * DT * n)[0, 0]


def stepped(scheme: str, n: int) -> Tensor:
    """The time scheme after n steps, exact in space: each wave has its factor R(-ickΔt)."""
    found = SCHEMES[scheme]
    u_hat = torch.fft.rfft(exact(0))
    z = -2j * math.pi * torch.arange(len(u_hat)).double() / 4.0 * SPEED * DT
    b = torch.tensor(found.points, dtype=torch.complex128)
    a = torch.tensor(found.weights, dtype=torch.complex128)
    # U - u_n = z a b (u_n, U): linear in the stages U.
    product = z[:, None, None] * (a @ b)
    left = torch.eye(found.num_stages, dtype=torch.complex128) - product[:, :, 1:]
    stages = torch.linalg.solve(left, 1 + product[:, :, 0])
    return torch.fft.irfft(u_hat * stages[:, -1] ** n, n=len(LINE.axis(0)))


def measured(method: str, scheme: str, n: int, u: Tensor, seconds: float, **more: Any) -> Row:
    """A row, which is printed."""
    truth = exact(n)
    row = {
        "method": method,
        "scheme": scheme,
        "steps": n,
        "error": f"{(u - truth).norm() / truth.norm():.2e}",
        "fit_error": f"{(u - stepped(scheme, n)).norm() / truth.norm():.2e}",
        "seconds": f"{seconds:.2f}",
        **more,
    }
    print(*row.values(), sep=" | ", flush=True)
    return row | machine()


def stepper(scheme: str, activation: str, num_steps: int, atol: float) -> list[Row]:
    """Rows of `NeuralFieldStepper` after some of the steps."""
    torch.manual_seed(0)
    start = time.process_time()
    field = NeuralFieldStepper(
        AdvectionDiffusion(LINE, [SPEED]), U0, STEPS * DT, num_steps=STEPS, scheme=scheme,
        activation=activation, num_waves=8 if activation == "tanh" else 1,
    )  # fmt: skip
    rows, iterations, reporting = [], 0, 0.0

    def after(n: int, fit: ResidualFit) -> None:
        nonlocal iterations, reporting
        iterations += fit.iterations
        now = time.process_time()
        if n in REPORTED:
            u = field.outputs(LINE.nodes(), n).value[-1]
            seconds = now - start - reporting
            rows.append(
                measured(
                    f"Gauss-Newton, {activation}", scheme, n, u, seconds, iterations=iterations
                )
            )
        reporting += time.process_time() - now

    fit_steps(field, points=400, atol=atol, num_steps=num_steps, after_step=after)
    return rows


def gauss_newton(arguments: argparse.Namespace) -> list[Row]:
    """Sine and tanh, midpoint and Lobatto."""
    return [
        *stepper("midpoint", "sine", STEPS, 5e-6),
        *stepper("lobatto", "sine", STEPS, 1e-5),
        *stepper("midpoint", "tanh", 40, 5e-6),
    ]


class Siren(nn.Module):
    """sin(30 (W x + b)) twice hidden, as published: 1-20-20-20-1."""

    def __init__(self) -> None:
        super().__init__()
        sizes = [1, 20, 20, 20, 1]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        for i, layer in enumerate(self.layers):
            n = sizes[i]
            bound = math.sqrt(6 / n) / 30 if i else 1 / n
            nn.init.uniform_(layer.weight, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        *hidden, output = self.layers
        for layer in hidden:
            x = torch.sin(30 * layer(x))
        return output(x)


def value_and_slope(network: nn.Module, x: Tensor, *, trained: bool) -> tuple[Tensor, Tensor]:
    """u and u_x at the points."""
    x = x.requires_grad_()
    u = network(x)
    (slope,) = torch.autograd.grad(u.sum(), x, create_graph=trained)
    return (u, slope) if trained else (u.detach(), slope.detach())


def minimise(network: nn.Module, loss: Callable[[Tensor], Tensor]) -> int:
    """The published optimisation of one step; the number of iterations."""
    adam = torch.optim.Adam(network.parameters(), lr=1e-4)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(adam, factor=0.1, patience=500)
    ends = torch.tensor([[-2.0], [2.0]])
    for k in range(20_000):
        adam.zero_grad()
        total = loss(4 * torch.rand(5000, 1) - 2) + network(ends).square().mean()
        total.backward()
        adam.step()
        plateau.step(total.item())
        if adam.param_groups[0]["lr"] <= 1.1e-8:
            return k + 1
    return 20_000


def adam(arguments: argparse.Namespace) -> list[Row]:
    """The published recipe: the initial field, then some steps."""
    torch.manual_seed(0)
    network = Siren()
    rows, iterations, start, reporting = [], 0, time.process_time(), 0.0

    def initial(x: Tensor) -> Tensor:
        return (network(x) - U0(x.T[None] + 2)[0].T).square().mean()

    def report(n: int) -> None:
        nonlocal reporting
        now = time.process_time()
        with torch.no_grad():
            u = network(LINE.axis(0)[:, None].float() - 2)[:, 0].double()
        seconds = now - start - reporting
        rows.append(measured("Adam", "midpoint", n, u, seconds, iterations=iterations))
        reporting += time.process_time() - now

    iterations += minimise(network, initial)
    report(0)
    for n in range(1, arguments.steps + 1):
        previous = copy.deepcopy(network)

        def step(x: Tensor, previous: nn.Module = previous) -> Tensor:
            u, slope = value_and_slope(network, x, trained=True)
            old, old_slope = value_and_slope(previous, x, trained=False)
            return ((u - old) / DT + SPEED * (slope + old_slope) / 2).square().mean()

        iterations += minimise(network, step)
        report(n)
    return rows


def classical(arguments: argparse.Namespace) -> list[Row]:
    """ETDRK4, which is exact in time for this equation, to three errors."""
    rows = []
    for wanted in (5e-2, 2e-2, 1e-3):
        nodes = 8
        while True:
            grid = LINE.with_shape((nodes,))
            seconds = []
            for _ in range(5):
                start = time.process_time()
                equation = AdvectionDiffusion(grid, [SPEED])
                u = evolve(equation, U0(grid.nodes()[None]), [STEPS * DT], dt=STEPS * DT).u[0, 0, 0]
                seconds.append(time.process_time() - start)
            truth = exact(STEPS)
            error = ((resample(u, grid, LINE.shape) - truth).norm() / truth.norm()).item()
            if error <= wanted:
                break
            nodes *= 2
        row = {
            "method": "ETDRK4", "wanted": f"{wanted:g}", "nodes": nodes, "error": f"{error:.2e}",
            "seconds": f"{sorted(seconds)[2]:.5f}",
        }  # fmt: skip
        print(*row.values(), sep=" | ", flush=True)
        rows.append(row | machine())
    return rows


def taylor_green(arguments: argparse.Namespace) -> list[Row]:
    """Steady vortices: the drift of velocity and vorticity."""
    torch.manual_seed(0)
    square = Grid((64, 64), 2 * math.pi, "periodic")
    u0 = TaylorGreen(square)
    start, rows = time.process_time(), []
    field = NeuralFieldStepper(
        NavierStokes(square, 0.0), u0, 5.0, num_steps=100, hidden_channels=16, num_layers=2,
        frequency=1.0,
    )  # fmt: skip
    x = square.nodes().flatten(1) + 0.03
    velocity = torch.stack([x[0].sin() * x[1].cos(), -x[0].cos() * x[1].sin()])

    def after(n: int, fit: ResidualFit) -> None:
        if n not in (1, 10, 50, 100):
            return
        seconds, outputs = time.process_time() - start, field.outputs(x, n)
        drift = (field.form.velocity(outputs) - velocity).norm() / velocity.norm()  # type: ignore
        vorticity = (field.form.state(outputs) - u0(x[None])[0]).norm() / u0(x[None]).norm()
        row = {
            "method": "Gauss-Newton, sine", "steps": n, "velocity": f"{drift:.2e}",
            "vorticity": f"{vorticity:.2e}", "seconds": f"{seconds:.2f}",
        }  # fmt: skip
        print(*row.values(), sep=" | ", flush=True)
        rows.append(row | machine())

    fit_steps(field, points=20, atol=1e-5, after_step=after)
    return rows


PARTS: dict[str, Callable[[argparse.Namespace], list[Row]]] = {
    "gauss_newton": gauss_newton,
    "adam": adam,
    "classical": classical,
    "taylor_green": taylor_green,
}


def main() -> None:
    """Run the chosen parts and write insr_<part>.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--steps", type=int, default=2, help="steps of Adam (default 2)")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(PARTS)}")
    torch.set_num_threads(1)
    for name in arguments.parts or PARTS:
        write_csv(RESULTS / f"insr_{name}.csv", PARTS[name](arguments))


if __name__ == "__main__":
    main()
