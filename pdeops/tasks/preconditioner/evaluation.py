"""A trained network inside a solver, compared with every classical preconditioner."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...batch import Batch
from ...compare.linear_methods import (
    NOT_MEASURED,
    PYAMG,
    SPARSE_LU,
    LinearMethod,
    LinearSystem,
    measure,
    own_linear_method,
    report,
    tuned_pyamg,
)
from ...compare.linear_methods import to_markdown as table
from ...datasets.systems import SYSTEMS
from ...domain import Grid
from ...linop import LinearOperator
from ...runs.recipe import read_tables
from ...solvers import Diffusion, Matrix, recognise
from ...solvers.operators.recognise import Structure
from ...solvers.preconditioners import CLASSICAL, FOR_STENCILS
from ..own_models import function_at
from .run import PreconditionerRecipe, SolverRun

TURNS = 3  # the smallest number of times that a median is of


@dataclass(frozen=True, eq=False)
class Recognised(LinearSystem):
    """A held-out system, and the structure that `recognise` finds in its matrix; that of a sparse
    matrix is not looked for."""

    found: Structure


def evaluate_systems(
    run: SolverRun,
    *,
    num_systems: int = 8,
    size: int | None = None,
    rtol: float = 1e-8,
    max_iterations: int = 1000,
    solver: Sequence[str] = (),
    progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Iterations and seconds of a trained network inside its solver, of conjugate gradients with
    every classical preconditioner of `pdeops solve`, and of sparse LU, over held-out systems. For
    sparse matrices there are hierarchies of PyAMG, with its default options and with the best of
    `PYAMG_SETTINGS` for the first system, whose search is not counted.

    The right-hand sides are b = A e with the errors e of the systems. All methods solve each system
    in turn, from zero, to |b - A x| <= rtol |b| in float64. Before that, each solves the first
    system once, untimed, to compile its loops. Seconds are medians over at least three turns: one
    or two systems are solved three or two times.

    `break_even` is the number of solves that repay the training: the seconds of training divided by
    the seconds saved per solve relative to that method, for 1, 10 and 100 solves per set-up. It is
    "never" if nothing is saved, and None if the seconds of training are unknown.

    Args:
        run: the result of `load_run` for a run's folder or shipped weights.
        num_systems: number of held-out systems; they are the same for every run with this seed.
        size: unknowns per axis, or of a sparse matrix; by default the largest of the recipe.
        rtol: relative residual to reach.
        max_iterations: maximum number of iterations; a method that needs more has failed.
        solver: functions of the user's, `file.py:function`, that are solvers of matrices
            (`compare.linear_methods.own_linear_method`).
        progress: called with the number of systems done.

    Raises:
        ValueError: `num_systems` is below 1, the recipe's systems have no shapes, or a `solver` is
            not found or has the name of another method.
    """
    if num_systems < 1:
        raise ValueError(f"At least one system is needed; got {num_systems}.")
    recipe = _recipe(run)
    systems = held_out(recipe, num_systems, size)
    label = recipe.name if run.recipe is not None else run.source
    learned: LinearMethod[Recognised] = LinearMethod(lambda system: run.on(system.A))
    last = first = as_system(systems[0], rtol, max_iterations)
    passes = math.ceil(TURNS / num_systems)

    def draw(turn: int) -> Recognised:
        nonlocal last
        last = as_system(systems[turn % num_systems], rtol, max_iterations) if turn else first
        return last

    def count(turns: int) -> None:
        if progress is not None:
            progress(turns / passes)

    methods = {label: learned, **classical()}
    for function in map(function_at, solver):
        if function.__name__ in methods:
            raise ValueError(
                f"There is a method {function.__name__!r} already; rename the function of --solver."
            )
        methods[function.__name__] = own_linear_method(function)
    if _without_grid(first) and (best := tuned_pyamg(first, _preconditioned)) is not None:
        methods["PyAMG tuned"] = best
    tallies = measure(methods, draw, turns=passes * num_systems, progress=count)
    trained = run.training_seconds
    return {
        "systems": recipe.systems.name,
        "unknowns": list(last.A.grid.shape),
        "number": num_systems,
        "rtol": rtol,
        "training_seconds": trained,
        "learned": label,
        "solver": list(solver),
        "methods": report(tallies, label, trained),
    }


def _recipe(run: SolverRun) -> PreconditionerRecipe:
    """The recipe of the run; for shipped weights, the shipped recipe with the same name."""
    if run.recipe is not None:
        return run.recipe
    return PreconditionerRecipe.from_dict(read_tables(run.source))


def held_out(recipe: PreconditionerRecipe, number: int, size: int | None) -> Any:
    """Systems of the recipe's kind that are not used in training."""
    arguments = dict(recipe.systems.arguments)
    if size is not None:
        if "sizes" in arguments:
            return _held_out({**arguments, "sizes": [size, size]}, recipe, number)
        if "shapes" not in arguments:
            raise ValueError(
                f"The systems {recipe.systems.name} of this run have no shapes; leave the size out."
            )
        ndim = len(arguments["shapes"][0])
        arguments["shapes"] = [[size] * ndim]
    return _held_out(arguments, recipe, number)


def _held_out(arguments: dict[str, Any], recipe: PreconditionerRecipe, number: int) -> Any:
    return SYSTEMS[recipe.systems.name](**arguments, seed=recipe.seed).held_out(number)


def as_system(sample: Batch, rtol: float, max_iterations: int) -> Recognised:
    """A sample of `datasets.systems` as a linear system in float64."""
    if not sample.operator[0].is_floating_point():
        return _with_matrix(sample, rtol, max_iterations)
    faces, error = [c.double() for c in sample.operator], sample.target.double()
    grid = Grid(error.shape, [float(n) for n in error.shape], "neumann", "centers")
    A = Diffusion.from_faces(faces, grid)
    found = recognise(A.to_csr(), A.grid.shape)
    return Recognised(A, A.project(A @ error), rtol, max_iterations, found)


def _with_matrix(sample: Batch, rtol: float, max_iterations: int) -> Recognised:
    """A system whose operator is the entries of a sparse matrix."""
    import scipy.sparse

    rows, columns, values = (part.numpy() for part in sample.operator)
    error = sample.target.double()
    entries = scipy.sparse.coo_array((values, (rows, columns)), shape=(len(error),) * 2)
    A = Matrix(entries.tocsr(), symmetric=True, positive_definite=True)
    none = Structure("a sparse matrix, in which no stencil was looked for")
    return Recognised(A, A @ error, rtol, max_iterations, none)


def classical() -> dict[str, LinearMethod[Recognised]]:
    """CG with every preconditioner of `solvers.preconditioners`, and sparse LU."""

    def stencil(build: Callable[[Structure], Any]) -> LinearMethod[Recognised]:
        return LinearMethod(lambda s: build(s.found), fits=lambda s: s.found.operator is not None)

    methods: dict[str, Any] = {name: stencil(build) for name, build in FOR_STENCILS.items()}
    methods |= {name: _preconditioned(build) for name, build in CLASSICAL.items()}
    methods["elimination"] = replace(methods["elimination"], fits=_by_transform)
    pyamg = {name: replace(method, fits=_without_grid) for name, method in PYAMG.items()}
    return methods | pyamg | {"sparse LU": SPARSE_LU}


def _preconditioned(build: Callable[[LinearOperator], Any]) -> LinearMethod[Recognised]:
    return LinearMethod(lambda s: build(s.A))


def _without_grid(system: Recognised) -> bool:
    """Whether the system is a sparse matrix; on grids our multigrid stands for algebraic ones."""
    return system.found.operator is None


def _by_transform(system: Recognised) -> bool:
    """Whether `elimination` is a direct solution by trigonometric transforms. Otherwise it is
    multigrid, which has a row already."""
    found = system.found
    plain = found.inner is not None and found.inner.excess is None
    return plain and found.box is not None and found.coupling is not None


def to_markdown(report: dict[str, Any]) -> str:
    """The report as a table, the learned method first; times in milliseconds."""
    trained, shape = report["training_seconds"], " x ".join(map(str, report["unknowns"]))
    duration = "of unknown duration" if trained is None else f"of {trained:.0f} s"
    return (
        f"{report['number']} {report['systems']} of {shape} unknowns to {report['rtol']:.0e}, "
        f"training {duration}; times in milliseconds, then the solves that repay it\n\n"
        f"{table(report['methods'])}{_not_measured(report)}"
    )


def _not_measured(report: dict[str, Any]) -> str:
    """The opponents of a network for sparse matrices that pdeops does not import."""
    if report["systems"] != "MatrixSystems" or report["solver"]:
        return ""
    return f"\n\n{NOT_MEASURED}"
