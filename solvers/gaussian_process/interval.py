"""Boundary-value problems on an interval by a Gaussian process."""
# Axes: n points, j features, c conditions.

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from .features import Features
from .mixtures import Mixture
from .second_order import (
    SecondOrder,
    Term,
    check_order,
    checked_points,
    evaluate,
    noise,
    relative_size,
    sensitivity_of,
    uniform_nodes,
    verdict,
)

_RANK = 1e-15  # relative size of the pivots that count in a least-squares problem
_HALVINGS = 8  # trial steps from one that does not lower the residual

Reaction = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class IntervalSolution:
    """A solution, the function x ↦ u.

    Attributes:
        residual: root mean square of L u + g - f in the middle between the nodes, where the
            equation was not imposed, relative to that of the sum of the sizes of its terms.
        sensitivity: relative change of u by a random perturbation of f of the size of the residual;
            large near a singular problem, where the residual does not show the error.
        converged: the residual is at most `rtol`, the sensitivity at most 1e-3, and Gauss-Newton
            has converged.
        iterations: least-squares problems solved; one for a linear equation.
        reason: why the solver stopped, in words.
        nodes: the points where the equation was imposed.
        rank: the number of independent features.
    """

    residual: float
    sensitivity: float
    converged: bool
    iterations: int
    reason: str
    nodes: Float[Tensor, " n"] = field(repr=False)
    rank: int
    _features: Features = field(repr=False)
    _coefficients: Float[Tensor, " j"] = field(repr=False)

    def __call__(self, x: Float[Tensor, " n"], order: int = 0) -> Float[Tensor, " n"]:
        """u, u' or u'' (order 0, 1, 2) at points x of the interval.

        Raises:
            ValueError: x lies outside of the interval, where the kernel extrapolates, or the order
                is another one.
        """
        check_order(order)
        return self._features.at(checked_points("x", self.nodes, x), order) @ self._coefficients


def solve_on_interval(
    operator: SecondOrder,
    f: Term,
    kernel: Mixture,
    interval: tuple[float | int, float | int],
    ends: tuple[float | int | None, float | int | None],
    *,
    reaction: Reaction | None = None,
    nodes: int | None = None,
    rtol: float = 1e-6,
    iterations: int = 20,
) -> IntervalSolution:
    """u with a u'' + b u' + c u + g(u, x) = f on an interval and given values at its ends.

    u = φ·z in the features φ of the kernel. The equation holds at uniform nodes in least squares,
    the end values hold exactly, and of all such z the one of least norm is taken: the mean of the
    Gaussian process (Fang et al. 2024, with the frequencies of the kernel fixed). A linear equation
    takes one dense least-squares problem, a nonlinear one a few Gauss-Newton iterations, which
    start at the function of least norm with the end values.

    Args:
        operator: a u'' + b u' + c u.
        f: right-hand side, a number or a function of x (n,).
        kernel: the frequencies of u; `GaussianMixture.covering(highest, extent)` holds all of them
            up to one.
        interval: (low, high).
        ends: values of u at low and high; None at one end for an operator of first order.
        reaction: g, a function of tensors u and x (n,), differentiated by autograd.
        nodes: number of nodes; by default twice as many as the highest frequency needs.
        rtol: the largest residual of a solution that counts as converged, and the largest last
            step of Gauss-Newton relative to u.
        iterations: largest number of Gauss-Newton iterations.

    Raises:
        ValueError: the nodes alias a frequency, the number of end values is not the order of the
            operator, or a function returns another shape or a value that is not finite.
    """
    given = [value is not None for value in ends]
    if sum(given) != operator.order:
        raise ValueError(
            f"An operator of order {operator.order} needs {operator.order} end value(s); got "
            f"ends = {ends}. Give a number per condition and None at an end without one."
        )
    x = uniform_nodes("x", interval, kernel.highest, nodes)
    features = kernel.features(x)
    problem = _Problem(operator, f, features, x, reaction)
    at_ends = x[[0, -1]][torch.tensor(given)]
    values = torch.tensor([float(v) for v in ends if v is not None], dtype=torch.float64)
    fit = _ConstrainedFit(features.at(at_ends), evaluate("end value", lambda _: values, at_ends))
    z, done, settled = _gauss_newton(problem, fit, rtol, iterations)
    between = _Problem(operator, f, features, (x[1:] + x[:-1]) / 2, reaction)
    values, residual = features.at(between.x), between.relative_residual(z)
    sensitivity = sensitivity_of(values @ z, values @ fit.response, between.residual(z))
    converged, reason = verdict(residual, sensitivity, rtol)
    if not settled:
        converged, reason = False, f"Gauss-Newton has not converged in {done} iterations"
    return IntervalSolution(
        residual, sensitivity, converged, done, reason, x, fit.rank, features, z
    )


class _Problem:
    """The equation at given points, as a function of z."""

    def __init__(
        self,
        operator: SecondOrder,
        f: Term,
        features: Features,
        x: Float[Tensor, " n"],
        reaction: Reaction | None,
    ) -> None:
        self.x, self.reaction = x, reaction
        self.terms, self.f = operator.terms(features, x), evaluate("right-hand side f", f, x)
        self.rows = sum(self.terms, start=torch.zeros(()))
        self.values = features.at(x) if reaction is not None else None

    def residual(self, z: Float[Tensor, " j"]) -> Float[Tensor, " n"]:
        """L u + g(u, x) - f; not finite where g is not."""
        linear = self.rows @ z - self.f
        return linear if self.reaction is None else linear + self.reaction(self.u(z), self.x)

    def u(self, z: Float[Tensor, " j"]) -> Float[Tensor, " n"]:
        """u at the points, for an equation with a reaction."""
        assert self.values is not None
        return self.values @ z

    def relative_residual(self, z: Float[Tensor, " j"]) -> float:
        """The norm of the residual relative to the sum of the sizes of the terms."""
        terms = [*(term @ z for term in self.terms), self.f]
        if self.reaction is not None:
            terms.append(evaluate("reaction", self.reaction, self.u(z), self.x))
        return relative_size(self.residual(z), terms)

    def linearised(self, z: Float[Tensor, " j"]) -> tuple[Float[Tensor, "n j"], Tensor]:
        """J and y of the equation J z' = y for the next z', which is exact without a reaction."""
        if self.reaction is None or self.values is None:
            return self.rows, self.f
        u = self.u(z).requires_grad_()
        with torch.enable_grad():
            g = evaluate("reaction", self.reaction, u, self.x)
            (slope,) = torch.autograd.grad(g.sum(), u) if g.requires_grad else (torch.zeros(()),)
        u, g = u.detach(), g.detach()
        slope = evaluate("derivative of the reaction", lambda u, x: slope, u, self.x)
        return self.rows + slope[:, None] * self.values, self.f - g + slope * u


class _ConstrainedFit:
    """Least squares under the conditions C z = b, of least norm.

    z = C⁺ b + y with C y = 0, so that |A (I - C⁺C) y - (f - A C⁺ b)| is minimal. The singular
    values (LAPACK's gelsd) show the rank; pivoted QR (gelsy) stops at a tenth of it, since the
    features differ by many powers of ten in size.
    """

    def __init__(self, C: Float[Tensor, "c j"], b: Float[Tensor, " c"]) -> None:
        self.C, self.inverse = C, torch.linalg.pinv(C)
        self.start = self.inverse @ b
        self.rank, self.response = 0, torch.zeros_like(self.start)

    def __call__(self, A: Float[Tensor, "n j"], f: Float[Tensor, " n"]) -> Float[Tensor, " j"]:
        """z. `response` becomes the y of a right-hand side of `noise`."""
        free = A - (A @ self.inverse) @ self.C
        right = torch.stack([f - A @ self.start, noise(len(f))], 1)
        solution = torch.linalg.lstsq(free, right, rcond=_RANK, driver="gelsd")
        self.rank = int(solution.rank.item()) + len(self.C)
        Y = solution.solution - self.inverse @ (self.C @ solution.solution)
        self.response = Y[:, 1]
        return self.start + Y[:, 0]


def _gauss_newton(
    problem: _Problem, fit: _ConstrainedFit, rtol: float, iterations: int
) -> tuple[Tensor, int, bool]:
    """z, the number of iterations, and whether the last step was at most rtol times u."""
    z = fit.start
    if problem.reaction is None:
        return fit(*problem.linearised(z)), 1, True
    for done in range(1, iterations + 1):
        new = fit(*problem.linearised(z))
        size, step = problem.residual(z).norm(), new - z
        if problem.u(step).norm() <= rtol * problem.u(new).norm():
            return new, done, True
        halvings = (step / 2**k for k in range(_HALVINGS))
        z = z + next((d for d in halvings if problem.residual(z + d).norm() < size), step)
    return z, iterations, False
