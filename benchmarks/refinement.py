"""python -m benchmarks.refinement: refinement of an ST-FNO on decaying turbulence, and of a
Taylor-Green family, compared with plain time stepping.

A SpatiotemporalFNO is trained on 64² for a few epochs, 4 frames to 10, frames 0.01 apart. Its
predictions on unseen flows on 64², 128² and 256² are refined by the residual in H⁻¹ with
Gauss-Newton, L-BFGS and Adam (the best of three learning rates). For each grid and horizon the
table states residual, true error against a solver on a grid two to four times as fine, and seconds,
of the model, of the refined model, of persistence refined, and of the runs of ETDRK4 of the same
seconds and of the same error. Rows in which refinement does not help stay. The flows of --seed were
not used to choose settings, unless it is 1; the training has seed 0.

Writes results/refinement.csv, where rows of cases that are not measured again are kept, and the
files and the run to --folder, where they are found again.
"""

import argparse
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import pdeops
from pdeops.compare.refinement import SCALES, RefinementStudy, study_refinement
from pdeops.compare.tables import cell, markdown_table, percent, read_csv, seconds_text, write_csv
from pdeops.datasets import generate, open_dataset, problem_named
from pdeops.domain import Grid
from pdeops.solvers import NavierStokes
from pdeops.tasks.refinement import BLOCK, predictor, times_of, windows_of
from pdeops.training.descent import LBFGS, Adam
from pdeops.training.refine import GaussNewton
from pdeops.training.search import Method

from .bench import RESULTS, machine

DT, N_IN, N_OUT = 0.01, 4, 10
FLOW = {"viscosity": 5e-3, "num_waves": 12, "peak": 4.0, "dt": DT}
MODEL = {
    "name": "SpatiotemporalFNO",
    "n_modes": [32, 32],
    "hidden_channels": 16,
    "n_layers": 3,
    "time_modes": 6,
    "latent_shape": [48, 48],
}
METHODS: dict[str, Sequence[Method]] = {
    "Gauss-Newton": [GaussNewton()],
    "Gauss-Newton, 1 step": [GaussNewton(steps=1)],
    "Gauss-Newton, all frames at once": [GaussNewton()],
    "L-BFGS, 30 steps": [LBFGS(steps=30)],
    "Adam, 100 steps": [Adam(steps=100, lr=lr) for lr in (1e-2, 3e-2, 1e-1)],
}


def flow_file(folder: Path, n: int, samples: int, frames: int, seed: int) -> Path:
    """Decaying turbulence on n² nodes, solved on a finer grid."""
    path = folder / f"flow{n}_seed{seed}_{samples}x{frames}.h5"
    if not path.exists():
        refinement = 2 if seed == 0 else max(2, 256 // n)  # coarser for training
        problem = problem_named(
            "navier_stokes",
            "mcwilliams",
            **FLOW,
            t_end=DT * frames,
            num_frames=frames,
            refinement=refinement,
        )
        grid: Any = problem.grid((n, n))
        generate(problem, grid, num_samples=samples, seed=seed, out=path)
    return path


def trained(folder: Path, epochs: int) -> Any:
    """The run, trained if it is not there."""
    run = folder / f"run{epochs}"
    if not run.exists():
        train = flow_file(folder, 64, samples=24, frames=24, seed=0)
        recipe = pdeops.load_recipe(
            {
                "task": "rollout",
                "name": "refinement",
                "seed": 0,
                "data": {
                    "train": str(train),
                    "validation": 2,
                    "window": {"n_in": N_IN, "n_out": N_OUT},
                },
                "model": MODEL,
                "optimizer": {"name": "AdamW", "lr": 5e-3},
                "training": {"epochs": epochs, "batch_size": 8, "eval_every": epochs},
            }
        )
        print(pdeops.train(recipe, out=run, device="cpu"), flush=True)
    return pdeops.load_run(run)


def turbulence(
    run: Any, file: Path, n: int, frames: int, samples: int, method: Method, block: int
) -> RefinementStudy:
    """Predictions of the model for the flows of the file, on n² nodes."""
    dataset = open_dataset(file)
    windows = windows_of(dataset, run, frames)
    batch = windows.read(range(samples))
    problem: Any = problem_named("navier_stokes", "mcwilliams", **FLOW)
    return study_refinement(
        predictor(run, DT),
        problem.equation_on,
        dataset.domain,  # type: ignore[arg-type]
        times_of(windows),
        batch.input,
        batch.target,
        method,
        block=block,
        scales=[*SCALES, 2.0] if n == 64 else SCALES,
    )


def taylor_green(n: int, frames: int, method: Method) -> RefinementStudy:
    """ω = 2k cos(kx) cos(ky) e^(-2νk²t) with a smooth error of 5 % that grows from zero, for k = 1,
    2, 3: no network is needed to see whether refinement finds the decay of a vortex."""
    grid = Grid((n, n), 2 * math.pi, "periodic")
    x, y = grid.nodes()
    k = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64).reshape(-1, 1, 1)
    vortex = (2 * k * torch.cos(k * x) * torch.cos(k * y))[:, None, None]
    times = [DT * i for i in range(frames + 1)]
    decay = torch.exp(-2e-2 * k.reshape(-1, 1) ** 2 * torch.tensor(times, dtype=torch.float64))
    truth = vortex * decay[:, :, None, None, None]
    generator = torch.Generator().manual_seed(0)
    error = torch.zeros_like(vortex)
    for _ in range(8):
        a, b = torch.randint(-6, 7, (2,), generator=generator).tolist()
        if (a, b) != (0, 0):
            error += torch.cos(a * x + b * y + torch.rand((), generator=generator) * 6.3)
    size = vortex.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1, 1)
    error *= 0.05 * size / error[:1].norm()

    def predict(given: Any, known: Sequence[float], wanted: Sequence[float]) -> Any:
        (i,) = [j for j in range(3) if torch.equal(truth[j : j + 1, :1], given)]
        growth = torch.linspace(1 / frames, 1, frames, dtype=torch.float64)
        return truth[i : i + 1, 1:] + growth.reshape(1, -1, 1, 1, 1) * error[i : i + 1]

    return study_refinement(
        predict,
        lambda g: NavierStokes(g, 1e-2),
        grid,
        times,
        truth[:, :1],
        truth[:, 1:],
        method,
    )


def best_of(studies: Sequence[RefinementStudy]) -> RefinementStudy:
    """The study with the lowest residual after the refinement."""
    return min(studies, key=lambda s: s.median("model, refined", "eta"))


def row(
    case: str, n: int, frames: int, name: str, study: RefinementStudy, **source: int | None
) -> dict[str, object]:
    """The figures of a case and method; medians over the samples.

    Args:
        source: seed of the flows and epochs of the training; None: of neither.
    """
    figures: dict[str, object] = {
        "case": case,
        "grid": n,
        "frames": frames,
        "method": name,
        **source,
        "samples": len(study.floor),
        "eta_of_truth": sorted(study.floor)[len(study.floor) // 2],
    }
    for label, key in (("model", "model"), ("model, refined", "refined")):
        for figure in ("eta", "error", "last_error", "seconds"):
            figures[f"{figure}_{key}"] = study.median(label, figure)
    for label in ("error", "last_error", "seconds"):
        figures[f"{label}_persistence_refined"] = study.median("persistence, refined", label)
    for key, run in (("same_seconds", study.same_seconds), ("same_error", study.same_error)):
        figures[f"solver_{key}"] = run.label if run else None
        figures[f"solver_{key}_error"] = run.error if run else None
        figures[f"solver_{key}_seconds"] = run.seconds if run else None
    return figures


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    header = ["case", "method", "η", "η of truth", "error, all frames", "seconds"]
    header += ["persistence, refined", "ETDRK4, same seconds", "ETDRK4, same error"]
    lines = []
    for r in rows:
        line = [
            f"{r['case']} {r['grid']}², {r['frames']} frames",
            r["method"],
            f"{cell(r['eta_model'])} to {cell(r['eta_refined'])}",
            cell(r["eta_of_truth"]),
            f"{percent(r['error_model'])} to {percent(r['error_refined'])}",
            seconds_text(r["seconds_refined"]),
            f"{percent(r['error_persistence_refined'])}, "
            f"{seconds_text(r['seconds_persistence_refined'])}",
        ]
        for key in ("same_seconds", "same_error"):
            if r[f"solver_{key}"] is None:
                line.append("none")
            else:
                line.append(
                    f"{percent(r[f'solver_{key}_error'])}, "
                    f"{seconds_text(r[f'solver_{key}_seconds'])} "
                    f"({r[f'solver_{key}'].removeprefix('ETDRK4 on ')})"
                )
        lines.append(line)
    return markdown_table(header, lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.refinement")
    parser.add_argument("--epochs", type=int, default=8, help="of the training")
    parser.add_argument("--grids", type=int, nargs="*", default=[64, 128, 256])
    parser.add_argument("--frames", type=int, nargs="*", default=[10, 40])
    parser.add_argument(
        "--samples", type=int, default=3, choices=range(1, 4), help="flows per case"
    )
    parser.add_argument(
        "--seed", type=int, default=2, help="of the flows; the settings were chosen on seed 1"
    )
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--folder", type=Path, help="for data and run; by default a temporary one")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        run = trained(folder, arguments.epochs)
        source = {"seed": arguments.seed, "epochs": arguments.epochs}
        neither = dict.fromkeys(source)
        rows: list[dict[str, object]] = []
        for n in arguments.grids:
            for frames in arguments.frames:
                number = 1 if n > 128 else 3
                file = flow_file(folder, n, number, N_IN - 1 + 40, seed=arguments.seed)
                for name in arguments.methods:
                    fast = name.startswith("Gauss-Newton")
                    at_once = name.endswith("at once")
                    if (not fast and (n > 128 or frames > 10)) or (at_once and frames <= BLOCK):
                        continue  # they take minutes, or are no other case
                    samples = arguments.samples if n == 64 or (n == 128 and fast) else 1
                    methods = METHODS[name]
                    block = frames if at_once else BLOCK
                    studies = [turbulence(run, file, n, frames, samples, m, block) for m in methods]
                    best = best_of(studies)
                    rows.append(row("McWilliams", n, frames, name, best, **source))
                    if frames == 10 and n < 256:
                        green = [taylor_green(n, frames, m) for m in methods]
                        rows.append(row("Taylor-Green", n, frames, name, best_of(green), **neither))
                    print(table(rows[-2:]), flush=True)
    print(table(rows))
    path = arguments.out / "refinement.csv"
    key = ("case", "grid", "frames", "method")
    new = {tuple(str(r[k]) for k in key) for r in rows}
    kept = [r for r in read_csv(path) if tuple(r[k] for k in key) not in new]
    write_csv(path, [*kept, *({**r, **machine()} for r in rows)])
    print(path)


if __name__ == "__main__":
    main()
