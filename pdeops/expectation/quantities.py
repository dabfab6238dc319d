"""Quantities of interest: scalars of an input and a solution."""

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..datasets import Problem
from ..estimators.equilibrated_flux import flux_at_points, plain_fluxes
from ..estimators.half_cells import HalfCells
from ..nearest import did_you_mean
from ..tasks.own_models import function_at, is_path

# (problem, input (c, *space), solution (*space), grid) -> number
Quantity = Callable[[Problem, Tensor, Tensor, Any], float]


def mean(problem: Problem, x: Tensor, u: Tensor, grid: Any) -> float:
    """Mean of the solution over the box."""
    return (grid.quadrature().to(u) * u).sum().item() / grid.volume


def _flux(axis: int, end: int) -> Quantity:
    """The flux -∫ a ∂u/∂n through a side, n the outward normal: that of the finite volumes through
    the faces next to it, and the source of the half cells between (`flux_at_points`)."""

    def flux(problem: Problem, x: Tensor, u: Tensor, grid: Any) -> float:
        a, f = problem.diffusion(x, grid)
        cells = HalfCells(grid)
        k = a if isinstance(a, Tensor) else torch.full_like(u, a)
        sigma = flux_at_points(plain_fluxes(u, k, cells), f.to(u), cells)[axis]
        through = sigma.select(axis, 0) if end == 0 else -sigma.select(axis, -1)
        return through.sum().item() * math.prod(cells.sides) / cells.sides[axis]

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
        return _of_user(name, function_at(name))
    if name not in QUANTITIES:
        raise ValueError(
            f"There is no quantity {name!r}.{did_you_mean(name, list(QUANTITIES))} There are "
            f"{', '.join(QUANTITIES)}, and functions of your own, file.py:function."
        )
    return QUANTITIES[name]


def _of_user(name: str, function: Callable[[Tensor, Tensor, Any], Any]) -> Quantity:
    """The quantity of a user's function; its errors name it."""

    def quantity(problem: Problem, x: Tensor, u: Tensor, grid: Any) -> float:
        try:
            value = function(x, u, grid)
        except Exception as error:
            raise ValueError(f"{name} raised {type(error).__name__}: {error}") from error
        if isinstance(value, Tensor | np.ndarray) and math.prod(value.shape) == 1:
            value = value.item()
        if not isinstance(value, Real):
            shape = f" of shape {tuple(value.shape)}" if hasattr(value, "shape") else ""
            raise ValueError(
                f"{name} must return a real number, the quantity of one sample; got "
                f"{type(value).__name__}{shape}."
            )
        return float(value)

    return quantity
