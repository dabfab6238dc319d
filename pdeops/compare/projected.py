"""POD with Galerkin projection of -div(a grad u) = f, a with empirical interpolation at the faces.

The operator of the finite volumes is linear in the couplings κ at the faces, the harmonic means of
a. With κ ≈ Σ_q θ_q ψ_q the projected matrix is Σ_q θ_q φᵀ A(ψ_q) φ, and θ follows from κ at q
faces. A constant a needs one term.
"""
# Axes: n samples, m unknowns, f faces, r modes, q terms.

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..datasets.problems.problem import Problem
from ..domain import Boundary, Grid
from ..kernels.diffusion import reference
from ..solvers.operators.boundary import with_boundary, without_boundary
from ..solvers.operators.faces import variable_faces
from ..solvers.reduced_basis.galerkin import EmpiricalInterpolation, ReducedGalerkin
from ..solvers.reduced_basis.pod import POD
from ..solvers.reduced_basis.surrogate import SLACK, Pairs
from .fitted import Fit, Fitted
from .timing import Clock, Stopwatch

NAME = "POD-Galerkin"
MODES = (2, 4, 8, 16, 32, 64, 96)
TERMS = (1, 2, 4, 8, 16, 32, 64, 128, 192)


@dataclass(frozen=True)
class Projected:
    """-div(a grad u) = f projected on a few modes.

    Attributes:
        faces: coefficient at the nodes -> couplings (f,), all axes in one row.
        interpolation: of the couplings; None for a constant coefficient, whose θ is 1.
        galerkin: the projected operator.
    """

    problem: Problem
    grid: Grid
    faces: Callable[[Tensor], Tensor]
    interpolation: EmpiricalInterpolation | None
    galerkin: ReducedGalerkin

    def __call__(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b 1 *space"]:
        """The solutions at all nodes."""
        b = torch.stack([self.problem.rhs(x_i, self.grid).flatten() for x_i in x])
        u = self.galerkin.solve(self.theta(x), b)
        return with_boundary(u.unflatten(1, self.grid.interior.shape), self.grid)[:, None]

    def theta(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b q"]:
        """The coefficients of the terms."""
        if self.interpolation is None:
            return x.new_ones(len(x), 1)
        points = self.interpolation.points
        return self.interpolation.coefficients(torch.stack([self.faces(x_i)[points] for x_i in x]))


def projection(problem: Problem, grid: Grid, clock: Clock | None = None) -> Fit | None:
    """The fit of `Projected` to samples of a problem; None if it does not state a coefficient and a
    source of -div(a grad u) = f, or has no Dirichlet side."""
    sample = problem.sample_input(grid, 0, 0)
    try:
        a, _ = problem.diffusion(sample, grid)
    except ValueError:
        return None
    if Boundary.DIRICHLET not in problem.boundary:
        return None
    variable = isinstance(a, Tensor)

    def fit(training: Pairs, validation: Pairs) -> Fitted:
        watch = Stopwatch(clock or Clock(rest=0.0))
        model, choice, error = watch(_fit, problem, grid, variable, training, validation)
        return Fitted(NAME, model, torch.float64, watch.timing().wall.median, choice, error)

    return fit


def _fit(
    problem: Problem, grid: Grid, variable: bool, training: Pairs, validation: Pairs
) -> tuple[Projected, str, float]:
    """The projection with the numbers of modes and terms of least error on the validation
    samples."""
    x = training.x.unflatten(1, (-1, *grid.shape))
    u = without_boundary(training.y.unflatten(1, grid.shape), grid).flatten(1)
    modes = POD.of(u, centred=False).modes[: MODES[-1]]
    faces = partial(_couplings, problem, grid)
    interpolation, basis = None, torch.cat([f.flatten() for f in _constant(grid)])[None]
    if variable:
        basis = POD.of(torch.stack([faces(x_i) for x_i in x]), centred=False).modes[: TERMS[-1]]
        interpolation = EmpiricalInterpolation(basis)
    terms = [partial(_apply, grid, psi) for psi in basis]
    full = Projected(problem, grid, faces, interpolation, ReducedGalerkin(modes, terms))
    return _chosen(full, basis, validation)


def _chosen(full: Projected, basis: Tensor, validation: Pairs) -> tuple[Projected, str, float]:
    grid, galerkin = full.grid, full.galerkin
    x = validation.x.unflatten(1, (-1, *grid.shape))
    u = without_boundary(validation.y.unflatten(1, grid.shape), grid).flatten(1)
    num_terms, num_modes = len(basis), len(galerkin.modes)
    found: list[tuple[float, int, int, Projected]] = []
    for q in sorted({min(q, num_terms) for q in TERMS}):
        interpolation = full.interpolation and full.interpolation.truncated(q, basis)
        for r in sorted({min(r, num_modes) for r in MODES}):
            short = Projected(
                full.problem, grid, full.faces, interpolation, galerkin.truncated(r, q)
            )
            v = without_boundary(short(x)[:, 0], grid).flatten(1)
            error = ((v - u).norm(dim=1) / u.norm(dim=1)).mean().item()
            found.append((error, r, q, short))
    least = min(error for error, *_ in found)
    error, r, q, short = min(
        (f for f in found if f[0] <= SLACK * least), key=lambda f: f[2] * f[1] ** 2 + f[1] ** 3
    )
    terms = f", {q} of {num_terms} terms of the operator" if full.interpolation else ""
    return short, f"{r} of {num_modes} modes{terms}", error


def _couplings(problem: Problem, grid: Grid, x: Float[Tensor, "c *space"]) -> Float[Tensor, " f"]:
    a: Any = problem.diffusion(x, grid)[0]
    return torch.cat([variable_faces(a, grid, None, axis).flatten() for axis in range(grid.ndim)])


def _constant(grid: Grid) -> list[Tensor]:
    one = torch.ones(grid.shape, dtype=torch.float64)
    return [variable_faces(one, grid, None, axis) for axis in range(grid.ndim)]


def _apply(grid: Grid, couplings: Tensor, u: Float[Tensor, "r m"]) -> Float[Tensor, "r m"]:
    """A u for couplings at the faces, which may be negative."""
    shape = grid.interior.shape
    faces, start = [], 0
    for axis in range(grid.ndim):
        lengths = [n + (a == axis) for a, n in enumerate(shape)]
        size = torch.Size(lengths).numel()
        faces.append(couplings[start : start + size].reshape(lengths))
        start += size
    periodic = [b is Boundary.PERIODIC for b in grid.boundary]
    return reference.apply(u.unflatten(1, shape), faces, None, periodic).flatten(1)
