"""python -m benchmarks.refinement_sphere: refinement of predictions of Galewsky's unstable jet, and
plain time stepping of equal seconds and of equal error.

The spherical FNO (one step, rolled out) and the ST-FNO of the shipped recipes are trained on jets
with random bumps, a frame every ten minutes for four hours, on 45 x 88 nodes, which determine all
harmonics of the data, up to degree 42. Predictions for unseen jets are refined by Gauss-Newton.

Writes results/refinement_sphere.csv, and files and runs to --folder, where they are found again.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch

import pdeops
from pdeops.compare.refinement_runs import refinement_job
from pdeops.datasets import generate, problem_named

from .bench import RESULTS
from .refinement import row, store, table

NODES = (45, 88)
FLOW = {"degree": 42, "viscosity": 3e16, "dt": 300.0, "t_end": 4.0, "num_frames": 24}
RECIPES = {"NeuralopSFNO": "sfno_shallow_water_rollout", "SpatiotemporalFNO": "stfno_shallow_water"}


def jets(folder: Path, samples: int, seed: int) -> Path:
    """The file with trajectories of jets; t = 0 is the jet with its bumps."""
    path = folder / f"galewsky_seed{seed}_{samples}.h5"
    if not path.exists():
        problem: Any = problem_named("shallow_water", "galewsky", **FLOW)
        generate(problem, problem.grid(NODES), num_samples=samples, seed=seed, out=path)
    return path


def trained(folder: Path, model: str, epochs: int, samples: int) -> Any:
    """The run of a model, trained if it is not there."""
    run = folder / f"{model}_{epochs}"
    if not run.exists():
        settings = {
            "data.train": jets(folder, samples, seed=0),
            "data.validation": 2,
            "training.epochs": epochs,
            "training.eval_every": epochs,
        }
        recipe = pdeops.load_recipe(RECIPES[model], [f"{k}={v}" for k, v in settings.items()])
        print(pdeops.train(recipe, out=run, device="cpu"), flush=True)
    return pdeops.load_run(run)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.refinement_sphere")
    parser.add_argument("--models", nargs="*", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--epochs", type=int, default=10, help="of the training")
    parser.add_argument("--training", type=int, default=26, help="trajectories of the training")
    parser.add_argument("--samples", type=int, default=3, help="trajectories that are refined")
    parser.add_argument("--seed", type=int, default=2, help="of the trajectories")
    parser.add_argument("--folder", type=Path, help="for data and runs; by default a temporary one")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    source = {"seed": arguments.seed, "epochs": arguments.epochs}
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        rows: list[dict[str, object]] = []
        for model in arguments.models:
            run = trained(folder, model, arguments.epochs, arguments.training)
            file = jets(folder, arguments.samples, arguments.seed)
            found = refinement_job(run, file, samples=arguments.samples).study()
            print(found.to_markdown(), flush=True)
            frames = found.frames[0].refined.shape[1]
            rows.append(row("Galewsky", model, frames, "Gauss-Newton", found, **source))
    print(table(rows))
    print(store(arguments.out / "refinement_sphere.csv", rows))


if __name__ == "__main__":
    main()
