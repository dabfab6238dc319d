"""Incomplete Cholesky, SSOR and Gauss-Seidel beside what scipy and PyAMG have.

-div(a grad u) = 1 on the unit square, u = 0 on its sides, a in {3, 12}, 255 x 255 unknowns, in
float64 to 1e-8. Set-up and solution apart, both from A and its matrix; medians of sides taken in
turns.

scipy's `spilu` is not symmetric, so it preconditions BiCGStab; PyAMG's symmetric Gauss-Seidel is
SSOR with ω = 1. Our sweeps look at the residual after each, PyAMG's do not.

python -m benchmarks.classical: print, and write results/classical.csv.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from pdeops.solvers import SSOR, Diffusion, IncompleteCholesky, Multigrid, cg, sor

from . import results_file
from .bench import RESULTS, machine
from .solvers import darcy

N, RTOL, REPEATS, SWEEPS = 255, 1e-8, 5, 500


class Problem(NamedTuple):
    """A with its matrix, and b as field and vector."""

    A: Diffusion
    matrix: Any
    b: torch.Tensor
    vector: np.ndarray


class Way(NamedTuple):
    """One method.

    Attributes:
        setup: from the problem to what `solve` wants beside it.
        solve: x as a vector, and the iterations.
        against: the row that it is compared with, by set-up and solution; none for a peer.
    """

    setup: Callable[[Problem], Any]
    solve: Callable[[Problem, Any], tuple[np.ndarray, int]]
    against: str = ""


def by_cg(p: Problem, M: Any) -> tuple[np.ndarray, int]:
    result = cg(p.A, p.b, M=M, rtol=RTOL, max_iterations=3000)
    return result.x.numpy().ravel(), result.iterations


def by_sweeps(p: Problem, _: None) -> tuple[np.ndarray, int]:
    result = sor(p.A, p.b, omega=1.0, rtol=1e-15, max_iterations=SWEEPS)
    return result.x.numpy().ravel(), result.iterations


def by_scipy(method: str) -> Callable[[Problem, Any], tuple[np.ndarray, int]]:
    def solve(p: Problem, M: Any) -> tuple[np.ndarray, int]:
        import scipy.sparse.linalg

        count = 0

        def one_more(_: Any) -> None:
            nonlocal count
            count += 1

        run = getattr(scipy.sparse.linalg, method)
        x, _ = run(p.matrix, p.vector, rtol=RTOL, maxiter=3000, M=M, callback=one_more)
        return x, count

    return solve


def spilu(p: Problem) -> Any:
    from scipy.sparse.linalg import LinearOperator, spilu

    factor = spilu(p.matrix.tocsc(), fill_factor=3)
    return LinearOperator(p.matrix.shape, factor.solve, dtype=p.vector.dtype)


def symmetric_gauss_seidel(p: Problem) -> Any:
    """From zero, forwards and back."""
    from pyamg.relaxation.relaxation import gauss_seidel
    from scipy.sparse.linalg import LinearOperator

    def apply(r: np.ndarray) -> np.ndarray:
        x = np.zeros_like(r)
        gauss_seidel(p.matrix, x, r, sweep="symmetric")
        return x

    return LinearOperator(p.matrix.shape, apply, dtype=p.vector.dtype)


def by_pyamg_sweeps(p: Problem, _: None) -> tuple[np.ndarray, int]:
    from pyamg.relaxation.relaxation import gauss_seidel

    x = np.zeros_like(p.vector)
    gauss_seidel(p.matrix, x, p.vector, iterations=SWEEPS)
    return x, SWEEPS


SPILU, TWIN = "scipy spilu, BiCGStab", "PyAMG symmetric Gauss-Seidel, scipy CG"
PYAMG = f"PyAMG Gauss-Seidel, {SWEEPS} sweeps"
WAYS = {
    "CG": Way(lambda p: None, by_cg, "scipy CG"),
    "scipy CG": Way(lambda p: None, by_scipy("cg")),
    "IC(0), CG": Way(lambda p: IncompleteCholesky(p.A), by_cg, SPILU),
    "MIC(0) 0.99, CG": Way(lambda p: IncompleteCholesky(p.A, modified=0.99), by_cg, SPILU),
    SPILU: Way(spilu, by_scipy("bicgstab")),
    "SSOR ω = 1, CG": Way(lambda p: SSOR(p.A, 1.0), by_cg, TWIN),
    "SSOR ω = 1.95, CG": Way(lambda p: SSOR(p.A, 1.95), by_cg, TWIN),
    TWIN: Way(symmetric_gauss_seidel, by_scipy("cg")),
    f"Gauss-Seidel, {SWEEPS} sweeps": Way(lambda p: None, by_sweeps, PYAMG),
    PYAMG: Way(lambda p: None, by_pyamg_sweeps),
    "multigrid-CG": Way(lambda p: Multigrid(p.A), by_cg),
}


def problem() -> Problem:
    from scipy.sparse import csr_matrix

    k, f, grid = darcy(N + 2, 3.0, 12.0)
    A, b = Diffusion(k, grid), f[1:-1, 1:-1].contiguous()
    return Problem(A, csr_matrix(A.to_csr()), b, b.numpy().ravel())


def measure() -> list[dict[str, str]]:
    """A row for each method; the residual is the true one."""
    p = problem()
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    ends: dict[str, tuple[np.ndarray, int]] = {}
    for turn in range(REPEATS + 1):
        for name, way in WAYS.items():
            start = time.perf_counter()
            M = way.setup(p)
            middle = time.perf_counter()
            ends[name] = way.solve(p, M)
            if turn > 0:  # the first compiles
                seconds[name].append((middle - start, time.perf_counter() - middle))
    medians = {
        name: tuple(statistics.median(s) for s in zip(*pairs, strict=True))
        for name, pairs in seconds.items()
    }
    rows = []
    for name, way in WAYS.items():
        (setup, solve), (x, iterations) = medians[name], ends[name]
        residual = np.linalg.norm(p.vector - p.matrix @ x) / np.linalg.norm(p.vector)
        peer = sum(medians[way.against]) if way.against else None
        rows.append(
            {
                "method": name,
                "setup_s": f"{setup:.3e}",
                "solve_s": f"{solve:.3e}",
                "iterations": str(iterations),
                "residual": f"{residual:.1e}",
                "times_faster": f"{peer / (setup + solve):.2f}" if peer else "",
                "than": way.against,
            }
        )
    return rows


def main(folder: Path = RESULTS) -> None:
    torch.set_num_threads(1)
    rows = [{**row, "repeats": REPEATS, "threads": 1, **machine()} for row in measure()]
    for row in rows:
        print("  ".join(str(row[key]) for key in list(row)[:7]))
    results_file.write(folder / "classical.csv", rows)


if __name__ == "__main__":
    main()
