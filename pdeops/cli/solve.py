"""`pdeops solve`: solve a linear system from files."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .linear_system import read_matrix, read_rhs
from .output import Json, emit, rows

if TYPE_CHECKING:
    from ..solvers.choice.methods import Method
    from ..solvers.choice.system import System
    from ..solvers.tuning.tuned_multigrid import TunedMultigrid

log = logging.getLogger("pdeops")

MEANING = {
    "setup_seconds": "recognition of the matrix and set-up of M, without loading compiled code",
    "solve_seconds": "the solve after that, all right-hand sides",
    "iterations": "of the slowest right-hand side; of refinement for a direct method",
    "residual": "|b - A x| / |b| of A as given, in float64; the largest of all columns",
    "condition": "of M A, as conjugate gradients estimate it",
    "converged": "residual <= rtol in every column",
    "method": "the solver and M",
    "reason": "why the solver stopped",
    "setting": "of algebraic multigrid, from the state of --tune",
    "why": "why this setting was taken; costs are products with A",
    "cost": "of set-up and solve, from which the state has learnt",
}


def command(
    matrix: Annotated[
        Path,
        typer.Option(
            help="File of A, from scipy.sparse.save_npz, in Matrix Market (.mtx, .mtx.gz), or "
            "MATLAB (.mat) with A or a struct Problem."
        ),
    ],
    rhs: Annotated[
        Path | None,
        typer.Option(
            help="File of b: .npy, Matrix Market, .mat, or .bin (a uint64 count N, then N float64 "
            "numbers). An array of n rows and k columns holds k right-hand sides, which are "
            "solved together. Default: b in the .mat file of A."
        ),
    ] = None,
    preconditioner: Annotated[
        str | None,
        typer.Option(
            "--method",
            "--preconditioner",
            metavar="NAME|RUN",
            help="Preconditioner or direct method, a name of --list; `method` in Python. Also the "
            "name of shipped weights, or the folder or checkpoint of a trained run. Default: the "
            "best classical method for the matrix.",
        ),
    ] = None,
    rtol: Annotated[
        float, typer.Option(help="Relative tolerance: stop when |b - A x| <= RTOL |b|.")
    ] = 1e-8,
    max_iterations: Annotated[int, typer.Option(help="Maximum number of iterations.")] = 1000,
    near_nullspace: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Vectors that A nearly maps to zero, n x m (.npy), for `amg`."
        ),
    ] = None,
    coordinates: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Positions of the nodes, nodes x d (.npy), of an elasticity problem with d "
            "unknowns per node: rigid-body motions are the near-null space.",
        ),
    ] = None,
    guess: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Trained operator whose prediction is the initial guess."),
    ] = None,
    tune: Annotated[
        Path | None,
        typer.Option(
            metavar="STATE",
            help="Use algebraic multigrid of PyAMG with settings that are learnt from call to "
            "call; the file (.json) keeps what has been learnt, and is created if it is missing.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Output file for x (.npy); must not exist.")
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="List the methods for this matrix and why; do not solve.")
    ] = False,
    json: Json = False,
) -> None:
    """Solve A x = b for a symmetric positive definite A.

    The method is chosen by a look at the matrix: transforms for constant couplings on a box,
    multigrid for stencils on a grid, algebraic multigrid or a sparse factorisation for other
    matrices. All but direct methods run inside conjugate gradients. A preconditioner that is a
    network of search directions selects the method of conjugate directions.

    With --tune the method is algebraic multigrid of PyAMG, whose coarsening, threshold of strength
    and sweeps are chosen by features of the matrix and by what earlier solves cost.

    If A is singular (its rows sum to zero, as those of a pressure with Neumann conditions on all
    sides), A x = b has a solution only if b lies in the range of A (its entries sum to zero). b is
    first projected onto that range. If the rest of b, which no x can reach, exceeds RTOL |b|, the
    system is reported as inconsistent.

    The exit status is 1 if the tolerance is not met; the best x found is still written.
    """
    from ..solvers.choice.solve import solve
    from ..solvers.choice.system import System

    tuned = None if tune is None else _tuned(tune, preconditioner, rtol, max_iterations)
    if sys.stdout is None and (list_ or out is None):
        raise ValueError("Standard output is closed, so the result would be lost. Give --out.")
    with _reserved(out):
        csr = read_matrix(matrix)
        modes, places = (_array(path) for path in (near_nullspace, coordinates))
        begin = _seconds()
        system = System.of(csr, near_nullspace=modes, coordinates=places)
        setup = _seconds() - begin
        if list_:
            b = None if rhs is None else read_rhs(rhs, system.size, matrix=matrix)
            _list(system, 1 if b is None else b[..., None].shape[1], json)
            return
        b = read_rhs(matrix if rhs is None else rhs, system.size, matrix=matrix)
        begin = _seconds()
        found = system.found
        log.info("%s", found.reason if found.on_grid else f"no stencil: {found.reason}")
        setup += _seconds() - begin
        method = None if preconditioner is None else _method(preconditioner, system)
        x0 = None if guess is None else _guess(guess, system, b)
        if tuned is not None:
            result = tuned(system, b, x0)
        else:
            result = solve(
                system, b, rtol=rtol, method=method, max_iterations=max_iterations, x0=x0
            )
        if out is not None:
            _write(out, result.x.numpy())
        if tuned is not None and tune is not None:
            tuned.save(tune)
    report = {
        "setup_seconds": setup + result.setup_seconds,
        "solve_seconds": result.solve_seconds,
        "iterations": result.iterations,
        "residual": result.residual,
        "condition": result.condition,
        "converged": result.converged,
        "method": result.method + (f", guess of {guess}" if guess else ""),
        "reason": result.reason,
    }
    if tuned is not None:
        choice = tuned.choices[-1]
        report |= {
            "setting": choice.text,
            "why": choice.reason + (f"; it failed: {choice.failure}" if choice.failure else ""),
            "cost": choice.cost,
        }
    _report(report, str(matrix), json)
    if not result.converged:
        log.warning("not converged: %s", result.reason)
        raise typer.Exit(1)
    log.info("%s", result.reason)


def _tuned(state: Path, method: str | None, rtol: float, limit: int) -> "TunedMultigrid":
    from ..solvers.tuning.tuned_multigrid import TunedMultigrid

    if method is not None:
        raise ValueError(
            f"--tune chooses a setting of algebraic multigrid, --method names another method "
            f"({method}). Omit one of the two."
        )
    if not state.parent.is_dir():
        raise ValueError(f"{state} would lie in a folder that does not exist; choose another file.")
    tuned = TunedMultigrid(rtol=rtol, max_iterations=limit)
    if state.exists():
        tuned.load(state)
    return tuned


def _report(report: dict[str, Any], title: str, as_json: bool) -> None:
    if as_json:
        emit(report, as_json=True)
    else:
        lines = [(key, value, MEANING[key]) for key, value in report.items()]
        rows(("", "", "meaning"), lines, title=title)


def _list(system: "System", num_rhs: int, as_json: bool) -> None:
    from ..solvers.choice.choices import choices

    found = choices(system, num_rhs)
    if as_json:
        keys = ("name", "usable", "reason")
        emit({"choices": [{k: getattr(c, k) for k in keys} for c in found]}, as_json=True)
        return
    default = next(c.name for c in found if c.usable)
    marks = {True: "yes", False: "no"}
    lines = [(c.name, "default" if c.name == default else marks[c.usable], c.reason) for c in found]
    rows(("method", "applies", "why"), lines, title=f"{system.size} unknowns")


def _method(name: str, system: "System") -> "Method":
    """A classical method, or that of a trained network: conjugate gradients, or conjugate
    directions if the network gives search directions."""
    from ..solvers.choice.methods import Method, method_named, names

    if name in names():
        return method_named(name)
    from ..solvers import deep_conjugate_direction
    from ..tasks.preconditioner import NotForCGError
    from ..tasks.preconditioner.named import build, directions

    try:
        M = build(name, system.A, system.found)
        return Method(name, "a trained preconditioner", lambda system: M)
    except NotForCGError:
        net = directions(name, system.found)
        return Method(
            name,
            "a network of search directions",
            lambda system: None,
            run=lambda A, M, b, **options: deep_conjugate_direction(A, b, net, **options),
            run_name="conjugate directions",
        )


def _guess(folder: Path, system: "System", b: Any) -> Any:
    from ..polish import first_guess
    from ..tasks import load_run

    run = load_run(folder, task="supervised")
    if system.found.operator is None:
        raise ValueError(
            f"--guess needs a matrix that is a stencil on a grid, with couplings along its axes; "
            f"this one is not: {system.found.reason}. Omit --guess."
        )
    columns = b.reshape(system.size, -1)
    fields = [
        first_guess(run, system.found.operator, field) for field in system.fields(columns, system.A)
    ]
    import torch

    x = system.columns(torch.stack(fields), system.A).reshape(b.shape)
    return x * 2.0**-system.exponent


def _array(path: Path | None) -> Any:
    if path is None:
        return None
    import numpy as np

    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path} cannot be read as an array of numpy.save: {error}") from None


def _seconds() -> float:
    import time

    from ..kernels.runtime import first_calls

    return time.perf_counter() - first_calls.seconds()


@contextmanager
def _reserved(out: Path | None) -> Iterator[None]:
    """Create the output file before the work, so that a wrong name costs nothing; it is removed if
    nothing is written to it."""
    if out is None:
        yield
        return
    if out.exists() or not out.parent.is_dir():
        why = "exists already" if out.exists() else "would lie in a folder that does not exist"
        raise ValueError(f"{out} {why}; choose another --out.")
    try:
        open(out, "xb").close()
    except OSError as error:
        why = error.strerror or str(error)
        raise ValueError(f"{out} cannot be written: {why}. Choose another --out.") from None
    try:
        yield
    finally:
        if out.stat().st_size == 0:
            out.unlink()


def _write(out: Path, x: Any) -> None:
    import numpy as np

    with open(out, "wb") as file:  # np.save would add .npy to another name
        np.save(file, x)
