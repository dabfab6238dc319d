"""Calculus in waves: a field as a Fourier, sine or cosine series per axis, and what is easy there.

Coefficients are those of the continuous series, whatever n and wherever the nodes lie:

    u(x) = Σ_k û_k φ_k(x),   φ_k = exp(iξ_k x), sin(ξ_k x) or cos(ξ_k x),   ξ_k = 2πk/L or πk/L,

a product of such waves in several dimensions.A series of sines or cosines on m cells is periodic
on 2m of them, so one zero-padded FFT serves every series and every placement of the nodes.

Layout of the coefficients: an axis has as many as `Grid.wavenumbers`, except that fields are real,
so the last Fourier axis keeps k = 0..n//2 only, as in `torch.fft.rfftn`; `wavenumbers` here is in
that layout. All functions act on the last `grid.ndim` axes of float32 or float64 tensors (any
leading axes are a batch), are differentiable, and take `series`: one for all axes, one per axis, or
None for `Grid.series()`.
"""
# Axes: *batch leading axes, *space nodes, *waves coefficients in the layout above.

import math
from collections.abc import Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Inexact
from torch import Tensor

from ..domain import Grid, Placement, Series

Choice = Sequence[str] | str | None


def transform(
    u: Float[Tensor, "*batch_space"], grid: Grid, series: Choice = None
) -> Inexact[Tensor, "*batch_waves"]:
    """Coefficients of u; real without a Fourier axis, else complex.

    Raises:
        ValueError: u is not of the grid, or sines are asked of values not zero at the stored ends.
    """
    grid.check(u)
    chosen = grid.series(series)
    halved = _halved_axis(chosen)
    for axis, s in enumerate(chosen):
        if s is not Series.FOURIER:
            u = _analyse(u, grid, axis, s)
    if halved is not None:
        u = _analyse(u, grid, halved, Series.FOURIER)
    for axis, s in enumerate(chosen):
        if s is Series.FOURIER and axis != halved:
            u = torch.fft.fft(u, dim=axis - grid.ndim, norm="forward")
            u = _shift(u, grid, axis, -grid.wavenumbers(chosen)[axis])
    return u


def inverse_transform(
    u_hat: Inexact[Tensor, "*batch_waves"], grid: Grid, series: Choice = None
) -> Float[Tensor, "*batch_space"]:
    """The real field on the nodes of the grid whose coefficients are u_hat."""
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
            u_hat = _shift(u_hat, grid, axis, grid.wavenumbers(chosen)[axis])
            u_hat = torch.fft.ifft(u_hat, dim=axis - grid.ndim, norm="forward")
    if halved is not None:
        u_hat = _synthesise(u_hat, grid, halved, Series.FOURIER)
    for axis, s in enumerate(chosen):
        if s is not Series.FOURIER:
            u_hat = _synthesise(u_hat, grid, axis, s)
    return u_hat


def wavenumbers(grid: Grid, series: Choice = None) -> tuple[Tensor, ...]:
    """Angular wavenumbers ξ per axis (float64), in the layout of `transform`."""
    chosen = grid.series(series)
    xi = list(grid.wavenumbers(chosen))
    halved = _halved_axis(chosen)
    if halved is not None:  # fftfreq calls the highest wave of an even axis negative
        xi[halved] = xi[halved][: grid.shape[halved] // 2 + 1].abs()
    return tuple(xi)


def wave_indices(grid: Grid, series: Choice = None) -> tuple[Tensor, ...]:
    """Whole-number indices k per axis (float64), ξ_k = 2πk/L or πk/L, in the same layout."""
    chosen = grid.series(series)
    return tuple(
        (xi * L / (2 * math.pi if s is Series.FOURIER else math.pi)).round()
        for xi, L, s in zip(wavenumbers(grid, chosen), grid.extent, chosen, strict=True)
    )


def parseval_weights(grid: Grid, series: Choice = None) -> Float[Tensor, "*waves"]:
    """Weights W (float64) with Σ_nodes w u² = Σ_waves W |û|², w the quadrature of the grid; exact.

    Per axis L for an exponential (twice, for its conjugate, where the layout is halved) and L/2 for
    a sine or cosine, but L for the constant and the highest wave, whose square is 1 at every node.
    """
    chosen = grid.series(series)
    halved = _halved_axis(chosen)
    weights = []
    for axis, (k, L, s) in enumerate(
        zip(wave_indices(grid, chosen), grid.extent, chosen, strict=True)
    ):
        if s is not Series.FOURIER:
            w = L / _multiplicity(len(k), s, grid.cells[axis], k)
        else:
            w = torch.full_like(k, L)
            if axis == halved:
                w[1 : (grid.shape[axis] + 1) // 2] *= 2
        weights.append(w)
    return reduce(lambda a, b: a[..., None] * b, weights)


def sobolev_multiplier(
    grid: Grid, order: int | float, alpha: int | float = 1.0, series: Choice = None
) -> Float[Tensor, "*waves"]:
    """(α + |ξ|²)^{s/2} (float64) for any real order s, at every wave: nothing is cut off.

    With α = 0 and s < 0 it is defined on fields of zero mean only; there the constant gets 0.

    Raises:
        ValueError: α < 0, or a number that is not finite.
    """
    if not (alpha >= 0 and math.isfinite(alpha) and math.isfinite(order)):
        raise ValueError(
            f"A Sobolev multiplier (α + |ξ|²)^(s/2) needs finite α >= 0 and s; got α = {alpha}, "
            f"s = {order}."
        )
    symbol = alpha + squared_length(wavenumbers(grid, series))
    multiplier = symbol.pow(order / 2)
    return multiplier.masked_fill(symbol == 0, 0.0) if order < 0 else multiplier


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
    """Δu, exact for every wave that fits: û is multiplied by -|ξ|²."""
    return apply_multiplier(u, -squared_length(wavenumbers(grid, series)), grid, series)


def inverse_laplacian(
    f: Float[Tensor, "*batch_space"], grid: Grid, series: Choice = None
) -> Float[Tensor, "*batch_space"]:
    """The u of zero mean with Δu = f; where an axis has sines, simply the u with Δu = f.

    Raises:
        ValueError: without a sine axis, if f has not zero mean: then there is no solution.
    """
    check_zero_mean(f, grid, series, purpose="An inverse Laplacian")
    return apply_multiplier(f, -sobolev_multiplier(grid, -2, 0.0, series), grid, series)


def check_zero_mean(
    u: Float[Tensor, "*batch_space"], grid: Grid, series: Choice = None, *, purpose: str
) -> None:
    """Raise a ValueError unless every field has zero mean, to √eps of its root mean square.

    Sines have no constant among them, so with a sine axis there is nothing to check.
    """
    grid.check(u)
    if Series.SINE in grid.series(series):
        return
    dims = tuple(range(-grid.ndim, 0))
    w = grid.quadrature().to(u) / math.prod(grid.extent)
    mean = (w * u.detach()).sum(dims)
    size = (w * u.detach().square()).sum(dims).sqrt()
    if (mean.abs() > math.sqrt(torch.finfo(u.dtype).eps) * size).any():
        raise ValueError(
            f"{purpose} without a constant term (α = 0) needs fields of zero mean; got a mean of "
            f"{mean.abs().max().item():.3g}. Subtract it, or take α > 0."
        )


def derivative(
    u: Float[Tensor, "*batch_space"],
    grid: Grid,
    axis: int,
    order: int = 1,
    series: Choice = None,
) -> Float[Tensor, "*batch_space"]:
    """∂^order u / ∂x_axis^order at the same nodes, exact for every wave that fits.

    Only the series of that axis matters. An odd order turns sines into cosines and back; of the
    highest wave it is zero at every node (a Fourier axis's Nyquist wave included).

    Raises:
        ValueError: as `transform`; an axis that the grid does not have; a negative order.
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
    u_hat = _analyse(u, grid, axis, s)
    num_waves = u_hat.shape[dim]
    odd = order % 2 == 1
    k = torch.arange(num_waves, dtype=u.dtype, device=u.device)
    # Of the highest wave an odd derivative is imaginary, or a sine of k = m: dropped here, because
    # not every back end's irfft ignores what a real field cannot have.
    if s is Series.FOURIER:
        factor = (2 * math.pi / L * k) ** order
        if odd:
            factor = factor * (2 * k != m)
        return _synthesise(u_hat * _along(factor, dim) * 1j**order, grid, axis, s)

    k = k + _LOWEST[s]
    sign = (-1) ** ((order if s is Series.SINE else order + 1) // 2)
    u_hat = u_hat * _along(sign * (math.pi / L * k) ** order, dim)
    if odd:
        inner = min(num_waves, m - _LOWEST[s])  # without the wave k = m
        u_hat = u_hat.narrow(dim, 0, inner)
        if s is Series.SINE:
            s, u_hat = Series.COSINE, _pad(u_hat, dim, 1, 0)
        else:
            s, u_hat = Series.SINE, u_hat.narrow(dim, 1, inner - 1)
    return _synthesise(u_hat, grid, axis, s)


def dealias_mask(grid: Grid, series: Choice = None, *, degree: int = 2) -> Bool[Tensor, "*waves"]:
    """The 2/3 rule: True for waves whose products, aliased, miss all waves that are True.

    On an axis of period N nodes (n for Fourier, 2 cells for sines and cosines) those with 3|k| < N;
    k and -k always together. For products of `degree` fields those with (degree + 1)|k| < N.
    """
    chosen = grid.series(series)
    keep = [
        (degree + 1) * k.abs() < (m if s is Series.FOURIER else 2 * m)
        for k, m, s in zip(wave_indices(grid, chosen), grid.cells, chosen, strict=True)
    ]
    return reduce(lambda a, b: a[..., None] & b, keep)


def dealias(
    u: Float[Tensor, "*batch_space"], grid: Grid, series: Choice = None
) -> Float[Tensor, "*batch_space"]:
    """u without the waves that `dealias_mask` excludes."""
    return apply_multiplier(u, dealias_mask(grid, series), grid, series)


def resample(
    u: Float[Tensor, "*batch_space"],
    grid: Grid,
    shape: Sequence[int],
    series: Choice = None,
) -> Float[Tensor, "*batch_new_space"]:
    """u on `grid.with_shape(shape)`: its interpolant by waves, less those that do not fit there.

    Exact for every wave that fits on both grids. An even Fourier axis's Nyquist wave stands for k
    and -k alike: it is halved on the way up and the two are added on the way down, so up and down
    again is the identity.
    """
    grid.check(u)
    target = grid.with_shape(shape)
    target.series(series)
    for axis, s in enumerate(grid.series(series)):
        n, new, dim = grid.shape[axis], target.shape[axis], axis - grid.ndim
        if n == new:
            continue
        u_hat = _analyse(u, grid, axis, s)
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
        u = _synthesise(u_hat, target, axis, s)
    return u


def squared_length(xi: Sequence[Tensor]) -> Tensor:
    """|ξ|² of all vectors whose components are given per axis."""
    return reduce(lambda a, b: a[..., None] + b, [x.square() for x in xi])


# One axis at a time. Every placement: nodes x_j = (j + offset) h; sines and cosines have period 2m.

_LOWEST = {Series.SINE: 1, Series.COSINE: 0}


def _analyse(u: Tensor, grid: Grid, axis: int, s: Series) -> Tensor:
    """Coefficients of a real field along one axis; k = 0..n//2 on a Fourier axis.

    With U_k = Σ_j w_j u_j exp(-iξ_k x_j), w the quadrature in units of h: û_k = U_k / n for
    Fourier, 2/m Re U_k for cosines, -2/m Im U_k for sines, and half that for k = 0 and k = m.
    """
    dim, n, m, L = axis - grid.ndim, grid.shape[axis], grid.cells[axis], grid.extent[axis]
    if s is Series.FOURIER:
        U = torch.fft.rfft(u, dim=dim, norm="forward")
        return _shift(U, grid, axis, -2 * math.pi / L * _count(n // 2 + 1))
    ends_stored = grid.placement[axis] is Placement.ENDPOINTS
    num_waves = grid.num_waves(axis, s)
    scale = _along(_multiplicity(num_waves, s, m, u) / m, dim)
    if ends_stored and s is Series.COSINE:
        # The DCT-I is its own inverse; with a real result it and its gradient are half the work.
        # irfft counts both end values once and all others twice: 2 w_j.
        U = torch.fft.irfft(u, n=2 * m, dim=dim, norm="forward").narrow(dim, 0, n)
        return U * (scale / 2)
    if ends_stored:
        _check_zero_ends(u, axis, dim)
    U = torch.fft.rfft(u, n=2 * m, dim=dim).narrow(dim, _LOWEST[s], num_waves)
    U = _shift(U, grid, axis, -math.pi / L * (_LOWEST[s] + _count(num_waves)))
    return U.real * scale if s is Series.COSINE else U.imag * -scale


def _synthesise(u_hat: Tensor, grid: Grid, axis: int, s: Series) -> Tensor:
    """The real field at the nodes of one axis, from the coefficients of its lowest waves.

    Sines and cosines are parts of Σ_k û_k exp(iξ_k x) over k = -m..m-1: û_k / 2 for cosines, -iû_k
    / 2 for sines, and not halved for k = 0 and k = m.
    """
    dim, n, m, L = axis - grid.ndim, grid.shape[axis], grid.cells[axis], grid.extent[axis]
    num_waves = u_hat.shape[dim]
    if s is Series.FOURIER:
        u_hat = _shift(u_hat, grid, axis, 2 * math.pi / L * _count(num_waves))
        return torch.fft.irfft(u_hat, n=n, dim=dim, norm="forward")
    half = 1 / _multiplicity(num_waves, s, m, u_hat)
    u_hat = u_hat * _along(half if s is Series.COSINE else -1j * half, dim)
    u_hat = _shift(u_hat, grid, axis, math.pi / L * (_LOWEST[s] + _count(num_waves)))
    u_hat = _pad(u_hat, dim, _LOWEST[s], m + 1 - _LOWEST[s] - num_waves)
    return torch.fft.irfft(u_hat, n=2 * m, dim=dim, norm="forward").narrow(dim, 0, n)


def _shift(u_hat: Tensor, grid: Grid, axis: int, xi: Tensor) -> Tensor:
    """û exp(iξx_0), x_0 the first node of the axis."""
    x0 = grid.offset[axis] * grid.spacing[axis]
    if x0 == 0:
        return u_hat
    angle = xi * x0  # float64: rounded once, when the phase is
    phase = torch.polar(torch.ones_like(angle), angle)
    return u_hat * _along(phase.to(u_hat.device, u_hat.dtype.to_complex()), axis - grid.ndim)


def _count(n: int) -> Tensor:
    """0, 1, ..., n-1 in float64."""
    return torch.arange(n, dtype=torch.float64)


def _multiplicity(num_waves: int, s: Series, m: int, like: Tensor) -> Tensor:
    """How many waves ±k of period 2m make each sine or cosine: 2, but 1 for k = 0 and k = m."""
    count = torch.full((num_waves,), 2, dtype=like.dtype, device=like.device)
    if s is Series.COSINE:
        count[:1] = 1
    if _LOWEST[s] + num_waves - 1 == m:
        count[-1:] = 1
    return count


def _halved_axis(chosen: Sequence[Series]) -> int | None:
    """The last Fourier axis."""
    fourier = [i for i, s in enumerate(chosen) if s is Series.FOURIER]
    return fourier[-1] if fourier else None


def _along(v: Tensor, dim: int) -> Tensor:
    """A vector as a factor along axis dim < 0."""
    return v.reshape(-1, *[1] * (-dim - 1))


def _pad(v: Tensor, dim: int, left: int, right: int) -> Tensor:
    """v with zeros before and after along axis dim < 0."""
    return F.pad(v, [*[0, 0] * (-dim - 1), left, right]) if left or right else v


def _check_zero_ends(u: Tensor, axis: int, dim: int) -> None:
    """Raise a ValueError unless u vanishes at both ends of an axis, to 64 eps of its size."""
    v = u.detach()
    ends = torch.stack([v.select(dim, 0), v.select(dim, -1)]).abs().max()
    if ends > 64 * torch.finfo(u.dtype).eps * v.abs().max():
        raise ValueError(
            f"A sine series is zero at both ends of axis {axis}; got values up to "
            f"{ends.item():.3g} there. Use the cosine series, the default of a grid that stores "
            f"its ends."
        )
