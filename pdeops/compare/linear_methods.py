"""Measured comparison of methods for linear systems: set-up, solution, break-even of a training.

A method has two phases. Its set-up maps a system A x = b to M (a preconditioner, a factorisation);
its solution applies M. If k right-hand sides share one set-up, a solve takes

    seconds(k) = set-up / k + solve,

with the medians of both phases. Iterations are counted and residuals taken in float64.
"""

import inspect
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..linop import LinearOperator
from ..solvers import (
    RugeStueben,
    SmoothedAggregation,
    SolveResult,
    cg,
    deep_conjugate_direction,
)
from ..solvers.direct.sparse import factor, regular
from ..solvers.result import relative_residual
from .break_even import NEVER, break_even, break_even_text
from .tables import markdown_table
from .timing import Clock, Side, Stopwatch, interleave

AMORTISED = (1, 10, 100)  # numbers of solves per set-up
SET_UP, SOLVE = "set-up", "solve"


# (A, grid) or (A, grid, rtol) -> the solution of one right-hand side: b -> x, or b -> (x, number of
# iterations). A is the matrix of the unknowns in CSR, b and x are vectors, all in float64.
SetUp = Callable[..., Callable[[np.ndarray], Any]]

NOT_MEASURED = (
    "Not measured: CHOLMOD and BoomerAMG. Their package polyfem-polysolve is under the GPL in "
    "parts, so pdeops never imports it; where it is installed, a checkout adds both by --solver "
    "benchmarks/opponents.py:cholmod --solver benchmarks/opponents.py:boomeramg_cg."
)


@dataclass(frozen=True, eq=False)
class LinearSystem:
    """A x = b and the required accuracy; subclasses add further inputs of set-ups.

    Attributes:
        A: the operator.
        b: in the range of A.
        rtol: relative residual to reach, |b - A x| <= rtol |b|.
        max_iterations: maximum number of iterations; a method that needs more has failed.
    """

    A: LinearOperator
    b: Tensor
    rtol: float
    max_iterations: int


S = TypeVar("S", bound=LinearSystem)


def conjugate(system: LinearSystem, M: Any) -> SolveResult:
    """x by conjugate gradients if M is a `LinearOperator` or None, else by deep conjugate
    directions, with the search directions from M."""
    options: dict[str, Any] = {"rtol": system.rtol, "max_iterations": system.max_iterations}
    if M is None or isinstance(M, LinearOperator):
        return cg(system.A, system.b, M=M, **options)
    return deep_conjugate_direction(system.A, system.b, M, **options)


def direct(system: LinearSystem, inverse: Callable[[Tensor], Tensor]) -> Tensor:
    """x = A⁻¹ b."""
    return inverse(system.b)


@dataclass(frozen=True)
class LinearMethod(Generic[S]):
    """A way to solve linear systems.

    Attributes:
        setup: system -> M.
        solve: (system, M) -> the result. A method that returns only x, or x and its number of
            iterations, has its residual computed outside the timed call.
        fits: system -> whether the method applies to it.
    """

    setup: Callable[[S], Any]
    solve: Callable[[S, Any], SolveResult | Tensor | tuple[Tensor, int]] = conjugate
    fits: Callable[[S], bool] = lambda system: True


SPARSE_LU: LinearMethod[LinearSystem] = LinearMethod(lambda s: factor(s.A), direct)
# Hierarchies of PyAMG with its default options.
PYAMG: dict[str, LinearMethod[Any]] = {
    "PyAMG Ruge-Stueben": LinearMethod(lambda s: RugeStueben(s.A)),
    "PyAMG aggregation": LinearMethod(lambda s: SmoothedAggregation(s.A)),
}
# The sweep of `tuned_pyamg`: threshold of strong couplings, coarsening, strength of connection.
PYAMG_SETTINGS: dict[str, Callable[[Any], LinearOperator]] = {
    "RS 0.25": partial(RugeStueben, strength=("classical", {"theta": 0.25})),
    "RS 0.5": partial(RugeStueben, strength=("classical", {"theta": 0.5})),
    "RS 0.5 PMIS": partial(
        RugeStueben, strength=("classical", {"theta": 0.5}), CF="PMIS", interpolation="classical"
    ),
    "SA 0.0": SmoothedAggregation,
    "SA 0.08": partial(SmoothedAggregation, strength=("symmetric", {"theta": 0.08})),
    "SA evolution": partial(SmoothedAggregation, strength="evolution"),
}


def tuned_pyamg(
    system: S, method: Callable[[Callable[[Any], Any]], LinearMethod[S]]
) -> LinearMethod[S] | None:
    """The method with that hierarchy of `PYAMG_SETTINGS` which takes the least processor seconds
    for one solve of this system; None if none converges. `method` makes one of a set-up."""
    best, least = None, math.inf
    for build in PYAMG_SETTINGS.values():
        tally, candidate = Tally(), method(build)
        begin = time.process_time()
        tally.turn(candidate, system)
        seconds = time.process_time() - begin
        if tally.failure is None and seconds < least:
            best, least = candidate, seconds
    return best


def own_linear_method(set_up: SetUp) -> LinearMethod[Any]:
    """The same function for a linear system: its set-up and its solution are timed.

    Raises:
        ValueError: it has neither two nor three arguments.
    """
    number = number_of_arguments(set_up)

    def prepared(system: LinearSystem) -> Any:
        A = system.A
        return set_up(regular(A), A.grid, *[system.rtol][: number - 2])

    def solve(system: LinearSystem, inverse: Any) -> tuple[Tensor, int]:
        found = inverse(system.b.double().numpy().ravel())
        u, iterations = found if isinstance(found, tuple) else (found, 0)
        x = torch.as_tensor(u, dtype=torch.float64).reshape(system.b.shape)
        return x, int(iterations)

    return LinearMethod(prepared, solve)


def number_of_arguments(set_up: SetUp) -> int:
    """2 or 3.

    Raises:
        ValueError: it is another number.
    """
    number = len(inspect.signature(set_up).parameters)
    if number not in (2, 3):
        raise ValueError(
            f"A solver of your own is a function (A, grid) or (A, grid, rtol) that returns b -> x; "
            f"{set_up.__name__} has {number} arguments."
        )
    return number


@dataclass
class Tally:
    """Iterations and seconds of one method in each turn.

    Attributes:
        iterations, setups, solves: number of iterations, seconds of set-up and of solution.
        failure: the reason why a system was not solved to its tolerance; None if all were.
        M, result: M and result of the last successful turn.
    """

    iterations: list[int] = field(default_factory=list)
    setups: list[float] = field(default_factory=list)
    solves: list[float] = field(default_factory=list)
    failure: str | None = None
    M: Any = None
    result: SolveResult | None = None

    def turn(
        self, method: LinearMethod[S], system: S, watch: Stopwatch | None = None
    ) -> SolveResult | None:
        """One timed set-up and solution; None if the method refuses the system."""
        watch = watch or Stopwatch()
        try:
            M = watch(method.setup, system, phase=SET_UP)
            found = watch(method.solve, system, M, phase=SOLVE)
        except (ValueError, ImportError) as error:  # PyAMG is an extra
            self.failure = str(error).splitlines()[0]
            return None
        if isinstance(found, SolveResult):
            result = found
        else:
            result = _judged(system, *(found if isinstance(found, tuple) else (found, 0)))
        if not result.converged:
            self.failure = result.reason
        self.iterations.append(result.iterations)
        self.setups.append(watch.wall[SET_UP][-1])
        self.solves.append(watch.wall[SOLVE][-1])
        self.M, self.result = M, result
        return result

    @property
    def setup(self) -> float:
        """Median seconds of the set-up."""
        return statistics.median(self.setups)

    @property
    def solve(self) -> float:
        """Median seconds of the solution."""
        return statistics.median(self.solves)

    def seconds(self, solves: int) -> float:
        """Seconds per solve if `solves` right-hand sides share one set-up."""
        return self.setup / solves + self.solve


def _judged(system: LinearSystem, x: Tensor, iterations: int) -> SolveResult:
    """The result record of a solution, with its residual."""
    residual = relative_residual(system.A, x, system.b)
    reason = f"|b - A x| = {residual:.1e} |b|"
    return SolveResult(x, residual <= system.rtol, iterations, [residual], reason)


def measure(
    methods: Mapping[str, LinearMethod[S]],
    system: Callable[[int], S],
    *,
    turns: int,
    warm_up: S | None = None,
    slow: float = math.inf,
    clock: Clock | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Tally]:
    """Measure every method on the system of each turn, alternating between the methods.

    A method that does not fit the system of some turn is omitted. A method that fails has no
    further turn.

    Args:
        methods: name -> method.
        system: turn -> the system that all methods solve in it.
        turns: number of turns.
        warm_up: system that every method first solves once, untimed; by default `system(0)`. A
            method may fail there.
        slow: a method that takes more seconds than this in a turn has no further turn.
        clock: source of the time; by default the clocks of this machine.
        progress: called after each turn with the number of turns done.
    """
    system_of = lru_cache(maxsize=1)(system)
    first = system_of(0) if warm_up is None else warm_up
    silent = Stopwatch(Clock(rest=0.0))
    for method in methods.values():
        if method.fits(first):
            Tally().turn(method, first, silent)
    tallies = {name: Tally() for name in methods}

    def side(name: str) -> Side:
        def turn(watch: Stopwatch, index: int) -> bool:
            method, tally, current = methods[name], tallies[name], system_of(index)
            if not method.fits(current):
                del tallies[name]
                return False
            tally.turn(method, current, watch)
            return tally.failure is None and tally.setups[-1] + tally.solves[-1] <= slow

        return turn

    interleave({n: side(n) for n in methods}, repeats=turns, clock=clock, progress=progress)
    return tallies


def report(tallies: Mapping[str, Tally], learned: str, training: float | None) -> dict[str, Any]:
    """Plain values for JSON: name -> the results of a method, with the break-even of `learned`.

    A method that failed has the reason instead of results. `break_even` holds, for each number of
    solves per set-up, the number of solves that repay the training of `learned` relative to that
    method: "never" if nothing is saved, None if the seconds of training are not known.

    Args:
        tallies: name -> tally.
        learned: the name of the trained method.
        training: seconds of its training; None if not known.
    """
    ours = tallies[learned]
    entries = {name: _figures(tally) for name, tally in tallies.items()}
    for name, tally in tallies.items():
        if name != learned:
            entries[name]["break_even"] = _repaid(training, ours, tally)
    return entries


def _figures(tally: Tally) -> dict[str, Any]:
    """Mean and largest number of iterations, and median seconds."""
    if tally.failure is not None:
        return {"failed": tally.failure}
    return {
        "iterations": statistics.mean(tally.iterations),
        "products": _products(tally),
        "most_iterations": max(tally.iterations),
        "setup_seconds": tally.setup,
        "solve_seconds": tally.solve,
        **{f"seconds_at_{k}": tally.seconds(k) for k in AMORTISED},
    }


def _products(tally: Tally) -> float | None:
    """Mean number of products with A, or with factors of as many entries, of a solve: one per
    iteration and those of M. None where M does not count them (`products`)."""
    M = tally.M
    inside = 0 if M is None else getattr(M, "products", None)
    return None if inside is None else float(statistics.mean(tally.iterations) * (1 + inside))


def _repaid(training: float | None, ours: Tally, other: Tally) -> dict[str, Any]:
    if ours.failure is not None or other.failure is not None:
        return {}
    solves = {k: break_even(training, other.seconds(k) - ours.seconds(k)) for k in AMORTISED}
    return {str(k): NEVER if n == math.inf else n for k, n in solves.items()}


def to_markdown(entries: Mapping[str, Mapping[str, Any]]) -> str:
    """The entries of a `report` as a table; times in milliseconds."""
    header = ["method", "iterations", "max", "products", "set-up", "solve"]
    header += [f"{k} per set-up" for k in AMORTISED]
    header += [f"repaid, {k} per set-up" for k in AMORTISED]
    return markdown_table(header, [[name, *_cells(m)] for name, m in entries.items()])


def _cells(entry: Mapping[str, Any]) -> list[str]:
    if "failed" in entry:
        return [f"failed: {entry['failed']}", *[""] * (4 + 2 * len(AMORTISED))]
    repaid = entry.get("break_even", {})
    seconds = ("setup_seconds", "solve_seconds", *(f"seconds_at_{k}" for k in AMORTISED))
    return [
        f"{entry['iterations']:.1f}",
        str(entry["most_iterations"]),
        "" if entry["products"] is None else f"{entry['products']:.0f}",
        *(f"{1e3 * entry[key]:.3g}" for key in seconds),
        *(_solves(repaid[str(k)]) if str(k) in repaid else "" for k in AMORTISED),
    ]


def _solves(entry: float | str | None) -> str:
    return entry if isinstance(entry, str) else break_even_text(entry)
