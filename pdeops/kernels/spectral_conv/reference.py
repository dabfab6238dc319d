"""Spectral convolution by fast Fourier transforms, in plain torch.

Twin of `spectral_conv/cpu.py`, which writes the truncated transforms as matrix products.

    v(x) = Σ_k W_k û_k exp(2πi k·x/L),    û_k = (1/N) Σ_x u(x) exp(-2πi k·x/L),  N nodes

**Modes.** m modes along an axis are k = -m/2 .. m/2 - 1; along the last axis they are k = 0 .. m/2,
as the other half is implied because u is real. A mode that a grid does not resolve is omitted on
that grid.

**Modes without their opposite.** On the planes where exp(2πi k_last y) is real, the inverse
transform takes the real part, which halves a mode whose opposite is not kept: k = -12 of -12..11.
W_k counts twice for such a mode.

**Weights** are real, (*modes, in, 2, out): W_k (in x out) has the real part [k, :, 0, :] and the
imaginary part [k, :, 1, :].
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.fft import fft, ifft, irfft, rfft

# Axes: b batch, i and o channels in and out, k kept modes.


def kept_modes(shape: Sequence[int], n_modes: Sequence[int]) -> list[range]:
    """Per axis the k of n_modes that a grid of this shape resolves."""
    *first, last = n_modes
    k = [
        range(max(-(m // 2), -(n // 2)), min(m // 2, (n + 1) // 2))
        for m, n in zip(first, shape, strict=False)
    ]
    return [*k, range(min(last // 2, shape[-1] // 2) + 1)]


def weights_of_kept_modes(
    weight: Float[Tensor, "*modes i two o"], shape: Sequence[int]
) -> Float[Tensor, "*kept i two o"]:
    """The weights of the modes that a grid of this shape resolves."""
    *first, last = weight.shape[:-3]
    return narrowed(weight, 0, shape, [*first, 2 * (last - 1)])


def narrowed(c: Tensor, first_axis: int, shape: Sequence[int], n_modes: Sequence[int]) -> Tensor:
    """The entries of c for the modes that a grid of this shape resolves; the axes of c from
    `first_axis` on are n_modes."""
    for axis, (before, kept, _) in enumerate(margins(shape, n_modes), first_axis):
        if kept < c.shape[axis]:
            c = c.narrow(axis, before, kept)
    return c


def margins(shape: Sequence[int], n_modes: Sequence[int]) -> list[tuple[int, int, int]]:
    """Per axis the number of modes dropped below, kept, and dropped above on this grid."""
    all_modes = [range(-(m // 2), m // 2) for m in n_modes[:-1]] + [range(n_modes[-1] // 2 + 1)]
    return [
        (k[0] - every[0], len(k), every[-1] - k[-1])
        for k, every in zip(kept_modes(shape, n_modes), all_modes, strict=True)
    ]


def counts_twice(shape: Sequence[int], n_modes: Sequence[int]) -> Bool[np.ndarray, "*kept"]:
    """True for a kept mode without a kept opposite if the inverse transform takes its real part."""
    *k, k_last = [np.array(k) for k in kept_modes(shape, n_modes)]
    unpaired = np.array(False)
    for k_axis, m, n in zip(k, n_modes, shape, strict=False):
        unpaired = unpaired[..., None] | ((k_axis == -(m // 2)) & (n > m))
    return unpaired[..., None] & ((k_last == 0) | (2 * k_last == shape[-1]))


def convolve(
    u: Float[Tensor, "b i *space"], weight: Float[Tensor, "*modes i two o"]
) -> Float[Tensor, "b o *space"]:
    """The spectral convolution of u in u's dtype, float32 or float64."""
    shape = u.shape[2:]
    n_modes = [*weight.shape[:-4], 2 * (weight.shape[-4] - 1)]
    k = [torch.tensor(k, device=u.device) for k in kept_modes(shape, n_modes)]
    W = torch.view_as_complex(weights_of_kept_modes(weight, shape).movedim(-2, -1).contiguous())
    W = W * (1 + torch.from_numpy(counts_twice(shape, n_modes)).to(weight))[..., None, None]

    u_hat = rfft(u, norm="forward")[..., : len(k[-1])]
    for axis, n in enumerate(shape[:-1]):
        u_hat = fft(u_hat, dim=axis + 2, norm="forward").index_select(axis + 2, k[axis] % n)
    v_hat = torch.einsum("bi...,...io->bo...", u_hat, W)
    for axis, n in enumerate(shape[:-1]):
        size = (*v_hat.shape[: axis + 2], n, *v_hat.shape[axis + 3 :])
        v_hat = v_hat.new_zeros(size).index_copy(axis + 2, k[axis] % n, v_hat)
        v_hat = ifft(v_hat, dim=axis + 2, norm="forward")
    return irfft(v_hat, n=shape[-1], norm="forward")
