"""python -m benchmarks.preconditioners: learned preconditioners beside classical ones, one table.

For each family of `systems.py` one system of an unseen seed, b white noise (projected on the range
of A where A is singular), from zero to |b - A x| <= 1e-8 |b| in float64. Set-up and solution are
timed apart, from A and its assembled matrix; medians of methods taken in turns, after all have
solved a small system of the kind. A method that takes long has one turn.

Beside the seconds stand two measures of work in products with A: what an iteration does by its
arithmetic (`work`, without transfers between levels), and what one application of M takes by the
clock (`M_over_A`).

Writes results/preconditioners<n>.csv and .md, for three axes results/preconditioners<n>_3d.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pdeops.evaluate_systems import AMORTISED
from pdeops.linop import LinearOperator
from pdeops.models import DeepConjugate
from pdeops.models.vcycle import VCyclePreconditioner
from pdeops.run_systems import load_correction, shipped_weights, training_seconds
from pdeops.solvers import (
    Diffusion,
    FastPoisson,
    IncompleteCholesky,
    Multigrid,
    RugeStueben,
    SmoothedAggregation,
    SolveResult,
    cg,
    deep_conjugate_direction,
)
from pdeops.solvers.cycles import Chebyshev, GaussSeidel
from pdeops.solvers.direct import factor

from .bench import RESULTS, machine
from .results_file import Row, write
from .systems import FAMILIES, Family

RTOL, MOST, SMALL = 1e-8, 1000, 31
PATIENCE = 50  # iterations of a method that may take seconds for each
TURNS, SLOW = 3, 2.0  # a method that took so many seconds has no further turn


class Assembled(LinearOperator):
    """A with its matrix, made before the clock starts."""

    symmetric = semidefinite = True

    def __init__(self, A: Diffusion) -> None:
        self.A, self.grid, self.regions = A, A.grid, A.regions
        self.positive_definite, self.matrix = A.positive_definite, A.to_csr()

    def apply(self, u: Tensor) -> Tensor:
        return self.A.apply(u)

    def project(self, b: Tensor) -> Tensor:
        return self.A.project(b)

    def to_csr(self) -> Any:
        return self.matrix


class System(NamedTuple):
    """One system, and A in the forms that methods start from."""

    A: Diffusion
    assembled: Assembled
    single: Diffusion  # A in float32
    b: Tensor

    @classmethod
    def draw(cls, family: Family, n: int, seed: int) -> "System":
        A = family(n, seed)
        generator = torch.Generator().manual_seed(seed)
        b = A.project(torch.randn(A.grid.shape, generator=generator, dtype=torch.float64))
        return cls(A, Assembled(A), A.to(torch.float32), b)


@dataclass(frozen=True)
class Method:
    """One way to a solution.

    Attributes:
        setup: from the system to M.
        solve: with M.
        work: products with A that an iteration costs by its arithmetic; None where that is no
            measure.
        fits: which families it is for.
    """

    setup: Callable[[System], Any]
    solve: Callable[[System, Any], SolveResult] = lambda s, M: cg(
        s.A, s.b, M=M, rtol=RTOL, max_iterations=MOST
    )
    work: Callable[[System, Any], float | None] = lambda s, M: None
    fits: Callable[[Family], bool] = lambda family: True


def cycle_work(s: System, M: Multigrid) -> float:
    """Sweeps and residuals on all levels, and CG's own product. Coarse levels couple along
    diagonals too, except the first one where these are shared out."""
    spec, ndim = M._spec, s.A.ndim
    each = spec.smoother.degree if isinstance(spec.smoother, Chebyshev) else 1
    visits = 2 if spec.kind == "W" else 1
    per_level = (spec.pre + spec.post) * each + 1
    total = 0.0
    for level, shape in enumerate(M.shapes):
        share = torch.Size(shape).numel() / s.A.grid.num_nodes
        thin = level == 0 or (level == 1 and M._shares is not None)
        points = 2 * ndim + 1 if thin else 3**ndim
        total += per_level * visits**level * share * points / (2 * ndim + 1)
    return total + 1


def algebraic_work(s: System, M: Any) -> float:
    """The same for a V-cycle of PyAMG with a symmetric sweep, which is two, before and after."""
    levels = [level.A.nnz for level in M.hierarchy.levels]
    return 5 * sum(levels) / levels[0] + 1


def waves(s: System, M: FastPoisson) -> SolveResult:
    """The direct solution where A is constant, else CG."""
    if s.A.constant is None:
        return cg(s.A, s.b, M=M, rtol=RTOL, max_iterations=MOST)
    return SolveResult(M @ s.b, True, 0, [1.0], "direct")


def direct(s: System, solve: Callable[[Tensor], Tensor]) -> SolveResult:
    return SolveResult(solve(s.b), True, 0, [1.0], "direct")


def learned(name: str) -> Method:
    """A network by name or run folder: in CG where it makes a symmetric positive definite M, else
    in conjugate directions, and then for Poisson systems."""
    network: Any = load_correction(name)
    proposes = isinstance(network, DeepConjugate)

    def solve(s: System, M: Any) -> SolveResult:
        if isinstance(M, LinearOperator):
            return cg(s.A, s.b, M=M, rtol=RTOL, max_iterations=MOST)
        return deep_conjugate_direction(s.A, s.b, M, rtol=RTOL, max_iterations=PATIENCE)

    def fits(family: Family) -> bool:
        poisson = family.kind in ("obstacles", "closed")
        return network.ndim == family.ndim and (poisson or not proposes)

    def work(s: System, M: Any) -> float | None:
        if isinstance(M, Multigrid):
            return cycle_work(s, M)
        return network.work / (2 * network.ndim + 1) + 1 if proposes else None

    return Method(lambda s: network.on(s.A), solve, work, fits)


CLASSICAL = {
    "multigrid V(1,1)": Method(lambda s: Multigrid(s.A), work=cycle_work),
    "multigrid V(1,1) in float32": Method(lambda s: Multigrid(s.single), work=cycle_work),
    "vcycle, untrained": Method(lambda s: VCyclePreconditioner(s.A.ndim).on(s.A), work=cycle_work),
    "PyAMG Ruge-Stüben": Method(lambda s: RugeStueben(s.assembled), work=algebraic_work),
    "PyAMG smoothed aggregation": Method(
        lambda s: SmoothedAggregation(s.assembled), work=algebraic_work
    ),
    "IC(0)": Method(lambda s: IncompleteCholesky(s.assembled), work=lambda s, M: 2.0),
    "waves": Method(
        lambda s: FastPoisson.of(s.A), waves, fits=lambda family: family.kind != "obstacles"
    ),
    "sparse LU": Method(
        lambda s: factor(s.assembled), direct, fits=lambda family: family.ndim == 2
    ),
}
CYCLES = {
    f"multigrid {kind}({k},{k}) {type(smoother).__name__}": (kind, (k, k), smoother)
    for kind, k, smoother in product("VW", (1, 2), (GaussSeidel(), Chebyshev(2)))
}


def variant(kind: str, sweeps: tuple[int, int], smoother: Any) -> Method:
    return Method(
        lambda s: Multigrid(s.A, cycle=kind, sweeps=sweeps, smoother=smoother), work=cycle_work
    )


@dataclass
class Measured:
    """What turns of a method gave."""

    setups: list[float] = field(default_factory=list)
    solves: list[float] = field(default_factory=list)
    result: SolveResult | None = None
    M: Any = None
    failure: str = ""

    @property
    def setup(self) -> float:
        return statistics.median(self.setups)

    @property
    def solve(self) -> float:
        return statistics.median(self.solves)

    def seconds(self, solves: int) -> float:
        """Per solve, the set-up shared by so many."""
        return self.setup / solves + self.solve

    @property
    def slow(self) -> bool:
        return bool(self.setups) and self.setups[-1] + self.solves[-1] > SLOW


def turn(s: System, method: Method, measured: Measured) -> None:
    """One set-up and one solution; a method that refuses is not asked again."""
    try:
        begin = time.perf_counter()
        M = method.setup(s)
        middle = time.perf_counter()
        measured.result = method.solve(s, M)
        end = time.perf_counter()
    except ValueError as error:
        measured.failure = str(error)
        return
    measured.M = M
    measured.setups.append(middle - begin)
    measured.solves.append(end - middle)


def best_cycle(s: System, small: System) -> str:
    """The cycle that takes the least time for ten solves of one system, one turn each."""
    found = {}
    for name, arguments in CYCLES.items():
        method, measured = variant(*arguments), Measured()
        turn(small, method, Measured())
        turn(s, method, measured)
        assert measured.result is not None, measured.failure
        found[name] = (not measured.result.converged, measured.seconds(10))
    return min(found, key=lambda name: found[name])


def measure(
    family: Family, n: int, seed: int, turns: int, networks: Sequence[str], only: str = ""
) -> list[Row]:
    """A row for each method that fits and whose name holds `only`."""
    s, small = System.draw(family, n, seed), System.draw(family, min(n, SMALL), seed)
    methods = dict(CLASSICAL)
    methods.update({name: learned(name) for name in networks})
    methods = {k: m for k, m in methods.items() if m.fits(family) and only in k}
    if only in "multigrid, best by search":
        name = best_cycle(s, small)
        methods[f"{name}, best of {len(CYCLES)}"] = variant(*CYCLES[name])
    for method in methods.values():
        turn(small, method, Measured())
    every = {name: Measured() for name in methods}
    for _ in range(turns):
        for name, method in methods.items():
            if not (every[name].slow or every[name].failure):
                turn(s, method, every[name])
    product_with_A = clocked(lambda: s.A @ s.b)
    return [
        row(family, s, name, methods[name], measured, product_with_A)
        for name, measured in every.items()
    ]


def clocked(call: Callable[[], Any], turns: int = 5) -> float:
    """Median seconds of a call, after one that is not timed."""
    call()
    seconds = []
    for _ in range(turns):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def row(
    family: Family, s: System, name: str, method: Method, measured: Measured, product_with_A: float
) -> Row:
    """As it is printed and written; only what converged has times to compare."""
    start = {"family": family.name, "unknowns": " x ".join(map(str, s.A.grid.shape))}
    result, empty = measured.result, dict.fromkeys(COLUMNS, "")
    if result is None:
        return {**start, "method": name, **empty, "note": f"failed: {measured.failure}"}
    residual = ((s.b - s.A @ result.x).norm() / s.b.norm()).item()
    work = method.work(s, measured.M)
    applied = None
    if result.iterations > 0:
        M = measured.M
        r = s.b if isinstance(M, LinearOperator) else s.b[None, None]
        applied = clocked(lambda: M.apply(r) if isinstance(M, LinearOperator) else M(r), 3)
    numbers = [f"{measured.seconds(k):.4g}" for k in AMORTISED]
    values = [
        str(result.iterations) if result.converged else f"> {result.iterations}",
        f"{measured.setup:.4g}",
        f"{measured.solve:.4g}",
        *numbers,
        "" if work is None else f"{work:.1f}",
        "" if applied is None else f"{applied / product_with_A:.1f}",
        f"{residual:.1e}",
        str(len(measured.setups)),
    ]
    note = "" if result.converged else f"failed: {result.reason}"
    return {**start, "method": name, **dict(zip(COLUMNS, values, strict=True)), "note": note}


COLUMNS = (
    "iterations",
    "setup_s",
    "solve_s",
    *(f"s_at_{k}" for k in AMORTISED),
    "work",
    "M_over_A",
    "residual",
    "turns",
)


def table(rows: Sequence[Row], networks: Sequence[str]) -> Iterator[str]:
    """The lines of a Markdown table, families one after the other."""
    shown = ["method", *COLUMNS[:-2]]
    for name in dict.fromkeys(r["family"] for r in rows):
        of = [r for r in rows if r["family"] == name]
        yield f"\n### {name}, {of[0]['unknowns']} unknowns\n"
        yield "| " + " | ".join(shown) + " |"
        yield "|" + "---|" * len(shown)
        for r in of:
            yield "| " + " | ".join(r[key] for key in shown) + " |"
        yield from repaid(of, networks)


def repaid(rows: Sequence[Row], networks: Sequence[str]) -> Iterator[str]:
    """For each network among the rows of a family, after how many solves its training is repaid:
    seconds of the training over those that a solve takes less than by the best other method."""
    others = [r for r in rows if r["method"] not in networks and not r["note"]]
    for r in rows:
        if r["method"] not in networks or r["note"]:
            continue
        trained = training_seconds(r["method"])
        said = []
        for k in AMORTISED:
            seconds = {o["method"]: float(o[f"s_at_{k}"]) for o in others}
            best = min(seconds, key=seconds.__getitem__)
            saved = seconds[best] - float(r[f"s_at_{k}"])
            after = "never" if saved <= 0 else "unknown"
            if saved > 0 and trained is not None:
                after = f"{trained / saved:.0f}"
            said.append(f"{after} ({k} per set-up, {best})")
        yield f"\n{r['method']} repays its training, in solves: {'; '.join(said)}."


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.preconditioners")
    parser.add_argument("--n", type=int, default=511, help="unknowns per axis")
    parser.add_argument("--ndim", type=int, default=2, choices=(2, 3))
    parser.add_argument("--families", nargs="*", choices=[*FAMILIES], metavar="NAME")
    parser.add_argument("--learned", nargs="*", default=shipped_weights(), metavar="NAME|RUN")
    parser.add_argument("--only", default="", help="methods whose name holds this")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    chosen = arguments.families or [f.name for f in FAMILIES.values() if f.ndim == arguments.ndim]
    stem = f"preconditioners{arguments.n}" + ("_3d" if arguments.ndim == 3 else "")
    rows: list[Row] = []
    for name in chosen:
        a = arguments
        found = measure(FAMILIES[name], a.n, a.seed, a.turns, a.learned, a.only)
        print("\n".join(table(found, a.learned)), flush=True)
        rows += [{**r, "threads": str(arguments.threads), **machine()} for r in found]
        write(arguments.out / f"{stem}.csv", rows)
    lines = "\n".join(table(rows, arguments.learned))
    (arguments.out / f"{stem}.md").write_text(lines.lstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
