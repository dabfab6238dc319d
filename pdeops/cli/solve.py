"""`pdeops solve`: solve a linear system from files by preconditioned conjugate gradients."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from .linear_system import read_matrix, read_rhs
from .output import Json, emit

if TYPE_CHECKING:
    import scipy.sparse

    from ..linop import LinearOperator
    from ..solvers import Matrix
    from ..solvers.operators.recognise import Structure

log = logging.getLogger("pdeops")


def command(
    matrix: Annotated[
        Path,
        typer.Option(help="File of A, from scipy.sparse.save_npz or in Matrix Market (.mtx)."),
    ],
    rhs: Annotated[
        Path,
        typer.Option(
            help="File of b: .npy, Matrix Market, or .bin (a uint64 count N, then N float64 "
            "numbers)."
        ),
    ],
    preconditioner: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|RUN",
            help="Preconditioner. multigrid, elimination: stencils on a grid (elimination removes "
            "ghost rows first). amg, ic0, ssor, jacobi, none: any matrix. Also the name of shipped "
            "weights, or the folder or checkpoint of a trained run. Default: the best classical "
            "preconditioner for the matrix.",
        ),
    ] = None,
    rtol: Annotated[
        float, typer.Option(help="Relative tolerance: stop when |b - A x| <= RTOL |b|.")
    ] = 1e-8,
    max_iterations: Annotated[int, typer.Option(help="Maximum number of iterations.")] = 1000,
    guess: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Trained operator whose prediction is the initial guess."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Output file for x (.npy); must not exist.")
    ] = None,
    json: Json = False,
) -> None:
    """Solve A x = b for a symmetric positive definite A by preconditioned conjugate gradients.

    If A is a finite-difference stencil on a grid, the solver recognises the stencil and works
    matrix-free. If A is singular, b is first projected onto the range of A. A preconditioner that
    is a network of search directions selects the method of conjugate directions.

    The exit status is 1 if the tolerance is not met; the best x found is still written.
    """
    import numpy as np
    import torch

    from ..solvers import recognise
    from ..solvers.preconditioners import default_preconditioner
    from ..tasks import load_run

    if out is not None and (out.exists() or not out.parent.is_dir()):
        why = "exists already" if out.exists() else "would lie in a folder that does not exist"
        raise ValueError(f"{out} {why}; choose another --out.")
    csr = read_matrix(matrix)
    vector = torch.from_numpy(read_rhs(rhs, csr.shape[0]))
    run = None if guess is None else load_run(guess, task="supervised")
    _small(2)

    begin = time.perf_counter()
    found = recognise(csr)
    log.info("%s", found.reason if found.operator else f"no stencil: {found.reason}")
    A = found.operator or as_matrix(csr)
    set_up = time.perf_counter() - begin
    name = preconditioner or default_preconditioner(found)
    _warm_up(name, A)
    begin = time.perf_counter()
    method = _method(name, A, found)
    set_up += time.perf_counter() - begin
    log.info("A: %s", A)
    log.info("M: %s", method.M)

    b = vector.reshape(A.grid.shape)
    begin = time.perf_counter()
    x0 = None if run is None else _guess(run, found, b)
    result, condition = method.solve(b, x0=x0, rtol=rtol, max_iterations=max_iterations)
    seconds = time.perf_counter() - begin
    if out is not None:
        with open(out, "wb") as file:  # np.save would add .npy to another name
            np.save(file, result.x.numpy().ravel())
    report = {
        "setup_seconds": set_up,
        "solve_seconds": seconds,
        "iterations": result.iterations,
        "residual": result.residual,
        "condition": condition,
        "converged": result.converged,
        "method": f"{method.name}, {name}" + (f", guess of {guess}" if guess else ""),
    }
    emit(report, as_json=json, title=str(matrix))
    if not result.converged:
        log.warning("not converged: %s", result.reason)
        raise typer.Exit(1)
    log.info("%s", result.reason)


class _Method(NamedTuple):
    """A solution method; `solve` maps (b, ...) to the result and the condition number of M A, or
    to None for the latter if the method does not estimate it."""

    name: str
    M: Any
    solve: Callable[..., tuple[Any, float | None]]


def _method(name: str, A: "LinearOperator", found: "Structure") -> _Method:
    """Conjugate gradients, or conjugate directions if M is a network of search directions."""
    from ..solvers import deep_conjugate_direction
    from ..solvers.krylov.lanczos import cg_and_condition
    from ..tasks.preconditioner import NotForCGError
    from ..tasks.preconditioner.named import build, directions

    try:
        M = build(name, A, found)
    except NotForCGError:
        net = directions(name, found)
        return _Method(
            "conjugate directions",
            f"{name}, a network of directions",
            lambda b, **options: (deep_conjugate_direction(A, b, net, **options), None),
        )
    return _Method("conjugate gradients", M, partial(cg_and_condition, A, M=M))


def as_matrix(csr: "scipy.sparse.csr_array") -> "Matrix":
    """The matrix as a symmetric positive (semi)definite operator for conjugate gradients.

    Raises:
        ValueError: the matrix is not symmetric, or a diagonal entry is negative.
    """
    from ..solvers import Matrix

    A = Matrix(csr)
    lowest = csr.diagonal().min()
    if not A.symmetric or lowest < 0:
        gap = abs(csr - csr.T).max() / abs(csr).max()
        why = f"its smallest diagonal entry is {lowest:.3g}"
        if not A.symmetric:
            why = f"|A - Aᵀ| is {gap:.1e} of its largest entry"
        raise ValueError(
            f"Conjugate gradients need a symmetric positive definite matrix; {why}. Use "
            f"scipy.sparse.linalg.gmres or minres, or solvers.bicgstab(Matrix(A), b)."
        )
    if not (A.positive_definite or A.semidefinite):
        log.info("Assuming A is positive definite; its entries do not prove it.")
        A = Matrix(csr, positive_definite=True)
    return A


def _guess(run: Any, found: "Structure", b: Any) -> Any:
    from ..polish import first_guess

    if found.operator is None:
        raise ValueError(
            f"--guess needs a matrix that is a stencil on a grid; this one is not: "
            f"{found.reason}. Omit --guess."
        )
    return first_guess(run, found.operator, b)


def _warm_up(name: str, A: "LinearOperator") -> None:
    """Solve a small system of A's kind, so that timings exclude one-time loading and
    compilation."""
    import torch

    from ..solvers import Matrix

    found = _small(A.grid.ndim)
    small: Any = found.operator
    small = Matrix(small.to_csr()) if isinstance(A, Matrix) else small
    with suppress(ValueError):  # the solve of A raises the same error
        b = torch.ones(small.grid.shape, dtype=torch.float64)
        _method(name, small, found).solve(b)


def _small(ndim: int) -> "Structure":
    from ..domain import Grid
    from ..solvers import Laplacian, recognise

    return recognise(Laplacian(Grid((8,) * ndim)).to_csr())
