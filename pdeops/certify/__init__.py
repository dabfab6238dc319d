"""Error bars of predictions: guaranteed bounds, solutions to a guaranteed error, and bands."""

from .bands import Band, conformal_band, require_operator
from .implicit_steps import ImplicitSteps, implicit_steps
from .prediction import predict
from .report import Certified, Report
from .trajectories import TrajectoryReport, predict_trajectories

__all__ = [
    "Band",
    "Certified",
    "ImplicitSteps",
    "Report",
    "TrajectoryReport",
    "conformal_band",
    "implicit_steps",
    "predict",
    "predict_trajectories",
    "require_operator",
]
