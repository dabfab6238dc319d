"""python -m benchmarks.spacetime: ST-FNO and neuraloperator's 3D FNO on the same trajectories.

Flows of FNO's kind are solved on the training grid for training, and on a finer one for the tests.
Their Fourier series, truncated or padded with zeros, give the frames on all test grids. A size with
`solved` pads: a flow that the solver's grid resolves has no shorter waves. Both models are trained
with the same epochs, batches and windows. Prints their relative L2 errors on the physical scale: at
the training resolution, and zero-shot on the finer grids with the ratio to the first. --size
chooses everything that the cost depends on, up to the size of the paper.

The learning rate of each model is the one of --rates with the lowest error on held-out training
trajectories; a size with `search_nodes` tries the rates on flows of that coarser grid. The command
can be interrupted and repeated: files and checkpoints are found in --folder.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pdeops.calculus import calculus_of
from pdeops.compare.tables import read_csv, write_csv
from pdeops.datasets import open_dataset
from pdeops.datasets.generate.generate import generate
from pdeops.datasets.problems.navier_stokes import NavierStokes
from pdeops.datasets.windows import Window
from pdeops.domain import Grid
from pdeops.metrics import METRICS
from pdeops.models import SpatiotemporalFNO
from pdeops.nn.parameters import num_parameters
from pdeops.tasks import load_recipe, load_run, resume, train

from .bench import RESULTS, machine
from .spacetime_peer import NeuralopFNO3d

PEER = f"{Path(__file__).parent / 'spacetime_peer.py'}:NeuralopFNO3d"


@dataclass(frozen=True)
class Size:
    """Nodes of training and finest test, trajectories, and the width of ST-FNO.

    Attributes:
        window: input and output frames; a trajectory has as many frames.
        spacing: time between frames.
        search_nodes: nodes of the flows on which the learning rates are tried; None: `nodes`.
        solved: nodes on which the tests are solved; None: `fine`.
    """

    nodes: int
    fine: int
    samples: int
    tests: int
    epochs: int
    n_modes: int
    hidden_channels: int
    window: tuple[int, int] = (10, 40)
    spacing: float = 1.0
    dt: float = 0.05
    batch_size: int = 4
    search_nodes: int | None = None
    solved: int | None = None


SIZES = {
    "tiny": Size(16, 32, 8, 4, 2, 8, 8, window=(5, 10), dt=0.25),
    "small": Size(32, 64, 60, 8, 10, 12, 16, dt=0.1),
    "desk32": Size(32, 128, 24, 4, 6, 12, 10, dt=0.1, batch_size=1),
    "desk64": Size(64, 256, 40, 4, 6, 12, 11, dt=0.1, batch_size=1, search_nodes=32, solved=128),
    "cpu": Size(64, 256, 120, 8, 10, 16, 16),
    "paper": Size(64, 256, 1200, 128, 50, 24, 20, dt=0.02, batch_size=16),
}


def problem(size: Size, nodes: int) -> NavierStokes:
    """Trajectories of FNO's flow with viscosity 1e-3, computed on `nodes` nodes."""
    frames = sum(size.window) - 1
    arguments = {
        "t_end": frames * size.spacing,
        "num_frames": frames,
        "dt": size.dt,
        "refinement": 1,
        "num_waves": min(32, min(nodes, size.nodes) // 2 - 1),
    }
    return NavierStokes("fno_1e-3", **arguments)


def data(size: Size, folder: Path) -> dict[str, Path]:
    """Training trajectories, those on which rates are tried, and tests on the finest grid."""
    files: dict[str, Path] = {}
    for name, nodes, samples, seed in (
        ("train", size.nodes, size.samples, 0),
        ("search", size.search_nodes or size.nodes, size.samples, 0),
        ("test", size.solved or size.fine, size.tests, 2),
    ):
        if name == "search" and nodes == size.nodes:
            files[name] = files["train"]
            continue
        files[name] = folder / f"{name}{nodes}.h5"
        if not files[name].exists():
            grid = Grid((nodes, nodes), boundary="periodic")
            made = problem(size, nodes)
            generate(made, grid, num_samples=samples, seed=seed, out=files[name])
    return files


def recipe(size: Size, model: dict[str, Any], name: str, file: Path, lr: float) -> Any:
    """The same epochs, batches and windows for both models."""
    n_in, n_out = size.window
    return load_recipe(
        {
            "task": "rollout",
            "name": name,
            "data": {
                "train": str(file),
                "validation": max(size.samples // 10, 1),
                "window": {"n_in": n_in, "n_out": n_out},
            },
            "model": model,
            "optimizer": {"name": "AdamW", "lr": lr},
            "schedule": {"name": "OneCycle"},
            "training": {"epochs": size.epochs, "batch_size": size.batch_size},
        }
    )


def models(size: Size) -> dict[str, dict[str, Any]]:
    """ST-FNO, and the 3D FNO with the channels that give the nearest number of parameters."""
    modes = [size.n_modes, size.n_modes]
    ours: dict[str, Any] = {
        "n_modes": modes,
        "hidden_channels": size.hidden_channels,
        "spatial_bias": False,
    }
    n_in, n_out = size.window
    grid = Grid((size.nodes, size.nodes), boundary="periodic")
    times: dict[str, Any] = {
        "times_in": [float(t) for t in range(1 - n_in, 1)],
        "times_out": [float(t) for t in range(1, n_out + 1)],
    }
    wanted = num_parameters(SpatiotemporalFNO(1, 1, grid, **times, **ours))
    peer: dict[str, Any] = {"n_modes": [*modes, 2 * (n_out // 8)]}

    def excess(width: int) -> int:
        return abs(
            num_parameters(NeuralopFNO3d(1, 1, grid, **times, **peer, hidden_channels=width))
            - wanted
        )

    width = 4
    while excess(width + 1) < excess(width):
        width += 1
    return {
        "SpatiotemporalFNO": {"name": "SpatiotemporalFNO", **ours},
        "NeuralopFNO3d": {"name": PEER, **peer, "hidden_channels": width},
    }


def trained(settings: Any, out: Path, device: str) -> dict[str, Any]:
    """The report of the run in `out`, which is trained, or continued where it stopped.

    Raises:
        KeyboardInterrupt: the training was interrupted; its checkpoint is in `out`.
    """
    if (out / "checkpoints" / "last.pt").exists():
        report = resume(out, device=device)
    else:
        report = train(settings, out=out, device=device)
    if report["reason"] == "interrupted":
        raise KeyboardInterrupt
    return report


def best_rate(
    size: Size, rates: Sequence[float], make: Callable[[float], Any], folder: Path, device: str
) -> tuple[float, dict[float, float]]:
    """The rate with the lowest error on held-out trajectories, and the error of each rate."""
    errors = {}
    for lr in rates:
        report = trained(make(lr), folder / f"{size.search_nodes or size.nodes}-lr{lr:g}", device)
        errors[lr] = report["validation"]["relative_l2"]
    return min(errors, key=lambda lr: errors[lr]), errors


def error(run: Any, frames: Tensor, n_in: int) -> float:
    """Mean over samples and frames of the relative L2 error."""
    with torch.no_grad():
        prediction = torch.cat([run.operator(u[None, :n_in]) for u in frames])
    p, target = prediction.flatten(0, 1), frames[:, n_in:].flatten(0, 1)
    return METRICS["relative_l2"](p, target, run.domain.with_shape(p.shape[2:])).mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--folder", type=Path, required=True, help="for data and runs")
    parser.add_argument("--rates", type=float, nargs="*", default=[1e-2, 2e-2, 5e-2])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    size, folder = SIZES[arguments.size], arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    files = data(size, folder)
    n_in, n_out = size.window
    finest = open_dataset(files["test"]).windowed(Window(n_in, n_out))
    batch = finest.read(range(len(finest)))
    frames = torch.cat([batch.input, batch.target], 1)
    tests = {
        n: calculus_of(finest.domain).resample(frames, (n, n))
        for n in (size.nodes << k for k in range(8))
        if n <= size.fine
    }
    rows = []
    for name, model in models(size).items():
        place = folder / f"{name}-{size.epochs}"
        make = partial(recipe, size, model, name, files["search"])
        lr, tried = best_rate(size, arguments.rates, make, place, arguments.device)
        print(name, {f"{rate:g}": f"{e:.4f}" for rate, e in tried.items()}, flush=True)
        out = place / f"{size.nodes}-lr{lr:g}"
        trained(recipe(size, model, name, files["train"], lr), out, arguments.device)
        seconds, run = float(read_csv(out / "metrics.csv")[-1]["seconds"]), load_run(out)
        errors = {n: error(run, u, n_in) for n, u in tests.items()}
        base = errors[size.nodes]
        for n, e in errors.items():
            rows.append(
                {
                    "size": arguments.size,
                    "model": name,
                    "parameters": num_parameters(run.operator),
                    "epochs": size.epochs,
                    "lr": lr,
                    "validation_of_rates": " ".join(f"{r:g}:{v:.4f}" for r, v in tried.items()),
                    "trajectories": size.samples,
                    "training_s": f"{seconds:.0f}",
                    "nodes": n,
                    "relative_l2": f"{e:.4f}",
                    "ratio_to_training_grid": f"{e / base:.3f}",
                    **machine(),
                }
            )
            shown = ("model", "parameters", "training_s", "nodes", "relative_l2")
            print(*(rows[-1][key] for key in shown), rows[-1]["ratio_to_training_grid"], flush=True)
    print(write_csv(arguments.out / f"spacetime_{arguments.size}.csv", rows))


if __name__ == "__main__":
    main()
