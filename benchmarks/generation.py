"""Generation of one Darcy sample, from random numbers to solution, compared with SciPy and PyAMG.

Both sides draw the same permeability, assemble the same equations and solve them to 1e-10. Each
call makes another sample.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import torch
from torch import Tensor

from pdeops.datasets import Darcy
from pdeops.domain import Grid
from pdeops.solvers import with_boundary

from .bench import Bench

RTOL = 1e-10


@dataclass
class Generation:
    """The problem, its grid, and for each side the number of its next sample."""

    problem: Darcy
    grid: Grid
    ours: count = field(default_factory=count)
    theirs: count = field(default_factory=count)


def generation(kind: str, n: int) -> Generation:
    problem = Darcy(kind)
    return Generation(problem, problem.grid((n, n)))


def generate(state: Generation) -> Tensor:
    """Our side: field, couplings, hierarchy, conjugate gradients."""
    x = state.problem.sample_input(state.grid, 0, next(state.ours))
    result = state.problem.solve(x, state.grid, rtol=RTOL)
    assert result.converged, result
    return result.x


def through_matrix(solve: Callable[[Any, Any], Any]) -> Callable[[Generation], Tensor]:
    """The other side: the same sample by field, sparse matrix and `solve(A, b)`."""

    def work(state: Generation) -> Tensor:
        problem, grid = state.problem, state.grid
        x = problem.sample_input(grid, 0, next(state.theirs))
        A, b = problem.operator(x, grid).to_csr(), problem.rhs(x, grid).numpy().ravel()
        u = torch.from_numpy(solve(A, b)).reshape(grid.interior.shape)
        return with_boundary(u, grid)

    return work


def spsolve(A: Any, b: Any) -> Any:
    """SuperLU with its default ordering (COLAMD)."""
    from scipy.sparse.linalg import spsolve

    return spsolve(A.tocsc(), b)


def ruge_stueben_cg(A: Any, b: Any) -> Any:
    """PyAMG's classical multigrid with its defaults, as preconditioner of conjugate gradients."""
    import numpy as np
    from pyamg import ruge_stuben_solver

    x = ruge_stuben_solver(A).solve(b, tol=RTOL, accel="cg")
    assert np.linalg.norm(b - A @ x) <= 1.01 * RTOL * np.linalg.norm(b)
    return x


def bench(name: str, solve: Callable[[Any, Any], Any], label: str) -> Bench:
    return Bench(
        name=f"generate_darcy421_{name}",
        size="one sample of darcy piecewise, 421 x 421 nodes: field, assembly, solve to 1e-10",
        dtype="float64",
        setup=lambda: generation("piecewise", 421),
        work=generate,
        reference=through_matrix(solve),
        work_name="multigrid-CG (numba)",
        reference_name=label,
        tolerance=1e-8,
    )


BENCHES = [
    bench("spsolve", spsolve, "scipy spsolve (COLAMD)"),
    bench("pyamg", ruge_stueben_cg, "PyAMG Ruge-Stueben, CG"),
]
