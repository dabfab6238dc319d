"""Residuals of equations in the dual norms that bound the error: estimators of an unknown error."""

from .affine import AffineResidual
from .defect import EvolutionDefect
from .energy_bounds import Bounds, EnergyBounds
from .estimator import TrajectoryEstimator
from .evolution_residual import EvolutionResidual, ShallowWaterIndicator
from .named import EQUATIONS, equation_named
from .steady_residual import SteadyResidual
from .time_derivative import Differences

__all__ = [
    "EQUATIONS",
    "AffineResidual",
    "Bounds",
    "Differences",
    "EnergyBounds",
    "EvolutionDefect",
    "EvolutionResidual",
    "ShallowWaterIndicator",
    "SteadyResidual",
    "TrajectoryEstimator",
    "equation_named",
]
