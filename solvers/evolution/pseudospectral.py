"""Pseudo-spectral equations: derivatives of the coefficients, products at the nodes."""
# Axes: b batch, c channel, *space nodes, *waves coefficients in the layout of
# `calculus.fourier.transform`.

import math
from collections.abc import Callable
from functools import reduce

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

from ...calculus.fourier import (
    Choice,
    dealias_mask,
    inverse_transform,
    squared_length,
    transform,
    wave_indices,
    wavenumbers,
)
from ...domain import Boundary, Grid, Series
from .evolution import Evolution


class PseudoSpectral(Evolution):
    """u_t = L u + N(u, t) with the state of `calculus.fourier.transform`, (b, c, *waves).

    A subclass passes the symbol of L and writes `nonlinear` with `at_nodes` and `waves`, which keep
    only waves with (degree + 1)|k| < N, so that no product of that degree aliases. The other waves
    of an initial field obey u_t = L u.

    Attributes:
        degree: degree of the polynomial N.
        series: the waves, by default those of the grid: Fourier on periodic axes. Sines and cosines
            suit an equation without odd derivatives for which N maps a sine series to one.
    """

    degree: int = 2

    def __init__(self, grid: Grid, symbol: Tensor, series: Choice = None) -> None:
        super().__init__(grid, symbol)
        self.series = series
        self.kept = dealias_mask(grid, series, degree=self.degree).double()
        self.is_fourier = set(grid.series(series)) == {Series.FOURIER}

    def on(self, grid: Grid) -> "PseudoSpectral":
        """The same equation on another grid of the box."""
        raise ValueError(
            f"{type(self).__name__} does not define `on`, the same equation on another grid."
        )

    def padded(self) -> "PseudoSpectral":
        """The same equation on the coarsest fast grid on which products of `degree` fields of
        `grid` are exact: more than `degree` times the cells of each axis; no wave is dropped."""
        fine = self.on(self.grid.with_shape(padded_shape(self.grid, self.degree)))
        fine.kept = torch.ones_like(fine.kept)
        return fine

    def encode(self, u: Float[Tensor, "b c *space"]) -> Inexact[Tensor, "b c *waves"]:
        """The coefficients of a field; on a periodic box the origin is its first node."""
        if self.is_fourier:  # needs no phase: a fifth of the time on a small grid
            return torch.fft.rfftn(u, s=self.grid.shape, norm="forward")
        return transform(u, self.grid, self.series)

    def decode(self, u_hat: Inexact[Tensor, "b c *waves"]) -> Float[Tensor, "b c *space"]:
        """The field of these coefficients."""
        if self.is_fourier:
            return torch.fft.irfftn(u_hat, s=self.grid.shape, norm="forward")
        return inverse_transform(u_hat, self.grid, self.series)

    def at_nodes(self, u_hat: Inexact[Tensor, "b c *waves"]) -> Float[Tensor, "b c *space"]:
        """The field of the waves that do not alias."""
        return self.decode(u_hat * self.cast(self.kept, u_hat))

    def waves(self, u: Float[Tensor, "b c *space"]) -> Inexact[Tensor, "b c *waves"]:
        """The coefficients of a product of fields `at_nodes`, without the waves that alias."""
        u_hat = self.encode(u)
        return u_hat * self.cast(self.kept, u_hat)


class Linear(PseudoSpectral):
    """u_t = L u; an ETDRK4 step of any length is exact."""

    degree = 1

    def nonlinear(self, u_hat: Inexact[Tensor, "b c *waves"], t: float) -> Inexact[Tensor, "..."]:
        """Zero."""
        return torch.zeros_like(u_hat)

    def frozen(self, u_hat: Tensor, t: float) -> Callable[[Tensor], Tensor]:
        """Zero."""
        return torch.zeros_like

    tangent = frozen


def padded_shape(grid: Grid, degree: int) -> tuple[int, ...]:
    """The smallest shape with more than `degree` times the cells per axis whose numbers of cells
    are products of 2, 3 and 5, for which the FFT is fast."""
    extra = [n - m for n, m in zip(grid.shape, grid.cells, strict=True)]
    return tuple(_fast(degree * m + 1) + e for m, e in zip(grid.cells, extra, strict=True))


def _fast(n: int) -> int:
    """The smallest product of 2, 3 and 5 that is n or more."""
    while True:
        rest = n
        for p in (2, 3, 5):
            while rest % p == 0:
                rest //= p
        if rest == 1:
            return n
        n += 1


def laplacian_symbol(grid: Grid, series: Choice = None) -> Float[Tensor, "*waves"]:
    """-|ξ|² per wave."""
    return -squared_length(wavenumbers(grid, series))


def derivative_symbols(grid: Grid) -> list[Tensor]:
    """iξ along each axis of a periodic grid, broadcastable to the waves; zero for the Nyquist wave
    of an even axis, whose derivative vanishes at every node."""
    symbols = []
    for axis, (xi, n) in enumerate(zip(wavenumbers(grid), grid.shape, strict=True)):
        k = wave_indices(grid)[axis]
        xi = torch.where(2 * k.abs() == n, 0.0, xi)
        symbols.append(1j * xi.reshape(-1, *[1] * (grid.ndim - 1 - axis)))
    return symbols


def courant_rate(velocity: Float[Tensor, "b d *space"], grid: Grid) -> Float[Tensor, ""]:
    """max Σ_a |u_a|/h_a of a velocity at the nodes, one channel per axis."""
    parts = [u.abs() / h for u, h in zip(velocity.unbind(1), grid.spacing, strict=True)]
    return reduce(torch.add, parts).amax()


def require_periodic(grid: Grid, equation: str, *, ndim: int | None = None) -> None:
    """Raise a ValueError unless all axes are periodic and their number is `ndim`, if given."""
    if set(grid.boundary) != {Boundary.PERIODIC} or ndim not in (None, grid.ndim):
        axes = "all axes" if ndim is None else f"{ndim} axis" if ndim == 1 else f"{ndim} axes"
        raise ValueError(
            f"{equation} needs {axes} periodic; got {grid}. Use Grid(shape, boundary='periodic')."
        )


def require_coefficients(equation: str, **values: float | int) -> None:
    """Raise a ValueError unless each coefficient is finite and >= 0."""
    for name, value in values.items():
        if not (value >= 0 and math.isfinite(value)):
            raise ValueError(f"{equation} needs a finite {name} >= 0; got {value}.")
