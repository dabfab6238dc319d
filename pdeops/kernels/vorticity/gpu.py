"""The pointwise work of the 2D vorticity equation by Triton kernels, each in one pass.

Twin: `vorticity/reference.py`. On a GPU both axes are transformed by one call of the FFT on all
nodes (`Bound.both_axes`), so that no field is transposed: ẑ is written once from ω̂, z² replaces z,
and the tendency is read off the waves of z² that are kept.

**Bytes** of one evaluation of N, where a complex field at the nodes, all samples, has B: the two
FFTs read and write 8 B (two passes each), `products` 2 B, `velocity` and `tendency` 2/3 B each, so
that at the bandwidth of memory N takes 1.42 times the time of its FFTs. FFTs of the kept waves
alone, one axis after the other as on the CPU, read and write 20/3 B, but the transpositions between
the axes 8/3 B.

The operations are registered with torch (`torch.ops.pdeops`).
"""

import torch
from torch import Tensor

from ..runtime.registration import nothing, register
from ..runtime.tiles import cdiv
from ..runtime.waves import OPTIONS, block_of, numbers, require_contiguous, unfit_dtype
from .reference import turn

__all__ = ["products", "tendency", "turn", "unfit_dtype", "velocity"]


def velocity(w: Tensor, per_x: Tensor, per_y: Tensor, out: Tensor) -> None:
    """Same as `reference.velocity`; the last axis of out is contiguous."""
    torch.ops.pdeops.vorticity_velocity(w, per_x, per_y, out)


def products(z: Tensor) -> None:
    """Same as `reference.products`, for a contiguous z."""
    torch.ops.pdeops.vorticity_products(z)


def tendency(square: Tensor, a: Tensor, c: Tensor, out: Tensor) -> None:
    """Same as `reference.tendency`; the last axis of the fields is contiguous."""
    torch.ops.pdeops.vorticity_tendency(square, a, c, out)


def _velocity(w: Tensor, per_x: Tensor, per_y: Tensor, out: Tensor) -> None:
    from .triton_kernels import velocity

    require_rows(out)
    if w.numel():
        w = w.contiguous()
        with torch.cuda.device_of(w):
            velocity[grid(w)](
                numbers(w), per_x.contiguous(), per_y.contiguous(), torch.view_as_real(out),
                *w.shape[1:], *out.stride()[:2], BLOCK=block_of(w.shape[2]), **OPTIONS,
            )  # fmt: skip


def _products(z: Tensor) -> None:
    from .triton_kernels import products

    require_contiguous(z)
    if z.numel():
        block = block_of(z.numel())
        with torch.cuda.device_of(z):
            products[(cdiv(z.numel(), block),)](numbers(z), z.numel(), BLOCK=block, **OPTIONS)


def _tendency(square: Tensor, a: Tensor, c: Tensor, out: Tensor) -> None:
    from .triton_kernels import tendency

    require_contiguous(out)
    require_rows(square)
    if out.numel():
        with torch.cuda.device_of(out):
            tendency[grid(out)](
                torch.view_as_real(square), a.contiguous(), c.contiguous(), numbers(out),
                *out.shape[1:], *square.stride()[:2], BLOCK=block_of(out.shape[2]), **OPTIONS,
            )  # fmt: skip


def grid(w: Tensor) -> tuple[int, int]:
    """Programs for the waves y of each sample, and for the waves x of each of them."""
    return w.shape[0] * w.shape[1], cdiv(w.shape[2], block_of(w.shape[2]))


def require_rows(z: Tensor) -> None:
    """Raise a ValueError unless the last axis of z is contiguous."""
    if z.stride(-1) != 1:
        raise ValueError(
            f"The waves of x must be contiguous; got the strides {z.stride()}. Make a copy first."
        )


_LIBRARY = register(
    {
        "vorticity_velocity(Tensor w, Tensor per_x, Tensor per_y, Tensor(a!) out) -> ()": (
            _velocity,
            nothing,
        ),
        "vorticity_products(Tensor(a!) z) -> ()": (_products, nothing),
        "vorticity_tendency(Tensor square, Tensor a, Tensor c, Tensor(a!) out) -> ()": (
            _tendency,
            nothing,
        ),
    }
)
