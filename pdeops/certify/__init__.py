"""Error bars of predictions: guaranteed bounds, solutions to a guaranteed error, and bands."""

from .bands import Band, conformal_band, require_operator
from .prediction import predict
from .report import Certified, Report

__all__ = ["Band", "Certified", "Report", "conformal_band", "predict", "require_operator"]
