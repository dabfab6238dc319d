"""The prediction of a trained operator as the first iterate of a linear solve."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .datasets import Problem
from .domain import Boundary, Grid
from .solvers import Diffusion, Laplacian, without_boundary
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
    g = without_boundary(run(x)[0, 0], grid)
    gAg = (g * (A @ g)).sum().item()
    scale = (g * b).sum().item() / gAg if gAg > 0 else math.nan
    return scale * g if math.isfinite(scale) else torch.zeros_like(b)


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
