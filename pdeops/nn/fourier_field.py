"""Periodic fields as functions: the Fourier series through values at uniform nodes."""
# Axes: b batch, c channel, d direction, n points, *space nodes.

import torch
from jaxtyping import Float
from torch import Tensor

from ..domain import Grid
from .nonuniform import hermitian_weights, to_points, wavenumbers


class FourierField:
    """x ↦ u(x), smooth and periodic, from the values at the nodes of a periodic grid with even
    numbers of nodes; waves from Nyquist on are dropped. Twice differentiable in x."""

    def __init__(self, u: Float[Tensor, "c *space"], grid: Grid) -> None:
        grid.check(u)
        axes = tuple(range(1, 1 + grid.ndim))
        u_hat = torch.fft.rfftn(u, dim=axes, norm="forward")[..., : grid.shape[-1] // 2]
        self.numbers = wavenumbers(grid.shape)
        self.u_hat = (u_hat * hermitian_weights(grid.shape[-1] // 2, u))[None]
        self.extent = grid.extent

    def __call__(self, x: Float[Tensor, "1 d n"]) -> Float[Tensor, "1 c n"]:
        periods = x / x.new_tensor(self.extent)[:, None]
        return to_points(self.u_hat.to(x.dtype.to_complex()), periods, self.numbers)
