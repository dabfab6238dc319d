"""python -m benchmarks.superiority: does an emulator beat the coarse solver that it was trained on?

An emulator is trained on one-step pairs of a coarse, dissipative solver alone. Both are rolled out
from the same unseen initial fields and compared with a reference that neither has seen. The ratio
of their errors, emulator / solver, is below 1 where the emulator is nearer to the truth than its
training data ("emulator superiority", Koehler and Thuerey 2025, arXiv 2510.23111).

1D: u_t + u_x = 0 on [0, 1), implicit first-order upwind steps, against the exact solution.
2D: vorticity of Navier-Stokes, ν = 1e-3, explicit first-order upwind differences at 32 x 32,
    against ETDRK4 at 128 x 128.

The emulators are FNOs of the task `rollout`, and in 1D also the stencil u'_i = a u_i + b u_(i-1)
fitted by least squares, whose errors have a closed form for a single wave.
"""
# Axes: b batch, t time, x y nodes.

import argparse
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from pdeops.calculus import calculus_of
from pdeops.compare.machine import describe_machine
from pdeops.compare.tables import markdown_table, write_csv
from pdeops.compare.time_stepping import at_nodes
from pdeops.datasets import convert, problem_named
from pdeops.domain import Grid
from pdeops.metrics import METRICS
from pdeops.solvers.evolution.evolve import evolve
from pdeops.tasks import load_recipe, load_run, train

from .bench import RESULTS

Trajectories = Float[Tensor, "b t 1 *space"]
Row = dict[str, str]


# 1D advection


class Advection:
    """u_t + u_x = 0 at n nodes of the periodic unit interval with steps dt = courant / n.

    The implicit upwind step u'_i + courant (u'_i - u'_(i-1)) = u_i multiplies wave k by
    1 / (1 + courant (1 - e^(-2πik/n))); the exact solution multiplies it by e^(-2πik dt).
    """

    def __init__(self, n: int = 64, courant: float = 0.5) -> None:
        self.n, self.dt = n, courant / n
        self.grid = Grid((n,), (1.0,), "periodic")
        theta = 2 * math.pi * torch.arange(n // 2 + 1, dtype=torch.float64) / n
        self.upwind = 1 / (1 + courant * (1 - torch.exp(-1j * theta)))
        self.exact = torch.exp(-1j * courant * theta)
        self.shift = torch.exp(-1j * theta)  # of u_(i-1)

    def initial(self, num_samples: int, waves: Sequence[int], seed: int) -> Tensor:
        """Random fields with the given waves, (b, 1, x)."""
        random = torch.Generator().manual_seed(seed)
        u_hat = torch.zeros(num_samples, 1, self.n // 2 + 1, dtype=torch.complex128)
        index = torch.tensor(list(waves))
        u_hat[..., index] = torch.randn(
            num_samples, 1, len(index), generator=random, dtype=torch.complex128
        )
        return torch.fft.irfft(u_hat, n=self.n) * self.n / 2

    def rollout(self, multiplier: Tensor, u: Tensor, num_steps: int) -> Trajectories:
        """The fields after 0, 1, .., num_steps steps with this multiplier per wave."""
        u_hat = torch.fft.rfft(u)
        frames = [torch.fft.irfft(multiplier**k * u_hat, n=self.n) for k in range(num_steps + 1)]
        return torch.stack(frames, 1)

    def stencil(self, u: Trajectories) -> Tensor:
        """The multiplier of u'_i = a u_i + b u_(i-1), fitted to the steps of trajectories."""
        before, after = u[:, :-1].flatten(), u[:, 1:].flatten()
        columns = torch.stack([before, u[:, :-1].roll(1, -1).flatten()], 1)
        a, b = torch.linalg.lstsq(columns, after[:, None]).solution.flatten()
        return a + b * self.shift


def advection_rows(options: argparse.Namespace, folder: Path) -> list[Row]:
    """Emulators of the upwind scheme, tested on the waves of the training and on shorter ones."""
    flow, steps = Advection(), options.steps
    trained, shorter = (1, 2), (4, 5, 6)
    start = flow.initial(options.samples, trained, seed=0)
    data = flow.rollout(flow.upwind, start, steps)
    fno = emulator(data, flow.grid, flow.dt, folder / "advection", n_modes=[16], options=options)
    stencil = flow.stencil(data)
    rows = []
    for waves in (trained, shorter):
        u0 = flow.initial(options.test, waves, seed=1)
        truth = flow.rollout(flow.exact, u0, steps)
        solver = flow.rollout(flow.upwind, u0, steps)
        predictions = {
            "stencil": flow.rollout(stencil, u0, steps),
            "FNO": rolled_out(fno, u0, steps),
        }
        case = {
            "equation": "advection 1D",
            "solver": f"implicit upwind, n {flow.n}",
            "training": f"waves {trained[0]} to {trained[-1]}",
            "test": f"waves {waves[0]} to {waves[-1]}",
        }
        rows += compared(case, truth, solver, predictions, flow.grid, flow.dt)
    return rows


# 2D flow


def upwind_step(
    w: Float[Tensor, "b 1 x y"], grid: Grid, dt: float, viscosity: float, forcing: Tensor
) -> Float[Tensor, "b 1 x y"]:
    """One explicit Euler step of ω_t + u·∇ω = νΔω + f on a periodic box: first-order upwind
    differences for u·∇ω, five points for Δ, and u from -Δψ = ω by FFT."""
    calculus = calculus_of(grid)
    psi = calculus.inverse_laplacian(w - w.mean((-2, -1), keepdim=True)).neg()
    (hx, hy), change = grid.spacing, forcing.expand_as(w).clone()
    ahead, behind = {}, {}
    for axis in (-2, -1):
        ahead[axis], behind[axis] = w.roll(-1, axis), w.roll(1, axis)
    u = (psi.roll(-1, -1) - psi.roll(1, -1)) / (2 * hy)
    v = -(psi.roll(-1, -2) - psi.roll(1, -2)) / (2 * hx)
    for axis, a, h in ((-2, u, hx), (-1, v, hy)):
        left, right = (w - behind[axis]) / h, (ahead[axis] - w) / h
        change -= a.clamp(min=0) * left + a.clamp(max=0) * right
        change += viscosity * (right - left) / h
    return w + dt * change


def flow_rows(options: argparse.Namespace, folder: Path) -> list[Row]:
    """The emulator of the upwind flow solver, on unseen initial fields."""
    n, frame, steps = options.nodes, 0.5, options.steps
    problem = problem_named("navier_stokes", "fno_1e-3", num_waves=min(12, n // 2 - 1))
    grid = problem.grid((n, n))
    fine = grid.refined(4)
    kind = problem.inputs
    forcing = kind.forcing(grid)

    def coarse(w: Tensor) -> Trajectories:
        frames, dt = [w], 0.25 * grid.spacing[0]
        count = math.ceil(frame / dt)
        for _ in range(steps):
            for _ in range(count):
                w = upwind_step(w, grid, frame / count, kind.viscosity, forcing)
            frames.append(w)
        return torch.stack(frames, 1)

    def drawn(on: Grid, num_samples: int, seed: int) -> Tensor:
        return torch.stack([problem.sample_input(on, seed, i) for i in range(num_samples)])

    data = coarse(drawn(grid, options.samples, seed=0))
    modes = [n // 2 - 4] * 2
    fno = emulator(data, grid, frame, folder / "flow", n_modes=modes, options=options)
    times = [frame * k for k in range(steps + 1)]
    reference = evolve(
        problem.equation_on(fine), drawn(fine, options.test, seed=1), times, dt=0.02, courant=0.5
    )
    if not reference.completed:
        raise RuntimeError(f"The reference did not reach its end: {reference.reason}")
    u0 = drawn(grid, options.test, seed=1)
    case = {
        "equation": "Navier-Stokes 2D",
        "solver": f"explicit upwind, n {n}",
        "training": problem.kind,
        "test": problem.kind,
    }
    predictions = {"FNO": rolled_out(fno, u0, steps)}
    truth = at_nodes(reference.u, fine, grid)
    return compared(case, truth, coarse(u0), predictions, grid, frame)


# Both


def emulator(
    data: Trajectories,
    grid: Grid,
    dt: float,
    folder: Path,
    *,
    n_modes: Sequence[int],
    options: argparse.Namespace,
) -> Callable[[Tensor, int], Tensor]:
    """An FNO for one step, trained on these trajectories."""
    folder.mkdir()
    times = [dt * k for k in range(data.shape[1])]
    axes = "sample,time," + ",".join("xyz"[: grid.ndim])
    file = folder / "data.h5"
    convert(
        {"u": data[:, :, 0].numpy()}, file, states=["u"], axes={"u": axes}, grid=grid, times=times
    )
    recipe = load_recipe(
        {
            "task": "rollout",
            "name": "emulator",
            "data": {"train": str(file), "validation": max(2, len(data) // 8)},
            "model": {"name": "FNO", "n_modes": list(n_modes), "hidden_channels": 16},
            "optimizer": {"name": "AdamW", "lr": 3e-3},
            "schedule": {"name": "OneCycle"},
            "training": {"epochs": options.epochs, "batch_size": 16},
        }
    )
    train(recipe, out=folder / "run", device="cpu")
    return load_run(folder / "run")


def rolled_out(run: Callable[[Tensor, int], Tensor], u0: Tensor, steps: int) -> Trajectories:
    """The initial frame and the predicted ones."""
    with torch.no_grad():
        return torch.cat([u0[:, None], run(u0[:, None].float(), steps).double()], 1)


def compared(
    case: Row,
    truth: Trajectories,
    solver: Trajectories,
    predictions: dict[str, Trajectories],
    grid: Grid,
    dt: float,
) -> list[Row]:
    """Mean relative L2 errors of the solver and of each emulator after 1, 2, 5, 10, .. steps, and
    their ratio."""
    steps = truth.shape[1] - 1
    shown = [k for k in (1, 2, 5, 10, 20, 50, 100) if k <= steps]
    theirs = relative(solver, truth, grid)
    rows = []
    for name, prediction in predictions.items():
        ours = relative(prediction, truth, grid)
        rows += [
            {
                **case,
                "emulator": name,
                "steps": str(k),
                "time": f"{dt * k:.4g}",
                "solver_error": f"{theirs[k]:.4e}",
                "emulator_error": f"{ours[k]:.4e}",
                "ratio": f"{ours[k] / theirs[k]:.3f}",
                "nearer": "emulator" if ours[k] < theirs[k] else "solver",
            }
            for k in shown
        ]
    return rows


def relative(u: Trajectories, truth: Trajectories, grid: Grid) -> Float[Tensor, " t"]:
    """Relative L2 error of each frame, mean over the samples."""
    errors = METRICS["relative_l2"](u.flatten(0, 1), truth.flatten(0, 1), grid)
    return errors.unflatten(0, u.shape[:2]).mean(0)


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.superiority")
    options.add_argument("--samples", type=int, default=40, help="training trajectories")
    options.add_argument("--test", type=int, default=8, help="test trajectories")
    options.add_argument("--steps", type=int, default=20, help="frames of a trajectory")
    options.add_argument("--nodes", type=int, default=32, help="nodes per axis of the 2D flow")
    options.add_argument("--epochs", type=int, default=10, help="epochs of each training")
    options.add_argument("--threads", type=int, default=1, help="threads of torch")
    options.add_argument("--out", type=Path, default=RESULTS / "superiority.csv")
    return options


def main() -> None:
    options = parser().parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        rows = advection_rows(options, Path(folder)) + flow_rows(options, Path(folder))
    settings = {k: str(v) for k, v in vars(options).items() if k != "out"}
    write_csv(options.out, [{**row, **settings, **describe_machine()} for row in rows])
    print(markdown_table(list(rows[0]), [list(row.values()) for row in rows]))


if __name__ == "__main__":
    main()
