"""Refinement of a predicted trajectory: the correction that minimises the residual of an equation.

A model predicts the frames u after the given frames g of a trajectory. Refinement adds a correction
d, zero at first, that lowers an estimator

    η(g, u + d) = |r(g, u + d)|

of the residual of the equation: r is the residual in coordinates in which its norm is the 2-norm,
for example its waves in H⁻¹ at the instants of a quadrature. The given frames are fixed. Whatever
method proposes d, a correction is accepted only where η falls. This is the second stage of Cao,
Brarda, Li & Xie (ICLR 2025, "Spectral-Refiner"), with the output itself as unknown: the last
spectral layer of their model, without truncation, spans all corrections, but its weights and biases
are redundant, so that its normal equations need damping. Those of the output do not: time
differences and one given frame determine the later frames (tests/estimators/
test_time_derivative.py). No parameter of the model changes.
"""
# Axes: b batch, n given frames, t output frames, c channel, *space nodes.

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..nearest import did_you_mean
from .descent import LBFGS, Adam
from .least_squares import minimise, per_sample
from .search import Estimator, Method, Refinement, Search, check_steps


def refine(
    estimator: Estimator,
    given: Float[Tensor, "b n c *space"],
    prediction: Float[Tensor, "batch t channel *nodes"],
    method: Method | None = None,
) -> Refinement:
    """The predicted frames (b, t, c, *space), corrected so that η of the whole trajectory falls.

    Args:
        estimator: η of the given and predicted frames; for `GaussNewton` a
            `LinearisableEstimator`.
        given: the known frames before the prediction; they do not change.
        method: `GaussNewton()` by default.

    Raises:
        ValueError: the shapes do not fit, or a value is not finite.
    """
    _check(given, prediction)
    search = Search(estimator, given, prediction.detach())
    (method or GaussNewton()).run(search)
    return search.result()


@dataclass(frozen=True)
class GaussNewton:
    """Gauss-Newton steps: d minimises |r + J d|², by preconditioned conjugate gradients (CGLS).

    The residual is affine in the trajectory but for advection, so that two to four steps suffice
    where the prediction is good. A step that does not lower η is halved. With the exact inverse of
    the linear part of the equation as preconditioner, the iterations depend on the distance that
    the flow travels within the horizon, not on the grid.

    Args:
        steps: largest number of steps.
        iterations: largest number of iterations of conjugate gradients in a step.
        rtol: reduction of the gradient of the linear problem at which a step ends; 1e-2 is a good
            value, since the next step linearises anew.
        halvings: number of times that a step is halved before the search ends.
        stall: a step ends after an iteration that lowers |r + J d| by less than this fraction; too
            large a value ends it too early on fine grids with fast flow.
        drop: the search ends after a step that lowers η by less than this fraction, or to which the
            next one could add no more. The residual is r(u + d) = r + J d plus terms of second
            order, and where |r + J d| is least, r + J d is orthogonal to the range of J: a next
            step removes the terms of second order only. So the search ends where |r + J d| stalled
            at (1 - drop) η or more.
        reduction: the search ends where η has fallen to this fraction; by default to one whose
            effect on the frames is below the round-off of single precision.
    """

    steps: int = 5
    iterations: int = 50
    rtol: float | int = 1e-2
    halvings: int = 6
    stall: float | int = 0.03
    drop: float | int = 0.1
    reduction: float | int = 1e-6

    def __post_init__(self) -> None:
        check_steps(self.steps)
        fractions = (self.stall, self.drop, self.reduction)
        if not (self.iterations >= 1 and 0 < self.rtol < 1 and all(0 <= f < 1 for f in fractions)):
            raise ValueError(
                f"Gauss-Newton needs iterations >= 1, 0 < rtol < 1 and 0 <= stall, drop, reduction "
                f"< 1; got {self.iterations}, {self.rtol}, {self.stall}, {self.drop} and "
                f"{self.reduction}."
            )

    def run(self, search: Search) -> None:
        """Steps until every sample has a reason to stop."""
        for _ in range(self.steps):
            before = search.eta.cpu()
            found = minimise(
                search.linearised(), rtol=self.rtol, iterations=self.iterations, drop=self.stall
            )
            search.evaluations += 2 * found.iterations + 1
            fell = self._halved(search, found.d)
            search.step_done()
            search.close(~fell, f"no step down to 2^-{self.halvings} lowers the residual")
            eta = search.eta.cpu()
            slow = eta > (1 - self.drop) * before
            search.close(slow, f"a step lowered the residual by less than {self.drop:.0%}")
            reached = eta <= self.reduction * search.history[0].cpu()
            search.close(reached, f"the residual has fallen to {self.reduction:.0e} of its value")
            least = found.stalled.cpu() & (found.residual.cpu() > (1 - self.drop) * eta)
            search.close(least, f"the residual is within {self.drop:.0%} of the least")
            if not search.open.any():
                return
        search.close(search.open, f"{self.steps} steps taken")

    def _halved(self, search: Search, d: Tensor) -> Tensor:
        """Accept d, or a half, a quarter, ... of it, per sample; returns which samples improved."""
        u, d = search.frames, d.to(search.frames)  # it may come in single precision
        size = torch.ones(len(d), dtype=d.dtype, device=d.device)
        fell = ~search.open
        for _ in range(self.halvings + 1):
            trial = u + per_sample(size, d) * d
            fell = fell | search.keep(
                trial, search.value(trial).where(~fell.to(d.device), math.inf)
            )
            if fell.all():
                break
            size = torch.where(fell.to(d.device), size, size / 2)
        return fell | ~search.open


METHODS: dict[str, Callable[..., Method]] = {
    "gauss-newton": GaussNewton,
    "lbfgs": LBFGS,
    "adam": Adam,
}


def method_named(name: str, steps: int | None = None) -> Method:
    """The method with this name, and with this number of steps if it is given.

    Raises:
        ValueError: the name is unknown, or the number of steps is below 0.
    """
    if name not in METHODS:
        raise ValueError(
            f"Unknown method of refinement {name!r}.{did_you_mean(name, METHODS)} Choose from "
            f"{', '.join(METHODS)}."
        )
    return METHODS[name]() if steps is None else METHODS[name](steps=steps)


def _check(given: Tensor, prediction: Tensor) -> None:
    if given.ndim != prediction.ndim or (given.shape[0], given.shape[2:]) != (
        prediction.shape[0],
        prediction.shape[2:],
    ):
        raise ValueError(
            f"Given and predicted frames have the shapes (b, n, c, *space) and (b, t, c, *space) "
            f"with equal b, c and space; got {tuple(given.shape)} and {tuple(prediction.shape)}."
        )
    for name, u in (("given", given), ("predicted", prediction)):
        if not u.isfinite().all():
            raise ValueError(
                f"The {name} frames hold NaN or infinity, so their residual means nothing. Check "
                f"the data, or roll the model out over a shorter horizon."
            )
