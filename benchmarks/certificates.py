"""python -m benchmarks.certificates: how far guaranteed error bounds are from the error.

Random problems -div(a grad u) = f (the project's kinds of Darcy flow and Poisson's equation, and
larger contrasts) on grids of 9² to 33² nodes; for each the solution of the discrete system, that
solution with a smooth error of 1 % and of 10 % of its maximum, and the output of an untrained FNO.
The truth is enclosed by bounds of the discrete solution on a grid five times as fine, where a and f
are the same functions. Columns, over all cases of a kind:

    violated    cases in which a bound excludes the truth
    median, worst, p95    upper bound / error, the lower end of the error taken
    lower       median of error / lower bound, the upper end of the error taken

Writes results/certificates.csv.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pdeops.compare.tables import markdown_table, write_csv
from pdeops.datasets import Darcy, Poisson, Problem
from pdeops.domain import Grid
from pdeops.estimators import EnergyBounds
from pdeops.models.operators.fno import FNO
from pdeops.solvers import cg, with_boundary, without_boundary

from .bench import RESULTS, machine

PROBLEMS: dict[str, Problem] = {
    "piecewise {3, 12}": Darcy("piecewise"),
    "piecewise {1, 100}": Darcy("piecewise", low=1.0, high=100.0),
    "piecewise {1, 10000}": Darcy("piecewise", low=1.0, high=1e4),
    "rough {2, 12}": Darcy("rough"),
    "lognormal": Darcy("lognormal"),
    "multiscale, 3 scales": Darcy("multiscale", num_scales=3),
    "Poisson": Poisson("gaussian"),
    "Poisson, Neumann": Poisson("neumann", num_modes=16),
    "Poisson, mixed": Poisson("mixed", num_modes=16),
}
SIZES = (9, 17, 33)
FINER = 5  # odd: the cells around the nodes of the finer grid divide those of the coarser one
SHARES = {"discrete solution": 0.0, "wrong by 1 %": 0.01, "wrong by 10 %": 0.1}
ALLOWED = 1e-9  # round-off of the sums


@dataclass(frozen=True)
class Case:
    """Bounds and truth of one field: upper bound / error, error / lower bound."""

    field: str
    upper: float
    lower: float

    @property
    def violated(self) -> bool:
        """Whether a bound excludes the truth."""
        return self.upper < 1 - ALLOWED or self.lower < 1 - ALLOWED


class Truth:
    """v ↦ the error of the field v, between two numbers, by a finer grid."""

    def __init__(self, bounds: EnergyBounds) -> None:
        self.bounds, grid = bounds, bounds.cells.grid
        fine = grid.refined(FINER)
        a, f = (self.same_function(u) for u in (bounds.a, bounds.f))
        reference = EnergyBounds(a, f, fine)
        solution = cg(reference.A, reference.b, M=reference.M, rtol=1e-12).x
        self.norms = reference(with_boundary(solution, fine))

    def same_function(self, u: Tensor) -> Tensor:
        """Values that are constant around each node, at the nodes of the finer grid."""
        for axis, n in enumerate(u.shape):
            nodes = torch.arange((n - 1) * FINER + 1)
            u = u.index_select(axis, (nodes + FINER // 2) // FINER)
        return u

    def __call__(self, u: Tensor) -> tuple[float, float]:
        grid, cells = self.bounds.cells.grid, self.bounds.cells
        a, f = self.bounds.on_halves
        v = cells.conforming(with_boundary(without_boundary(u, grid), grid), self.bounds.a)
        # |∇(u* - v)|²_a = |∇u*|²_a + |∇v|²_a - 2 (f, v)
        rest = (cells.energy(v, a) - 2 * cells.load(v, f)).item()
        low, high = rest + self.norms.norm_lower**2, rest + self.norms.norm_upper**2
        return max(low, 0.0) ** 0.5, high**0.5


def fields(problem: Problem, grid: Grid, x: Tensor, seed: int) -> Iterator[tuple[str, Tensor]]:
    """The fields whose errors are bounded, by name."""
    solution = problem.solve(x, grid).x
    wave = torch.sin(3 * grid.nodes()[0] + seed) * torch.sin(5 * grid.nodes()[1])
    for name, share in SHARES.items():
        yield name, solution + share * solution.abs().max() * wave
    torch.manual_seed(seed)
    network = FNO(1, 1, grid, n_modes=(4, 4), hidden_channels=4, n_layers=2, mlp_channels=4)
    with torch.no_grad():
        u = network(x[None].float() / x.abs().max())[0, 0].double()
    yield "untrained FNO", u * (solution.abs().max() / u.abs().max())


def cases(problem: Problem, n: int, seed: int) -> Iterator[Case]:
    """All fields of one random problem on n² nodes."""
    grid = problem.grid((n, n))
    x = problem.sample_input(grid, seed, 0)
    bounds = EnergyBounds(*problem.diffusion(x, grid), grid)
    truth = Truth(bounds)
    for name, u in fields(problem, grid, x, seed):
        got = bounds(u)
        low, high = truth(u)
        # The discrete solution of a coarse grid may be the exact one but for round-off.
        yield Case(name, got.upper / low, high / got.lower if got.lower > 0 else float("inf"))


def row(kind: str, found: list[Case]) -> dict[str, object]:
    """The figures of a kind."""
    upper = sorted(case.upper for case in found)
    return {
        "kind": kind,
        "cases": len(found),
        "violated": sum(case.violated for case in found),
        "median": f"{statistics.median(upper):.3f}",
        "p95": f"{upper[int(0.95 * (len(upper) - 1))]:.3f}",
        "worst": f"{upper[-1]:.3f}",
        "lower": f"{statistics.median(case.lower for case in found):.3f}",
    }


def study(num_problems: int) -> list[dict[str, object]]:
    """A row for each kind and a row for each field, over this many problems."""
    by_kind: dict[str, list[Case]] = {name: [] for name in PROBLEMS}
    names, started = list(PROBLEMS), time.monotonic()
    for seed in range(num_problems):
        name = names[seed % len(names)]
        by_kind[name] += cases(PROBLEMS[name], SIZES[seed // len(names) % len(SIZES)], seed)
        if time.monotonic() - started > 10:
            print(f"{seed + 1} of {num_problems} problems", file=sys.stderr, flush=True)
            started = time.monotonic()
    every = [case for found in by_kind.values() for case in found]
    rows = [row(name, found) for name, found in by_kind.items() if found]
    for field in dict.fromkeys(case.field for case in every):
        rows.append(row(field, [case for case in every if case.field == field]))
    return [*rows, row("all", every)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.certificates")
    parser.add_argument("--problems", type=int, default=2500, help="four fields are from each")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the CSV file")
    given = parser.parse_args()
    rows = study(given.problems)
    print(markdown_table(list(rows[0]), [[str(v) for v in line.values()] for line in rows]))
    write_csv(given.out / "certificates.csv", [{**line, **machine()} for line in rows])


if __name__ == "__main__":
    main()
