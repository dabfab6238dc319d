"""Spectral calculus of fields on a box by Fourier, sine and cosine series along each axis.

Coefficients are those of the continuous series, independent of n and of the node placement:

    u(x) = Σ_k û_k φ_k(x),   φ_k = exp(iξ_k x), sin(ξ_k x) or cos(ξ_k x),   ξ_k = 2πk/L or πk/L,

with products of such waves in several dimensions. A sine or cosine series on m cells has the period
of 2m cells, so one zero-padded FFT computes every series for every node placement.

Layout of the coefficients: each axis has one per entry of `Grid.wavenumbers`. Fields are real, so
the last Fourier axis stores k = 0..n//2 only, as in `torch.fft.rfftn`; `wavenumbers` in this file
uses the same layout. All functions act on the last `grid.ndim` axes of float32 or float64 tensors
(leading axes are a batch) and are differentiable. The argument `series` is one series for all
axes, one per axis, or None for `Grid.series()`.
"""
# Axes: *batch leading axes, *space nodes, *waves coefficients in the layout above.

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
from jaxtyping import Bool, Complex, Float, Inexact
from torch import Tensor

from ..domain import Grid, Series
from .calculus import power, require_zero_mean
from .series import LOWEST, along, analyse, multiplicity, pad, shift, synthesise

Choice = Sequence[str] | str | None


def transform(
    u: Float[Tensor, "*batch_space"], grid: Grid, series: Choice = None
) -> Inexact[Tensor, "*batch_waves"]:
    """Coefficients of u: complex if there is a Fourier axis, else real.

    Raises:
        ValueError: u is not a field of the grid, or a sine series is chosen and u does not vanish
            at the stored ends.
    """
    grid.check(u)
    chosen = grid.series(series)
    halved = _halved_axis(chosen)
    for axis, s in enumerate(chosen):
        if s is not Series.FOURIER:
            u = analyse(u, grid, axis, s)
    if halved is not None:
        u = analyse(u, grid, halved, Series.FOURIER)
    for axis, s in enumerate(chosen):
        if s is Series.FOURIER and axis != halved:
            u = torch.fft.fft(u, dim=axis - grid.ndim, norm="forward")
            u = shift(u, grid, axis, -grid.wavenumbers(chosen)[axis])
    return u


def inverse_transform(
    u_hat: Inexact[Tensor, "*batch_waves"], grid: Grid, series: Choice = None
) -> Float[Tensor, "*batch_space"]:
    """The real field on the nodes of the grid with coefficients u_hat."""
    chosen = grid.series(series)
    expected = tuple(len(xi) for xi in wavenumbers(grid, chosen))
    if tuple(u_hat.shape[-grid.ndim :]) != expected:
        raise ValueError(
            f"The coefficients on this grid have shape (..., {', '.join(map(str, expected))}); got "
            f"{tuple(u_hat.shape)}. Make them with transform() on the same grid and series."
        )
    halved = _halved_axis(chosen)
    for axis, s in enumerate(chosen):
        if s is Series.FOURIER and axis != halved:
            u_hat = shift(u_hat, grid, axis, grid.wavenumbers(chosen)[axis])
            u_hat = torch.fft.ifft(u_hat, dim=axis - grid.ndim, norm="forward")
    if halved is not None:
        u_hat = synthesise(u_hat, grid, halved, Series.FOURIER)
    for axis, s in enumerate(chosen):
        if s is not Series.FOURIER:
            u_hat = synthesise(u_hat, grid, axis, s)
    return u_hat


def wavenumbers(grid: Grid, series: Choice = None) -> tuple[Tensor, ...]:
    """Angular wavenumbers ξ per axis (float64), in the layout of `transform`."""
    chosen = grid.series(series)
    xi = list(grid.wavenumbers(chosen))
    halved = _halved_axis(chosen)
    if halved is not None:  # fftfreq gives the Nyquist wave of an even axis a minus sign
        xi[halved] = xi[halved][: grid.shape[halved] // 2 + 1].abs()
    return tuple(xi)


def wave_indices(grid: Grid, series: Choice = None) -> tuple[Tensor, ...]:
    """Integer indices k per axis (as float64), ξ_k = 2πk/L or πk/L, in the same layout."""
    chosen = grid.series(series)
    return tuple(
        (xi * L / (2 * math.pi if s is Series.FOURIER else math.pi)).round()
        for xi, L, s in zip(wavenumbers(grid, chosen), grid.extent, chosen, strict=True)
    )


def parseval_weights(grid: Grid, series: Choice = None) -> Float[Tensor, "*waves"]:
    """Weights W (float64) with Σ_nodes w u² = Σ_waves W |û|² exactly, w = `grid.quadrature()`.

    Per axis, W is L for an exponential (2L on the halved axis, to count its conjugate) and L/2 for
    a sine or cosine, but L for the constant and the highest wave, whose square is 1 at every node.
    """
    chosen = grid.series(series)
    halved = _halved_axis(chosen)
    weights = []
    for axis, (k, L, s) in enumerate(
        zip(wave_indices(grid, chosen), grid.extent, chosen, strict=True)
    ):
        if s is not Series.FOURIER:
            w = L / multiplicity(len(k), s, grid.cells[axis], k)
        else:
            w = torch.full_like(k, L)
            if axis == halved:
                w[1 : (grid.shape[axis] + 1) // 2] *= 2
        weights.append(w)
    return reduce(lambda a, b: a[..., None] * b, weights)


def sobolev_multiplier(
    grid: Grid, order: int | float, alpha: int | float = 1.0, series: Choice = None
) -> Float[Tensor, "*waves"]:
    """(α + |ξ|²)^{s/2} (float64) for any real order s; see `calculus.power`."""
    return power(squared_length(wavenumbers(grid, series)), order, alpha)


def apply_multiplier(
    u: Float[Tensor, "*batch_space"],
    multiplier: Tensor,
    grid: Grid,
    series: Choice = None,
) -> Float[Tensor, "*batch_space"]:
    """The field with coefficients multiplier · û; the multiplier is real, in transform's layout."""
    return inverse_transform(transform(u, grid, series) * multiplier.to(u), grid, series)


def laplacian(
    u: Float[Tensor, "*batch_space"], grid: Grid, series: Choice = None
) -> Float[Tensor, "*batch_space"]:
    """Δu, exact for every resolved wave: û is multiplied by -|ξ|²."""
    return apply_multiplier(u, -squared_length(wavenumbers(grid, series)), grid, series)


def inverse_laplacian(
    f: Float[Tensor, "*batch_space"], grid: Grid, series: Choice = None
) -> Float[Tensor, "*batch_space"]:
    """The solution u of Δu = f; without a sine axis, the solution of zero mean.

    Raises:
        ValueError: there is no sine axis and f has nonzero mean, so that no solution exists.
    """
    check_zero_mean(f, grid, series, purpose="An inverse Laplacian")
    return apply_multiplier(f, -sobolev_multiplier(grid, -2, 0.0, series), grid, series)


def check_zero_mean(
    u: Float[Tensor, "*batch_space"], grid: Grid, series: Choice = None, *, purpose: str
) -> None:
    """Raise a ValueError unless the mean of every field is at most √eps times its RMS.

    With a sine axis nothing is checked, because no wave is constant.
    """
    grid.check(u)
    if Series.SINE not in grid.series(series):
        require_zero_mean(u, grid.quadrature() / grid.volume, purpose=purpose)


def derivative(
    u: Float[Tensor, "*batch_space"],
    grid: Grid,
    axis: int,
    order: int = 1,
    series: Choice = None,
) -> Float[Tensor, "*batch_space"]:
    """∂^order u / ∂x_axis^order at the same nodes, exact for every resolved wave.

    Only the series of this axis matters. An odd order maps sines to cosines and cosines to sines.
    The odd derivative of the highest wave (on a Fourier axis, Nyquist) is zero at every node.

    Raises:
        ValueError: an error of `transform`, an axis out of range, or a negative order.
    """
    grid.check(u)
    if not -grid.ndim <= axis < grid.ndim or order < 0:
        raise ValueError(
            f"Give an axis of this {grid.ndim}-dimensional grid, counted as in grid.shape, and an "
            f"order >= 0; got axis {axis} and order {order}."
        )
    axis %= grid.ndim
    s = grid.series(series)[axis]
    dim, m, L = axis - grid.ndim, grid.cells[axis], grid.extent[axis]
    u_hat = analyse(u, grid, axis, s)
    num_waves = u_hat.shape[dim]
    odd = order % 2 == 1
    k = torch.arange(num_waves, dtype=u.dtype, device=u.device)
    # The odd derivative of the highest wave is imaginary, or a sine with k = m. It is removed here,
    # because not every backend's irfft ignores the imaginary part.
    if s is Series.FOURIER:
        factor = (2 * math.pi / L * k) ** order
        if odd:
            factor = factor * (2 * k != m)
        return synthesise(u_hat * along(factor, dim) * 1j**order, grid, axis, s)

    k = k + LOWEST[s]
    sign = (-1) ** ((order if s is Series.SINE else order + 1) // 2)
    u_hat = u_hat * along(sign * (math.pi / L * k) ** order, dim)
    if odd:
        inner = min(num_waves, m - LOWEST[s])  # without the wave k = m
        u_hat = u_hat.narrow(dim, 0, inner)
        if s is Series.SINE:
            s, u_hat = Series.COSINE, pad(u_hat, dim, 1, 0)
        else:
            s, u_hat = Series.SINE, u_hat.narrow(dim, 1, inner - 1)
    return synthesise(u_hat, grid, axis, s)


def dealias_mask(grid: Grid, series: Choice = None, *, degree: int = 2) -> Bool[Tensor, "*waves"]:
    """Mask of the 2/3 rule: True for the waves kept; their products do not alias to kept waves.

    On an axis with a period of N nodes (n for Fourier, 2 cells for sines and cosines) the mask is
    (degree + 1)|k| < N for products of `degree` fields, that is 3|k| < N for degree 2. It keeps or
    removes k and -k together.
    """
    chosen = grid.series(series)
    keep = [
        (degree + 1) * k.abs() < (m if s is Series.FOURIER else 2 * m)
        for k, m, s in zip(wave_indices(grid, chosen), grid.cells, chosen, strict=True)
    ]
    return reduce(lambda a, b: a[..., None] & b, keep)


def resample(
    u: Float[Tensor, "*batch_space"],
    grid: Grid,
    shape: Sequence[int],
    series: Choice = None,
) -> Float[Tensor, "*batch_new_space"]:
    """u on `grid.with_shape(shape)`: spectral interpolation, truncated to the new grid.

    It is exact for every wave resolved by both grids. The Nyquist wave of an even Fourier axis
    represents both k and -k: refinement halves it and coarsening adds the two, so that refining
    and coarsening again is the identity.
    """
    grid.check(u)
    target = grid.with_shape(shape)
    target.series(series)
    for axis, s in enumerate(grid.series(series)):
        n, new, dim = grid.shape[axis], target.shape[axis], axis - grid.ndim
        if n == new:
            continue
        u_hat = analyse(u, grid, axis, s)
        fewer = min(n, new)
        if s is not Series.FOURIER:
            u_hat = u_hat.narrow(dim, 0, min(u_hat.shape[dim], target.num_waves(axis, s)))
        elif fewer % 2 == 1:
            u_hat = u_hat.narrow(dim, 0, fewer // 2 + 1)
        else:
            top = u_hat.narrow(dim, fewer // 2, 1)
            if new > n:
                top = top / 2
            else:  # at the nodes exp(-iξx) = ±exp(iξx), the sign that of exp(-2πi offset)
                top = top + math.cos(2 * math.pi * grid.offset[axis]) * top.conj()
            u_hat = torch.cat([u_hat.narrow(dim, 0, fewer // 2), top], dim)
        u = synthesise(u_hat, target, axis, s)
    return u


def rfftn(u: Float[Tensor, "*batch_space"], ndim: int) -> Complex[Tensor, "*batch_waves"]:
    """Coefficients û of real fields on the last `ndim` axes, origin at the first node:
    `torch.fft.rfftn` with norm "forward" and a faster gradient.

    The transpose is one real transform; that of torch is a complex transform of twice the size.
    """
    return _RealTransform.apply(u, ndim)


class _RealTransform(torch.autograd.Function):
    """`rfftn` and its transpose."""

    @staticmethod
    def forward(u: Tensor, ndim: int) -> Tensor:
        return torch.fft.rfftn(u, dim=tuple(range(-ndim, 0)), norm="forward")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        u, ctx.ndim = inputs
        ctx.shape = u.shape[-ctx.ndim :]

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        # Σ_k Re(g_k exp(iξx)) / N over the stored waves. irfftn counts those with a conjugate that
        # is not stored twice.
        n = ctx.shape[-1]
        factor = g.real.new_full((g.shape[-1],), 0.5)
        factor[0] = 1.0
        if n % 2 == 0:
            factor[-1] = 1.0
        dims = tuple(range(-ctx.ndim, 0))
        return torch.fft.irfftn(g * factor, s=ctx.shape, dim=dims, norm="backward"), None


def pad_waves(
    u_hat: Inexact[Tensor, "*batch_waves"], grid: Grid, shape: Sequence[int], series: Choice = None
) -> Inexact[Tensor, "*batch_new_waves"]:
    """Coefficients on `grid.with_shape(shape)`, a finer grid, of the field with coefficients u_hat:
    `resample` without transforms, for coefficients with the origin at the first node.

    The Nyquist wave of an even Fourier axis, which is a cosine, is split into halves at k and -k.

    Raises:
        ValueError: the new grid has fewer cells along an axis.
    """
    chosen, target = grid.series(series), grid.with_shape(shape)
    halved = _halved_axis(chosen)
    if any(new < m for new, m in zip(target.cells, grid.cells, strict=True)):
        raise ValueError(f"Padding needs a finer grid than {grid.shape}; got {tuple(shape)}.")
    for axis, s in enumerate(chosen):
        n, new, dim = grid.shape[axis], target.shape[axis], axis - grid.ndim
        if n == new:
            continue
        if s is not Series.FOURIER:
            u_hat = pad(u_hat, dim, 0, target.num_waves(axis, s) - u_hat.shape[dim])
            continue
        low = (n + 1) // 2  # waves 0 .. low - 1 are below Nyquist
        parts = [u_hat.narrow(dim, 0, low)]
        if n % 2 == 0:
            nyquist = u_hat.narrow(dim, low, 1) / 2
            parts.append(nyquist)
        if axis == halved:
            u_hat = torch.cat(parts, dim)
            u_hat = pad(u_hat, dim, 0, new // 2 + 1 - u_hat.shape[dim])
            continue
        negative = [u_hat.narrow(dim, u_hat.shape[dim] - (n - 1) // 2, (n - 1) // 2)]
        if n % 2 == 0:
            negative.insert(0, nyquist)
        gap = list(u_hat.shape)
        gap[dim] = new - sum(p.shape[dim] for p in [*parts, *negative])
        u_hat = torch.cat([*parts, u_hat.new_zeros(gap), *negative], dim)
    return u_hat


def squared_length(xi: Sequence[Tensor]) -> Tensor:
    """|ξ|² of all wave vectors, from their components per axis."""
    return reduce(lambda a, b: a[..., None] + b, [x.square() for x in xi])


def _halved_axis(chosen: Sequence[Series]) -> int | None:
    """The last Fourier axis, which stores k >= 0 only; None without a Fourier axis."""
    fourier = [i for i, s in enumerate(chosen) if s is Series.FOURIER]
    return fourier[-1] if fourier else None
