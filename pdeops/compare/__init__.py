"""Operators beside classical solvers: error against seconds per solve, the verdict, the report."""

from .comparison import Comparison
from .duel import Cost, Duel, Row
from .error_time import study
from .methods import ClassicalMethod
from .report import Samples, write_report
from .runs import compare_runs

__all__ = [
    "ClassicalMethod",
    "Comparison",
    "Cost",
    "Duel",
    "Row",
    "Samples",
    "compare_runs",
    "study",
    "write_report",
]
