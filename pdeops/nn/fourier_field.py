"""Periodic fields as functions: the Fourier series through values at uniform nodes."""
# Axes: b batch, c channel, d direction, n points, *space nodes.

import torch
from jaxtyping import Float
from torch import Tensor

from ..domain import Grid
from .nonuniform import hermitian_weights, to_points, wavenumbers


class FourierField:
    """x ↦ u(x), smooth and periodic, from the values at the nodes of a periodic grid with even
    numbers of nodes; waves from Nyquist on are dropped, and the highest wavenumbers of each axis
    whose coefficients are all below the round-off of the largest. Twice differentiable in x."""

    def __init__(self, u: Float[Tensor, "c *space"], grid: Grid) -> None:
        grid.check(u)
        axes = tuple(range(1, 1 + grid.ndim))
        u_hat = torch.fft.rfftn(u, dim=axes, norm="forward")[..., : grid.shape[-1] // 2]
        u_hat = u_hat * hermitian_weights(grid.shape[-1] // 2, u)
        # The cost at a point is proportional to the number of waves.
        size = u_hat.abs()
        present = (size > 16 * torch.finfo(size.dtype).eps * size.amax()).nonzero()
        self.numbers = []
        for axis, k in zip(axes, wavenumbers(grid.shape), strict=True):
            highest = k[present[:, axis]].abs().amax() if len(present) else 0
            kept = (k.abs() <= highest).nonzero()[:, 0]
            self.numbers.append(k[kept])
            u_hat = u_hat.index_select(axis, kept)
        self.u_hat, self.extent = u_hat[None], grid.extent

    def __call__(self, x: Float[Tensor, "1 d n"]) -> Float[Tensor, "1 c n"]:
        periods = x / x.new_tensor(self.extent)[:, None]
        return to_points(self.u_hat.to(x.dtype.to_complex()), periods, self.numbers)
