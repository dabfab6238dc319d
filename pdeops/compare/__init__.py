"""Comparison of operators with classical solvers: error and seconds per solve, verdict, report.

Names are resolved on first use, so that a module of this package (`compare.timing`,
`compare.machine`, `compare.tables`, ...) can be imported without the others.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .comparison import Comparison
    from .error_time import study
    from .runs import compare_runs

_HOME = {
    "Comparison": "comparison",
    "compare_runs": "runs",
    "study": "error_time",
}

__all__ = ["Comparison", "compare_runs", "study"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pdeops.compare' has no attribute {name!r}; it has {__all__}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
