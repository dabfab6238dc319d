"""Spectra of fields: their mean square by shells of waves, and their centroid."""
# Axes: *batch leading axes, *space nodes, k shells, d axes of the box.

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..domain import Boundary, Grid
from . import calculus_of

_ROUND_OFF = 1e-12  # of the largest coefficient
_MOST_NODES = 2**18


def shell_spectrum(
    u: Float[Tensor, "*batch_space"], domain: Any, *, order: int | float = 0
) -> Float[Tensor, "*batch k"]:
    """Half the mean square of each field in the waves with k - 1/2 <= |k| < k + 1/2, k = 0, 1, ..:

        S_k = 1/(2|Ω|) Σ_shell W λ^order |û|²,   Σ_k S_k = 1/(2|Ω|) ∫ |(-Δ)^(order/2) u|²,

    by Parseval's equation, exactly, for every field on the nodes. |k| is `Calculus.wave_number`:
    the length of the integer vector of waves per side on a box, the degree on a sphere. For the
    vorticity of a 2D flow, order 0 gives the enstrophy spectrum and order -1 the spectrum of the
    kinetic energy. A negative order omits the constant wave. Computed in float64.
    """
    calculus = calculus_of(domain)
    weights = calculus.parseval_weights * calculus.sobolev_multiplier(order, 0.0).square()
    power = calculus.transform(u.double()).abs().square() * weights.to(u.device)
    shell = (calculus.wave_number + 0.5).floor().long().flatten().to(u.device)
    parts = power.new_zeros(*u.shape[: -domain.ndim], int(shell.max()) + 1)
    parts.index_add_(-1, shell, power.flatten(-calculus.wave_number.ndim))
    return parts / (2 * domain.volume)


def spectral_centroid(u: Float[Tensor, "*batch_space"], grid: Grid) -> Float[Tensor, " d"]:
    """κ_a = Σ_ξ |û(ξ)| |ξ_a| / Σ_ξ |û(ξ)|, the mean wavenumber along each axis of a periodic box.

    The sums have the waves ξ != 0 and all fields of the batch. κ is in radians per unit of length,
    so that it does not depend on the nodes of fields that they resolve; κ = 0 for constants.
    Coefficients below the round-off of the transform are left out.

    Raises:
        ValueError: an axis is not periodic.
    """
    if set(grid.boundary) != {Boundary.PERIODIC}:
        raise ValueError(f"The spectral centroid needs periodic axes; got {grid}.")
    axes = tuple(range(-grid.ndim, 0))
    size = torch.fft.fftn(u.double(), dim=axes).abs().reshape(-1, *grid.shape).sum(0)
    size = torch.where(size > _ROUND_OFF * size.max(), size, 0.0)
    size[(0,) * grid.ndim] = 0.0
    total = size.sum()
    if total == 0:
        return size.new_zeros(grid.ndim)
    centroid = []
    for a, (n, L) in enumerate(zip(grid.shape, grid.extent, strict=True)):
        xi = 2 * math.pi * torch.fft.fftfreq(n, L / n, dtype=size.dtype, device=size.device).abs()
        centroid.append((size.movedim(a, -1) * xi).sum() / total)
    return torch.stack(centroid)


def centroid_of(u0: Callable[[Tensor], Tensor], grid: Grid) -> Float[Tensor, " d"]:
    """`spectral_centroid` of a function (1, d, n) points -> (1, c, n) on the box of a grid.

    It is sampled at 63, 127, 255, .. nodes per axis until two results differ by at most 1 %; the
    numbers have no common factor, so that a wave that is too short for both does not appear as the
    same one.

    Raises:
        ValueError: an axis is not periodic, or the result still changes at 2^18 nodes.
    """
    n, last = 63, None
    while n**grid.ndim <= _MOST_NODES:
        nodes = grid.with_shape((n,) * grid.ndim)
        u = u0(nodes.nodes().flatten(1)[None])[0].unflatten(1, nodes.shape)
        found = spectral_centroid(u, nodes)
        if last is not None and (found - last).abs().max() <= 0.01 * found.max():
            return found
        n, last = 2 * n + 1, found
    raise ValueError(
        f"The spectral centroid of u0 still changes at {(n - 1) // 2} nodes per axis: its spectrum "
        f"decays too slowly, as that of a jump. Use a smoother u0."
    )
