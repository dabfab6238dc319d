"""Incomplete Cholesky, SSOR and Gauss-Seidel compared with their counterparts in scipy and PyAMG.

-div(a grad u) = 1 on the unit square, u = 0 on its sides, a in {3, 12}, 255 x 255 unknowns, in
float64 to 1e-8. Set-up and solution are timed separately, both from A and its matrix; figures are
medians over rounds in which each method has one turn.

scipy's `spilu` is not symmetric, so it preconditions BiCGStab; PyAMG's symmetric Gauss-Seidel is
SSOR with ω = 1. Our sweeps compute the residual after each sweep, PyAMG's do not.

python -m benchmarks.classical: print, and write results/classical.csv.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pdeops.compare.linear_methods import LinearMethod, LinearSystem, conjugate
from pdeops.compare.linear_methods import measure as measure_methods
from pdeops.compare.tables import write_csv
from pdeops.solvers import SSOR, Diffusion, IncompleteCholesky, Multigrid, SolveResult, sor

from .bench import RESULTS, machine
from .solvers import darcy

N, RTOL, MAX_ITERATIONS, REPEATS, SWEEPS = 255, 1e-8, 3000, 5, 500


@dataclass(frozen=True, eq=False)
class Problem(LinearSystem):
    """A linear system with its matrix, and b as a vector."""

    matrix: Any
    vector: np.ndarray


@dataclass(frozen=True)
class Compared(LinearMethod[Problem]):
    """A method and the peer whose set-up and solution it is compared with; a peer has none."""

    against: str = ""


def result_of(p: Problem, x: np.ndarray, iterations: int, reason: str) -> SolveResult:
    """The result of a peer; its residual is computed when the table is made."""
    return SolveResult(torch.from_numpy(x).reshape(p.b.shape), True, iterations, [], reason)


def by_sweeps(p: Problem, _: None) -> SolveResult:
    """A fixed number of sweeps, whatever the residual."""
    result = sor(p.A, p.b, omega=1.0, rtol=1e-15, max_iterations=SWEEPS)
    result.converged = True
    return result


def by_scipy(method: str) -> Callable[[Problem, Any], SolveResult]:
    """The Krylov method of this name in `scipy.sparse.linalg`."""

    def solve(p: Problem, M: Any) -> SolveResult:
        import scipy.sparse.linalg

        count = 0

        def one_more(_: Any) -> None:
            nonlocal count
            count += 1

        run = getattr(scipy.sparse.linalg, method)
        goal = {"rtol": p.rtol, "maxiter": p.max_iterations}
        x, _ = run(p.matrix, p.vector, M=M, callback=one_more, **goal)
        return result_of(p, x, count, method)

    return solve


def spilu(p: Problem) -> Any:
    from scipy.sparse.linalg import LinearOperator, spilu

    factor = spilu(p.matrix.tocsc(), fill_factor=3)
    return LinearOperator(p.matrix.shape, factor.solve, dtype=p.vector.dtype)


def symmetric_gauss_seidel(p: Problem) -> Any:
    """One forward and one backward sweep, from zero."""
    from pyamg.relaxation.relaxation import gauss_seidel
    from scipy.sparse.linalg import LinearOperator

    def apply(r: np.ndarray) -> np.ndarray:
        x = np.zeros_like(r)
        gauss_seidel(p.matrix, x, r, sweep="symmetric")
        return x

    return LinearOperator(p.matrix.shape, apply, dtype=p.vector.dtype)


def by_pyamg_sweeps(p: Problem, _: None) -> SolveResult:
    from pyamg.relaxation.relaxation import gauss_seidel

    x = np.zeros_like(p.vector)
    gauss_seidel(p.matrix, x, p.vector, iterations=SWEEPS)
    return result_of(p, x, SWEEPS, "sweeps")


SPILU, TWIN = "scipy spilu, BiCGStab", "PyAMG symmetric Gauss-Seidel, scipy CG"
PYAMG = f"PyAMG Gauss-Seidel, {SWEEPS} sweeps"
METHODS = {
    "CG": Compared(lambda p: None, conjugate, against="scipy CG"),
    "scipy CG": Compared(lambda p: None, by_scipy("cg")),
    "IC(0), CG": Compared(lambda p: IncompleteCholesky(p.A), conjugate, against=SPILU),
    "MIC(0) 0.99, CG": Compared(
        lambda p: IncompleteCholesky(p.A, modified=0.99), conjugate, against=SPILU
    ),
    SPILU: Compared(spilu, by_scipy("bicgstab")),
    "SSOR ω = 1, CG": Compared(lambda p: SSOR(p.A, 1.0), conjugate, against=TWIN),
    "SSOR ω = 1.95, CG": Compared(lambda p: SSOR(p.A, 1.95), conjugate, against=TWIN),
    TWIN: Compared(symmetric_gauss_seidel, by_scipy("cg")),
    f"Gauss-Seidel, {SWEEPS} sweeps": Compared(lambda p: None, by_sweeps, against=PYAMG),
    PYAMG: Compared(lambda p: None, by_pyamg_sweeps),
    "multigrid-CG": Compared(lambda p: Multigrid(p.A), conjugate),
}


def problem() -> Problem:
    from scipy.sparse import csr_matrix

    k, f, grid = darcy(N + 2, 3.0, 12.0)
    A, b = Diffusion(k, grid), f[1:-1, 1:-1].contiguous()
    return Problem(A, b, RTOL, MAX_ITERATIONS, csr_matrix(A.to_csr()), b.numpy().ravel())


def measure() -> list[dict[str, str]]:
    """A row for each method, with the true residual."""
    p = problem()
    tallies = measure_methods(METHODS, lambda _: p, turns=REPEATS)
    rows = []
    for name, tally in tallies.items():
        assert tally.result is not None, tally.failure
        x, against = tally.result.x.numpy().ravel(), METHODS[name].against
        residual = np.linalg.norm(p.vector - p.matrix @ x) / np.linalg.norm(p.vector)
        faster = tallies[against].seconds(1) / tally.seconds(1) if against else None
        rows.append(
            {
                "method": name,
                "setup_s": f"{tally.setup:.3e}",
                "solve_s": f"{tally.solve:.3e}",
                "iterations": str(tally.result.iterations),
                "residual": f"{residual:.1e}",
                "times_faster": "" if faster is None else f"{faster:.2f}",
                "than": against,
            }
        )
    return rows


def main(folder: Path = RESULTS) -> None:
    torch.set_num_threads(1)
    rows = [{**row, "repeats": REPEATS, "threads": 1, **machine()} for row in measure()]
    for row in rows:
        print("  ".join(str(row[key]) for key in list(row)[:7]))
    write_csv(folder / "classical.csv", rows)


if __name__ == "__main__":
    main()
