"""MgNO: where it computes, what its layers are, what it refuses."""

import pytest
import torch

from pdeops.grid import Grid
from pdeops.models import MgNO
from pdeops.nn.interpolation import interpolate


def mgno(grid, **arguments):
    torch.manual_seed(0)
    return MgNO(1, 1, grid, hidden_channels=5, n_layers=2, **arguments)


def test_layer_is_affine(generator):
    """Without its bias function a layer is linear: the only nonlinearity is gelu between layers."""
    grid = Grid((17, 17))
    model = mgno(grid).double()
    layer, position = model.layers[1], model.position
    x, y = torch.randn(2, 1, 5, 17, 17, generator=generator, dtype=torch.float64)
    b = layer(torch.zeros_like(x), position)
    gap = layer(2 * x - y, position) - b - 2 * (layer(x, position) - b) + (layer(y, position) - b)
    assert gap.norm() <= 1e-12 * x.norm()
    assert b.std() > 1e-3  # the bias is a function, not a number


def test_computes_on_the_training_grid(generator):
    grid = Grid((17, 17))
    model = mgno(grid)
    fine = grid.refined(2)
    x = torch.randn(1, 1, *fine.shape, generator=generator)
    y = model(x)
    torch.testing.assert_close(y[..., ::2, ::2], model(x[..., ::2, ::2]))
    torch.testing.assert_close(y, interpolate(y[..., ::2, ::2], grid, fine, points=4))


def test_on_another_grid(generator):
    """`on` runs the same weights natively: on nested grids the nodes between are then seen."""
    grid = Grid((17, 17))
    model = mgno(grid)
    fine = model.on(grid.refined(2))
    x = torch.randn(1, 1, 33, 33, generator=generator)
    assert torch.equal(fine(x), fine.on_compute_grid(x))
    assert not torch.allclose(fine(x), model(x))
    assert torch.equal(model.on(grid)(x), model(x))
    assert model.grid == grid  # the original is untouched


def test_size_within_the_limit_at_65():
    parameters = sum(p.numel() for p in MgNO(1, 1, Grid((65, 65))).parameters())
    assert parameters <= 600_000


def test_needs_a_grid_fit_for_the_levels():
    with pytest.raises(ValueError, match="at most 4 levels"):
        mgno(Grid((16, 16)), levels=7)
    with pytest.raises(ValueError, match="two-dimensional"):
        mgno(Grid((16,)), levels=2)
