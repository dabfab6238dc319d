"""python -m benchmarks.implicit_steps: iterations that a learned step saves in implicit time steps.

Implicit Euler for u_t = div(a grad u) + f on 33² nodes, u = 0 on the boundary, a a lognormal field
and f a random source, the same for all trajectories; initial fields are random. An FNO learns one
step, u_n -> u_{n+1}, from other trajectories. Each step is solved by conjugate gradients with
multigrid to guaranteed errors, from the FNO's prediction and from the first iterates of classical
codes (`pdeops.certify.implicit_steps`). Rows: mean iterations of a solve per length of the step,
tolerance and first iterate, and processor seconds of training and of one prediction, to be compared
with those of one iteration.

Writes results/implicit_steps.csv.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pdeops import load_run
from pdeops.certify import ImplicitSteps, implicit_steps
from pdeops.compare.tables import markdown_table, write_csv
from pdeops.datasets import Darcy, Poisson, convert
from pdeops.domain import Grid
from pdeops.solvers import Diffusion, Multigrid

from .bench import RESULTS, machine
from .trainings import overrides, pdeops, processor_seconds

NODES, STEPS, TOL = 33, 10, 1e-8
DTS = (1e-3, 1e-2)
SETTINGS: dict[str, object] = {
    "data.validation": 4,
    "model.n_modes": [12, 12],
    "model.hidden_channels": 16,
    "rollout.noise": 0.0,
}


def coefficient(grid: Grid) -> Tensor:
    """The same a for all trajectories."""
    problem = Darcy("lognormal")
    return problem.diffusion(problem.sample_input(grid, 0, 0), grid)[0]


def trajectories(
    grid: Grid, dt: float, number: int, seed: int, tol: float, **options: Any
) -> list[ImplicitSteps]:
    """Implicit steps from random initial fields of one seed."""
    a = coefficient(grid)
    fields = Poisson("gaussian")
    source = fields.sample_input(grid, 0, 1)[0]
    initial = (implicit_steps(  # one step makes a random field zero at the boundary
        1.0, fields.sample_input(grid, seed, i)[0], grid, dt=1e-3, steps=1, tol=1e-8, compared=(),
    ).states[-1] for i in range(number))  # fmt: skip
    return [
        implicit_steps(a, u, grid, dt=dt, steps=STEPS, tol=tol, source=100 * source, **options)
        for u in initial
    ]


def row(dt: float, size: int, epochs: int, number: int, folder: Path) -> list[dict[str, Any]]:
    """Train the FNO for one length of the step, and count iterations on new trajectories."""
    grid = Darcy("lognormal").grid((NODES, NODES))
    files = {"train": (size, 2), "test": (number, 3)}
    for role, (count, seed) in files.items():
        states = [t.states for t in trajectories(grid, dt, count, seed, 1e-7, compared=())]
        times = [dt * n for n in range(STEPS + 1)]
        convert(
            {"u": torch.stack(states).float().numpy()}, folder / f"{role}.h5", states=["u"],
            axes="sample,time,x,y", times=times, grid=grid,
        )  # fmt: skip
    settings = {f"data.{role}": folder / f"{role}.h5" for role in files} | SETTINGS
    before = processor_seconds()
    pdeops(
        "train", "fno_navier_stokes_rollout", *overrides(settings), "--epochs", str(epochs),
        "--out", folder / "run", threads=1,
    )  # fmt: skip
    training = processor_seconds() - before
    run = load_run(folder / "run")

    def guess(_: float, u: Tensor) -> Tensor:
        return run(u.float()[None, None, None], 1)[0, 0, 0]

    found = trajectories(grid, dt, number, 3, TOL, guess=guess)
    u = found[0].states[0]
    A = Diffusion(coefficient(grid), grid, reaction=1 / dt)
    M, b = Multigrid(A), u[1:-1, 1:-1].contiguous()
    costs = {
        "seconds_training": training,
        "ms_prediction": 1e3 * _seconds(lambda: guess(0.0, u)),
        "ms_iteration": 1e3 * _seconds(lambda: (M @ b, A @ b)),
    }
    tables = [dict(t.iterations()) for t in found]
    return [
        {
            "dt": dt,
            "tolerance": f"{tol:g}",
            **{name: round(sum(t[tol][name] for t in tables) / number, 2) for name in first},
            **{name: round(value, 2) for name, value in costs.items()},
        }
        for tol, first in tables[0].items()
    ]


def _seconds(work: Any, repeats: int = 20) -> float:
    """The least processor time of a call."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.implicit_steps")
    parser.add_argument("--samples", type=int, default=60, help="trajectories for training")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--test", type=int, default=8, help="trajectories that are counted")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the CSV file")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for dt in DTS:
        with tempfile.TemporaryDirectory() as folder:
            rows += row(dt, given.samples, given.epochs, given.test, Path(folder))
    print(markdown_table(list(rows[0]), [[str(v) for v in line.values()] for line in rows]))
    write_csv(given.out / "implicit_steps.csv", [{**line, **machine()} for line in rows])


if __name__ == "__main__":
    main()
