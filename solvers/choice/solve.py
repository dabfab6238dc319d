"""Solution of A x = b for a matrix as a user holds it."""

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy import ndarray

from ...kernels.runtime import first_calls
from ...kernels.runtime.threads import ours_alone
from ..operators.given import as_columns, real
from ..result import SolveResult
from .choices import ranked
from .exact import residual
from .inner import Inner
from .methods import Method, method_named
from .system import System

if TYPE_CHECKING:
    import scipy.sparse.linalg

log = logging.getLogger("pdeops")

PASSES = 4  # solves for the residual of the matrix as given, where that of the solver was smaller
FALLBACKS = 3  # methods that are tried, unless one is named
EPS = float(np.finfo(float).eps) / 2  # rounding of float64
WORST_GUESS = 1e8  # |b - A x0| / |b| of an initial guess that is used


@dataclass(repr=False)  # that of SolveResult is short
class Solution(SolveResult):
    """A `SolveResult`, with how it came about. `x` has the shape of b.

    Attributes:
        method: the method of the solve and the preconditioner.
        condition: the condition number of M A as conjugate gradients estimate it, or None.
        setup_seconds, solve_seconds: of building M (recognition of the matrix included), and of the
            rest; without imports and the loading of compiled code, which a process does once.
    """

    method: str = ""
    condition: float | None = None
    setup_seconds: float = 0.0
    solve_seconds: float = 0.0


def solve(
    A: Any,
    b: Any,
    *,
    rtol: float = 1e-8,
    method: "str | Method | scipy.sparse.linalg.LinearOperator | None" = None,
    near_nullspace: Any = None,
    coordinates: Any = None,
    max_iterations: int = 1000,
    x0: Any = None,
) -> Solution:
    """x with |b - A x| <= rtol |b| for a symmetric positive (semi)definite matrix A.

        solution = pdeops.solve(A, b)
        x = solution.x.numpy()

    The method is chosen by a look at the matrix (`choices` lists what there is and why): transforms
    for constant couplings on a box, multigrid for stencils on a grid, for other matrices algebraic
    multigrid or a sparse factorisation, whichever is estimated to be faster.

    `residual` and `converged` refer to A as given, in float64, whatever the method made of it. If A
    is singular and its kernel is known (rows that sum to zero, empty rows, a near-null space with
    A B = 0), b is projected on the range of A; what no x can reach is reported. If the tolerance is
    not met, x is the best iterate.

    Args:
        A: (n, n), a sparse matrix of scipy or torch, a dense array, or an operator with `to_csr`.
        b: (n,) or (n, k), which are solved together; dense or sparse.
        rtol: relative tolerance per column.
        method: a name of `choices(A)`, the preconditioner or direct method that the command line
            calls --method; or M itself, an operator of scipy on vectors, such as
            `pdeops.load_preconditioner(run, A)`. None chooses.
        near_nullspace: (n, m), vectors that A nearly maps to zero, for systems of equations.
        coordinates: (n/d, d), positions of the nodes of an elasticity problem with d unknowns per
            node: the near-null space is that of rigid-body motions.
        max_iterations: of conjugate gradients.
        x0: initial guess of b's shape; a column with |b - A x0| > 1e8 |b| is not used, and the
            reason says so.

    Raises:
        ValueError: A is not symmetric or has a diagonal entry that shows that it is not positive
            semidefinite, shapes differ, numbers are not finite, or the method does not apply.
    """
    with ours_alone():  # vectors are short for torch's threads, which would disturb our loops
        return _solve(A, b, rtol, method, (near_nullspace, coordinates), max_iterations, x0)


def _solve(
    A: Any,
    b: Any,
    rtol: float,
    method: Any,
    known: tuple[Any, Any],
    max_iterations: int,
    x0: Any,
) -> Solution:
    begin = _now()
    _check(rtol, method, max_iterations)
    system = A
    if not isinstance(A, System):
        system = System.of(A, near_nullspace=known[0], coordinates=known[1])
    columns = _columns(b, system.size, "b")
    guess = None if x0 is None else _columns(x0, system.size, "x0")
    if guess is not None and guess.shape != columns.shape:
        raise ValueError(f"x0 must have b's shape; got {guess.shape} and {columns.shape}.")
    job = _Job(system, columns, guess, float(rtol), int(max_iterations))
    named = _named(method)
    usable = (c.method for c in ranked(system, columns.shape[1]) if c.usable)
    job.run(iter([named]) if named else islice(usable, FALLBACKS), begin)
    if job.nearly_singular:
        job.system = regular = replace(system, regular=True)
        usable = (c.method for c in ranked(regular, columns.shape[1]) if c.usable)
        first = named if named and not named.obstacle(regular) else None
        job.run(iter([first]) if first else islice(usable, FALLBACKS), _now())
    return job.solution(np.ndim(b))


def _check(rtol: Any, method: Any, max_iterations: Any) -> None:
    if not isinstance(rtol, Real) or not 0 < float(rtol) < math.inf:
        raise ValueError(
            f"rtol must be positive and finite; got {rtol!r}. Relative tolerances are numbers near "
            f"1e-8."
        )
    if not isinstance(max_iterations, Integral) or max_iterations < 0:
        raise ValueError(
            f"max_iterations must be an integer and at least 0; got {max_iterations!r}."
        )
    if not (method is None or isinstance(method, str | Method) or _is_operator(method)):
        raise ValueError(
            f"method must be None, a name of pdeops.solvers.choices(A), or an operator of scipy; "
            f"got {method!r}. None chooses."
        )


def _now() -> float:
    """Seconds, without those of first calls in the process."""
    return time.perf_counter() - first_calls.seconds()


class _Job:
    """One system and its right-hand sides, scaled by powers of two so that no square overflows."""

    def __init__(
        self, system: System, b: ndarray, x0: ndarray | None, rtol: float, max_iterations: int
    ) -> None:
        self.system, self.rtol, self.max_iterations = system, rtol, max_iterations
        largest = np.abs(b).max(axis=0, initial=0.0)
        self.exponent = np.frexp(largest)[1]
        self.b = np.ldexp(b, -self.exponent)
        self.sizes = np.linalg.norm(self.b, axis=0)
        self.x, self.r = np.zeros_like(self.b), self.b.copy()
        self.notes = [""] * b.shape[1]
        if x0 is not None:
            self._start(x0)
        self.history = [[value] for value in self.relative()]
        self.reasons = [""] * b.shape[1]
        self.method = self.trying = ""  # of x, and the one at work
        self.condition: float | None = None
        self.setup = self.seconds = 0.0
        self.nearly_singular = False

    def _start(self, x0: ndarray) -> None:
        """Take the columns of the initial guess from which float64 can reach the tolerance.

        x = 0 is the solution where b = 0, and the better guess where |b - A x0| is far above |b|:
        the round-off of x0 stays in x.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            x = np.ldexp(x0, self.system.exponent - self.exponent)
            r = self.b - self.system.csr @ x
            norms = np.linalg.norm(r, axis=0)
        near = norms <= WORST_GUESS * self.sizes  # not where it overflows to infinity or NaN
        kept = near & (self.sizes > 0)
        self.x[:, kept], self.r[:, kept] = x[:, kept], r[:, kept]
        for j in np.flatnonzero(~near & (self.sizes > 0)):
            size = f"{norms[j] / self.sizes[j]:.1e} |b|" if norms[j] < math.inf else "not finite"
            self.notes[j] = f"; x0 is not used, because |b - A x0| is {size}"
            log.warning("Column %d%s", j, self.notes[j])

    def relative(self) -> list[float]:
        """|b - A x| / |b| of each column."""
        norms = np.linalg.norm(self.r, axis=0)
        return (norms / np.where(self.sizes > 0, self.sizes, 1.0)).tolist()

    def run(self, methods: Iterator[Method], begin: float) -> None:
        """Try the methods in turn until all columns have converged."""
        method: Method | None = next(methods)
        while method is not None:
            try:
                inner = Inner(self.system, method, self.max_iterations)
            except ValueError as error:
                following = next(methods, None)
                if following is None:
                    raise
                log.info("%s does not apply: %s", method.name, error)
                method = following
                continue
            now = _now()
            self.setup += now - begin
            log.info("A: %s", inner.A)
            log.info("M: %s", inner.M)
            self.trying = method.title
            self.method = self.method or self.trying
            self._improve(inner)
            begin = _now()
            self.seconds += begin - now
            self._remember(inner)
            if inner.final or inner.nearly or not self._open():
                return
            name, method = method.name, next(methods, None)
            if method is not None:
                log.info("%s did not converge (%s); trying the next", name, self._why())

    def _remember(self, inner: Inner) -> None:
        """Note that A is singular up to round-off: it has to be solved as it is given."""
        if inner.nearly:
            log.info("A is singular up to round-off; it is solved as a regular matrix")
            self.nearly_singular = True
            self.notes = [f"{note}; A is singular to round-off" for note in self.notes]

    def _why(self) -> str:
        return next((reason for reason in self.reasons if reason), "")

    def _open(self) -> list[int]:
        return [j for j, rel in enumerate(self.relative()) if not rel <= self.rtol]

    def _improve(self, inner: Inner) -> None:
        """Solve for the residual of A as given until it is small or no longer decreases."""
        for _ in range(PASSES):
            live = self._open()
            if not live:
                return
            before = np.array(self.relative())
            shift = np.frexp(np.abs(self.r[:, live]).max(axis=0))[1]
            r = np.ldexp(self.r[:, live], -shift)
            wanted = min(0.5, 0.999 * self.rtol / float(before[live].max()))
            dx, results = inner.solve(r, wanted)
            self.condition = inner.condition if self.condition is None else self.condition
            self._take(live, self.x[:, live] + np.ldexp(dx, shift), before, results)
            after = np.array(self.relative())
            if inner.final or inner.nearly or not all(result.converged for result in results):
                return
            slow = [j for j in live if after[j] > self.rtol and not after[j] < before[j] / 2]
            for j in slow:
                self.reasons[j] = (
                    f"round-off: |b - A x| does not decrease further in float64; rtol = "
                    f"{self.rtol:.0e} is below"
                )
            if len(slow) == len(live):
                return

    def _take(
        self, live: list[int], x: ndarray, before: ndarray, results: list[SolveResult]
    ) -> None:
        """Keep each column whose residual has decreased; and the history and reason of each."""
        r = self.b[:, live] - self.system.csr @ x
        for i, (j, result) in enumerate(zip(live, results, strict=True)):
            norm = float(np.linalg.norm(r[:, i])) / self.sizes[j]
            self.history[j] += [float(before[j]) * value for value in result.residuals[1:]]
            better, why = norm < before[j], "" if result.converged else result.reason
            if why and before[j] != 1:  # the |b| of the method is not that of the user
                why = f"solving for the residual of {before[j]:.1e} |b|: {why}"
            if better:
                self.x[:, j], self.r[:, j], self.method = x[:, i], r[:, i], self.trying
            elif why:  # an earlier reason is that of the x we have
                why = self.reasons[j] or f"{why}; x stays the initial one"
            self.reasons[j] = why
            self.history[j][-1] = norm if better else float(before[j])

    def _judge(self, x: ndarray) -> None:
        """Compute the residual of x exactly, where round-off of A x may hide that it is large."""
        csr, limits = self.system.csr, self.rtol * self.sizes
        largest = np.abs(csr.data).max(initial=0.0) * np.diff(csr.indptr).max()
        with np.errstate(over="ignore"):
            noise = EPS * largest * np.linalg.norm(x, axis=0)  # bounds that of | |A| |x| |
            live = (np.array(self.relative()) <= self.rtol) & (noise > limits) & (self.sizes > 0)
            if live.any():
                noise[live] = EPS * np.linalg.norm(abs(csr) @ abs(x[:, live]), axis=0)
        for j in np.flatnonzero(live & (noise > limits)):
            self.r[:, j] = residual(csr, np.ascontiguousarray(x[:, j]), self.b[:, j])
            self.reasons[j] = (
                f"round-off: computed in float64, |b - A x| is below {self.rtol:.0e} |b|, but not "
                f"computed exactly"
            )

    def solution(self, ndim: int) -> Solution:
        """The result, in the scale of the matrix and right-hand sides as given."""
        back = self.exponent - self.system.exponent
        with np.errstate(over="ignore"):
            x = np.ldexp(self.x, back)
        # Rounding of numbers below 2e-308 counts; infinity is not finite.
        kept = np.ldexp(x, -back)
        fits = (kept == self.x).all(axis=0)
        if not fits.all():
            with np.errstate(invalid="ignore"):
                self.r = self.b - self.system.csr @ kept
        self._judge(kept)
        columns = []
        for j, rel in enumerate(self.relative()):
            history = self.history[j]
            history[-1] = rel
            ok = rel <= self.rtol
            reason = f"|b - A x| = {rel:.1e} |b| {'<=' if ok else '>'} {self.rtol:.0e} |b|"
            if not self.sizes[j]:
                reason = "b = 0, so x = 0"
            elif not (ok or fits[j]):
                reason = "x does not fit into float64: scale A or b"
            elif not ok and self.reasons[j]:
                reason = f"{self.reasons[j]}; |b - A x| = {rel:.1e} |b|"
            reason += self.notes[j]
            column = torch.from_numpy(np.ascontiguousarray(x[:, j]))
            columns.append(SolveResult(column, ok, len(history) - 1, history, reason))
        whole = columns[0] if ndim == 1 else SolveResult.of_columns(torch.from_numpy(x), columns)
        return Solution(
            whole.x, whole.converged, whole.iterations, whole.residuals, whole.reason,
            whole.columns, self.method or "none needed", self.condition, self.setup, self.seconds,
        )  # fmt: skip


def _is_operator(method: Any) -> bool:
    from scipy.sparse.linalg import LinearOperator

    return isinstance(method, LinearOperator)


def _named(method: Any) -> Method | None:
    if method is None or isinstance(method, Method):
        return method
    if isinstance(method, str):
        return method_named(method)
    from .flat import given

    return given(method)


def _columns(b: Any, size: int, name: str) -> ndarray:
    """b as (n, k) in float64."""
    b = as_columns(b, name)
    if b.ndim not in (1, 2) or b.shape[0] != size or not b.size:
        raise ValueError(
            f"{name} must have the shape ({size},), or ({size}, k) for k right-hand sides; got "
            f"{b.shape}."
        )
    b = real(b, name).reshape(size, -1)
    wrong = np.flatnonzero(~np.isfinite(b).all(axis=1))
    if wrong.size:
        raise ValueError(
            f"{name} holds NaN or infinity in {wrong.size} of {size} rows, first in row {wrong[0]}."
        )
    return b
