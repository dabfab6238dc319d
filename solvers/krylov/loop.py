"""The loop of all Krylov methods; each right-hand side of a batch stops independently.

A `Recurrence` holds the scalars of one method and its updates of x and r. The loop checks the
input, projects b on the range of a singular operator, stops each column at its tolerance, decides
convergence by true residuals, restarts if the recursive residual is smaller than the true one, and
gives the reason for stopping.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ...linop import LinearOperator
from ..result import SolveResult, at_once
from .columns import Columns, ManyColumns, OneColumn, Scalars

Apply = LinearOperator | Callable[[Tensor], Tensor] | None  # M, or any map r -> z, or the identity


class Recurrence(ABC):
    """The recurrences of one method for columns that start together.

    Attributes:
        state: names of the attributes that have one entry per column.
        stops_at_breakdown: a breakdown is final; otherwise the method restarts from the true
            residual as long as this reduces it.
        x, r: the iterate and its residual b - A x, updated in place.
    """

    state: ClassVar[tuple[str, ...]] = ("x", "r")
    stops_at_breakdown: ClassVar[bool] = True

    def __init__(self, A: LinearOperator, M: Apply, x: Tensor, r: Tensor, columns: Columns) -> None:
        self.A, self.M, self.x, self.r, self.columns = A, M, x, r, columns

    @abstractmethod
    def step(self) -> Scalars:
        """|r| after one iteration; NaN at a breakdown, which leaves x unchanged."""

    @abstractmethod
    def explain(self, column: int) -> str:
        """Description of the breakdown of a column."""

    def replaced(self, column: int) -> int:
        """Number of steps that used r because M r was useless."""
        return 0

    def keep(self, index: Tensor) -> None:
        """Continue with these columns only."""
        for name in self.state:
            value = getattr(self, name)
            kept = [v[index] for v in value] if isinstance(value, list) else value[index]
            setattr(self, name, kept)

    def precondition(self, r: Tensor, z: Tensor) -> Tensor:
        """M r, written to z; without M, r itself."""
        if self.M is None:
            return r
        if isinstance(self.M, LinearOperator):
            return self.M.apply_into(r, z)
        return z.copy_(self.M(r))


Start = Callable[[LinearOperator, Apply, Tensor, Tensor, Columns], Recurrence]


@dataclass
class Column:
    """One right-hand side: its tolerances, its history and the reason for stopping."""

    size: float  # |b|
    outside: float  # |b - P b| / |b|, P the projection on the range of A
    rtol: float
    max_iterations: int
    eps: float
    A_norm: float | None
    dtype: str
    residuals: list[float] = field(default_factory=list)
    last_true: float = math.inf
    note: str = ""
    replaced: int = 0
    reason: str = ""
    converged: bool = False

    def tolerance(self, x_norm: float) -> float:
        """Largest |P b - A x| / |b| that counts as converged."""
        rtol = self.rtol
        if 0 < self.outside <= rtol:
            # The two parts are orthogonal; round-off must not raise their sum above rtol.
            rtol = (1 - 1e-12) * math.sqrt(rtol**2 - self.outside**2)
        return max(rtol, self.limit(x_norm))

    def limit(self, x_norm: float) -> float:
        """10 ε (|A| |x| + |b|) / |b| if |A| is known, else 0."""
        if self.A_norm is None:
            return 0.0
        return 10 * self.eps * (self.A_norm * x_norm / self.size + 1)

    def leaves(self, norm: float, x_norm: float) -> bool:
        """Record the residual of one iteration; True if the true residual must be computed."""
        residual = norm / self.size
        if not math.isfinite(residual):
            return True
        self.residuals.append(math.hypot(residual, self.outside))
        return residual <= self.tolerance(x_norm) or len(self.residuals) > self.max_iterations

    def judge(self, norm: float, x_norm: float, final: bool) -> None:
        """Stop with a reason or continue, according to the true residual."""
        inside = norm / self.size
        true = math.hypot(inside, self.outside)
        self.residuals[-1:] = [true]
        size, rtol = f"|b - A x| = {true:.1e} |b|", f"{self.rtol:.0e} |b|"
        tail = f"; {self.outside:.1e} |b| of b is outside A's range" if self.outside else ""
        if not math.isfinite(inside):
            self.reason = (
                "the residual is not finite: x0, A or M holds NaN, or the iteration diverges"
            )
        elif inside <= self.tolerance(x_norm) and self.outside > self.rtol:
            self.reason = (
                f"inconsistent: {self.outside:.1e} |b| of b is outside the range of A, which is "
                f"singular; x solves the projected system, |P b - A x| = {inside:.1e} |b|"
            )
        elif true <= self.rtol:
            self.converged, self.reason = True, f"{size} <= {rtol}{tail}"
        elif inside <= self.tolerance(x_norm):
            self.converged = True
            self.reason = f"{size} <= 10 ε (|A||x| + |b|), what round-off allows in {self.dtype}"
        elif len(self.residuals) > self.max_iterations:
            self.reason = f"max_iterations = {self.max_iterations}: {size} > {rtol}{tail}"
        elif self.note and (final or inside > self.last_true / 2):
            self.reason = self.note
        elif inside > self.last_true / 2:
            self.reason = (
                f"round-off: |b - A x| stays at {true:.1e} |b| in {self.dtype}; rtol = "
                f"{self.rtol:.0e} is below"
            )
        self.last_true, self.note = inside, ""


@torch.no_grad()
def solve(
    start: Start,
    A: LinearOperator,
    b: Float[Tensor, "*batch_space"],
    **options: Any,
) -> SolveResult:
    """x with |b - A x| <= rtol |b| for each right-hand side, by the recurrence that `start` makes;
    the other arguments are those of `steps`.

    Leading axes of b are a batch; converged columns leave it. If A is singular and knows its range
    (`A.project`), the projected system A x = P b is solved, and x has no component in the kernel of
    a symmetric A. The residual includes b - P b: if this exceeds the tolerance, the system is
    inconsistent, and the result says so.
    """
    run = steps(start, A, b, **options)
    while True:
        try:
            next(run)
        except StopIteration as stop:
            return stop.value


def steps(
    start: Start,
    A: LinearOperator,
    b: Float[Tensor, "*batch_space"],
    *,
    M: Apply,
    x0: Float[Tensor, "*batch_space"] | None,
    rtol: float,
    max_iterations: int,
    A_norm: float | int | None = None,
) -> Generator[Recurrence, None, SolveResult]:
    """`solve` one iteration at a time: yields the recurrence before each, returns the result.

    The caller must disable gradients.

    Args:
        A_norm: |A|, or a bound. With it a residual of 10 ε (|A||x| + |b|) also counts as converged,
            since round-off allows no method to get far below. For an M-matrix 2 max(diagonal) is a
            bound.
    """
    check(A, b, M, x0, rtol, max_iterations)
    batched = b.ndim > A.grid.ndim
    columns: Columns = ManyColumns() if batched else OneColumn()
    fields = b.detach().reshape(-1, *A.grid.shape) if batched else b.detach().contiguous()
    singular = knows_range(A)
    right = A.project(fields) if singular else fields

    def norms(u: Tensor) -> list[float]:
        if batched:
            return torch.linalg.vector_norm(u.flatten(1), dim=1).tolist()
        return [torch.linalg.vector_norm(u).item()]

    sizes = norms(fields)
    lost = norms(fields - right) if singular else [0.0] * len(sizes)
    eps, dtype = torch.finfo(b.dtype).eps, str(b.dtype)
    table = [
        Column(size, out / size if size else 0.0, rtol, max_iterations, eps, A_norm, dtype)
        for size, out in zip(sizes, lost, strict=True)
    ]
    x = torch.zeros_like(fields)
    if x0 is not None:
        x.copy_(x0.detach().reshape(fields.shape))
    for j, column in enumerate(table):
        if done := at_once(fields[j] if batched else fields, column.size, rtol):
            column.residuals, column.converged = done.residuals, done.converged
            column.reason = done.reason
            (x[j] if batched else x).zero_()
        if column.outside < 100 * eps:
            column.outside = 0.0  # round-off of the projection

    live = [j for j, column in enumerate(table) if not column.reason]
    untouched, final = x0 is None, True
    r: Tensor | None = None
    while live:
        x_live, b_live = x, right
        if len(live) < len(table):
            index = torch.tensor(live, device=b.device)
            x_live, b_live = x[index], right[index]
        if untouched:
            r = b_live.clone()
        else:
            # Reuse the last r: allocating a large field costs more than filling it.
            out = r if r is not None and r.shape == x_live.shape else torch.empty_like(x_live)
            r = torch.sub(b_live, A.apply_into(x_live, out), out=out)
            r = A.project(r) if singular else r
        r_norms = [sizes[j] for j in live] if untouched and not singular else norms(r)
        x_norms = [0.0] * len(live) if untouched or A_norm is None else norms(x_live)
        untouched = False
        for j, norm, x_norm in zip(live, r_norms, x_norms, strict=True):
            table[j].judge(norm, x_norm, final)
        stay = [i for i, j in enumerate(live) if not table[j].reason]
        if not stay:
            break
        if len(stay) < len(live):
            live = [live[i] for i in stay]
            index = torch.tensor(stay, device=b.device)
            x_live, r = x_live[index], r[index]
        method = start(A, M, x_live, r, columns)
        final = method.stops_at_breakdown
        if batched:
            yield from _run(method, live, table, x)
        else:
            yield from _run_one(method, table[0])
        del method  # free its fields before the next one allocates
    if singular and A.symmetric:
        x = A.project(x)
    result = _result(x, table, batched)
    result.x = x.reshape(b.shape)
    return result


def _run_one(method: Recurrence, column: Column) -> Iterator[Recurrence]:
    """Iterate until the true residual must be computed."""
    needs_size, norm, x_norm = column.A_norm is not None, 0.0, 0.0
    leaves = False
    while not leaves:
        yield method
        norm = method.step()
        if needs_size:
            x_norm = torch.linalg.vector_norm(method.x).item()
        leaves = column.leaves(norm, x_norm)
    column.replaced += method.replaced(0)
    if not math.isfinite(norm):
        column.note = method.explain(0)


def _run(
    method: Recurrence, live: list[int], table: list[Column], x: Tensor
) -> Iterator[Recurrence]:
    """Iterate a batch until every column has stopped; columns leave it one by one."""
    columns, active = method.columns, list(live)
    needs_size = table[0].A_norm is not None
    while active:
        yield method
        step = columns.numbers(method.step())
        x_norms = [0.0] * len(active)
        if needs_size:
            x_norms = columns.numbers(columns.sqrt(columns.dot(method.x, method.x)))
        leaving = []
        for i, j in enumerate(active):
            if table[j].leaves(step[i], x_norms[i]):
                leaving.append(i)
                table[j].replaced += method.replaced(i)
                if not math.isfinite(step[i]):
                    table[j].note = method.explain(i)
        if not leaving:
            continue
        if method.x is not x:
            where = torch.tensor([active[i] for i in leaving], device=x.device)
            x[where] = method.x[torch.tensor(leaving, device=x.device)]
        stay = [i for i in range(len(active)) if i not in set(leaving)]
        active = [active[i] for i in stay]
        if active:
            method.keep(torch.tensor(stay, device=x.device))


def _result(x: Tensor, table: list[Column], batched: bool) -> SolveResult:
    fields = x if batched else x[None]
    for c in table:
        if c.replaced:
            c.reason += f"; {c.replaced} steps were made from r, where M r was of no use"
    results = [
        SolveResult(u, c.converged, len(c.residuals) - 1, c.residuals, c.reason)
        for u, c in zip(fields, table, strict=True)
    ]
    return SolveResult.of_columns(x, results) if batched else results[0]


def knows_range(A: LinearOperator) -> bool:
    """Whether A is singular and may know its range, so that b must be projected."""
    return not A.positive_definite and type(A).project is not LinearOperator.project


def require_definite(A: LinearOperator, M: Apply) -> None:
    """Raise a ValueError unless A is symmetric positive definite, or semidefinite with a known
    kernel, and M symmetric positive definite, as far as they declare it."""
    if not (A.symmetric and (A.positive_definite or A.semidefinite)):
        raise ValueError(
            f"CG needs a symmetric positive definite A; {type(A).__name__} declares "
            f"symmetric={A.symmetric}, positive_definite={A.positive_definite}. Use bicgstab, "
            f"or minres of scipy.sparse.linalg with A.to_scipy() if A is symmetric."
        )
    require_definite_preconditioner(M, "CG", "flexible_cg")


def require_definite_preconditioner(M: Apply, method: str, way_out: str) -> None:
    """Raise a ValueError unless M declares itself symmetric positive definite, or semidefinite as
    the inverse of a singular A is."""
    if not isinstance(M, LinearOperator):
        return
    if not (M.symmetric and (M.positive_definite or M.semidefinite)):
        raise ValueError(
            f"{method} needs a symmetric positive definite M; {type(M).__name__} declares "
            f"symmetric={M.symmetric}, positive_definite={M.positive_definite}. Use {way_out}."
        )


def check(
    A: LinearOperator,
    b: Tensor,
    M: Apply,
    x0: Tensor | None,
    rtol: float,
    max_iterations: int = 0,
) -> None:
    """Raise a ValueError unless shapes and dtypes fit, and the limits are sensible."""
    if not 0 < rtol < math.inf:
        raise ValueError(
            f"rtol must be positive and finite; got {rtol}. Relative tolerances lie near 1e-8."
        )
    if max_iterations < 0:
        raise ValueError(f"max_iterations must be at least 0; got {max_iterations}.")
    if not b.is_floating_point():
        raise ValueError(
            f"b must be of real floating-point numbers; got {b.dtype}. Convert it by b.double(); "
            f"solve for real and imaginary part as a batch of two."
        )
    space = A.grid.shape
    if tuple(b.shape[-len(space) :]) != space:
        raise ValueError(
            f"b must have the shape {space} of A's unknowns, behind any batch axes; got "
            f"{tuple(b.shape)}. Boundary nodes are not unknowns."
        )
    if x0 is not None and x0.shape != b.shape:
        raise ValueError(f"x0 must have b's shape {tuple(b.shape)}; got {tuple(x0.shape)}.")
    if x0 is not None and x0.dtype != b.dtype:
        raise ValueError(f"x0 must have b's dtype {b.dtype}; got {x0.dtype}.")
    if isinstance(M, LinearOperator) and M.grid.shape != space:
        raise ValueError(
            f"M acts on fields of shape {M.grid.shape}, A on {space}; build M from this A."
        )
