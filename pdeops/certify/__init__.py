"""Error bars of predictions: guaranteed bounds, solutions to a guaranteed error, and bands."""

from .bands import Band, conformal_band, require_operator
from .prediction import predict
from .report import Certified, Report
from .trajectories import TrajectoryReport, predict_trajectories

__all__ = [
    "Band",
    "Certified",
    "Report",
    "TrajectoryReport",
    "conformal_band",
    "predict",
    "predict_trajectories",
    "require_operator",
]
