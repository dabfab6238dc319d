"""MgNO: where it computes, what its layers are, what it refuses."""

import pytest
import torch

from pdeops.domain import Grid
from pdeops.kernels.multichannel_cycle import reference
from pdeops.models import MgNO
from pdeops.nn.interpolation import interpolate
from pdeops.nn.multigrid import MultigridCycle


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


@pytest.mark.parametrize(
    ("grid", "shape"),
    [
        (Grid((33,)), (65,)),
        (Grid((32,), boundary="periodic"), (64,)),
        (Grid((9, 9, 9)), (17, 17, 17)),
        (Grid((9, 8, 10), boundary=("neumann", "periodic", "dirichlet")), (17, 16, 19)),
    ],
)
def test_one_to_three_axes(grid, shape, generator):
    """On its own grid, on a nested one by injection and cubic interpolation, and with gradients."""
    model = mgno(grid)
    fine = grid.with_shape(shape)
    every_second = (..., *(slice(None, None, 2),) * grid.ndim)
    x = torch.randn(2, 1, *shape, generator=generator)
    y = model(x)
    assert y.shape == (2, 1, *shape)
    torch.testing.assert_close(y[every_second], model(x[every_second]))
    torch.testing.assert_close(y, interpolate(y[every_second], grid, fine, points=4))
    y.square().sum().backward()
    assert all(p.grad.any() for p in model.parameters())


def test_a_field_of_one_axis_is_a_constant_one_of_two(generator):
    """1D and 2D are one implementation: fields that do not vary along a periodic axis stay so."""
    line, plane = Grid((17,)), Grid((17, 8), boundary=("dirichlet", "periodic"))
    one = MultigridCycle(2, 3, line, levels=2)
    two = MultigridCycle(2, 3, plane, levels=2)
    for p, q in zip(one.parameters(), two.parameters(), strict=True):
        q.data.zero_()[..., 1].copy_(p.data)
    two.P.weight.data[..., [0, 2]] = 0.5 * two.P.weight.data[..., [1]]  # odd nodes: between two
    f = torch.randn(1, 2, 17, generator=generator)
    flat = f[..., None].expand(1, 2, 17, 8)
    torch.testing.assert_close(two(flat), one(f)[..., None].expand(1, 3, 17, 8))


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
    with pytest.raises(ValueError, match="one to three axes"):
        mgno(Grid((4, 4, 4, 4)), levels=1)


@pytest.mark.parametrize("shape", [(17, 16), (9, 8, 10)])
def test_channels_stay_last(shape, generator, monkeypatch):
    """No stencil changes the format, which would cost a copy each way."""
    model, seen = mgno(Grid(shape, boundary="dirichlet")), []

    def watched(convolve):
        def call(u, *rest, **window):
            v = convolve(u, *rest, **window)
            seen.append(u.stride(1) == 1 and (v.shape[1] == 1 or v.stride(1) == 1))
            return v

        return call

    for table in (reference.CONVOLVE, reference.CONVOLVE_TRANSPOSED):
        monkeypatch.setitem(table, len(shape), watched(table[len(shape)]))
    model(torch.randn(2, 1, *shape, generator=generator))
    assert len(seen) > 15
    assert all(seen)
