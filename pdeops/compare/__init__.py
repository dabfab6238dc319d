"""Comparison of operators with classical solvers: error and seconds per solve, verdict, report.

Names are resolved on first use, so that a module of this package (`compare.timing`,
`compare.machine`, `compare.tables`, ...) can be imported without the others.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .comparison import Comparison
    from .equation_runs import compare_equation
    from .error_time import study
    from .point_runs import compare_points
    from .rollout_runs import compare_rollouts
    from .rollout_study import rollout_study
    from .runs import compare_runs

_HOME = {
    "Comparison": "comparison",
    "compare_equation": "equation_runs",
    "compare_points": "point_runs",
    "compare_rollouts": "rollout_runs",
    "compare_runs": "runs",
    "rollout_study": "rollout_study",
    "study": "error_time",
}

__all__ = [
    "Comparison",
    "compare_equation",
    "compare_points",
    "compare_rollouts",
    "compare_runs",
    "rollout_study",
    "study",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pdeops.compare' has no attribute {name!r}; it has {__all__}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
