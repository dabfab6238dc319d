"""Fourier transforms between scattered points and a box of wavenumbers, by matrix products."""

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor

# Axes: b batch, c channel, n points, d coordinates, *modes wavenumbers, k all of them in one axis.

_LARGEST_BLOCK = 1 << 22  # entries of the matrix (points, real and imaginary parts of the waves)


def wavenumbers(n_modes: Sequence[int]) -> list[Tensor]:
    """Integer wavenumbers per axis, in the order of `torch.fft.rfftn`: 0..m/2-1, -m/2..-1 along
    each axis but the last, 0..m/2-1 along the last, for n_modes = (..., m)."""
    halves = [m // 2 for m in n_modes]
    full = [torch.cat([torch.arange(h), torch.arange(-h, 0)]) for h in halves[:-1]]
    return [*full, torch.arange(halves[-1])]


def waves(
    positions: Float[Tensor, "b d n"], numbers: Sequence[Tensor]
) -> tuple[Complex[Tensor, "b n _"], ...]:
    """exp(-2πi k x) for each axis, at all points and wavenumbers of the axis.

    Positions are in units of the period.
    """
    found = []
    for x, k in zip(positions.unbind(1), numbers, strict=True):
        theta = -2 * math.pi * x[..., None] * k.to(x)
        found.append(torch.complex(theta.cos(), theta.sin()))
    return tuple(found)


def to_modes(
    u: Float[Tensor, "b c n"], E: Sequence[Complex[Tensor, "b n _"]]
) -> Complex[Tensor, "b c *modes"]:
    """û_k = Σ_n u_n exp(-2πi k·x_n), with E = `waves(x, k)`: a transform of type 1.

    The matrix of the waves is the outer product of those along the axes; it is formed for one
    sample, or for one part of its points, at a time and again in the backward pass. Its memory is
    thus independent of the batch and of n. `to_modes_plain` is the plain twin. Differentiable in u
    and E to any order.
    """
    modes = [e.shape[-1] for e in E]
    u = u.to(E[0].real.dtype)  # float32 under autocast
    return torch.view_as_complex(_ToModes.apply(u, *E).unflatten(-1, (*modes, 2)))


def to_points(
    f: Complex[Tensor, "b c *modes"], E: Sequence[Complex[Tensor, "b n _"]]
) -> Float[Tensor, "b c n"]:
    """y_n = Re Σ_k f_k exp(2πi k·x_n), the transpose of `to_modes`: a transform of type 2.

    Only half of the wavenumbers of a real field are kept, so coefficients with a positive last
    wavenumber count twice: multiply them by 2, see `hermitian_weights`.
    """
    return _ToPoints.apply(torch.view_as_real(f.resolve_conj()).flatten(2), *E)


def hermitian_weights(num_last: int, like: Tensor) -> Float[Tensor, " _"]:
    """1 for the wavenumber 0 of the last axis and 2 for the others: the modes that are not kept are
    the conjugates of these, because the field is real."""
    w = torch.full((num_last,), 2.0, dtype=like.real.dtype, device=like.device)
    w[0] = 1
    return w


def to_modes_plain(
    u: Float[Tensor, "b c n"], positions: Float[Tensor, "b d n"], numbers: Sequence[Tensor]
) -> Complex[Tensor, "b c *modes"]:
    """`to_modes` as in its equation: one exponential for each sample, point and wavenumber."""
    return torch.einsum("bcn,bn...->bc...", u + 0j, _all_waves(positions, numbers, -1))


def to_points_plain(
    f: Complex[Tensor, "b c *modes"], positions: Float[Tensor, "b d n"], numbers: Sequence[Tensor]
) -> Float[Tensor, "b c n"]:
    """`to_points` as in its equation."""
    basis = _all_waves(positions, numbers, 1)
    return torch.einsum("bck,bnk->bcn", f.flatten(2), basis.flatten(2)).real


def _all_waves(
    positions: Float[Tensor, "b d n"], numbers: Sequence[Tensor], sign: int
) -> Complex[Tensor, "b n *modes"]:
    K = torch.stack(torch.meshgrid(*numbers, indexing="ij")).to(positions)
    theta = torch.einsum("bdn,d...->bn...", positions, K)
    return torch.exp(sign * 2j * math.pi * theta)


def _blocks(E: Sequence[Tensor]) -> Iterator[tuple[int, slice, list[Tensor]]]:
    """Samples and parts of their points, with the waves there."""
    b, n = E[0].shape[:2]
    size = max(1, _LARGEST_BLOCK // (2 * math.prod(e.shape[-1] for e in E)))
    for i, start in product(range(b), range(0, n, size)):
        part = slice(start, start + size)
        yield i, part, [e[i, part] for e in E]


def _matrix(E: Sequence[Tensor]) -> Float[Tensor, "n k"]:
    """Outer product of the waves along the axes, as real and imaginary parts: (n, 2·modes)."""
    B = E[0]
    for e in E[1:]:
        B = (B[..., None] * e[:, None]).flatten(1)
    return torch.view_as_real(B.resolve_conj()).flatten(1)


def _to_modes(u: Tensor, E: Sequence[Tensor]) -> Tensor:
    out = u.new_zeros(len(u), u.shape[1], 2 * math.prod(e.shape[-1] for e in E))
    for i, part, block in _blocks(E):
        out[i].addmm_(u[i, :, part], _matrix(block))
    return out


def _to_points(f: Tensor, E: Sequence[Tensor]) -> Tensor:
    out = f.new_empty(*f.shape[:2], E[0].shape[1])
    for i, part, block in _blocks(E):
        out[i, :, part] = f[i] @ _matrix(block).T
    return out


def _wave_gradients(u: Tensor, f: Tensor, E: Sequence[Tensor]) -> list[Tensor]:
    """Gradient of Σ (to_modes(u), f) with respect to each of E."""
    found: list[list[Tensor]] = [[] for _ in E]
    for i, part, block in _blocks(E):
        g = (u[i, :, part].T @ f[i]).unflatten(-1, (*[e.shape[-1] for e in E], 2))
        G = torch.view_as_complex(g.contiguous())
        for axis in range(len(E)):
            rest = G.movedim(1 + axis, 1)
            for other in (e for j, e in enumerate(block) if j != axis):
                rest = torch.einsum("nij...,nj->ni...", rest, other.conj())
            found[axis].append(rest)
    return [torch.cat(parts).view_as(e) for parts, e in zip(found, E, strict=True)]


class _ToModes(torch.autograd.Function):
    """(b, c, n) and E -> (b, c, 2·modes)."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, *E: Tensor) -> Tensor:
        ctx.save_for_backward(u, *E)
        return _to_modes(u, E)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        u, *E = ctx.saved_tensors
        gu = _ToPoints.apply(g, *E) if ctx.needs_input_grad[0] else None
        gE = _wave_gradients(u, g, E) if any(ctx.needs_input_grad[1:]) else [None] * len(E)
        return gu, *gE


class _ToPoints(torch.autograd.Function):
    """(b, c, 2·modes) and E -> (b, c, n)."""

    @staticmethod
    def forward(ctx: Any, f: Tensor, *E: Tensor) -> Tensor:
        ctx.save_for_backward(f, *E)
        return _to_points(f, E)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        f, *E = ctx.saved_tensors
        gf = _ToModes.apply(g, *E) if ctx.needs_input_grad[0] else None
        gE = _wave_gradients(g, f, E) if any(ctx.needs_input_grad[1:]) else [None] * len(E)
        return gf, *gE
