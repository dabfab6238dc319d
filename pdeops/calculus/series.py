"""Fourier, sine and cosine transforms along one axis of a box.

The nodes are x_j = (j + offset) h for every placement; sines and cosines on m cells have the
period 2m.
"""
# dim < 0 is the axis of the tensor, `axis` that of the grid.

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..domain import Grid, Placement, Series

LOWEST = {Series.SINE: 1, Series.COSINE: 0}


def analyse(u: Tensor, grid: Grid, axis: int, s: Series) -> Tensor:
    """Coefficients of a real field along one axis; k = 0..n//2 on a Fourier axis.

    With U_k = Σ_j w_j u_j exp(-iξ_k x_j), w the quadrature in units of h: û_k = U_k / n for
    Fourier, 2/m Re U_k for cosines, -2/m Im U_k for sines, and half that for k = 0 and k = m.
    """
    dim, n, m, L = axis - grid.ndim, grid.shape[axis], grid.cells[axis], grid.extent[axis]
    if s is Series.FOURIER:
        U = torch.fft.rfft(u, dim=dim, norm="forward")
        return shift(U, grid, axis, -2 * math.pi / L * _count(n // 2 + 1))
    ends_stored = grid.placement[axis] is Placement.ENDPOINTS
    num_waves = grid.num_waves(axis, s)
    scale = along(multiplicity(num_waves, s, m, u) / m, dim)
    if ends_stored and s is Series.COSINE:
        # The DCT-I is its own inverse; as an irfft it and its gradient cost half as much.
        # irfft counts both end values once and all other values twice, that is 2 w_j.
        U = torch.fft.irfft(u, n=2 * m, dim=dim, norm="forward").narrow(dim, 0, n)
        return U * (scale / 2)
    if ends_stored:
        _check_zero_ends(u, axis, dim)
    U = torch.fft.rfft(u, n=2 * m, dim=dim).narrow(dim, LOWEST[s], num_waves)
    U = shift(U, grid, axis, -math.pi / L * (LOWEST[s] + _count(num_waves)))
    return U.real * scale if s is Series.COSINE else U.imag * -scale


def synthesise(u_hat: Tensor, grid: Grid, axis: int, s: Series) -> Tensor:
    """The real field at the nodes of one axis, from the coefficients of its lowest waves.

    Sines and cosines are parts of Σ_k û_k exp(iξ_k x) over k = -m..m-1: û_k / 2 for cosines, -iû_k
    / 2 for sines, and not halved for k = 0 and k = m.
    """
    dim, n, m, L = axis - grid.ndim, grid.shape[axis], grid.cells[axis], grid.extent[axis]
    num_waves = u_hat.shape[dim]
    if s is Series.FOURIER:
        u_hat = shift(u_hat, grid, axis, 2 * math.pi / L * _count(num_waves))
        return torch.fft.irfft(u_hat, n=n, dim=dim, norm="forward")
    half = 1 / multiplicity(num_waves, s, m, u_hat)
    u_hat = u_hat * along(half if s is Series.COSINE else -1j * half, dim)
    u_hat = shift(u_hat, grid, axis, math.pi / L * (LOWEST[s] + _count(num_waves)))
    u_hat = pad(u_hat, dim, LOWEST[s], m + 1 - LOWEST[s] - num_waves)
    return torch.fft.irfft(u_hat, n=2 * m, dim=dim, norm="forward").narrow(dim, 0, n)


def shift(u_hat: Tensor, grid: Grid, axis: int, xi: Tensor) -> Tensor:
    """û exp(iξx_0), where x_0 is the first node of the axis."""
    x0 = grid.offset[axis] * grid.spacing[axis]
    if x0 == 0:
        return u_hat
    angle = xi * x0  # in float64, so that only the phase is rounded
    phase = torch.polar(torch.ones_like(angle), angle)
    return u_hat * along(phase.to(u_hat.device, u_hat.dtype.to_complex()), axis - grid.ndim)


def _count(n: int) -> Tensor:
    """0, 1, ..., n-1 in float64."""
    return torch.arange(n, dtype=torch.float64)


def multiplicity(num_waves: int, s: Series, m: int, like: Tensor) -> Tensor:
    """Number of exponentials ±k of period 2m in each sine or cosine: 2, but 1 for k = 0 and m."""
    count = torch.full((num_waves,), 2, dtype=like.dtype, device=like.device)
    if s is Series.COSINE:
        count[:1] = 1
    if LOWEST[s] + num_waves - 1 == m:
        count[-1:] = 1
    return count


def along(v: Tensor, dim: int) -> Tensor:
    """A vector as a factor along axis dim < 0."""
    return v.reshape(-1, *[1] * (-dim - 1))


def pad(v: Tensor, dim: int, left: int, right: int) -> Tensor:
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
