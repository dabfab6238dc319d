"""`pdeops quickstart`: generate, train, evaluate and compare, in minutes."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .output import Json, emit, rows
from .progress import bar

if TYPE_CHECKING:
    from ..tasks.supervised import Run

log = logging.getLogger("pdeops")

RESOLUTION = 33  # nodes per axis of the training data; evaluated there and at twice the cells
RECIPES = ("mgno_quickstart", "fno_quickstart")
# file -> (cells relative to the training grid, samples, seed)
FILES = {"train": (1, 320, 0), "test": (1, 32, 1), "test_fine": (2, 32, 1)}
COMPARED_SAMPLES = 8

INTRODUCTION = """\
Steady Darcy flow, −∇·(k ∇p) = 1 with p = 0 on the boundary of the unit square; k is 3 or 12,
piecewise constant. The operators map k to p. This run is small, so that it takes minutes: it shows
the whole path, not what the models can reach (docs/figures.md)."""


def command(
    out: Annotated[
        Path | None, typer.Option(help="Output folder. Default: runs/quickstart/<time>.")
    ] = None,
    json: Json = False,
) -> None:
    """Generate Darcy data, train MgNO and FNO, compare them with solvers: report.html."""
    from ..compare import compare_runs

    start = time.perf_counter()
    folder = out or Path("runs") / "quickstart" / time.strftime("%Y%m%d-%H%M%S")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not an empty folder; choose another --out.")
    data_seconds = _generate(folder)
    runs = {}
    for recipe in RECIPES:
        run = _train(recipe, folder)
        runs[run.recipe.model.name] = run
    evaluations = _evaluate(runs, folder)
    log.info("comparing with classical solvers")
    with bar("of the calls", 1) as advance:
        comparison = compare_runs(
            runs,
            folder=folder,
            num_samples=COMPARED_SAMPLES,
            data_seconds=data_seconds,
            title="Quickstart: MgNO and FNO for Darcy flow, compared with a classical solver",
            introduction=INTRODUCTION,
            evaluations=evaluations,
            data={name: folder / f"{name}.h5" for name in ("test", "test_fine")},
            progress=lambda done, total: advance(done / total),
        )
    result: dict[str, Any] = {
        "report": str(folder / "report.md"),
        "seconds": time.perf_counter() - start,
        "evaluations": evaluations,
        "verdict": comparison.verdict,
    }
    if json:
        emit(result, as_json=True)
        return
    print(comparison.to_markdown())
    lines = [list(line.values()) for line in evaluations]
    rows(list(evaluations[0]), lines, title="On unseen data")
    print(
        f"Wrote report.html and report.md to {folder} in {result['seconds']:.0f} s, where the runs "
        f"are too."
    )


def _generate(folder: Path) -> float:
    """Write the data files; return the generation time of the training data in seconds."""
    from ..datasets import Darcy, generate

    problem = Darcy("piecewise")
    coarse = problem.grid((RESOLUTION, RESOLUTION))
    folder.mkdir(parents=True, exist_ok=True)
    seconds = {}
    for name, (factor, num_samples, seed) in FILES.items():
        grid, out = coarse.refined(factor), folder / f"{name}.h5"
        log.info("generating %s: %d samples on %s nodes", out, num_samples, grid.shape)
        with bar("samples", num_samples) as advance:
            report = generate(
                problem, grid, num_samples=num_samples, seed=seed, out=out, progress=advance
            )
        seconds[name] = report["seconds"]
    return seconds["train"]


def _train(name: str, folder: Path) -> "Run":
    """Train a shipped recipe on the generated files."""
    from ..tasks import load_recipe, load_run, train

    files = [f"data.{role}='{(folder / role).as_posix()}.h5'" for role in ("train", "test")]
    recipe = load_recipe(name, files)
    log.info("training %s for %d epochs", recipe.model.name, recipe.training.epochs)
    report = train(recipe, out=folder / recipe.model.name)
    if report["reason"] == "interrupted":
        raise KeyboardInterrupt
    return load_run(report["run"])


def _evaluate(runs: Mapping[str, "Run"], folder: Path) -> list[dict[str, object]]:
    """Rows of the report's table, one per run and test file."""
    from ..tasks import evaluate

    lines: list[dict[str, object]] = []
    for model, run in runs.items():
        for name in ("test", "test_fine"):
            figures = evaluate(run, folder / f"{name}.h5")
            nodes = FILES[name][0] * (RESOLUTION - 1) + 1
            line: dict[str, object] = {"model": model, "nodes": f"{nodes} x {nodes}"}
            shown = ("relative_l2", "relative_h1", "max_error", "residual", "samples")
            lines.append(line | {key.replace("_", " "): figures[key] for key in shown})
    return lines
