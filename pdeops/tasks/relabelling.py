"""LPINN in time windows: labels restart at the positions before the map has contracted too far."""
# Axes: d position or label, c channel, n points.

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..calculus.characteristics import Eulerian, determinant
from ..models.fields.lpinn import LPINN, fold_time
from ..nn.fourier_field import FourierField
from ..solvers.evolution.equations.transport import Transport

_TIMES = 64  # at which J is evaluated in a window


@dataclass(frozen=True)
class Relabelled:
    """A solution by one LPINN per time window.

    Attributes:
        fields: the LPINN of each window, with times that count from its start.
        starts: the start of each window.
        t_end: end of the last window.
    """

    fields: list[LPINN]
    starts: list[float]
    t_end: float

    def at(self, x: Float[Tensor, "d n"], t: float | int) -> Eulerian:
        """u at the points x and time t, with the labels of the window and the smallest J.

        Raises:
            ValueError: t is outside [0, t_end], or an error of `to_points`.
        """
        if not 0 <= t <= self.t_end * (1 + 1e-12):
            raise ValueError(
                f"The windows cover 0 <= t <= {self.t_end:.6g}; got t = {t:.6g}. Solve with a "
                f"larger t_end."
            )
        window = max(k for k, start in enumerate(self.starts) if start <= t)
        return self.fields[window].at(x, min(t - self.starts[window], self.fields[window].t_end))


def solve_relabelled(
    equation: Transport,
    u0: Callable[[Tensor], Tensor],
    t_end: float | int,
    fit: Callable[[LPINN], Any],
    *,
    smallest_jacobian: float = 0.1,
    nodes: int = 64,
    **arguments: Any,
) -> Relabelled:
    """Solve window by window; a window ends before min J falls below `smallest_jacobian`.

    A window is first solved to t_end, or to twice the length of the window before it, then again up
    to the last time at which J is above the bound, until that is its end. The next one starts with
    labels ξ = x, and with the Fourier series of u at uniform nodes.

    The residual of w is not multiplied by J³ (`metric="divided"`), because J is bounded below. With
    that factor least squares neglects the diffusion where labels gather, and a front steepens from
    window to window. The fields must resolve u as a function of x, also the front that labels have
    gathered at.

    Args:
        fit: trains a field, for instance `fit_random_features`.
        nodes: even number of nodes of the series per axis. Shorter waves than those of u are noise,
            whose second derivatives enter the residual: use the fewest nodes that resolve u.
        arguments: of `LPINN`.

    Raises:
        ValueError: characteristics cross before t_end, or a window would be shorter than
            t_end/1000.
    """
    if (shock := fold_time(equation, u0)) < t_end:
        raise ValueError(
            f"A shock forms at about t = {shock:.3g}, to which windows would shrink. Use one "
            f"window: `LPINN.at` then selects the entropy solution."
        )
    arguments = {"metric": "divided", **arguments}
    start, trial = 0.0, float(t_end)
    starts: list[float] = []
    fields: list[LPINN] = []
    while start < t_end * (1 - 1e-12):
        left = t_end - start
        field = _solved(equation, u0, start, min(left, trial), fit, arguments)
        while (length := _usable(field, smallest_jacobian)) < field.t_end:
            if length < t_end / 1000:
                raise ValueError(
                    f"The map contracts to min J = {smallest_jacobian:g} within {length:.3g} after "
                    f"t = {start:.6g}, so windows would become too short. Use more features."
                )
            field = _solved(equation, u0, start, length, fit, arguments)
        starts.append(start)
        fields.append(field)
        start, trial = start + length, 2 * length
        grid = equation.grid.with_shape((nodes,) * equation.grid.ndim)
        u = field.at(grid.nodes().flatten(1), length).u.reshape(-1, *grid.shape)
        u0 = FourierField(u, grid)
    return Relabelled(fields, starts, float(t_end))


def _solved(
    equation: Transport,
    u0: Callable[[Tensor], Tensor],
    start: float,
    length: float,
    fit: Callable[[LPINN], Any],
    arguments: dict[str, Any],
) -> LPINN:
    field = LPINN(_later(equation, start), u0, length, **arguments)
    fit(field)
    return field


def _later(equation: Transport, start: float) -> Transport:
    """The equation with times that count from `start`."""
    other = copy.copy(equation)
    for name in ("velocity", "diffusivity", "source"):
        term = getattr(equation, name)
        if callable(term):
            setattr(other, name, lambda u, x, t, term=term: term(u, x, t + start))
    return other


@torch.no_grad()
def _usable(field: LPINN, smallest: float) -> float:
    """The last of uniform times up to which J >= `smallest` at uniform labels."""
    labels = field.equation.grid.nodes().flatten(1)
    last = 0.0
    for k in range(1, _TIMES + 1):
        t = field.t_end * k / _TIMES
        if not determinant(field.flow(labels, t).gradient).min() >= smallest:
            return last
        last = t
    return field.t_end
