"""Small problems that compile the loops of solve, train and data generate (`doctor --compile`)."""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

log = logging.getLogger("pdeops")

SMALL = {"burgers": (257,), "navier_stokes": (32, 32), "shallow_water": (8, 16)}  # nodes per axis
SHORT = {
    "burgers": {"t_end": 0.02, "num_frames": 1},
    "navier_stokes": {"t_end": 0.1, "num_frames": 1},
    "shallow_water": {"t_end": 0.1, "num_frames": 1},
}


def compile_all() -> dict[str, Any]:
    """Run every job; returns the number of functions compiled and the seconds this took.

    Loops that are in the cache are loaded, not compiled.
    """
    from ..kernels.runtime import compiling

    jobs = list(_jobs())
    for k, (name, job) in enumerate(jobs):
        log.info("compiling loops, once: %d of %d, %s", k + 1, len(jobs), name)
        job()
    return {
        "functions": compiling.num_compiled(),
        "seconds": round(compiling.compiling_seconds(), 1),
    }


def _jobs() -> Iterator[tuple[str, Callable[[], object]]]:
    """Names and calls. The sizes suffice for every loop to be called."""
    from ..datasets import DATASETS, EVOLUTIONS, problem_named

    for shape in ((63, 63), (9, 9, 9)):
        axes = f"{len(shape)}D"
        yield f"multigrid for varying coefficients, {axes}", partial(_diffusion, shape)
        yield f"multigrid for constant coefficients, {axes}", partial(_laplacian, shape)
    yield "incomplete Cholesky and successive over-relaxation", _matrix
    yield "a learned preconditioner", _learned
    for name in (*DATASETS, *EVOLUTIONS):
        parameters: dict[str, Any] = {**SHORT.get(name, {})}
        yield f"data generate {name}", partial(_sample, problem_named(name, **parameters))


def _diffusion(shape: tuple[int, ...]) -> None:
    import torch

    from ..domain import Grid
    from ..solvers import Diffusion, recognise

    _solve(recognise(Diffusion(torch.rand(shape).double() + 1, Grid(shape)).to_csr()))


def _laplacian(shape: tuple[int, ...]) -> None:
    from ..domain import Grid
    from ..solvers import Laplacian, recognise

    _solve(recognise(Laplacian(Grid(shape)).to_csr()))


def _solve(found: Any) -> None:
    """Solve a recognised system with its default preconditioner, as `pdeops solve` does."""
    import torch

    from ..solvers.krylov.lanczos import cg_and_condition
    from ..solvers.preconditioners import FOR_STENCILS, default_preconditioner

    A = found.operator
    b = torch.ones(A.grid.shape, dtype=torch.float64)
    M = FOR_STENCILS[default_preconditioner(found)](found)
    cg_and_condition(A, b, M=M)


def _matrix() -> None:
    import torch

    from ..domain import Grid
    from ..solvers import SSOR, IncompleteCholesky, Laplacian, Matrix, cg

    A = Matrix(Laplacian(Grid((9, 9))).to_csr())
    b = torch.ones(A.grid.shape, dtype=torch.float64)
    for M in (IncompleteCholesky(A), SSOR(A, omega=1.5)):
        cg(A, b, M=M)


def _learned() -> None:
    import torch

    from ..domain import Grid
    from ..solvers import Diffusion, cg
    from ..tasks.preconditioner.learned import learned_preconditioner

    A = Diffusion(torch.rand(65, 65).double() + 1, Grid((65, 65)))
    b = torch.ones(A.grid.shape, dtype=torch.float64)
    cg(A, b, M=learned_preconditioner("vcycle_darcy", A))


def _sample(problem: Any) -> None:
    """Generate a sample on a small grid."""
    import tempfile
    from pathlib import Path

    from ..datasets import generate

    with tempfile.TemporaryDirectory() as folder:
        grid = problem.grid(SMALL.get(problem.name, (33,) * problem.ndim))
        generate(problem, grid, num_samples=1, seed=0, out=Path(folder) / "sample.h5")
