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
    """`series` in blocks of z, with buffers that are used again.

    The values are a matrix with one column per channel, so that the coefficients broadcast along
    its contiguous rows; with the heads before the tokens each row would have e values only.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(z, a, b)
        a_m, b_m, values = _by_term(a), _by_term(b), _as_rows(z)
        out = torch.empty_like(values)
        for part in _parts(values):
            c, s = _waves(values[part], len(b_m))
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
        return _from_rows(out, z)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        z, a, b = ctx.saved_tensors
        if torch.is_grad_enabled():  # for a derivative of higher order
            needed = ctx.needs_input_grad
            wanted = [v for v, need in zip((z, a, b), needed, strict=True) if need]
            made = iter(torch.autograd.grad(horner(z, a, b), wanted, g, create_graph=True))
            return tuple(next(made) if need else None for need in needed)
        a_m, b_m, values, slopes = _by_term(a), _by_term(b), _as_rows(z), _as_rows(g)
        num_basis = len(b_m)
        of_z, of_a, of_b = torch.empty_like(values), torch.zeros_like(a), torch.zeros_like(b)
        for part in _parts(values):
            c, s = _waves(values[part], num_basis)
            g_part = slopes[part]
            re, im = c.clone(), s.clone()  # of w^m
            slope, free, product = torch.zeros_like(c), torch.empty_like(c), torch.empty_like(c)
            _add(of_b, 0, g_part)
            for m in range(1, num_basis):
                slope.addcmul_(re, a_m[m - 1], value=m).addcmul_(im, b_m[m], value=-m)
                _add(of_b, m, torch.mul(g_part, re, out=product))
                _add(of_a, m - 1, torch.mul(g_part, im, out=product))
                torch.mul(re, c, out=free).addcmul_(im, s, value=-1)
                im.mul_(c).addcmul_(re, s)
                re, free = free, re
            of_z[part] = slope.mul_(g_part).mul_(math.pi / num_basis)
        return _from_rows(of_z, z), of_a, of_b


def _as_rows(z: Float[Tensor, "g h t e"]) -> Float[Tensor, "gt he"]:
    """One row per patch and token."""
    return z.transpose(1, 2).flatten(2).flatten(0, 1)


def _from_rows(rows: Float[Tensor, "gt he"], like: Tensor) -> Float[Tensor, "g h t e"]:
    g, h, t, e = like.shape
    return rows.view(g, t, h, e).transpose(1, 2)


def _by_term(a: Float[Tensor, "h 1 e n"]) -> list[Tensor]:
    """The coefficients of each term as contiguous rows (h·e,)."""
    return list(a.flatten(0, 2).T.contiguous().unbind(0))


def _add(total: Float[Tensor, "h 1 e n"], term: int, rows: Float[Tensor, "gt he"]) -> None:
    """Add the sums over patches and tokens to the coefficients of one term."""
    total[..., term] += rows.sum(0).view(total.shape[:-1])


def _parts(rows: Tensor) -> list[slice]:
    """Parts of the rows with about `_BLOCK` values."""
    size = max(1, _BLOCK // max(1, rows[:1].numel()))
    return [slice(i, i + size) for i in range(0, len(rows), size)]


def _waves(values: Tensor, num_basis: int) -> tuple[Tensor, Tensor]:
    """cos and sin of π z / M."""
    theta = values * (math.pi / num_basis)
    return theta.cos(), theta.sin()
