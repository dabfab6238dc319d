"""Coefficients for the solvers' tests."""

import pytest
import torch
import torch.nn.functional as F


@pytest.fixture
def piecewise():
    """piecewise(grid, low, high): blobs of two values, the same function on every grid."""

    def make(grid, low=3.0, high=12.0, seed=0):
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(1, 1, *[12] * grid.ndim, generator=generator, dtype=torch.float64)
        mode = "bicubic" if grid.ndim == 2 else "trilinear"
        smooth = F.interpolate(noise, size=grid.shape, mode=mode, align_corners=True)[0, 0]
        return torch.where(smooth > 0, high, low).double()

    return make
