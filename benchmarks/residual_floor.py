"""python -m benchmarks.residual_floor: the residual of a true trajectory, by the spacing of frames.

Decaying turbulence (the initial field of the data set navier_stokes mcwilliams, box of side 2π,
ν = 1e-3), one sample, solved on 256² nodes in float64 with steps of 1/400; frames from t = 4 to
4.32, truncated to n² nodes by Fourier series. η in H⁻¹ (α = 1, the smallest |ξ|²) of the true
frames is the floor of an estimator; for comparison, η of the same frames in a random order.

Writes results/residual_floor.csv.
"""

import argparse
from pathlib import Path

import torch

from pdeops.calculus.fourier import resample
from pdeops.compare.tables import write_csv
from pdeops.datasets import problem_named
from pdeops.estimators import Differences, EvolutionDefect, EvolutionResidual
from pdeops.solvers import NavierStokes, evolve

from .bench import RESULTS, machine

NODES, START, LENGTH, STEP, VISCOSITY = 256, 4.0, 0.32, 1 / 400, 1e-3
STRIDES = (16, 8, 4, 2, 1)  # of frames STEP apart
SIZES = (64, 128)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.residual_floor")
    parser.add_argument("--nodes", type=int, default=NODES, help="nodes per axis of the solver")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the CSV file")
    arguments = parser.parse_args()
    problem = problem_named("navier_stokes", "mcwilliams")
    grid = problem.grid((arguments.nodes,) * 2)  # type: ignore[call-arg]
    u0 = problem.sample_input(grid, 0, 0)[None]
    times = [START + STEP * i for i in range(round(LENGTH / STEP) + 1)]
    solution = evolve(NavierStokes(grid, VISCOSITY), u0, times, dt=0.01, courant=0.5)
    assert solution.completed, solution.reason

    rows = []
    for n in (n for n in SIZES if n <= arguments.nodes):
        coarse = grid.with_shape((n, n))
        equation = NavierStokes(coarse, VISCOSITY)
        frames = resample(solution.u, grid, (n, n))
        for stride in STRIDES:
            u, t = frames[:, ::stride], times[::stride]
            order = torch.randperm(len(t), generator=torch.Generator().manual_seed(0))
            row: dict[str, object] = {"nodes": f"{n} x {n}", "spacing": STEP * stride}
            row["frames"] = len(t)
            for accuracy in (4, 6):
                row[f"order {accuracy}"] = None
                if len(t) > accuracy:
                    differences = Differences(accuracy)
                    estimator = EvolutionResidual(equation, t, alpha=1.0, derivative=differences)
                    row[f"order {accuracy}"] = f"{estimator(u).item():.2e}"
            row["one step"] = f"{EvolutionDefect(equation, t, alpha=1.0)(u).item():.2e}"
            estimator = EvolutionResidual(equation, t, alpha=1.0)
            row["order 4, shuffled"] = f"{estimator(u[:, order]).item():.2e}"
            rows.append({**row, **machine()})
            print(", ".join(f"{k} {v}" for k, v in row.items()), flush=True)
    write_csv(arguments.out / "residual_floor.csv", rows)


if __name__ == "__main__":
    main()
