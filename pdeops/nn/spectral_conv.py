"""Convolution with a learned kernel given by its Fourier coefficients, on grids of any size."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.fft import fft, ifft, irfft, rfft

# Axes: b batch, i and o channels in and out, k kept modes.


class SpectralConv(nn.Module):
    """u -> Σ_k W_k û_k exp(2πi k·x/L) over the kept modes k, one (in x out) matrix W_k per mode.

    `n_modes` is counted as in neuraloperator: (24, 24) keeps k = -12..11 along the first axis and
    0..12 along the last, 24 x 13 matrices; the other half follows from u being real. Coefficients
    are those of the function (transforms are divided by the number of nodes), so a field that the
    grid resolves gives the same function at every size, odd or even. A mode that a grid cannot hold
    is left out there.

    Weights are real pairs (in, out, *modes, 2); transforms run in float32 also under autocast.

    Raises:
        ValueError: a number of modes is not positive and even.
    """

    def __init__(self, in_channels: int, out_channels: int, n_modes: Sequence[int]) -> None:
        super().__init__()
        if not n_modes or any(m < 2 or m % 2 for m in n_modes):
            raise ValueError(
                f"n_modes must be even and positive per axis; got {tuple(n_modes)}. Use (12, 12)."
            )
        self.n_modes = tuple(n_modes)
        modes = (*self.n_modes[:-1], self.n_modes[-1] // 2 + 1)
        self.weight = nn.Parameter(torch.empty(in_channels, out_channels, *modes, 2))
        nn.init.normal_(self.weight, std=math.sqrt(1 / (in_channels + out_channels)))

    def forward(self, u: Float[Tensor, "b i *space"]) -> Float[Tensor, "b o *space"]:
        dtype, shape = u.dtype, u.shape[2:]
        k = [modes.to(u.device) for modes in self.kept_modes(shape)]
        with torch.autocast(u.device.type, enabled=False):
            u = u.to(torch.promote_types(dtype, torch.float32))
            u_hat = rfft(u, norm="forward")[..., : len(k[-1])]
            for axis, n in enumerate(shape[:-1]):
                u_hat = fft(u_hat, dim=axis + 2, norm="forward").index_select(axis + 2, k[axis] % n)
            v_hat = torch.einsum("bi...,io...->bo...", u_hat, self.matrices(k, shape))
            for axis, n in enumerate(shape[:-1]):
                size = (*v_hat.shape[: axis + 2], n, *v_hat.shape[axis + 3 :])
                v_hat = v_hat.new_zeros(size).index_copy(axis + 2, k[axis] % n, v_hat)
                v_hat = ifft(v_hat, dim=axis + 2, norm="forward")
            v = irfft(v_hat, n=shape[-1], norm="forward")
        return v.to(dtype)

    def kept_modes(self, shape: Sequence[int]) -> list[Tensor]:
        """The k per axis that the weights have and a grid of this shape holds."""
        *first, last = self.n_modes
        k = [
            torch.arange(max(-(m // 2), -(n // 2)), min(m // 2, (n + 1) // 2))
            for m, n in zip(first, shape, strict=False)
        ]
        return [*k, torch.arange(min(last // 2, shape[-1] // 2) + 1)]

    def matrices(self, k: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
        """W_k (in, out, *modes), complex, for the modes of a grid of this shape.

        On the planes where exp(2πi k_last y) is real, the inverse transform takes the real part,
        which halves a mode whose opposite is not kept: k = -12 of -12..11. There W_k counts twice.
        """
        W = torch.view_as_complex(self.weight)
        unpaired = torch.zeros(1, dtype=torch.bool, device=W.device)
        for axis, (m, n) in enumerate(zip(self.n_modes[:-1], shape, strict=False)):
            W = W.narrow(axis + 2, int(m // 2 - min(m // 2, n // 2)), len(k[axis]))
            unpaired = unpaired[..., None] | ((k[axis] == -(m // 2)) & (n > m))
        W = W[..., : len(k[-1])]
        real = (k[-1] == 0) | (2 * k[-1] == shape[-1])
        return W * (1 + (unpaired[..., None] & real).to(self.weight.dtype))
