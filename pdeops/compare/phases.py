"""Methods in two phases, set-up and solution: what each takes, and when a training is repaid."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from torch import Tensor

from ..linop import LinearOperator
from ..solvers import Diffusion, SolveResult, cg, deep_conjugate_direction
from ..solvers.result import relative_residual

AMORTISED = (1, 10, 100)  # solves that share a set-up
# Seconds of rest before each clocked phase: threads that torch or numpy have just had keep a core
# busy for up to 10 ms, waiting for more, and what comes next would pay for it.
REST = 0.02
NEVER = "never"


@dataclass(frozen=True)
class System:
    """A x = b, and how well it is to be solved; derived classes hold what set-ups start from.

    Attributes:
        A: the operator.
        b: in its range.
        rtol: |b - A x| <= rtol |b| is to be reached.
        max_iterations: more is a failure.
    """

    A: Diffusion
    b: Tensor
    rtol: float
    max_iterations: int


S = TypeVar("S", bound=System)


def conjugate(system: System, M: Any) -> SolveResult:
    """CG where M is a preconditioner or None, else conjugate directions, which M proposes."""
    goal: dict[str, Any] = {"rtol": system.rtol, "max_iterations": system.max_iterations}
    if M is None or isinstance(M, LinearOperator):
        return cg(system.A, system.b, M=M, **goal)
    return deep_conjugate_direction(system.A, system.b, M, **goal)


def direct(system: System, inverse: Callable[[Tensor], Tensor]) -> Tensor:
    """x = A⁻¹ b."""
    return inverse(system.b)


@dataclass(frozen=True)
class Method(Generic[S]):
    """One way to a solution.

    Attributes:
        setup: from the system to M.
        solve: with M; a direct method gives x alone, whose residual is not on its time.
        fits: which systems it is for.
    """

    setup: Callable[[S], Any]
    solve: Callable[[S, Any], SolveResult | Tensor] = conjugate
    fits: Callable[[S], bool] = lambda system: True


@dataclass
class Tally:
    """What one method took, turn by turn, of one system or of several.

    Attributes:
        iterations, setups, solves: of each turn; the last two in seconds.
        failure: why the method has no solution, or none to the tolerance, of a system.
    """

    iterations: list[int] = field(default_factory=list)
    setups: list[float] = field(default_factory=list)
    solves: list[float] = field(default_factory=list)
    failure: str | None = None

    def turn(self, method: Method[S], system: S) -> tuple[Any, SolveResult] | None:
        """One set-up and one solution by the clock: M and what came of it, None where the method
        refuses the system."""
        try:
            M, setup = _clocked(method.setup, system)
            found, solve = _clocked(method.solve, system, M)
        except (ValueError, ImportError) as error:  # PyAMG is an extra
            self.failure = str(error).splitlines()[0]
            return None
        result = found if isinstance(found, SolveResult) else _judged(system, found)
        if not result.converged:
            self.failure = result.reason
        self.iterations.append(result.iterations)
        self.setups.append(setup)
        self.solves.append(solve)
        return M, result

    @property
    def setup(self) -> float:
        """Median seconds."""
        return statistics.median(self.setups)

    @property
    def solve(self) -> float:
        """Median seconds."""
        return statistics.median(self.solves)

    def seconds(self, solves: int) -> float:
        """Per solve, the set-up shared by so many."""
        return self.setup / solves + self.solve


def _clocked(phase: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """What it returns, and its seconds."""
    rest = time.monotonic() + REST
    while time.monotonic() < rest:
        pass  # awake: a core that has slept starts slowly
    start = time.perf_counter()
    result = phase(*arguments)
    return result, time.perf_counter() - start


def _judged(system: System, x: Tensor) -> SolveResult:
    residual = relative_residual(system.A, x, system.b)
    reason = f"direct: |b - A x| = {residual:.1e} |b|"
    return SolveResult(x, residual <= system.rtol, 0, [residual], reason)


def break_even(trained: float | None, saved: float) -> float | str | None:
    """The solves that repay a training: its seconds over those that each solve saves; NEVER where
    these are none, None where the training's are not known."""
    if saved <= 0:
        return NEVER
    return None if trained is None else trained / saved


def break_even_text(solves: float | str | None) -> str:
    """For a table: a whole number, or why there is none."""
    if solves is None:
        return "unknown"
    return solves if isinstance(solves, str) else f"{solves:.0f}"
