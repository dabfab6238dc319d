"""A trained network inside a solver beside every classical preconditioner, on held-out systems."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..batch import Batch
from ..datasets.systems import SYSTEMS
from ..domain import Grid
from ..linop import LinearOperator
from ..runs.folder import recipe_of
from ..runs.recipe import SystemsRecipe, load_recipe
from ..solvers import Diffusion, recognise
from ..solvers.direct.sparse import factor
from ..solvers.operators.recognise import Structure
from ..tasks.named_preconditioners import CLASSICAL, FOR_STENCILS
from ..tasks.preconditioner import load_correction, shipped_weights, training_seconds
from .phases import AMORTISED, Method, System, Tally, break_even, break_even_text, direct


@dataclass(frozen=True)
class Recognised(System):
    """One held-out system, and A as `recognise` sees its matrix."""

    found: Structure


def is_systems_run(source: str | Path) -> bool:
    """Whether a run folder, or a name, is that of a network inside a solver."""
    if (Path(source) / "recipe.toml").is_file():
        return isinstance(recipe_of(Path(source)), SystemsRecipe)
    return str(source) in shipped_weights()


def evaluate_systems(
    source: str | Path,
    *,
    num_systems: int = 8,
    size: int | None = None,
    rtol: float = 1e-8,
    max_iterations: int = 1000,
    progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Iterations and seconds of a trained network inside its solver, and of every classical
    preconditioner of `pdeops solve` inside conjugate gradients, over held-out systems of the
    recipe; sparse LU stands for direct solution.

    b = A e with the errors e of the systems. All methods solve each system in turn, from zero, to
    |b - A x| <= rtol |b| in float64. The first system is solved twice; the first time, when loops
    are compiled, is not counted.

    `break_even` is how many solves repay the training, by seconds of the training over seconds that
    a solve takes less than with that method, for set-ups shared by 1, 10 and 100 solves; "never"
    where nothing is saved, None where the training's seconds are not known.

    Args:
        source: a run's folder, or the name of weights that pdeops ships.
        num_systems: held-out systems; the same for every run with this seed.
        size: unknowns per axis; by default the last of the recipe's shapes.
        rtol: to be reached.
        max_iterations: more is a failure.
        progress: is told how many systems are done.

    Raises:
        ValueError: no such run, a number below 1, or the recipe's systems have no shapes.
    """
    if num_systems < 1:
        raise ValueError(f"At least one system is needed; got {num_systems}.")
    recipe = _recipe(source)
    systems = held_out(recipe, num_systems, size)
    network: Any = load_correction(source)
    label = recipe.name if Path(source).is_dir() else str(source)
    methods = {label: Method(lambda system: network.on(system.A)), **classical()}
    tallies: dict[str, Tally] = {}
    for index in (0, *range(num_systems)):
        if index == 0:
            tallies = {name: Tally() for name in methods}
        system = as_system(systems[index], rtol, max_iterations)
        for name, method in methods.items():
            if method.fits(system) and tallies[name].failure is None:
                tallies[name].turn(method, system)
        if progress is not None:
            progress(index + 1)
    for name in methods:  # what is not for all of them is not in the table
        if tallies[name].failure is None and len(tallies[name].solves) < num_systems:
            del tallies[name]
    trained = training_seconds(source)
    return {
        "systems": recipe.systems.name,
        "unknowns": list(system.A.grid.shape),
        "number": num_systems,
        "rtol": rtol,
        "training_seconds": trained,
        "learned": label,
        "methods": {
            name: {**_report(t), "break_even": _break_even(trained, tallies[label], t)}
            if name != label
            else _report(t)
            for name, t in tallies.items()
        },
    }


def _recipe(source: str | Path) -> SystemsRecipe:
    recipe = recipe_of(Path(source)) if Path(source).is_dir() else load_recipe(source)
    if not isinstance(recipe, SystemsRecipe):
        raise ValueError(f"{source} holds an operator, not a network inside a solver.")
    return recipe


def held_out(recipe: SystemsRecipe, number: int, size: int | None) -> Any:
    """Systems of the recipe's kind that no training with it has seen."""
    arguments = dict(recipe.systems.arguments)
    if size is not None:
        if "shapes" not in arguments:
            raise ValueError(
                f"The systems {recipe.systems.name} of this run have no shapes; leave the size out."
            )
        ndim = len(arguments["shapes"][0])
        arguments["shapes"] = [[size] * ndim]
    return SYSTEMS[recipe.systems.name](**arguments, seed=recipe.seed).held_out(number)


def as_system(sample: Batch, rtol: float, max_iterations: int) -> Recognised:
    """A sample of `datasets.systems` in float64."""
    faces, error = [c.double() for c in sample.operator], sample.target.double()
    grid = Grid(error.shape, [float(n) for n in error.shape], "neumann", "centers")
    A = Diffusion.from_faces(faces, grid)
    found = recognise(A.to_csr(), A.grid.shape)
    return Recognised(A, A.project(A @ error), rtol, max_iterations, found)


def classical() -> dict[str, Method[Recognised]]:
    """The table of `named_preconditioners`, and sparse LU."""

    def stencil(build: Callable[[Structure], Any]) -> Method[Recognised]:
        return Method(lambda s: build(s.found), fits=lambda s: s.found.operator is not None)

    def matrix(build: Callable[[LinearOperator], Any]) -> Method[Recognised]:
        return Method(lambda s: build(s.A))

    methods = {name: stencil(build) for name, build in FOR_STENCILS.items()}
    methods |= {name: matrix(build) for name, build in CLASSICAL.items()}
    methods["elimination"] = replace(methods["elimination"], fits=_by_waves)
    methods["sparse LU"] = Method(lambda s: factor(s.A), direct)
    return methods


def _by_waves(system: Recognised) -> bool:
    """Whether `elimination` is a direct solution by waves; else it is multigrid again."""
    found = system.found
    plain = found.inner is not None and found.inner.excess is None
    return plain and found.box is not None and found.coupling is not None


def _report(tally: Tally) -> dict[str, Any]:
    """Iterations in the mean and at worst, and medians of seconds; only what solved all systems
    has seconds to compare."""
    if tally.failure is not None:
        return {"failed": tally.failure}
    return {
        "iterations": statistics.mean(tally.iterations),
        "most_iterations": max(tally.iterations),
        "setup_seconds": tally.setup,
        "solve_seconds": tally.solve,
        **{f"seconds_at_{k}": tally.seconds(k) for k in AMORTISED},
    }


def _break_even(trained: float | None, ours: Tally, other: Tally) -> dict[str, Any]:
    """By how many solves share a set-up: the solves that repay the training."""
    if ours.failure is not None or other.failure is not None:
        return {}
    return {str(k): break_even(trained, other.seconds(k) - ours.seconds(k)) for k in AMORTISED}


def to_markdown(report: dict[str, Any]) -> str:
    """The report as a table, the learned method first; times in milliseconds."""
    trained, shape = report["training_seconds"], " x ".join(map(str, report["unknowns"]))
    time_of_training = "of unknown duration" if trained is None else f"of {trained:.0f} s"
    header = ["method", "iterations", "most", "set-up", "solve"]
    header += [f"{k} per set-up" for k in AMORTISED]
    header += [f"repaid, {k} per set-up" for k in AMORTISED]
    lines = [
        f"{report['number']} {report['systems']} of {shape} unknowns to {report['rtol']:.0e}, "
        f"training {time_of_training}; milliseconds, then the solves that repay it",
        "",
        "| " + " | ".join(header) + " |",
        "|" + "---|" * len(header),
    ]
    for name, m in report["methods"].items():
        cells = [f"failed: {m.get('failed')}", *[""] * (len(header) - 2)]
        if "failed" not in m:
            repaid = m.get("break_even", dict.fromkeys(map(str, AMORTISED), ""))
            cells = [f"{m['iterations']:.1f}", str(m["most_iterations"])]
            cells += [f"{1e3 * m[key]:.3g}" for key in ("setup_seconds", "solve_seconds")]
            cells += [f"{1e3 * m[f'seconds_at_{k}']:.3g}" for k in AMORTISED]
            cells += [break_even_text(repaid.get(str(k), "")) for k in AMORTISED]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines)
