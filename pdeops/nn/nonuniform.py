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


def to_modes(
    u: Float[Tensor, "b c n"], positions: Float[Tensor, "b d n"], numbers: Sequence[Tensor]
) -> Complex[Tensor, "b c *modes"]:
    """û_k = Σ_n u_n exp(-2πi k·x_n), a transform of type 1.

    Positions x are in units of the period. The matrix of the waves is the outer product of those
    along the axes. It is formed for one sample, or for one part of its points, at a time and again
    in the backward pass, so its memory is independent of the batch and of n. `to_modes_plain` is
    the plain twin. Differentiable in u and x to any order. Computed in the dtype of x, which is
    float32 at least also under autocast.
    """
    return torch.view_as_complex(
        _ToModes.apply(u.to(positions.dtype), positions, *_moved(numbers, positions))
    )


def to_points(
    f: Complex[Tensor, "b c *modes"], positions: Float[Tensor, "b d n"], numbers: Sequence[Tensor]
) -> Float[Tensor, "b c n"]:
    """y_n = Re Σ_k f_k exp(2πi k·x_n), the transpose of `to_modes`: a transform of type 2.

    Only half of the wavenumbers of a real field are kept, so coefficients with a positive last
    wavenumber count twice: multiply them by 2, see `hermitian_weights`.
    """
    pairs = torch.view_as_real(f.resolve_conj()).flatten(2)
    return _ToPoints.apply(pairs, positions, *_moved(numbers, positions))


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


def _moved(numbers: Sequence[Tensor], like: Tensor) -> list[Tensor]:
    return [k.to(like) for k in numbers]


def _blocks(x: Tensor, numbers: Sequence[Tensor]) -> Iterator[tuple[int, slice, list[Tensor]]]:
    """Samples and parts of their points, with the waves exp(-2πi k x) of each axis there."""
    b, _, n = x.shape
    size = max(1, _LARGEST_BLOCK // (2 * math.prod(len(k) for k in numbers)))
    for i, start in product(range(b), range(0, n, size)):
        part = slice(start, start + size)
        theta = [-2 * math.pi * x[i, j, part, None] * k for j, k in enumerate(numbers)]
        yield i, part, [torch.complex(t.cos(), t.sin()) for t in theta]


def _matrix(E: Sequence[Tensor]) -> Float[Tensor, "n k"]:
    """Outer product of the waves along the axes, as real and imaginary parts: (n, 2·modes)."""
    B = E[0]
    for e in E[1:]:
        B = (B[..., None] * e[:, None]).flatten(1)
    return torch.view_as_real(B).flatten(1)


def _position_gradient(u: Tensor, f: Tensor, x: Tensor, numbers: Sequence[Tensor]) -> Tensor:
    """Gradient of Σ (to_modes(u), f) with respect to the positions, of shape (b, d, n)."""
    K = torch.stack(torch.meshgrid(*numbers, indexing="ij")).flatten(1)
    slopes = (-2 * math.pi * K).repeat_interleave(2, dim=1)  # of θ = -2π k·x, for both parts
    out = torch.empty_like(x)  # small results between large temporaries would fragment the heap
    for i, part, (first, *rest) in _blocks(x, numbers):
        D = _matrix([1j * first, *rest])  # d/dθ of exp(iθ)
        out[i, :, part] = slopes @ (u[i, :, part].T @ f[i] * D).T
    return out


class _ToModes(torch.autograd.Function):
    """(b, c, n), positions and wavenumbers -> (b, c, *modes, 2).

    Not (b, c, 2·modes): Dynamo refuses a complex view of a tensor without a last axis of size 2.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, x: Tensor, *numbers: Tensor) -> Tensor:
        ctx.save_for_backward(u, x, *numbers)
        out = u.new_zeros(u.shape[0], u.shape[1], *[len(k) for k in numbers], 2)
        flat = out.flatten(2)
        for i, part, E in _blocks(x, numbers):
            flat[i].addmm_(u[i, :, part], _matrix(E))
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        u, x, *numbers = ctx.saved_tensors
        g = g.flatten(2)
        of_u = _ToPoints.apply(g, x, *numbers) if ctx.needs_input_grad[0] else None
        of_x = _position_gradient(u, g, x, numbers) if ctx.needs_input_grad[1] else None
        return of_u, of_x, *[None] * len(numbers)


class _ToPoints(torch.autograd.Function):
    """(b, c, 2·modes), positions and wavenumbers -> (b, c, n)."""

    @staticmethod
    def forward(ctx: Any, f: Tensor, x: Tensor, *numbers: Tensor) -> Tensor:
        ctx.save_for_backward(f, x, *numbers)
        out = f.new_empty(*f.shape[:2], x.shape[-1])
        for i, part, E in _blocks(x, numbers):
            out[i, :, part] = f[i] @ _matrix(E).T
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        f, x, *numbers = ctx.saved_tensors
        of_f = _ToModes.apply(g, x, *numbers).flatten(2) if ctx.needs_input_grad[0] else None
        of_x = _position_gradient(g, f, x, numbers) if ctx.needs_input_grad[1] else None
        return of_f, of_x, *[None] * len(numbers)
