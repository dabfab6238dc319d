"""Sums of sines and cosines with coefficients per channel, in little memory."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

# Axes: g patches of all samples, h head, t token, e channel of a head, m basis function.

_BLOCK = 1 << 15  # values at a time: the buffers of a block stay in the cache


def series(
    z: Float[Tensor, "g h t e"], a: Float[Tensor, "h 1 e n"], b: Float[Tensor, "h 1 e m"]
) -> Float[Tensor, "g h t e"]:
    """Σ_{m=1}^{M-1} a_m sin(π m z / M) + Σ_{m=0}^{M-1} b_m cos(π m z / M), for M >= 1.

    Only z is kept for gradients, whose terms are computed again. `horner` is the plain twin; it
    also computes derivatives of higher order, mixed types, and the forms for torch.compile and
    torch.func.
    """
    if (
        b.shape[-1] == 1  # a constant
        or torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or not z.dtype == a.dtype == b.dtype
    ):
        return horner(z, a, b)
    found: Tensor = _Series.apply(z, a, b)
    return found


def horner(
    z: Float[Tensor, "g h t e"], a: Float[Tensor, "h 1 e n"], b: Float[Tensor, "h 1 e m"]
) -> Float[Tensor, "g h t e"]:
    """`series` by Horner's rule for Re Σ (b_m - i a_m) w^m with w = exp(iπ z / M), which needs one
    sine and one cosine per value."""
    num_basis = b.shape[-1]
    theta = z * (math.pi / num_basis)
    c, s = theta.cos(), theta.sin()
    b_m, a_m = b.unbind(-1), a.unbind(-1)
    re, im = b_m[-1], -a_m[-1] if a_m else torch.zeros_like(b_m[-1])
    for m in reversed(range(num_basis - 1)):
        real = torch.addcmul(b_m[m] + re * c, im, s, value=-1)
        im = re * s + im * c
        im = im - a_m[m - 1] if m else im
        re = real
    return re.expand_as(z)


class _Series(torch.autograd.Function):
    """`series` in blocks of z, with buffers that are used again."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(z, a, b)
        b_m, a_m = b.unbind(-1), a.unbind(-1)
        out = torch.empty_like(z)
        for part in _parts(z):
            c, s = _waves(z[part], b.shape[-1])
            re, im, free = torch.empty_like(c), torch.zeros_like(c), torch.empty_like(c)
            re.copy_(b_m[-1].expand_as(re))
            if a_m:
                im.sub_(a_m[-1])
            for m in reversed(range(len(b_m) - 1)):
                torch.mul(re, c, out=free).addcmul_(im, s, value=-1).add_(b_m[m])
                im.mul_(c).addcmul_(re, s)
                if m:
                    im.sub_(a_m[m - 1])
                re, free = free, re
            out[part] = re
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        z, a, b = ctx.saved_tensors
        if torch.is_grad_enabled():  # for a derivative of higher order
            needed = ctx.needs_input_grad
            wanted = [v for v, need in zip((z, a, b), needed, strict=True) if need]
            made = iter(torch.autograd.grad(horner(z, a, b), wanted, g, create_graph=True))
            return tuple(next(made) if need else None for need in needed)
        num_basis = b.shape[-1]
        of_z, of_a, of_b = torch.empty_like(z), torch.zeros_like(a), torch.zeros_like(b)
        for part in _parts(z):
            c, s = _waves(z[part], num_basis)
            g_part = g[part]
            re, im = c.clone(), s.clone()  # of w^m
            slope, free, product = torch.zeros_like(c), torch.empty_like(c), torch.empty_like(c)
            of_b[..., 0] += g_part.sum((0, 2))[:, None]
            for m in range(1, num_basis):
                slope.addcmul_(re, a[..., m - 1], value=m).addcmul_(im, b[..., m], value=-m)
                of_b[..., m] += torch.mul(g_part, re, out=product).sum((0, 2))[:, None]
                of_a[..., m - 1] += torch.mul(g_part, im, out=product).sum((0, 2))[:, None]
                torch.mul(re, c, out=free).addcmul_(im, s, value=-1)
                im.mul_(c).addcmul_(re, s)
                re, free = free, re
            of_z[part] = slope.mul_(g_part).mul_(math.pi / num_basis)
        return of_z, of_a, of_b


def _parts(z: Tensor) -> list[slice]:
    """Parts of the first axis with about `_BLOCK` values."""
    size = max(1, _BLOCK // max(1, z[:1].numel()))
    return [slice(i, i + size) for i in range(0, len(z), size)]


def _waves(z: Tensor, num_basis: int) -> tuple[Tensor, Tensor]:
    """cos and sin of π z / M, contiguous."""
    theta = z.contiguous() * (math.pi / num_basis)
    return theta.cos(), theta.sin()
