"""The classical solvers for comparison with operators."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..datasets.problems.problem import Problem
from ..domain import Boundary, Grid
from ..nearest import did_you_mean
from ..solvers.direct.sparse import regular
from ..solvers.operators.boundary import with_boundary
from ..solvers.result import SolveResult
from .linear_methods import SetUp, number_of_arguments


@dataclass(frozen=True)
class ClassicalMethod:
    """A classical solver to compare with.

    Attributes:
        name: name in tables.
        solve: (problem, x, grid, rtol) -> SolveResult with x of grid.shape.
        set_up: (problem, x, grid) -> anything: the assembly and set-up of `solve`, timed
            separately; None if the method has no set-up.
        iterative: whether it stops at a tolerance; a direct method runs once for all tolerances.
        max_nodes: maximum number of nodes; the method is omitted on larger grids.
    """

    name: str
    solve: Callable[[Problem, Tensor, Grid, float], SolveResult]
    set_up: Callable[[Problem, Tensor, Grid], Any] | None = None
    iterative: bool = True
    max_nodes: int | None = None


def methods_for(problem: Problem) -> list[ClassicalMethod]:
    """The strongest solver of this package for the problem, algebraic multigrid of PyAMG for a
    problem of this package, and scipy's sparse LU.

    With only Neumann sides the matrix is singular; sparse LU does not apply and is omitted.
    """
    if problem.name in STRONGEST:
        found = [STRONGEST[problem.name], PYAMG]
    else:
        found = [ClassicalMethod("classical solver", _problem_solver)]
    return [*found, SPARSE_DIRECT] if Boundary.DIRICHLET in problem.boundary else found


def own_method(set_up: SetUp) -> ClassicalMethod:
    """The classical method of a user's function, with its name in tables.

    The function is the set-up for an assembled matrix (`SetUp`): of a direct method (A, grid), of
    an iteration that stops at a relative residual (A, grid, rtol).

    Raises:
        ValueError: it has neither two nor three arguments.
    """
    number = number_of_arguments(set_up)

    def prepared(problem: Problem, x: Tensor, grid: Grid, rtol: float = 1e-8) -> Any:
        return set_up(regular(problem.operator(x, grid)), grid, *[rtol][: number - 2])

    def solve(problem: Problem, x: Tensor, grid: Grid, rtol: float) -> SolveResult:
        b = problem.rhs(x, grid)
        found = prepared(problem, x, grid, rtol)(b.double().numpy().ravel())
        u, iterations = found if isinstance(found, tuple) else (found, 1)
        inside = torch.as_tensor(u, dtype=torch.float64).reshape(b.shape)
        field, reason = with_boundary(inside, grid), set_up.__name__
        return SolveResult(field, True, int(iterations), [], reason)

    return ClassicalMethod(set_up.__name__, solve, prepared, iterative=number == 3)


def method_name(name: str, names: Sequence[str]) -> str:
    """The classical method that a user names, by its name in tables or that of a scipy function.

    Raises:
        ValueError: there is no such method for the problem.
    """
    found = ALIASES.get(name, name)
    if found not in names:
        raise ValueError(
            f"--against names classical methods of the problem; got {name!r}."
            f"{did_you_mean(name, names)} Choices: {', '.join(names)}, or all."
        )
    return found


def _problem_solver(problem: Problem, x: Tensor, grid: Grid, rtol: float) -> SolveResult:
    return problem.solve(x, grid, rtol)


def _multigrid_cg(problem: Problem, x: Tensor, grid: Grid, rtol: float) -> SolveResult:
    """Assembly, hierarchy and conjugate gradients only."""
    from ..solvers.darcy import multigrid_cg

    result = multigrid_cg(_diffusion(problem, x, grid), problem.rhs(x, grid), rtol)
    return replace(result, x=with_boundary(result.x, grid))


def _pyamg_cg(problem: Problem, x: Tensor, grid: Grid, rtol: float) -> SolveResult:
    """Assembly, hierarchy of PyAMG and conjugate gradients."""
    from ..solvers import cg

    A = problem.operator(x, grid)
    result = cg(A, problem.rhs(x, grid), M=_pyamg(problem, x, grid), rtol=rtol)
    return replace(result, x=with_boundary(result.x, grid))


def _pyamg(problem: Problem, x: Tensor, grid: Grid) -> Any:
    from ..solvers import RugeStueben

    return RugeStueben(problem.operator(x, grid))


def _hierarchy(problem: Problem, x: Tensor, grid: Grid) -> Any:
    """The grids and coefficients of a multigrid cycle."""
    from ..solvers.multigrid.multigrid import Multigrid

    return Multigrid(_diffusion(problem, x, grid))


def _diffusion(problem: Problem, x: Tensor, grid: Grid) -> Any:
    from ..solvers.operators.diffusion import Diffusion

    A = problem.operator(x, grid)
    assert isinstance(A, Diffusion)
    return A


def _sine_transform(problem: Problem, x: Tensor, grid: Grid, rtol: float) -> SolveResult:
    """Only the direct solve; `problem.solve` would also check the residual."""
    from ..solvers.direct.dst import solve_poisson

    u = with_boundary(solve_poisson(problem.rhs(x, grid), grid), grid)
    return SolveResult(x=u, converged=True, iterations=1, residuals=[], reason="direct")


def _sparse_direct(problem: Problem, x: Tensor, grid: Grid, rtol: float) -> SolveResult:
    """scipy's sparse LU of the assembled matrix."""
    from ..solvers.direct.sparse import solve_sparse

    result = solve_sparse(problem.operator(x, grid), problem.rhs(x, grid))
    return replace(result, x=with_boundary(result.x, grid))


def _assembled(problem: Problem, x: Tensor, grid: Grid) -> Any:
    """The sparse matrix, before its factorisation."""
    return problem.operator(x, grid).to_csr()


SPARSE_DIRECT = ClassicalMethod(
    "sparse direct", _sparse_direct, _assembled, iterative=False, max_nodes=70_000
)
PYAMG = ClassicalMethod("PyAMG RS+CG", _pyamg_cg, _pyamg)
STRONGEST = {
    "darcy": ClassicalMethod("multigrid-CG", _multigrid_cg, _hierarchy),
    "poisson": ClassicalMethod("sine transform", _sine_transform, iterative=False),
}
# Functions of scipy -> the method that calls them.
ALIASES = {"spsolve": SPARSE_DIRECT.name, "splu": SPARSE_DIRECT.name}
