"""A race of a learned method with classical CG, which ends when one of them converges."""

import math
import time
from collections.abc import Callable, Generator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...kernels.runtime.threads import ours_alone
from ...linop import LinearOperator
from ..result import SolveResult
from . import conjugate_gradients
from .loop import Apply, Recurrence, Start, knows_range, require_definite, solve, steps

# Time of the learned side as a fraction of CG's. Interleaved with other work, CG takes up to a
# tenth longer than alone (513², two threads: its fields leave the caches).
_FRACTION = 0.8
# A learned step of at least so many seconds uses torch's threads. For some 10 ms after a step
# they occupy a core that CG needs (`kernels/runtime/threads.py`).
_HEAVY = 0.05


@dataclass(frozen=True)
class Side:
    """Record of one side of a race.

    Attributes:
        name: "learned" or "safeguard".
        iterations: steps of the method.
        seconds: spent on it, by the race's clock.
        reason: why it stopped, in words.
    """

    name: str
    iterations: int
    seconds: float
    reason: str


@dataclass(kw_only=True, repr=False)
class RaceResult(SolveResult):
    """The result of the side that converged first, and the records of both sides.

    If neither reached the tolerance, it is the result with the smaller residual, and `winner` is
    None.
    """

    winner: Side | None
    learned: Side
    safeguard: Side


def solve_or_race(
    start: Start,
    A: LinearOperator,
    b: Float[Tensor, "*batch_space"],
    *,
    safeguard: LinearOperator | None,
    **options: Any,
) -> SolveResult:
    """`loop.solve`, or a `race` if there is a safeguard; the other arguments are those of both."""
    if safeguard is None:
        return solve(start, A, b, **options)
    return race(start, A, b, safeguard=safeguard, **options)


@torch.no_grad()
def race(
    start: Start,
    A: LinearOperator,
    b: Float[Tensor, "*batch_space"],
    *,
    M: Apply,
    safeguard: LinearOperator,
    x0: Float[Tensor, "*batch_space"] | None = None,
    rtol: float = 1e-8,
    max_iterations: int = 1000,
    A_norm: float | int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> RaceResult:
    """x with |b - A x| <= rtol |b| by the method that `start` makes with M, or by CG with the
    preconditioner `safeguard`, whichever converges first.

    Both start from x0 and take turns, one step at a time, by measured time: the learned side steps
    only if its time plus one step of CG is at most 0.8 of CG's time. Let T be the time of CG alone
    and t_M that of one application of M. Whatever M does,

        time <= 2 T + t_M.

    The last step of the learned side begins before CG ends. It costs t_M, a product with A and some
    dot products, which together are cheaper than a preconditioned step of CG; the remaining 0.2 T
    pay for the switching. Conversely, if the learned side wins after t, the race takes at most
    2.25 t and three steps of CG.

    Measured wall-clock time with a jumping coefficient, CG with `Multigrid` on two threads, 513²
    unknowns, and networks that return NaN, zero, a constant or -r: 1.7 to 1.9 T (median of nine
    races) if the network costs nothing, 1.1 T if one application takes T/2; no race exceeded the
    bound.

    An exception of M ends the learned side and is its `reason`; CG continues alone. If CG fails
    (`max_iterations`, a breakdown), the learned side continues alone. If b has a part outside the
    range of a singular A, the first side to solve the projected system ends the race. A batch is
    one race: it ends when one side has solved all right-hand sides.

    Args:
        clock: returns the time in seconds.

    Everything else is as for `loop.solve`; the time excludes the set-up of M and `safeguard`.

    Raises:
        ValueError: A or `safeguard` declares itself not symmetric positive definite, or shapes or
        dtypes differ.
    """
    require_definite(A, safeguard)
    options: dict[str, Any] = {
        "x0": x0, "rtol": rtol, "max_iterations": max_iterations, "A_norm": A_norm,
    }  # fmt: skip
    light = _HEAVY if conjugate_gradients.is_fused(A, b, safeguard) else 0.0
    learned = _Runner("learned", steps(start, A, b, M=M, **options), clock, light)
    safe = _Runner(
        "safeguard",
        steps(conjugate_gradients.start, A, b, M=safeguard, **options),
        clock,
        math.inf if light else 0.0,
    )
    safe.advance()  # checks A, b and x0, so that their errors are not attributed to M
    first = safe if safe.result is not None and _settles(A, b, safe.result, rtol) else None
    while first is None and not (learned.done and safe.done):
        behind = learned.seconds + safe.seconds_per_step <= _FRACTION * safe.seconds
        runner = learned if safe.done or (behind and not learned.done) else safe
        runner.advance(catch=runner is learned)
        if runner.result is not None and _settles(A, b, runner.result, rtol):
            first = runner
    return _outcome(first, learned, safe)


class _Runner:
    """One side while it runs; torch uses one thread in steps that take less than `light`
    seconds."""

    def __init__(
        self,
        name: str,
        run: Generator[Recurrence, None, SolveResult],
        clock: Callable[[], float],
        light: float,
    ) -> None:
        self.name, self.run, self.clock, self.light = name, run, clock, light
        self.seconds, self.look, self.last, self.turns = 0.0, 0.0, 0.0, 0
        self.result: SolveResult | None = None
        self.failure = ""

    def advance(self, catch: bool = False) -> None:
        """One step; the first turn only checks the input."""
        begin = self.clock()
        try:
            with ours_alone() if self.last < self.light else nullcontext():
                next(self.run)
        except StopIteration as stop:
            self.result = stop.value
        except Exception as error:
            if not catch:
                raise
            self.failure = f"{type(error).__name__}: {error}"
        self.last = self.clock() - begin
        self.seconds += self.last
        self.turns += 1
        if self.turns == 1:
            self.look = self.seconds

    @property
    def done(self) -> bool:
        return self.result is not None or bool(self.failure)

    @property
    def seconds_per_step(self) -> float:
        return (self.seconds - self.look) / (self.turns - 1) if self.turns > 1 else math.inf

    def side(self) -> Side:
        if self.result is not None:
            return Side(self.name, self.result.iterations, self.seconds, self.result.reason)
        reason = self.failure or "the other side was first"
        return Side(self.name, max(self.turns - 1, 0), self.seconds, reason)


def _settles(A: LinearOperator, b: Tensor, result: SolveResult, rtol: float) -> bool:
    """Whether the result is final: it converged, or it solves the projected system."""
    if result.converged or not torch.linalg.vector_norm(b).isfinite():
        return True
    if not knows_range(A):
        return False
    axes = tuple(range(-A.grid.ndim, 0))
    r = torch.linalg.vector_norm(A.project(b - A @ result.x), dim=axes)
    return bool((r <= rtol * torch.linalg.vector_norm(b, dim=axes)).all())


def _outcome(first: _Runner | None, learned: _Runner, safe: _Runner) -> RaceResult:
    """The result of a finished race."""
    candidates = [runner for runner in (safe, learned) if runner.result is not None]
    best = first or min(candidates, key=_residual)
    result = best.result
    assert result is not None
    sides = (learned.side(), safe.side())
    winner = sides[best is safe] if result.converged else None
    verdict = f"{winner.name} won" if winner else "neither converged"
    summary = "; ".join(f"{s.name}: {s.iterations} iterations in {s.seconds:.2g} s" for s in sides)
    failed = f"; the learned side failed with {learned.failure}" if learned.failure else ""
    return RaceResult(
        result.x,
        result.converged,
        result.iterations,
        result.residuals,
        f"{result.reason}; {verdict} ({summary}){failed}",
        result.columns,
        winner=winner,
        learned=sides[0],
        safeguard=sides[1],
    )


def _residual(runner: _Runner) -> float:
    assert runner.result is not None
    residual = runner.result.residual
    return residual if math.isfinite(residual) else math.inf
