"""Initial fields as functions of position, and checks of any such function."""
# Axes: b batch, c channel, d direction, n points.

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...domain import Boundary, Grid
from .equations.transport import Transport
from .evolution import Evolution

_SAMPLES = 64  # per axis, for the checks


class Sine:
    """x ↦ mean + amplitude sin(2π k·x/L + phase), one channel.

    Args:
        grid: its box.
        waves: k, whole numbers of periods, one per axis; one wave along the first axis by default.

    Raises:
        ValueError: there is not one whole number per axis.
    """

    def __init__(
        self,
        grid: Grid,
        mean: float = 0.0,
        amplitude: float = 1.0,
        phase: float = 0.0,
        waves: list[float | int] | None = None,
    ) -> None:
        k = [1] + [0] * (grid.ndim - 1) if waves is None else waves
        if len(k) != grid.ndim:
            raise ValueError(f"waves needs one number per axis ({grid.ndim}); got {k}.")
        _check_periods("waves", k)
        self.mean, self.amplitude, self.phase = mean, amplitude, phase
        self.xi = [2 * math.pi * n / L for n, L in zip(k, grid.extent, strict=True)]

    def __call__(self, x: Float[Tensor, "b d *n"]) -> Float[Tensor, "b 1 *n"]:
        angle = torch.full_like(x[:, :1], self.phase)
        for a, xi in enumerate(self.xi):
            angle = angle + xi * x[:, a : a + 1]
        return self.mean + self.amplitude * torch.sin(angle)


class Gaussian:
    """x ↦ mean + amplitude exp(-|x - centre|²/(2 width²)), summed over the periodic images of the
    box that count in double precision, one channel."""

    def __init__(
        self,
        grid: Grid,
        width: float,
        mean: float = 0.0,
        amplitude: float = 1.0,
        centre: list[float] | None = None,
    ) -> None:
        if not (width > 0 and math.isfinite(width)):
            raise ValueError(f"A Gaussian needs a positive finite width; got {width}.")
        self.centre = [L / 2 for L in grid.extent] if centre is None else centre
        if len(self.centre) != grid.ndim:
            raise ValueError(f"centre needs one number per axis ({grid.ndim}); got {centre}.")
        self.width, self.mean, self.amplitude, self.extent = width, mean, amplitude, grid.extent

    def __call__(self, x: Float[Tensor, "b d *n"]) -> Float[Tensor, "b 1 *n"]:
        product = torch.full_like(x[:, :1], self.amplitude)
        for a, (c, L) in enumerate(zip(self.centre, self.extent, strict=True)):
            s = torch.remainder(x[:, a : a + 1] - c + L / 2, L) - L / 2
            images = range(-math.ceil(9 * self.width / L), math.ceil(9 * self.width / L) + 1)
            product = product * sum(
                torch.exp(-(((s - i * L) / self.width) ** 2) / 2) for i in images
            )
        return self.mean + product


class TaylorGreen:
    """(x, y) ↦ amplitude sin(2πk x/L_x) sin(2πk y/L_y), the vorticity of 2k x 2k vortices.

    It is a multiple of its stream function on a square box, so that u·∇ω = 0.

    Args:
        grid: its box, of two axes.
        wave: k, a whole number of periods.

    Raises:
        ValueError: the grid does not have two axes, or k is not a whole number.
    """

    def __init__(self, grid: Grid, amplitude: float = 2.0, wave: float | int = 1) -> None:
        if grid.ndim != 2:
            raise ValueError(f"TaylorGreen needs a grid of two axes; got one of {grid.ndim}.")
        _check_periods("wave", [wave])
        self.amplitude = amplitude
        self.xi = [2 * math.pi * wave / L for L in grid.extent]

    def __call__(self, x: Float[Tensor, "b 2 *n"]) -> Float[Tensor, "b 1 *n"]:
        a, b = self.xi
        return self.amplitude * torch.sin(a * x[:, :1]) * torch.sin(b * x[:, 1:])


def _check_periods(name: str, k: Sequence[float | int]) -> None:
    """Raise a ValueError unless the numbers of periods are whole."""
    if any(n != round(n) for n in k):
        raise ValueError(
            f"{name} needs whole numbers of periods, because the box is periodic; got "
            f"{', '.join(map(str, k))}. For another wavelength choose another box."
        )


INITIAL: dict[str, type[Any]] = {
    "Sine": Sine,
    "Gaussian": Gaussian,
    "TaylorGreen": TaylorGreen,
}


def check_initial(
    equation: Transport, u0: Callable[[Tensor], Tensor], t_end: float | int
) -> tuple[Float[Tensor, "1 d n"], Float[Tensor, "1 c n"]]:
    """Uniform points of the box and u0 there, for methods for transport on periodic boxes.

    Raises:
        ValueError: a term of the equation is not finite at u0, or an error of `check_start`.
    """
    x, u = check_start(equation, u0, t_end)
    equation.check_terms(u, x, torch.zeros_like(x[:, :1]))
    return x, u


def check_start(
    equation: Evolution, u0: Callable[[Tensor], Tensor], t_end: float | int
) -> tuple[Float[Tensor, "1 d n"], Float[Tensor, "1 c n"]]:
    """Uniform points of the box and u0 there.

    Raises:
        ValueError: t_end is not positive; the box is not periodic; u0 has another shape than a
            field of the equation, is not finite, or differs at opposite sides of the box.
    """
    if not 0 < t_end < math.inf:
        raise ValueError(f"t_end must be positive and finite; got {t_end}.")
    grid = equation.grid
    if set(grid.boundary) != {Boundary.PERIODIC}:
        raise ValueError(f"All axes must be periodic; got {grid}. Use boundary='periodic'.")
    x = grid.with_shape((_SAMPLES,) * grid.ndim).nodes().flatten(1)[None]
    u = u0(x)
    expected = (1, equation.num_channels, x.shape[2])
    if tuple(u.shape) != expected:
        raise ValueError(
            f"u0 must map points {tuple(x.shape)} to {expected}; got {tuple(u.shape)}."
        )
    if not u.isfinite().all():
        at = (~u.isfinite()).nonzero()[0, 2]
        raise ValueError(f"u0 is not finite at x = {x[0, :, at].tolist()}. Check the function.")
    size = (u.amax() - u.amin()).item()
    for axis, L in enumerate(grid.extent):
        low, high = x.clone(), x.clone()
        low[:, axis], high[:, axis] = 0.0, L
        jump = (u0(high) - u0(low)).abs().max().item()
        if not jump <= 1e-3 * size:  # a NaN at the end of the box is refused too
            raise ValueError(
                f"u0 must be periodic on {grid}: its values at the two ends of axis {axis} differ "
                f"by {jump:.3g}, and its range is {size:.3g}. Choose the box as a period of u0."
            )
    return x, u
