"""The parts of a cycle and of its set-up in plain torch; twin of `gpu.py`.

They call the parts of the twin of black-box multigrid, `blackbox/reference.py`, which explains the
method. Any device and dtype.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..blackbox.galerkin_reference import galerkin
from ..blackbox.level_reference import residual as plain_residual
from ..blackbox.relax_reference import eliminate, relax_lines
from ..blackbox.relax_reference import smooth as plain_smooth
from ..blackbox.transfer_reference import interpolation
from ..blackbox.transfer_reference import prolong as plain_prolong
from ..blackbox.transfer_reference import restrict as plain_restrict
from .level import TiledLevel, digit_codes, of_twin


def product(level: TiledLevel, u: Float[Tensor, "m *stored"]) -> Float[Tensor, "m *stored"]:
    """A u."""
    return -plain_residual(u, torch.zeros_like(u), level.plain)


def residual(
    level: TiledLevel, u: Float[Tensor, "m *stored"], b: Float[Tensor, "m *stored"]
) -> Float[Tensor, "m *stored"]:
    """b - A u."""
    return plain_residual(u, b, level.plain)


def smooth(
    level: TiledLevel,
    u: Float[Tensor, "m *stored"] | None,
    b: Float[Tensor, "m *stored"],
    lengths: Sequence[float],
    U: Float[Tensor, "m *coarse"] | None = None,
) -> Float[Tensor, "m *stored"]:
    """u + P U, then v + ω D⁻¹ (b - A v) for each ω of `lengths`; u = 0 if it is None."""
    u = torch.zeros_like(b) if u is None else u
    if U is not None:
        u = u + plain_prolong(U, level.plain)
    return plain_smooth(u, b, level.plain, (), lengths=lengths)


def line_pivots(level: TiledLevel, axis: int) -> Float[Tensor, "*stored"]:
    """The inverse pivots of the tridiagonal matrices of all lines along an axis."""
    p, _ = eliminate(level.plain, axis)
    ndim = len(level.n)
    result = torch.zeros_like(level.diagonal)
    result.narrow(axis - ndim, 0, len(p)).copy_(torch.stack(p, axis - ndim))
    unknowns = torch.zeros_like(result)
    unknowns[level.inside] = result[level.inside]
    return unknowns


def smooth_lines(
    level: TiledLevel,
    u: Float[Tensor, "m *stored"],
    b: Float[Tensor, "m *stored"],
    axis: int,
    start: Sequence[int],
) -> Float[Tensor, "m *stored"]:
    """u after the lines along an axis are solved that start at these indices modulo 2."""
    return relax_lines(u, b, level.plain, axis, start)


def restrict(
    level: TiledLevel, u: Float[Tensor, "m *stored"] | None, b: Float[Tensor, "m *stored"]
) -> Float[Tensor, "m *coarse"]:
    """Pᵀ (b - A u); Pᵀ b without u."""
    plain = level.plain
    return plain_restrict(b if u is None else plain_residual(u, b, plain), plain)


def weights(level: TiledLevel, lines: tuple[int, ...] = ()) -> Float[Tensor, "codes *coarse"]:
    """The weights of P."""
    found = interpolation(replace(level.plain, followed=lines, lines={}))
    return torch.stack([found[digits] for digits in digit_codes(level.coarsen)])


def coarse_couplings(level: TiledLevel) -> Float[Tensor, "k *coarse"]:
    """The couplings of Pᵀ A P to all neighbours; e does not count."""
    couplings, excess = galerkin(level.plain)
    return of_twin(replace(level.plain, n=level.N, couplings=couplings, excess=excess))
