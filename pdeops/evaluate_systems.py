"""A trained network inside a solver beside every classical preconditioner, on held-out systems."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from .datasets.systems import SYSTEMS
from .grid import Grid
from .linop import LinearOperator
from .named_preconditioners import CLASSICAL, FOR_STENCILS
from .recipe import SystemsRecipe, load_recipe
from .run_folder import recipe_of
from .run_systems import load_correction, shipped_weights, training_seconds
from .solvers import Diffusion, SolveResult, cg, deep_conjugate_direction, recognise
from .solvers.direct import factor
from .solvers.recognise import Structure

AMORTISED = (1, 10, 100)  # solves that share a set-up
NEVER = "never"


@dataclass(frozen=True)
class System:
    """One held-out system: A, its right-hand side, and A as `recognise` sees its matrix."""

    A: Diffusion
    b: Tensor
    found: Structure


@dataclass(frozen=True)
class Way:
    """A method: M from a system, then x; `fits` says for which systems."""

    setup: Callable[[System], Any]
    solve: Callable[[System, Any], SolveResult]
    fits: Callable[[System], bool] = lambda system: True


@dataclass
class Tally:
    """What one method took, system by system."""

    iterations: list[int] = field(default_factory=list)
    setups: list[float] = field(default_factory=list)
    solves: list[float] = field(default_factory=list)
    failure: str | None = None

    def seconds(self, solves: int) -> float:
        """Per solve, the set-up shared by so many: the median over systems."""
        pairs = zip(self.setups, self.solves, strict=True)
        return statistics.median(setup / solves + solve for setup, solve in pairs)

    def report(self) -> dict[str, Any]:
        """Iterations in the mean and at worst, and medians of seconds; only what solved all systems
        has seconds to compare."""
        if self.failure is not None:
            return {"failed": self.failure}
        return {
            "iterations": statistics.mean(self.iterations),
            "most_iterations": max(self.iterations),
            "setup_seconds": statistics.median(self.setups),
            "solve_seconds": statistics.median(self.solves),
            **{f"seconds_at_{k}": self.seconds(k) for k in AMORTISED},
        }


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
    ways = {label: learned(network, rtol, max_iterations), **classical(rtol, max_iterations)}
    tallies: dict[str, Tally] = {}
    for index in (0, *range(num_systems)):
        if index == 0:
            tallies = {name: Tally() for name in ways}
        system = as_system(systems[index])
        for name, way in ways.items():
            if way.fits(system) and tallies[name].failure is None:
                _solve(way, system, tallies[name])
        if progress is not None:
            progress(index + 1)
    for name in ways:  # what is not for all of them is not in the table
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
            name: {**t.report(), "break_even": _break_even(trained, tallies[label], t)}
            if name != label
            else t.report()
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


def as_system(sample: dict[str, Tensor]) -> System:
    """A sample of `datasets.systems` in float64."""
    faces = [v.double() for k, v in sorted(sample.items()) if k.startswith("faces")]
    error = sample["error"].double()
    grid = Grid(error.shape, [float(n) for n in error.shape], "neumann", "centers")
    A = Diffusion.from_faces(faces, grid)
    return System(A, A.project(A @ error), recognise(A.to_csr(), A.grid.shape))


def learned(network: Any, rtol: float, max_iterations: int) -> Way:
    """CG where the network is a preconditioner by construction, else conjugate directions."""

    def solve(system: System, M: Any) -> SolveResult:
        if isinstance(M, LinearOperator):
            return cg(system.A, system.b, M=M, rtol=rtol, max_iterations=max_iterations)
        return deep_conjugate_direction(
            system.A, system.b, M, rtol=rtol, max_iterations=max_iterations
        )

    return Way(lambda system: network.on(system.A), solve)


def classical(rtol: float, max_iterations: int) -> dict[str, Way]:
    """The table of `named_preconditioners`, and sparse LU."""

    def solve(system: System, M: Any) -> SolveResult:
        return cg(system.A, system.b, M=M, rtol=rtol, max_iterations=max_iterations)

    def direct(system: System, x: Callable[[Tensor], Tensor]) -> SolveResult:
        left = system.b - system.A @ (solution := x(system.b))
        residual = (left.norm() / system.b.norm()).item()
        return SolveResult(solution, residual <= rtol, 0, [residual], "direct")

    def stencil(build: Callable[[Structure], Any]) -> Way:
        return Way(
            lambda system: build(system.found), solve, lambda s: s.found.operator is not None
        )

    def matrix(build: Callable[[LinearOperator], Any]) -> Way:
        return Way(lambda system: build(system.A), solve)

    ways = {name: stencil(build) for name, build in FOR_STENCILS.items()}
    ways |= {name: matrix(build) for name, build in CLASSICAL.items()}
    ways["elimination"] = Way(ways["elimination"].setup, solve, _by_waves)
    ways["sparse LU"] = Way(lambda system: factor(system.A), direct)
    return ways


def _by_waves(system: System) -> bool:
    """Whether `elimination` is a direct solution by waves; else it is multigrid again."""
    found = system.found
    plain = found.inner is not None and found.inner.excess is None
    return plain and found.box is not None and found.coupling is not None


def _solve(way: Way, system: System, tally: Tally) -> None:
    try:
        begin = time.perf_counter()
        M = way.setup(system)
        middle = time.perf_counter()
        result = way.solve(system, M)
        end = time.perf_counter()
    except (ValueError, ImportError) as error:  # PyAMG is an extra
        tally.failure = str(error).splitlines()[0]
        return
    if not result.converged:
        tally.failure = result.reason
        return
    tally.iterations.append(result.iterations)
    tally.setups.append(middle - begin)
    tally.solves.append(end - middle)


def _break_even(trained: float | None, ours: Tally, other: Tally) -> dict[str, Any]:
    """By how many solves share a set-up: the solves that repay the training."""
    if ours.failure is not None or other.failure is not None:
        return {}
    found: dict[str, Any] = {}
    for k in AMORTISED:
        saved = other.seconds(k) - ours.seconds(k)
        if saved <= 0:
            found[str(k)] = NEVER
        else:
            found[str(k)] = None if trained is None else trained / saved
    return found


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
            cells += [_solves(repaid.get(str(k), "")) for k in AMORTISED]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines)


def _solves(value: float | str | None) -> str:
    """For the table: a whole number, or why there is none."""
    if value is None:
        return "unknown"
    return value if isinstance(value, str) else f"{value:.0f}"
