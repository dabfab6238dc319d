"""`pdeops quickstart`: one job through the whole house, in minutes."""

import logging
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from .output import Json, emit

log = logging.getLogger("pdeops")

RESOLUTION = 33  # nodes per axis of the training data; evaluated there and at twice the cells
TRAIN_SAMPLES, TEST_SAMPLES, COMPARED_SAMPLES = 320, 32, 8
RECIPES = ("mgno_quickstart", "fno_quickstart")

INTRODUCTION = """\
Steady Darcy flow, −∇·(k ∇p) = 1 with p = 0 on the boundary of the unit square; k is 3 or 12,
piecewise constant. The operators map k to p. This run is small, so that it takes minutes: it shows
the whole path, not what the models can reach (README, "Figures")."""


def command(
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; default runs/quickstart/<time>.")
    ] = None,
    json: Json = False,
) -> None:
    """Generate Darcy data, train MgNO and FNO, evaluate both, compare with classical: report.md."""
    from ..compare import compare_runs
    from ..datasets import generate, problem_named
    from ..recipe import Recipe
    from ..run import evaluate, load_run, train
    from .progress import bar

    start = time.perf_counter()
    folder = out or Path("runs") / "quickstart" / time.strftime("%Y%m%d-%H%M%S")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not an empty folder; choose another --out.")

    problem = problem_named("darcy", "piecewise")
    grid = problem.grid((RESOLUTION, RESOLUTION))
    files = {
        "train": (grid, TRAIN_SAMPLES, 0),
        "test": (grid, TEST_SAMPLES, 1),
        "test_fine": (grid.refined(2), TEST_SAMPLES, 1),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, (nodes, samples, seed) in files.items():
        log.info("generating %s: %d samples at %s", name, samples, nodes.shape)
        with bar("samples", samples) as advance:
            generate(
                problem,
                nodes,
                num_samples=samples,
                seed=seed,
                out=folder / f"{name}.h5",
                progress=advance,
            )

    runs, evaluations = {}, []
    for name in RECIPES:
        recipe = Recipe.load(name, [f"data.{n}='{folder / n}.h5'" for n in ("train", "test")])
        model = recipe.model.name
        log.info("training %s for %d epochs", model, recipe.training.epochs)
        report = train(recipe, out=folder / model, device="cpu")
        if report["reason"] == "interrupted":
            raise KeyboardInterrupt
        runs[model] = load_run(report["run"])
        for file in ("test", "test_fine"):
            figures = evaluate(runs[model], folder / f"{file}.h5")
            evaluations.append(_line(model, files[file][0].shape, figures))

    log.info("comparing with classical solvers")
    with bar("calls", 1) as advance:
        comparison = compare_runs(
            runs,
            folder=folder,
            num_samples=COMPARED_SAMPLES,
            title="Quickstart: MgNO and FNO for Darcy flow, beside a classical solver",
            introduction=INTRODUCTION,
            evaluations=evaluations,
            progress=lambda done, total: advance(done / total),
        )
    seconds = time.perf_counter() - start
    report_file = folder / "report.md"
    if json:
        result: dict[str, Any] = {"report": str(report_file), "seconds": seconds}
        emit({**result, "evaluations": evaluations, "verdict": comparison.verdict}, as_json=True)
        return
    print(comparison.to_markdown())
    for line in evaluations:
        print(", ".join(f"{key} {value}" for key, value in line.items()))
    print(f"\nWrote {report_file} in {seconds:.0f} s. Each run is a folder beside it.")


def _line(model: str, shape: tuple[int, ...], figures: dict[str, Any]) -> dict[str, object]:
    """One line of the report's table of test results."""
    return {
        "model": model,
        "grid": " x ".join(map(str, shape)),
        "relative L2": figures["relative_l2"],
        "relative H1": figures["relative_h1"],
        "max error": figures["max_error"],
        "residual": figures["residual"],
        "samples": figures["samples"],
    }
