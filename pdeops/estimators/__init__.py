"""Residuals of equations in the dual norms that bound the error: estimators of an unknown error."""

from .affine import AffineResidual
from .defect import EvolutionDefect
from .energy_bounds import Bounds, EnergyBounds
from .estimator import TrajectoryEstimator
from .evolution_residual import EvolutionResidual, ShallowWaterIndicator
from .named import EQUATIONS, equation_named
from .steady_residual import SteadyResidual
from .system_bounds import InverseMajorant, SystemBounds
from .time_derivative import Differences

__all__ = [
    "EQUATIONS",
    "AffineResidual",
    "Bounds",
    "Differences",
    "EnergyBounds",
    "EvolutionDefect",
    "EvolutionResidual",
    "InverseMajorant",
    "ShallowWaterIndicator",
    "SteadyResidual",
    "SystemBounds",
    "TrajectoryEstimator",
    "equation_named",
]
