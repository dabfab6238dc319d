"""python -m benchmarks.gaussian_process line square: the spectral-mixture solver and opponents.

Each row is one kernel for one manufactured problem, with its relative L² error at points between
the nodes, and the least cost of Chebyshev collocation (and in one dimension of second-order finite
differences) with at most that error, or 1e-12 where the error is smaller. `published` is the least
squares of the reference in coefficients of k(x - x_i), with the same kernel. Times are medians of
processor time with one thread, float64, the calls in turn; they contain everything from the
functions to the values at the nodes. `first` times one call in a new process instead.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from pdeops.compare.tables import write_csv
from pdeops.compare.timing import time_calls
from pdeops.solvers import (
    GaussianMixture,
    SecondOrder,
    StudentMixture,
    solve_on_interval,
    solve_on_rectangle,
)

from .bench import RESULTS, machine

POISSON = SecondOrder(a=1.0)
LEAST = 1e-12  # a classical solver need not be better than this
Function = Callable[..., Any]


@dataclass(frozen=True)
class Problem:
    """u'' + g(u) = f on (0, L), with a reaction of Allen and Cahn or none, or Δu = f on (0, L)².

    Attributes:
        u, f: functions of tensors.
        highest: highest frequency of the dictionary, in cycles per unit.
        nodes: those of the kernel solvers per axis.
    """

    name: str
    extent: float
    u: Function
    f: Function
    highest: float
    nodes: int
    allen_cahn: bool = False
    dimension: int = 1

    def error(self, values: Tensor, *points: Tensor) -> float:
        """Relative L² error."""
        exact = self.u(*points)
        return ((values - exact).norm() / exact.norm()).item()


def allen_cahn(u: Any, x: Any = None) -> Any:
    """u (u² - 1)."""
    return u * (u**2 - 1)


def problems() -> Iterator[Problem]:
    """Those of the paper, and an Allen-Cahn twin."""
    sin, cos, turn = torch.sin, torch.cos, 2 * math.pi

    def wave(x: Tensor) -> Tensor:
        return sin(100 * x)

    yield Problem("sin 100x", 1.0, wave, lambda x: -1e4 * wave(x), 20, 400)
    yield Problem("sin 100x", turn, wave, lambda x: -1e4 * wave(x), 20, 500)
    yield Problem(
        "sin x + 0.1 sin 20x + 0.05 cos 100x", turn,
        lambda x: sin(x) + 0.1 * sin(20 * x) + 0.05 * cos(100 * x),
        lambda x: -sin(x) - 40 * sin(20 * x) - 500 * cos(100 * x), 20, 500,
    )  # fmt: skip
    yield Problem(
        "x sin 200x", turn, lambda x: x * sin(200 * x),
        lambda x: 400 * cos(200 * x) - 4e4 * x * sin(200 * x), 40, 900,
    )  # fmt: skip
    yield Problem(
        "sin 500x - 2 (x - 1/2)²", 1.0, lambda x: sin(500 * x) - 2 * (x - 0.5) ** 2,
        lambda x: -25e4 * sin(500 * x) - 4, 100, 600,
    )  # fmt: skip

    def product(x: Tensor) -> Tensor:
        return sin(6 * x) * cos(100 * x)

    def its_f(x: Tensor) -> Tensor:
        linear = -(36 + 1e4) * product(x) - 1200 * cos(6 * x) * sin(100 * x)
        return linear + allen_cahn(product(x))

    yield Problem("Allen-Cahn, sin 6x cos 100x", turn, product, its_f, 20, 500, allen_cahn=True)

    def square(x: Tensor, y: Tensor) -> Tensor:
        return sin(100 * x) * sin(100 * y)

    for extent, nodes in ((1.0, 200), (turn, 500)):
        yield Problem(
            "sin 100x sin 100y", extent, square, lambda x, y: -2e4 * square(x, y), 20, nodes,
            dimension=2,
        )  # fmt: skip


def kernels(p: Problem) -> dict[str, Any]:
    """The covering dictionary, that of the reference (30 frequencies), and kernels without one; on
    the unit interval also a Student mixture and a short kernel."""
    spread = torch.linspace(0, p.highest, 30, dtype=torch.float64)
    chosen: dict[str, Any] = {
        "covering": GaussianMixture.covering(p.highest, p.extent),
        "30 frequencies": GaussianMixture(spread, 0.5**0.5),
        "none, length 0.7": GaussianMixture([0.0], 0.5**0.5),
    }
    if p.extent == 1:
        chosen["30 frequencies, Student"] = StudentMixture(spread, 1.0)
        chosen["none, length 0.016"] = GaussianMixture([0.0], 4000**-0.5)
    return chosen


def solve(p: Problem, kernel: Any) -> Any:
    """The solution of the product solver."""
    if p.dimension == 2:
        sides = ((0.0, p.extent),) * 2
        operators, both = (POISSON, POISSON), (kernel, kernel)
        return solve_on_rectangle(operators, p.f, both, sides, p.u, nodes=(p.nodes, p.nodes))
    ends = p.u(torch.tensor([0.0, p.extent], dtype=torch.float64)).tolist()
    reaction = allen_cahn if p.allen_cahn else None
    return solve_on_interval(
        POISSON, p.f, kernel, (0.0, p.extent), (ends[0], ends[1]), nodes=p.nodes, reaction=reaction
    )


def error_of(p: Problem, solution: Any) -> float:
    """Relative L² error between the nodes."""
    x = torch.linspace(0, p.extent, 3 * p.nodes // 2, dtype=torch.float64)
    if p.dimension == 1:
        return p.error(solution(x), x)
    X, Y = torch.meshgrid(x, x, indexing="ij")
    return p.error(solution.on(x, x), X, Y)


def published(p: Problem, kernel: Any) -> float:
    """Error of least squares in the coefficients of k(x - x_i), a linear problem: rows of k''
    divided by its largest entry, ten times the two rows of k at the ends."""
    x = torch.linspace(0, p.extent, p.nodes, dtype=torch.float64)
    d = x[:, None] - x
    second = kernel(d, 2)
    scale, ends = second.abs().max(), x[[0, -1]]
    A = torch.cat([second / scale, 10 * kernel(ends[:, None] - x)])
    b = torch.cat([p.f(x) / scale, 10 * p.u(ends)])
    alpha = torch.linalg.lstsq(A, b[:, None], rcond=1e-13, driver="gelsd").solution[:, 0]
    between = (x[1:] + x[:-1]) / 2
    return p.error(kernel(between[:, None] - x) @ alpha, between)


def chebyshev(p: Problem, n: int) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Values and nodes of Chebyshev collocation on n + 1 nodes (Trefethen 2000, ch. 6 and 7)."""
    t = np.cos(np.pi * np.arange(n + 1) / n)
    c = np.r_[2, np.ones(n - 1), 2] * (-1.0) ** np.arange(n + 1)
    D = np.outer(c, 1 / c) / (t[:, None] - t + np.eye(n + 1))
    D -= np.diag(D.sum(1))
    D2 = (4 / p.extent**2) * (D @ D)
    x = torch.from_numpy(p.extent * (t + 1) / 2)
    if p.dimension == 1:
        return _newton(p, x, lambda u: D2 @ u, D2, np.linalg.solve), (x,)
    X, Y = torch.meshgrid(x, x, indexing="ij")
    U, f = p.u(X, Y).numpy().copy(), p.f(X, Y).numpy()
    U[1:-1, 1:-1] = 0
    right = (f - D2 @ U - U @ D2.T)[1:-1, 1:-1]
    values, V = np.linalg.eig(D2[1:-1, 1:-1])
    inverse = np.linalg.inv(V)
    U[1:-1, 1:-1] = (V @ ((inverse @ right @ inverse.T) / np.add.outer(values, values)) @ V.T).real
    return torch.from_numpy(U), (X, Y)


def finite_differences(p: Problem, n: int) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Values and nodes of second-order differences on n + 1 nodes of an interval."""
    from scipy.linalg import solve_banded

    x = torch.linspace(0, p.extent, n + 1, dtype=torch.float64)
    h2 = (p.extent / n) ** 2

    def second(u: ndarray) -> ndarray:
        return np.r_[0, (u[2:] - 2 * u[1:-1] + u[:-2]) / h2, 0]

    def banded(reaction: ndarray, right: ndarray) -> ndarray:
        bands = np.full((3, n - 1), 1 / h2)
        bands[1] = reaction - 2 / h2
        return solve_banded((1, 1), bands, right)

    return _newton(p, x, second, None, banded), (x,)


def _newton(
    p: Problem, x: Tensor, second: Function, D2: ndarray | None, direct: Function
) -> Tensor:
    """u from u = 0 inside by Newton's method: one step without a reaction."""
    f, exact = p.f(x).numpy(), p.u(x).numpy()
    u = np.zeros_like(f)
    u[[0, -1]] = exact[[0, -1]]
    for _ in range(20 if p.allen_cahn else 1):
        residual = f - second(u) - (allen_cahn(u) if p.allen_cahn else 0)
        slope = (3 * u**2 - 1)[1:-1] if p.allen_cahn else np.zeros(len(u) - 2)
        matrix = slope if D2 is None else D2[1:-1, 1:-1] + np.diag(slope)
        step = direct(matrix, residual[1:-1])
        u[1:-1] += step
        if np.linalg.norm(step) <= 1e-6 * np.linalg.norm(u):
            break
    return torch.from_numpy(u)


def cheapest(p: Problem, method: Function, error: float, sizes: list[int]) -> int | None:
    """The first size with at most this error; None if none has."""
    for n in sizes:
        values, points = method(p, n)
        if p.error(values, *points) <= max(error, LEAST):
            return n
    return None


CHEBYSHEV = sorted({round(16 * 2 ** (k / 8)) for k in range(50)})
DIFFERENCES = [2**k for k in range(5, 23)]


def row(p: Problem, name: str, kernel: Any) -> dict[str, Any]:
    """One kernel, and the opponents to its error."""
    solution = solve(p, kernel)
    error = error_of(p, solution)
    calls: dict[str, Callable[[], Any]] = {"ours": partial(solve, p, kernel)}
    methods = {"chebyshev": (chebyshev, CHEBYSHEV)}
    if p.dimension == 1:
        methods["differences"] = (finite_differences, DIFFERENCES)
    nodes: dict[str, int | None] = {"chebyshev": None, "differences": None}
    for method, (function, sizes) in methods.items():
        nodes[method] = n = cheapest(p, function, error, sizes) if error < 0.1 else None
        if n is not None:
            calls[method] = partial(function, p, n)
    timings = time_calls(calls, repeats=5)
    linear = p.dimension == 1 and not p.allen_cahn

    def seconds(call: str) -> str:
        return f"{timings[call].cpu.median:.4f}" if call in timings else ""

    return {
        "problem": p.name,
        "extent": f"{p.extent:.4g}",
        "dictionary": name,
        "nodes": p.nodes,
        "error": f"{error:.1e}",
        "residual": f"{solution.residual:.1e}",
        "seconds": seconds("ours"),
        "published_error": f"{published(p, kernel):.1e}" if linear else "",
        "chebyshev_nodes": nodes["chebyshev"] or "",
        "chebyshev_seconds": seconds("chebyshev"),
        "differences_nodes": nodes["differences"] or "",
        "differences_seconds": seconds("differences"),
        **machine(),
    }


def main() -> None:
    """Print the chosen tables and write gaussian_process_<table>.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="+", choices=("line", "square", "first"))
    tables = parser.parse_args().tables
    torch.set_num_threads(1)
    if "first" in tables:
        p = next(problems())
        start = time.perf_counter()
        solution = solve(p, GaussianMixture.covering(p.highest, p.extent))
        seconds = time.perf_counter() - start
        print(f"{p.name}: error {error_of(p, solution):.1e}, {seconds:.2f} s after the imports")
    for dimension, table in ((1, "line"), (2, "square")):
        rows = []
        for p in problems():
            for name, kernel in kernels(p).items():
                if table in tables and p.dimension == dimension:
                    rows.append(row(p, name, kernel))
                    print(*list(rows[-1].values())[:12], sep=" | ", flush=True)
        if rows:
            write_csv(RESULTS / f"gaussian_process_{table}.csv", rows)


if __name__ == "__main__":
    main()
