"""Guaranteed bounds of the error of a field against the exact solution of a diffusion problem."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..domain import Boundary, Grid
from ..linop import LinearOperator
from ..solvers.direct.dst import FastPoisson
from ..solvers.krylov.flexible_cg import flexible_cg
from ..solvers.multigrid.multigrid import Multigrid
from ..solvers.operators.boundary import with_boundary, without_boundary
from ..solvers.operators.diffusion import Diffusion
from .equilibrated_flux import (
    equilibrated_fluxes,
    face_coefficients,
    flux_at_points,
    imbalance,
    plain_fluxes,
)
from .half_cells import HalfCells, mean
from .system_bounds import norm_from_below


@dataclass(frozen=True)
class Bounds:
    """Bounds of the error of a field, in energy norms.

    Attributes:
        lower, upper: of |∇(u* - v)|_a = (∫ a |∇(u* - v)|²)^½, u* the exact solution and v the
            continuous field through the given values (`HalfCells.conforming`).
        norm_lower, norm_upper: of |∇u*|_a.
        discrete_lower, discrete_upper: of the same norm for finite volumes, (h^d e·A e)^½, e the
            difference from the solution of the discrete system.
    """

    lower: float
    upper: float
    norm_lower: float
    norm_upper: float
    discrete_lower: float
    discrete_upper: float

    @property
    def relative_lower(self) -> float:
        """Lower bound of the error over |∇u*|_a."""
        return self.lower / self.norm_upper if self.norm_upper > 0 else 0.0

    @property
    def relative_upper(self) -> float:
        """Upper bound of the error over |∇u*|_a; infinite if u* may be zero."""
        return self.upper / self.norm_lower if self.norm_lower > 0 else math.inf


class EnergyBounds:
    """v ↦ `Bounds` of the error of v for -div(a grad u*) = f.

    Between nodes, a and f are constant: each node's value holds in the cell around it, bounded by
    the planes midway to its neighbours. With that, for any v that is zero at Dirichlet ends and any
    σ with div σ = -f and no flux through Neumann ends (Prager and Synge 1947),

        ∫ a |∇(u* - v)|²  <=  ∫ |σ - a ∇v|² / a,

    with equality for σ = a ∇u*. v is continuous, as `HalfCells.conforming` makes it of the nodal
    values. σ is the flux of v after a few steps of conjugate gradients, corrected so that it
    balances f (`equilibrated_flux`); the Friedrichs constant of the box bounds what round-off
    leaves of f + div σ. All integrals are exact. Lower bounds are (f, w) - (a ∇v, ∇w) for fields w
    of unit energy: the correction by these steps, and the residual on half cells.

    The bounds are of the solution of the differential equation, so a solution of the discrete
    system does not get a bound of zero. The discrete bounds are of the discrete system alone; the
    same inequality holds there with sums over faces.

    Args:
        a: the coefficient at all nodes, positive.
        f: the source at all nodes. Without a Dirichlet end its mean over the box is subtracted.
        grid: nodes at both ends of each axis, or periodic axes.
        M: a preconditioner of -div(a grad .) on `grid.interior`, symmetric positive definite;
            one cycle of multigrid by default, transforms where a is constant.
        steps: of conjugate gradients from v, with one application of M each. Fewer give wider
            bounds, which hold nevertheless.

    Raises:
        ValueError: a is not positive and finite, f is not finite, or shapes or nodes do not fit.
    """

    def __init__(
        self,
        a: Float[Tensor, "*space"] | float | int,
        f: Float[Tensor, "*space"],
        grid: Grid,
        *,
        M: LinearOperator | None = None,
        steps: int = 2,
    ) -> None:
        self.grid, self.cells = grid, HalfCells(grid)
        self.volume = math.prod(grid.spacing)
        grid.check(f, "source")
        if not f.isfinite().all():
            raise ValueError("The source holds NaN or infinity. Check the input.")
        if not isinstance(a, Tensor):
            a = torch.full(grid.shape, float(a), dtype=torch.float64)
        self.a = a.detach().cpu().double()
        self.f = f.detach().cpu().double()
        self.A = Diffusion(self.a, grid)
        if not self.A.positive_definite:
            fractions = self.A.cell_fractions()
            self.f = self.f - (fractions * self.f).sum() / fractions.sum()
        self.b = self.A.load(without_boundary(self.f, grid))
        if M is None:
            constant = self.A.constant is not None
            M = FastPoisson.of(self.A) if constant else Multigrid(self.A)
        self.M, self.steps = M, steps
        self.on_halves = (self.cells.of_nodes(self.a), self.cells.of_nodes(self.f))

    def __call__(self, u: Float[Tensor, "*space"]) -> Bounds:
        """The bounds of one field. Values at Dirichlet ends are replaced by zero.

        Raises:
            ValueError: u has another shape than the grid, or holds NaN or infinity.
        """
        shape = self.cells.grid.shape
        if tuple(u.shape) != shape:
            raise ValueError(f"Give one field of shape {shape}; got {tuple(u.shape)}.")
        if not u.isfinite().all():
            raise ValueError(
                "The field holds NaN or infinity, so its error has no bound. Check the prediction."
            )
        grid, (a, f) = self.cells.grid, self.on_halves
        u = with_boundary(without_boundary(u.detach().cpu().double(), grid), grid)
        better = self._improved(u)
        faces = equilibrated_fluxes(better, self.f, self.A, self.a, self.cells)
        sigma = flux_at_points(faces, self.f, self.cells)
        v, w = (self.cells.conforming(x, self.a) for x in (u, better))
        gap = self._round_off(imbalance(sigma, f, self.cells))
        upper = self.cells.misfit(v, sigma, a).sqrt().item() + gap
        zero = torch.zeros_like(v)
        # |A_h^(-1/2)| of differences is at most pi/2 times that of derivatives.
        discrete = self._discrete_misfit(u, faces) + math.pi / 2 * gap
        return Bounds(
            lower=min(self._lower(v, w - v), upper),
            upper=upper,
            norm_lower=self._lower(zero, w),
            norm_upper=min(
                self.cells.misfit(zero, sigma, a).sqrt().item() + gap,
                self.cells.energy(v, a).sqrt().item() + upper,
            ),
            discrete_lower=min(self._discrete_lower(u, better), discrete),
            discrete_upper=discrete,
        )

    def discrete_bar(self, x: Float[Tensor, "*unknowns"]) -> float:
        """An upper bound of (h^d e·A e)^½, e the difference of x from the discrete solution, by the
        flux of x without steps. It exceeds the error at most by (max a / min a)^½."""
        u = with_boundary(x, self.cells.grid)
        faces = equilibrated_fluxes(u, self.f, self.A, self.a, self.cells)
        return self._discrete_misfit(u, faces)

    def discrete_norm(self, x: Float[Tensor, "*unknowns"]) -> float:
        """A lower bound of (h^d u·A u)^½ of the discrete solution u, equal to it for x = u."""
        return norm_from_below(self.A, self.b, x, self.volume)

    def _improved(self, u: Tensor) -> Tensor:
        """The field after the steps of conjugate gradients."""
        x = without_boundary(u, self.cells.grid)
        if self.steps > 0:
            run = flexible_cg(self.A, self.b, M=self.M, x0=x, rtol=1e-14, max_iterations=self.steps)
            x = run.x
        return with_boundary(x, self.cells.grid)

    def _round_off(self, rest: Float[Tensor, "*halves"]) -> float:
        """C |rest| / (min a)^½: what f + div σ = rest adds to the upper bound. C^-2 is the smallest
        positive eigenvalue of -Δ on the box."""
        grid = self.cells.grid
        waves = {Boundary.DIRICHLET: 1, Boundary.NEUMANN: 1, Boundary.PERIODIC: 2}
        eigenvalues = [
            (waves[b] * math.pi / L) ** 2 for b, L in zip(grid.boundary, grid.extent, strict=True)
        ]
        known = [
            value
            for value, b in zip(eigenvalues, grid.boundary, strict=True)
            if b is Boundary.DIRICHLET
        ]
        smallest = sum(known) if known else min(eigenvalues)
        size = (self.cells.volume * (rest**2).sum()).sqrt().item()
        return size / math.sqrt(smallest * self.a.min().item())

    def _lower(self, v: Float[Tensor, "*points"], w: Float[Tensor, "*points"]) -> float:
        """max of ((f, w) - (a ∇v, ∇w)) / |∇w|_a over the space of w and two more fields: the
        residual of v over the diagonal of the stiffness on half cells, and the same once more."""
        residual = self._load_vector() - self._stiffness(v)
        diagonal = self.cells.diagonal(self.on_halves[0])
        first = self.cells.folded(residual) / diagonal
        second = self.cells.folded(self._stiffness(first)) / diagonal
        basis = [x for x in (w, first, second) if x.abs().max() > 0]
        if not basis:
            return 0.0
        images = [self._stiffness(x) for x in basis]
        products = torch.stack([(x * residual).sum() for x in basis])
        gram = torch.stack([torch.stack([(x * y).sum() for y in images]) for x in basis])
        scale = gram.diagonal().sqrt()
        weights = torch.linalg.lstsq(
            gram / scale / scale[:, None], products[:, None] / scale[:, None], driver="gelsd"
        ).solution[:, 0]
        best = sum(c * x / s for c, x, s in zip(weights, basis, scale, strict=True))
        energy = self.cells.energy(best, self.on_halves[0]).sqrt().item()
        return max((best * residual).sum().item() / energy, 0.0) if energy > 0 else 0.0

    def _stiffness(self, v: Float[Tensor, "*points"]) -> Float[Tensor, "*points"]:
        """The gradient of ∫ a |∇v|² / 2 with respect to the values of v."""
        with torch.enable_grad():
            v = v.detach().requires_grad_()
            energy = self.cells.energy(v, self.on_halves[0]) / 2
            return torch.autograd.grad(energy, v)[0]

    def _load_vector(self) -> Float[Tensor, "*points"]:
        """The gradient of ∫ f v with respect to the values of v."""
        with torch.enable_grad():
            v = torch.zeros(self.cells.known.shape, dtype=torch.float64, requires_grad=True)
            return torch.autograd.grad(self.cells.load(v, self.on_halves[1]), v)[0]

    def _discrete_misfit(self, u: Float[Tensor, "*space"], faces: list[Tensor]) -> float:
        """(h^d Σ (σ - a ∂u)² / a over the faces)^½, each face by its share of a cell."""
        total = 0.0
        own = plain_fluxes(u, self.a, self.cells)
        for axis, (flux, given) in enumerate(zip(own, faces, strict=True)):
            k = face_coefficients(self.cells.closed(self.a), axis)
            square = (given - flux) ** 2 / k
            for other in range(u.ndim):
                if other != axis:  # half of each outermost face
                    square = mean(square, [other])
            total += self.volume * square.sum().item()
        return math.sqrt(total)

    def _discrete_lower(self, u: Float[Tensor, "*space"], better: Float[Tensor, "*space"]) -> float:
        """h^(d/2) |e·r| / (e·A e)^½ for the correction e by conjugate gradients."""
        grid = self.cells.grid
        x, e = (without_boundary(y, grid) for y in (u, better - u))
        r = self.b - self.A.apply(x)
        energy = (e * self.A.apply(e)).sum().item()
        if energy <= 0:
            return 0.0
        return math.sqrt(self.volume / energy) * abs((e * r).sum().item())
