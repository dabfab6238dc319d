"""Spectral convolution: the learned kernel is given by its Fourier coefficients."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..kernels.fno import fourier_layer
from ..kernels.runtime.slabs import Slabs
from ..kernels.spectral_conv import convolve
from .pointwise import Pointwise, PointwiseMLP

# Axes: b batch, i and o channels in and out, p channels after a pointwise map.


class SpectralConv(nn.Module):
    """u -> Σ_k W_k û_k exp(2πi k·x/L) over the kept modes k, one (in x out) matrix W_k per mode.

    `n_modes` is counted as in neuraloperator: (24, 24) keeps k = -12..11 along the first axis and
    0..12 along the last, which is 24 x 13 matrices; the other half follows because u is real. û_k
    are Fourier coefficients (transforms are divided by the number of nodes), so a field that the
    grid resolves gives the same function at every size, odd or even. Modes that a grid does not
    resolve are omitted on that grid.

    Weights are real, of shape (*modes, in, 2, out). The real and imaginary parts of W_k are
    adjacent rows, so that matrix products read them without a copy. Sums and coefficients are
    float32 under autocast. The map is differentiable to any order. `kernels/spectral_conv`
    computes it.

    Attributes:
        gathered_for: the methods, `forward` aside, that alone use the weights; see
            `training/sharding.py`.
        slabs: the processes that share the fields, of which u is the slab of this one; None for
            whole fields.

    Raises:
        ValueError: a number of modes is not positive and even.
    """

    gathered_for: ClassVar[tuple[str, ...]] = ("channels_last", "layer")
    slabs: Slabs | None = None

    def __init__(self, in_channels: int, out_channels: int, n_modes: Sequence[int]) -> None:
        super().__init__()
        if not n_modes or any(m < 2 or m % 2 for m in n_modes):
            raise ValueError(
                f"n_modes must be even and positive per axis; got {tuple(n_modes)}. Use (12, 12)."
            )
        self.n_modes = tuple(n_modes)
        modes = (*self.n_modes[:-1], self.n_modes[-1] // 2 + 1)
        drawn = torch.empty(in_channels, out_channels, *modes, 2)
        nn.init.normal_(drawn, std=math.sqrt(1 / (in_channels + out_channels)))
        self.weight = nn.Parameter(drawn.movedim((0, -1, 1), (-3, -2, -1)).contiguous())

    def forward(self, u: Float[Tensor, "b i *space"]) -> Float[Tensor, "b o *space"]:
        return self.channels_last(u.movedim(1, -1)).movedim(-1, 1)

    def channels_last(
        self, u: Float[Tensor, "b *space i"], then: Pointwise | None = None
    ) -> Float[Tensor, "b *space p"]:
        """`forward` for fields with channels last, followed by the pointwise map `then`.

        The map is applied to the few kept modes, which costs less than at all nodes.
        """
        with torch.autocast(u.device.type, enabled=False):
            W = self.weight
            pointwise = None if then is None else (then.matrix.to(W), then.bias.to(W))
            return convolve(u, W, pointwise, self.slabs)

    def layer(
        self, u: Float[Tensor, "b *space i"], M: PointwiseMLP, W: Pointwise, *, activate: bool
    ) -> Float[Tensor, "b *space o"]:
        """M(K u) + W u + b with this convolution as K, then gelu with `activate`; channels last."""
        M1, m1, M2, m2 = M.maps()
        return fourier_layer(
            *(u, self.weight, M1, m1, M2, W.matrix, m2 + W.bias),
            activate=activate,
            shared=self.slabs,
        )
