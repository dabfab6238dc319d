"""Small problems that compile the loops of solve, train and data generate (`doctor --compile`)."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
        with _silent():
            job()
    return {
        "functions": compiling.num_compiled(),
        "seconds": round(compiling.compiling_seconds(), 1),
    }


@contextmanager
def _silent() -> Iterator[None]:
    """A context in which the log has warnings and progress only, not what each solve reports."""

    def wanted(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING or record.module == "progress"

    log.addFilter(wanted)
    try:
        yield
    finally:
        log.removeFilter(wanted)


def _jobs() -> Iterator[tuple[str, Callable[[], object]]]:
    """Names and calls. The sizes suffice for every loop to be called."""
    from ..datasets import DATASETS, EVOLUTIONS, problem_named

    yield "transforms for constant couplings", _laplacian
    for shape in ((63, 63), (9, 9, 9)):
        axes = f"{len(shape)}D"
        yield f"multigrid for varying coefficients, {axes}", partial(_diffusion, shape)
        yield f"multigrid for finite elements, {axes}", partial(_elements, shape)
        yield f"multigrid for constant coefficients, {axes}", partial(_constant, shape)
    yield "algebraic multigrid, incomplete Cholesky and over-relaxation", _matrix
    yield "a learned preconditioner", _learned
    for name in (*DATASETS, *EVOLUTIONS):
        parameters: dict[str, Any] = {**SHORT.get(name, {})}
        yield f"data generate {name}", partial(_sample, problem_named(name, **parameters))


def _laplacian() -> None:
    from ..domain import Grid
    from ..solvers import Laplacian

    _solve(Laplacian(Grid((9, 9))).to_csr())


def _diffusion(shape: tuple[int, ...]) -> None:
    import torch

    from ..domain import Grid
    from ..solvers import Diffusion

    _solve(Diffusion(torch.rand(shape).double() + 1, Grid(shape)).to_csr())


def _elements(shape: tuple[int, ...]) -> None:
    """Bilinear or trilinear finite elements: tensor products of stiffness and mass matrices."""
    from functools import reduce

    import scipy.sparse

    def line(n: int, stencil: tuple[float, float, float]) -> Any:
        return scipy.sparse.diags_array(stencil, offsets=(-1, 0, 1), shape=(n, n))

    _solve(
        sum(
            reduce(
                scipy.sparse.kron,
                [
                    line(n, (-1.0, 2.0, -1.0) if a == axis else (1.0, 4.0, 1.0))
                    for a, n in enumerate(shape)
                ],
            )
            for axis in range(len(shape))
        )
    )


def _constant(shape: tuple[int, ...]) -> None:
    from ..domain import Grid
    from ..solvers import Laplacian

    _solve(Laplacian(Grid(shape)).to_csr(), method="multigrid")


def _solve(A: Any, method: str | None = None) -> None:
    import numpy as np

    from ..solvers import solve

    solve(A, np.ones(A.shape[0]), method=method)


def _matrix() -> None:
    """Enough rows for two levels; only a large matrix is brought into another order by itself."""
    from ..domain import Grid
    from ..kernels import amg
    from ..solvers import Laplacian

    A = Laplacian(Grid((25, 25))).to_csr()
    for method in ("ruge_stueben", "smoothed_aggregation", "ic0", "ssor"):
        _solve(A, method)
    amg.near(amg.arrays_of(A), 0.0)


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
