"""The prediction of a trained operator as the first iterate of a linear solve, and its solution to
a guaranteed error."""

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .datasets import Problem
from .domain import Boundary, Grid
from .estimators import EnergyBounds, SystemBounds
from .linop import LinearOperator
from .solvers import Diffusion, Laplacian, with_boundary, without_boundary
from .solvers.krylov.conjugate_gradients import start
from .solvers.krylov.loop import Recurrence, steps
from .solvers.result import SolveResult
from .tasks.supervised import Run


@torch.no_grad()
def first_guess(run: Run, A: Diffusion, b: Tensor) -> Tensor:
    """x0 for A x = b: the prediction of the run's operator for this system, optimally scaled.

    The input of the operator is computed from the system: for Darcy flow the coefficient from A,
    for Poisson's equation the source from b. The prediction g is scaled by ⟨g, b⟩ / ⟨g, A g⟩, so
    the units of A do not matter, and |x0 - A⁻¹b|_A is at most that of x0 = 0.

    Raises:
        ValueError: the input of this operator cannot be computed from a linear system, or A does
            not have the form of the problem that the operator was trained on.
    """
    problem = run.problem
    name = problem.name if problem is not None else "an equation that pdeops does not know"
    if problem is None or name not in _INPUTS:
        raise ValueError(
            f"{run.folder} was trained on {name}; an initial guess is available for "
            f"{' and '.join(_INPUTS)} only. Solve without a guess."
        )
    grid = problem.grid(_shape(run, problem, A))
    inner = _INPUTS[name](run, A, b, grid)
    # Nodes with known values get the coefficient of their neighbour.
    widths = [(n - m) // 2 for n, m in zip(grid.shape, grid.interior.shape, strict=True)]
    pad = [w for width in reversed(widths) for w in (width, width)]
    x = F.pad(inner[None, None], pad, mode="replicate")
    return scaled(without_boundary(run(x)[0, 0], grid), A, b)


def scaled(g: Tensor, A: LinearOperator, b: Tensor) -> Tensor:
    """g times ⟨g, b⟩ / ⟨g, A g⟩, which makes the error in the norm of A least; zero if that is not
    defined."""
    gAg = (g * (A @ g)).sum().item()
    scale = (g * b).sum().item() / gAg if gAg > 0 else math.nan
    return scale * g if math.isfinite(scale) else torch.zeros_like(b)


@dataclass(frozen=True)
class Polished:
    """A solution with a guaranteed error, and the bar at every iteration.

    Attributes:
        u: the field at all nodes, float64.
        bars: upper bounds of the relative error against the discrete solution in the norm of A,
            after 0, 1, 2, ... iterations; they never grow.
        error: the last of them without the division by the norm of the solution.
    """

    u: Tensor
    bars: list[float]
    error: float

    @property
    def iterations(self) -> int:
        """Number of iterations."""
        return len(self.bars) - 1

    def needed(self, tol: float) -> int:
        """Number of iterations after which the bar is at most tol."""
        return needed(self.bars, tol)


def needed(bars: Sequence[float], tol: float) -> int:
    """Number of iterations after which the bar is at most tol, from the bars after 0, 1, ... ."""
    return next(k for k, bar in enumerate(bars) if bar <= tol)


@torch.no_grad()
def polished(
    bounds: EnergyBounds | SystemBounds,
    u: Tensor | None,
    tol: float,
    *,
    max_iterations: int = 200,
) -> Polished:
    """Conjugate gradients from u until the relative error in the norm of A is guaranteed to be at
    most tol.

    The error is that against the solution of the discrete system, |u_h - u|_A / |u_h|_A. Its bound
    is that of the flux of u, balanced (`EnergyBounds.discrete_bar`), or of a majorant of the
    inverse (`SystemBounds`), divided by a lower bound of |u_h|_A. u is scaled first so that its
    error is least.

    Args:
        bounds: of the system, with its preconditioner.
        u: the first iterate at all nodes of the grid; zero if None.

    Raises:
        ValueError: tol is not in (0, 1), u is not finite, or the bar does not reach tol: round-off
            is larger.
    """
    if not 0 < tol < 1:
        raise ValueError(
            f"The tolerance must be positive and below 1, the error of zero; got {tol:g}."
        )
    grid, A, b = bounds.grid, bounds.A, bounds.b
    x = torch.zeros_like(b)
    if u is not None:
        if not u.isfinite().all():
            raise ValueError(
                "A prediction holds NaN or infinity, so it cannot be the first iterate. Check the "
                "run."
            )
        x = scaled(without_boundary(u.detach().cpu().double(), grid), A, b)
    if not b.any():
        return Polished(with_boundary(torch.zeros_like(b), grid), [0.0], 0.0)
    errors: list[float] = []
    norm = 0.0
    options: dict[str, Any] = {"rtol": 1e-15, "max_iterations": max_iterations}
    run = steps(start, A, b, M=bounds.M, x0=x, **options)
    for state in _with_last(run):
        x = state.x
        norm = max(norm, bounds.discrete_norm(x))
        errors.append(min([bounds.discrete_bar(x), *errors[-1:]]))
        if errors[-1] <= tol * norm:
            break
    if not errors or errors[-1] > tol * norm:
        reached = errors[-1] / norm if errors and norm > 0 else math.nan
        raise ValueError(
            f"The error bound is {reached:.1e} of the solution after {len(errors) - 1} iterations, "
            f"above the tolerance {tol:g}: round-off in float64 is larger, or the iteration is "
            f"slow. Give a larger tolerance."
        )
    if isinstance(A, Diffusion) and not A.positive_definite:
        x = x - A.mean(x)
    return Polished(with_boundary(x, grid), [e / norm for e in errors], errors[-1])


def _with_last(
    run: Generator[Recurrence, None, SolveResult],
) -> Iterator[Recurrence | SolveResult]:
    """What `steps` yields before each iteration, and its result, whose x is the last iterate."""
    yield (yield from run)


def _shape(run: Run, problem: Problem, A: Diffusion) -> list[int]:
    """Nodes per axis, boundary nodes included, of the problem whose operator is A."""
    wanted = problem.boundary
    why = ""
    if A.grid.ndim != len(wanted):
        why = f"it has {A.grid.ndim} axes, not {len(wanted)}"
    elif not (A.diagonal() > 0).all():
        why = "it has solid nodes, where there is no coefficient"
    else:
        sides = [_side(A, axis) for axis in range(A.grid.ndim)]
        if sides != list(wanted):
            names = [" and ".join(b.value for b in bounds) for bounds in (sides, wanted)]
            why = f"its sides are {names[0]}, not {names[1]}"
    if why:
        raise ValueError(
            f"{run.folder} was trained on {problem.name} ({problem.equation}); A is not of that "
            f"form: {why}. Solve without a guess."
        )
    known = [2 * (side is Boundary.DIRICHLET) for side in wanted]
    return [n + k for n, k in zip(A.grid.shape, known, strict=True)]


def _side(A: Diffusion, axis: int) -> Boundary:
    """The boundary condition of an axis, from the couplings at its ends."""
    if A.periodic[axis]:
        return Boundary.PERIODIC
    ends = A.faces[axis].index_select(axis, torch.tensor([0, A.grid.shape[axis]]))
    return Boundary.DIRICHLET if (ends > 0).all() else Boundary.NEUMANN


def _coefficient(run: Run, A: Diffusion, b: Tensor, grid: Grid) -> Tensor:
    """Coefficient a at the unknowns: the median over the faces of each node, which is exact where a
    is constant around the node and at straight jumps. The matrix may contain a/h² or a; the choice
    closer to the training data is used."""
    faces = []
    for axis, (c, n, h) in enumerate(zip(A.faces, A.grid.shape, grid.spacing, strict=True)):
        faces += [c.narrow(axis, i, n) * h**2 for i in (0, 1)]
    a = torch.stack(faces).quantile(0.5, dim=0)
    usual = run.operator.input_normalizer.mean.item()
    units = [a, a / math.prod(grid.spacing) ** (2 / grid.ndim)]
    return min(units, key=lambda a: abs(math.log(a.mean().item() / usual)))


def _source(run: Run, A: Diffusion, b: Tensor, grid: Grid) -> Tensor:
    """Source f at the unknowns, scaled to the standard deviation of the training data."""
    f = b / Laplacian(grid).cell_fractions()
    usual = run.operator.input_normalizer.std.item()
    return f * (usual / f.std().clamp(min=torch.finfo(f.dtype).tiny))


_INPUTS: dict[str, Callable[[Run, Diffusion, Tensor, Grid], Tensor]] = {
    "darcy": _coefficient,
    "poisson": _source,
}
