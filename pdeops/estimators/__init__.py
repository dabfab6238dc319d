"""Residuals of equations in the dual norms that bound the error: estimators of an error that is not
known."""

from .affine import AffineResidual
from .evolution_residual import EvolutionResidual
from .time_derivative import Differences

__all__ = ["AffineResidual", "Differences", "EvolutionResidual"]
