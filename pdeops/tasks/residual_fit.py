"""Gauss-Newton on the residual of a field at fixed points, until it converges."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..nn.space_time_field import SpaceTimeField
from ..training.gauss_newton import LevenbergMarquardt
from .collocation import ResidualClosure


@dataclass(frozen=True)
class ResidualFit:
    """The course of Gauss-Newton in one time window.

    Attributes:
        residuals: root mean square of the residual before the first and after each iteration.
        converged: the last iteration changed it by less than the tolerance, or it is below `atol`.
    """

    residuals: list[float]
    converged: bool

    @property
    def iterations(self) -> int:
        """Number of iterations."""
        return len(self.residuals) - 1


def fit_residual(
    field: SpaceTimeField,
    positions: Tensor,
    optimizer: LevenbergMarquardt,
    *,
    causality: float = 0.0,
    iterations: int,
    rtol: float | int,
    atol: float | int = 0.0,
) -> ResidualFit:
    """Minimise the residual at the points by iterations of the optimizer.

    Args:
        positions: (d + 1, n), points of space and time of one window.
        causality: ε of the causal weights, see `ResidualLoss`.
        iterations: the largest number of them.
        rtol: an iteration that lowers the residual by a smaller fraction is the last.
        atol: a residual below it, after one iteration or more, is small enough.

    Raises:
        ValueError: the residual is not finite.
    """
    closure = ResidualClosure(field, positions, causality)
    residuals = [closure() ** 0.5]
    if not math.isfinite(residuals[0]):
        raise ValueError(
            "The residual is not finite before the first iteration, though the terms of the "
            "equation are. Check the derivatives of the initial field."
        )
    floor = 4 * torch.finfo(torch.float64).eps * residuals[0]
    for k in range(iterations):
        # One iteration at least: a step of a slow solution would else leave it where it is.
        if residuals[-1] <= (max(atol, floor) if k else floor):
            return ResidualFit(residuals, True)
        optimizer.step(closure)
        residuals.append(closure() ** 0.5)
        if residuals[-2] - residuals[-1] <= rtol * residuals[-2]:
            return ResidualFit(residuals, True)
    return ResidualFit(residuals, residuals[-1] <= max(atol, floor))
