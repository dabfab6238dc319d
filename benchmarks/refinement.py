"""python -m benchmarks.refinement: refinement of predictions of decaying turbulence, and of a
Taylor-Green family, compared with plain time stepping.

A SpatiotemporalFNO (4 frames to 10) or an MgNO (one step) is trained on 64² for a few epochs, on
frames 0.01 apart. Its predictions for unseen flows on 64², 128² and 256² are refined by the
residual in H⁻¹ with Gauss-Newton, in blocks of frames, and with L-BFGS and Adam (the best of
several learning rates), all frames at once as in the published fine-tuning. For each grid and
horizon the table states residual, true error against a solver on a grid two to four times as fine,
and seconds, of the model, of the refined model, of persistence refined, and of the runs of ETDRK4
of the same seconds and of the same error. Rows in which refinement does not help stay. The flows of
--seed were not used to choose settings, unless it is 1; the training has seed 0.

Writes results/refinement.csv, where rows of cases that are not measured again are kept, and the
files and the run to --folder, where they are found again. --show prints the table of that file.
"""

import argparse
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch

import pdeops
from pdeops.compare.refinement import SCALES, RefinementStudy, study_refinement
from pdeops.compare.tables import cell, markdown_table, percent, read_csv, seconds_text, write_csv
from pdeops.datasets import generate, open_dataset, problem_named
from pdeops.domain import Grid
from pdeops.solvers import NavierStokes
from pdeops.tasks.refinement import predictor, times_of, windows_of
from pdeops.training.descent import LBFGS, Adam
from pdeops.training.refine import GaussNewton
from pdeops.training.search import Method

from .bench import RESULTS, machine

DT, N_IN, N_OUT = 0.01, 4, 10
FLOW = {"viscosity": 5e-3, "num_waves": 12, "peak": 4.0, "dt": DT}
# Tables of the recipes: model, window, and settings of the training.
MODELS: dict[str, dict[str, Any]] = {
    "SpatiotemporalFNO": {
        "model": {
            "n_modes": [32, 32],
            "hidden_channels": 16,
            "n_layers": 3,
            "time_modes": 6,
            "latent_shape": [48, 48],
        },
        "window": {"n_in": N_IN, "n_out": N_OUT},
        "optimizer": {"name": "AdamW", "lr": 5e-3},
    },
    "MgNO": {  # a one-step model, rolled out
        "model": {"hidden_channels": 16},
        "optimizer": {"name": "AdamW", "lr": 3e-3},
        "schedule": {"name": "OneCycle"},
        "rollout": {"noise": 0.002},
    },
}
RATES = (1e-2, 3e-2, 1e-1)  # of Adam


@dataclass(frozen=True)
class Variant:
    """Methods of which the one with the lowest residual counts.

    Attributes:
        at_once: whether all frames are refined at once, and not in blocks.
    """

    methods: Sequence[Method]
    at_once: bool = False


def variants(rates: Sequence[float]) -> dict[str, Variant]:
    """The methods by name."""
    return {
        "Gauss-Newton": Variant([GaussNewton()]),
        "Gauss-Newton, 1 step": Variant([GaussNewton(steps=1)]),
        "Gauss-Newton, all frames at once": Variant([GaussNewton()], at_once=True),
        "L-BFGS, 30 steps": Variant([LBFGS(steps=30)], at_once=True),
        "Adam, 100 steps": Variant([Adam(steps=100, lr=lr) for lr in rates], at_once=True),
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


def trained(folder: Path, model: str, epochs: int) -> Any:
    """The run of a model, trained if it is not there."""
    run = folder / f"{model}_{epochs}"
    if not run.exists():
        tables = dict(MODELS[model])
        data = {"train": str(flow_file(folder, 64, samples=24, frames=24, seed=0)), "validation": 2}
        if "window" in tables:
            data["window"] = tables.pop("window")
        recipe = pdeops.load_recipe(
            {
                "task": "rollout",
                "name": "refinement",
                "seed": 0,
                "data": data,
                "training": {"epochs": epochs, "batch_size": 8, "eval_every": epochs},
                **tables,
                "model": {"name": model, **tables["model"]},
            }
        )
        print(pdeops.train(recipe, out=run, device="cpu"), flush=True)
    return pdeops.load_run(run)


def turbulence(
    run: Any, file: Path, frames: int, samples: int, method: Method, block: int | None
) -> RefinementStudy:
    """Predictions of the model for flows of the file, refined."""
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
        scales=[*SCALES, 2.0] if dataset.domain.shape[0] == 64 else SCALES,
    )


def taylor_green(
    n: int, frames: int, samples: int, method: Method, block: int | None
) -> RefinementStudy:
    """ω = 2k cos(kx) cos(ky) e^(-2νk²t) with a smooth error of 5 % that grows from zero, for k = 1
    to `samples`: no network is needed to see whether refinement finds the decay of a vortex."""
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
        i = int((vortex * given[:, -1:]).flatten(1).sum(1).argmax())
        later = (torch.tensor(wanted, dtype=torch.float64) - known[-1]).reshape(1, -1, 1, 1, 1)
        decay = torch.exp(-2e-2 * k[i] ** 2 * later)
        return decay * given[:, -1:] + later / times[-1] * error[i : i + 1]

    return study_refinement(
        predict,
        lambda g: NavierStokes(g, 1e-2),
        grid,
        times,
        truth[:samples, :1],
        truth[:samples, 1:],
        method,
        block=block,
    )


def best_of(studies: Sequence[RefinementStudy]) -> RefinementStudy:
    """The study with the lowest residual after the refinement."""
    return min(studies, key=lambda s: s.median("model, refined", "eta"))


def row(
    case: str, model: str, frames: int, name: str, study: RefinementStudy, **source: int | None
) -> dict[str, object]:
    """The figures of a case and method; medians over the samples.

    Args:
        source: seed of the flows and epochs of the training; None: of neither.
    """
    figures: dict[str, object] = {
        "case": case,
        "model": model,
        "grid": "x".join(map(str, study.grid)),
        "frames": frames,
        "method": name,
        **source,
        "samples": len(study.floor),
        "eta_of_truth": sorted(study.floor)[len(study.floor) // 2],
    }
    for label, key in (("model", "model"), ("model, refined", "refined")):
        for figure in ("eta", "error", "last_error", "seconds"):
            figures[f"{figure}_{key}"] = study.median(label, figure)
    figures["cpu_seconds_refined"] = study.median("model, refined", "cpu_seconds")
    for label in ("error", "last_error", "seconds"):
        figures[f"{label}_persistence_refined"] = study.median("persistence, refined", label)
    for key, run in (("same_seconds", study.same_seconds), ("same_error", study.same_error)):
        figures[f"solver_{key}"] = run.label if run else None
        figures[f"solver_{key}_error"] = run.error if run else None
        figures[f"solver_{key}_seconds"] = run.seconds if run else None
    return figures


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows, measured or from the CSV file, as Markdown."""
    header = ["case", "model", "seed", "method", "η", "η of truth", "error, all frames", "seconds"]
    header += [
        "of a processor",
        "persistence, refined",
        "ETDRK4, same seconds",
        "ETDRK4, same error",
    ]
    lines = []
    for r in rows:
        figure = {k: float(v) for k, v in r.items() if v not in (None, "") and _is_number(v)}
        line = [
            f"{r['case']} {str(r['grid']).replace('x', '×')}, {r['frames']} frames",
            r["model"],
            r["seed"] or "-",
            r["method"],
            f"{cell(figure['eta_model'])} to {cell(figure['eta_refined'])}",
            cell(figure["eta_of_truth"]),
            f"{percent(figure['error_model'])} to {percent(figure['error_refined'])}",
            seconds_text(figure["seconds_refined"]),
            seconds_text(figure["cpu_seconds_refined"]),
            f"{percent(figure['error_persistence_refined'])}, "
            f"{seconds_text(figure['seconds_persistence_refined'])}",
        ]
        for key in ("same_seconds", "same_error"):
            if not r[f"solver_{key}"]:
                line.append("none")
            else:
                line.append(
                    f"{percent(figure[f'solver_{key}_error'])}, "
                    f"{seconds_text(figure[f'solver_{key}_seconds'])} "
                    f"({r[f'solver_{key}'].removeprefix('ETDRK4 on ')})"
                )
        lines.append(line)
    return markdown_table(header, lines)


def store(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Write rows, with the machine, in place of the rows of the same cases; returns the path."""
    key = ("case", "model", "grid", "frames", "method", "seed")

    def case(r: dict[str, Any]) -> list[str]:
        return [str(r[k] or "") for k in key]

    new = [case(r) for r in rows]
    merged: list[dict[str, Any]] = [r for r in read_csv(path) if case(r) not in new]
    merged += [{**r, **machine()} for r in rows]
    return write_csv(path, sorted(merged, key=case))


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def measure(arguments: argparse.Namespace, folder: Path) -> list[dict[str, object]]:
    """The rows of all cases that the arguments name."""
    rows: list[dict[str, object]] = []
    turbulent = "McWilliams" in arguments.cases
    run = trained(folder, arguments.model, arguments.epochs) if turbulent else None
    source = {"seed": arguments.seed, "epochs": arguments.epochs}
    chosen = variants(arguments.rates)
    for n, frames, name in product(arguments.grids, arguments.frames, arguments.methods):
        block = frames if chosen[name].at_once else None
        if run is not None:
            number = 1 if n > 128 else 3
            file = flow_file(folder, n, number, N_IN - 1 + 40, seed=arguments.seed)
            samples = min(arguments.samples, number)
            found = best_of(
                [turbulence(run, file, frames, samples, m, block) for m in chosen[name].methods]
            )
            rows.append(row("McWilliams", arguments.model, frames, name, found, **source))
        if "Taylor-Green" in arguments.cases:
            found = best_of(
                [taylor_green(n, frames, arguments.samples, m, block) for m in chosen[name].methods]
            )
            neither = dict.fromkeys(source)
            rows.append(row("Taylor-Green", "none", frames, name, found, **neither))
        print(table(rows[-len(arguments.cases) :]), flush=True)
    return rows


def main() -> None:
    cases, methods = ("McWilliams", "Taylor-Green"), list(variants(RATES))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.refinement")
    parser.add_argument("--cases", nargs="*", default=cases, choices=cases)
    parser.add_argument("--model", default="SpatiotemporalFNO", choices=list(MODELS))
    parser.add_argument("--epochs", type=int, default=8, help="of the training")
    parser.add_argument("--grids", type=int, nargs="*", default=[64, 128, 256])
    parser.add_argument("--frames", type=int, nargs="*", default=[10, 40])
    parser.add_argument(
        "--samples", type=int, default=3, choices=range(1, 4), help="flows per case, 1 on 256²"
    )
    parser.add_argument(
        "--seed", type=int, default=2, help="of the flows; the settings were chosen on seed 1"
    )
    parser.add_argument("--methods", nargs="*", default=methods, choices=methods)
    parser.add_argument("--rates", type=float, nargs="*", default=RATES, help="of Adam")
    parser.add_argument("--folder", type=Path, help="for data and run; by default a temporary one")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--show", action="store_true", help="print the table of the CSV file only")
    arguments = parser.parse_args()
    path = arguments.out / "refinement.csv"
    if arguments.show:
        print(table(read_csv(path)))
        return
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        rows = measure(arguments, folder)
    print(table(rows))
    print(store(path, rows))


if __name__ == "__main__":
    main()
