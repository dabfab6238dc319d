"""Quantities of interest: scalars of an input and a solution."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..datasets import Problem
from ..nearest import did_you_mean
from ..tasks.own_models import function_at, is_path

# (problem, input (c, *space), solution (*space), grid) -> number
Quantity = Callable[[Problem, Tensor, Tensor, Any], float]


def mean(problem: Problem, x: Tensor, u: Tensor, grid: Any) -> float:
    """Mean of the solution over the box."""
    return (grid.quadrature().to(u) * u).sum().item() / grid.volume


def _flux(axis: int, end: int) -> Quantity:
    """The flux -∫ a ∂u/∂n through the faces next to a side, n the outward normal."""

    def flux(problem: Problem, x: Tensor, u: Tensor, grid: Any) -> float:
        a, _ = problem.diffusion(x, grid)
        n, h = u.shape[axis], grid.spacing[axis]
        outer, inner = (u.select(axis, i) for i in ((0, 1) if end == 0 else (n - 1, n - 2)))
        if isinstance(a, Tensor):
            first, second = (a.select(axis, i) for i in ((0, 1) if end == 0 else (n - 1, n - 2)))
            k = 2 * first * second / (first + second)
        else:
            k = a
        weights = grid.quadrature().to(u).select(axis, n // 2) / h  # of the other axis
        return (weights * k * (inner - outer)).sum().item() / h

    return flux


QUANTITIES: dict[str, Quantity] = {
    "mean": mean,
    "flux_left": _flux(0, 0),
    "flux_right": _flux(0, 1),
    "flux_bottom": _flux(1, 0),
    "flux_top": _flux(1, 1),
}


def quantity_named(name: str) -> Quantity:
    """A key of `QUANTITIES`, or a function of your own, `file.py:function`, called with the input
    (c, *space), the solution (*space) and the grid.

    Raises:
        ValueError: the name is unknown, or the file has no such function.
    """
    if is_path(name):
        own = function_at(name)
        return lambda problem, x, u, grid: float(own(x, u, grid))
    if name not in QUANTITIES:
        raise ValueError(
            f"There is no quantity {name!r}.{did_you_mean(name, list(QUANTITIES))} There are "
            f"{', '.join(QUANTITIES)}, and functions of your own, file.py:function."
        )
    return QUANTITIES[name]
