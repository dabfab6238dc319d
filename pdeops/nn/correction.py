"""A correction of a model's output for one input: a spectral layer without truncation, zero at
first."""
# Axes: b batch, t time, d channel, *space nodes, *waves stored Fourier coefficients, two real
# pairs.

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .refinable import Times


class SpectralCorrection(nn.Module):
    """v ↦ v + Σ_k B_k φ_k, the sum over all waves of the grid, with B of each sample, frame and
    channel as parameters, zero at first.

    It is the last spectral layer of Spectral-Refiner without truncation. For one input, weights W_k
    and biases B_k of such a layer give the same outputs v + Σ (W_k v̂_k + B_k) φ_k, so B suffices.

    Args:
        shape: shape (b, t, d, *space) of the output.
    """

    def __init__(self, shape: Sequence[int], *, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.bias = nn.Parameter(to_waves(torch.zeros(*shape, dtype=dtype)))

    @torch.no_grad()
    def set(self, d: Float[Tensor, "b t d *space"]) -> None:
        """Make the correction d."""
        self.bias.copy_(to_waves(d))

    def forward(self, v: Float[Tensor, "b t d *space"]) -> Float[Tensor, "b t d *space"]:
        d = from_waves(self.bias, v.shape[3:])
        return v + d.to(v.dtype)


class Corrected(nn.Module):
    """A model, unchanged, with a `SpectralCorrection` of its output: a `Refinable` for every model
    of trajectories, whatever its own last layer is.

    Attributes:
        last_layer: the correction; no other parameter changes in a refinement.
    """

    def __init__(self, model: nn.Module, shape: Sequence[int]) -> None:
        super().__init__()
        self.model, self.last_layer = model, SpectralCorrection(shape)

    def forward(self, x: Float[Tensor, "b *field"], *times: Any) -> Float[Tensor, "b *other"]:
        return self.head(self.features(x, *times), x, *times)

    def features(
        self, x: Float[Tensor, "b *field"], times_in: Times = None, times_out: Times = None
    ) -> Float[Tensor, "b *other"]:
        """The output of the model."""
        times = (times_in, times_out) if getattr(self.model, "has_time", False) else ()
        return self.model(x, *times)

    def head(
        self,
        v: Float[Tensor, "b *other"],
        x: Float[Tensor, "b *field"],
        times_in: Times = None,
        times_out: Times = None,
    ) -> Float[Tensor, "b *other"]:
        """The corrected output."""
        return self.last_layer(v)


def to_waves(u: Float[Tensor, "b t d *space"]) -> Float[Tensor, "b t d *waves two"]:
    """Coefficients in an orthonormal basis of real waves: Σ θ² = Σ u² for real fields."""
    dims = tuple(range(3, u.ndim))
    waves = torch.fft.rfftn(u, dim=dims, norm="ortho") * _root(u.shape[-1], u)
    return torch.view_as_real(waves).contiguous()


def from_waves(
    theta: Float[Tensor, "b t d *waves two"], shape: Sequence[int]
) -> Float[Tensor, "b t d *space"]:
    """The field with these coefficients; `to_waves` is its transpose, and its inverse on real
    fields."""
    dims = tuple(range(3, theta.ndim - 1))
    waves = torch.view_as_complex(theta) / _root(shape[-1], theta)
    return torch.fft.irfftn(waves, tuple(shape), dims, norm="ortho")


def _root(n: int, like: Tensor) -> Tensor:
    """√2 for the waves of the last axis that are stored once for k and -k, else 1."""
    k = torch.arange(n // 2 + 1, device=like.device)
    return torch.where((k > 0) & (2 * k != n), 2.0, 1.0).to(like.dtype).sqrt()
