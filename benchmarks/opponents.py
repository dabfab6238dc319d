"""Solvers of symmetric positive definite systems by others: direct and algebraic multigrid.

`OPPONENTS` is the table. Each entry maps a matrix in memory to x in two phases, set-up (conversion,
analysis, factorisation or hierarchy) and solution, in float64 and with options that its manual
recommends. This module imports no torch, so that the process of an opponent holds nothing else.

    CHOLMOD       supernodal Cholesky factorisation (Chen, Davis, Hager & Rajamanickam 2008)
    PARDISO       Cholesky factorisation of Intel's MKL
    BoomerAMG     CG with classical algebraic multigrid of hypre (Henson & Yang 2002); threshold of
                  strong couplings 0.25 in two dimensions and 0.5 in three, as its manual advises
    RS+CG, SA+CG  CG with Ruge-Stüben or smoothed aggregation of PyAMG, with the near-null space
                  where it is known
    splu          SuperLU in symmetric mode and minimum-degree order

A singular matrix is first made regular (`grounded`): without this, CG with any of the hierarchies
stops at residuals of 1e-8 on pressure matrices.

The first three are in polyfem-polysolve. Parts of it are under the GPL, so it is used in benchmarks
only. It holds a copy of OpenMP and MKL of its own, which read OMP_NUM_THREADS and MKL_NUM_THREADS
when they are loaded: `limit_threads` comes first.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import scipy.sparse

THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS",
)  # fmt: skip
MAX_ITERATIONS = 1000
LARGEST_3D = 100_000  # unknowns of a three-dimensional matrix that direct methods still factorise


class Found(NamedTuple):
    """A solution.

    Attributes:
        x: of the shape of b.
        iterations: zero for a direct method.
        method: the method that was chosen, where the solver chooses.
        setup_share: the part of the seconds of this call that was set-up.
    """

    x: np.ndarray
    iterations: int = 0
    method: str = ""
    setup_share: float = 0.0


# b of shape (unknowns,) -> x. Where a solver takes several right-hand sides together, b may have
# the shape (unknowns, number).
Solve = Callable[[np.ndarray], Found]


@dataclass(frozen=True, eq=False)
class Given:
    """What a solver receives.

    Attributes:
        A: the matrix, in CSR and float64.
        rtol: relative residual to reach, |b - A x| <= rtol |b|.
        ndim: number of space dimensions.
        singular: whether constants (on rows that are not empty) are in the kernel of A.
        near_null_space: vectors of small energy, (unknowns, number): constants by default.
        components: unknowns per node.
        coordinates: (nodes, ndim), None where they are not known.
    """

    A: "scipy.sparse.csr_matrix"
    rtol: float
    ndim: int
    singular: bool = False
    near_null_space: np.ndarray | None = None
    components: int = 1
    coordinates: np.ndarray | None = None


@dataclass(frozen=True)
class Opponent:
    """A solver by others.

    Attributes:
        package: the package to import; the distribution may have another name.
        set_up: what is given -> the solution of one right-hand side.
        direct: whether it factorises A, and so needs a regular A.
        together: whether `solve` takes several right-hand sides at once.
    """

    package: str
    set_up: Callable[[Given], Solve]
    direct: bool = False
    together: bool = False

    def start(self, given: Given) -> Solve:
        """The set-up, of a regular matrix in the place of a singular one."""
        return grounded(given, self.set_up) if given.singular else self.set_up(given)

    def why_not(self, given: Given, largest_3d: int = LARGEST_3D) -> str:
        """Why the method is not run on this matrix; empty where it is."""
        if not self.direct:
            return ""
        if given.singular:
            return "not run: A is singular"
        unknowns = given.A.shape[0]
        if given.ndim == 3 and unknowns > largest_3d:
            return f"not run: {unknowns:,} unknowns in 3D fill the factor"
        return ""


def grounded(given: Given, set_up: Callable[[Given], Solve]) -> Solve:
    """The set-up for the rows that are not empty, with the first diagonal entry doubled.

    These rows of A sum to zero. Where b does too, the sum of all equations is a_00 x_0 = 0, so that
    x is the solution of A x = b that is zero at the first node.
    """
    import scipy.sparse

    active = given.A.diagonal() != 0
    A = scipy.sparse.csr_matrix(given.A[active][:, active])
    first = A.indices[: A.indptr[1]] == 0
    A.data[: A.indptr[1]][first] *= 2
    near = given.near_null_space
    regular = replace(
        given, A=A, singular=False, near_null_space=None if near is None else near[active]
    )
    solve = set_up(regular)

    def extended(b: np.ndarray) -> Found:
        found, x = solve(b[active]), np.zeros_like(b)
        x[active] = found.x
        return found._replace(x=x)

    return extended


def limit_threads(count: int) -> None:
    """Number of threads of OpenMP, MKL, OpenBLAS and numba in libraries that are loaded later."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(count)))


def polysolve(options: dict[str, Any]) -> Callable[[Given], Solve]:
    """A solver of polyfem-polysolve with these options."""

    def set_up(given: Given) -> Solve:
        import scipy.sparse

        try:
            import polysolve
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "CHOLMOD and BoomerAMG need polyfem-polysolve: pip install -e '.[bench]'."
            ) from error

        A = scipy.sparse.csc_matrix(given.A)
        solver = polysolve.LinearSolver(options, polysolve.LogLevel.off)
        solver.analyze_pattern(A)
        solver.factorise(A)

        def solve(b: np.ndarray) -> Found:
            return Found(solver.solve(b), int(solver.info().get("num_iterations", 0)))

        return solve

    return set_up


def boomeramg(given: Given) -> Solve:
    """CG with BoomerAMG. `dimension` stays unset: it selects coarsening by components, and takes
    446 iterations instead of 19 where it is set to 2 for a scalar equation."""
    options = {
        "tolerance": given.rtol,
        "max_iter": MAX_ITERATIONS,
        "theta": 0.5 if given.ndim == 3 else 0.25,
    }
    return polysolve({"solver": "Hypre", "Hypre": options})(given)


def pyamg_cg(levels: Any, rtol: float) -> Solve:
    """CG with one V-cycle of this hierarchy per iteration."""

    def solve(b: np.ndarray) -> Found:
        residuals: list[float] = []
        x = levels.solve(b, tol=rtol, accel="cg", maxiter=MAX_ITERATIONS, residuals=residuals)
        return Found(x, len(residuals) - 1)

    return solve


def ruge_stueben(given: Given) -> Solve:
    import pyamg
    import scipy.sparse

    levels = pyamg.ruge_stuben_solver(scipy.sparse.csr_matrix(given.A))
    return pyamg_cg(levels, given.rtol)


def smoothed_aggregation(given: Given) -> Solve:
    """By blocks of the unknowns of a node, as PyAMG's manual does for elasticity."""
    import pyamg
    import scipy.sparse

    A: Any = scipy.sparse.csr_matrix(given.A)
    if given.components > 1:
        A = A.tobsr((given.components, given.components))
    levels = pyamg.smoothed_aggregation_solver(A, B=given.near_null_space)
    return pyamg_cg(levels, given.rtol)


def symmetric_lu(given: Given) -> Solve:
    import scipy.sparse
    from scipy.sparse.linalg import splu

    lu = splu(
        scipy.sparse.csc_matrix(given.A),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    return lambda b: Found(lu.solve(b))


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of OpenMP and of MKL in libraries that are loaded inside the block."""
    before = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    os.environ.update(dict.fromkeys(before, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            os.environ.update({} if value is None else {name: value})


def cholmod(A: "scipy.sparse.csr_array", grid: Any) -> Callable[[np.ndarray], np.ndarray]:
    """CHOLMOD for `--solver benchmarks/opponents.py:cholmod` of `pdeops compare` and `pdeops
    evaluate`, with one thread."""
    solve = _started("CHOLMOD", A, grid, 0.0)
    return lambda b: solve(b).x


def boomeramg_cg(
    A: "scipy.sparse.csr_array", grid: Any, rtol: float
) -> Callable[[np.ndarray], tuple[np.ndarray, int]]:
    """CG with BoomerAMG for `--solver benchmarks/opponents.py:boomeramg_cg`."""
    solve = _started("BoomerAMG+CG", A, grid, rtol)
    return lambda b: solve(b)[:2]


def _started(name: str, A: "scipy.sparse.csr_array", grid: Any, rtol: float) -> Solve:
    import scipy.sparse

    with one_thread():
        return OPPONENTS[name].set_up(Given(scipy.sparse.csr_matrix(A), rtol, grid.ndim))


OPPONENTS = {
    "CHOLMOD": Opponent(
        "polysolve", polysolve({"solver": "Eigen::CholmodSupernodalLLT"}), direct=True
    ),
    "BoomerAMG+CG": Opponent("polysolve", boomeramg),
    "PARDISO": Opponent("polysolve", polysolve({"solver": "Eigen::PardisoLLT"}), direct=True),
    "PyAMG RS+CG": Opponent("pyamg", ruge_stueben),
    "PyAMG SA+CG": Opponent("pyamg", smoothed_aggregation),
    "scipy splu": Opponent("scipy", symmetric_lu, direct=True, together=True),
}
