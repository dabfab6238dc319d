"""FNO: the period, the modes, and one operator at every resolution."""

import pytest
import torch

from pdeops.grid import Grid
from pdeops.models import FNO


def fno(grid, **arguments):
    torch.manual_seed(0)
    arguments = {"n_modes": [8] * grid.ndim, "hidden_channels": 5, "n_layers": 2} | arguments
    return FNO(1, 1, grid, **arguments)


@pytest.mark.parametrize("placement", ["endpoints", "interior", "centers"])
def test_period_is_the_same_at_every_resolution(placement):
    grid = Grid((65, 33), extent=(2.0, 1.0), placement=placement)
    model = fno(grid, padding=0.2)
    for factor in (1, 2, 3):
        finer = grid.refined(factor)
        nodes = model.padded_shape(finer)
        period = torch.tensor(nodes) * torch.tensor(finer.spacing)
        trained = torch.tensor(model.period_cells) * torch.tensor(grid.spacing)
        torch.testing.assert_close(period, trained)
    assert all(n <= N for N, n in zip(model.period_cells, grid.shape, strict=True))


def test_periodic_axes_are_not_padded():
    assert fno(Grid((16, 15), boundary="periodic"), padding=0.5).period_cells == (16, 15)


@pytest.mark.parametrize("n", [32, 33])
def test_periodic_model_is_one_operator(n):
    """The layers alias only what gelu creates beyond the grid: the gap falls with the grid."""
    grid = Grid((n, n), boundary="periodic")
    model = fno(grid).double()

    def run(grid):
        x, y = 2 * torch.pi * grid.nodes()
        return model((torch.sin(x) * torch.cos(2 * y) + torch.cos(x + y))[None, None])

    coarse, fine = run(grid), run(grid.refined(4))[..., ::4, ::4]
    assert (coarse - fine).norm() <= 1e-6 * fine.norm()


def test_in_one_and_three_dimensions(generator):
    for shape in [(17,), (9, 8, 10)]:
        x = torch.randn(2, 1, *shape, generator=generator)
        assert fno(Grid(shape))(x).shape == x.shape


def test_modes_larger_than_the_grid_are_refused():
    with pytest.raises(ValueError, match=r"n_modes \(32, 32\) exceed the \(16, 16\) nodes"):
        fno(Grid((16, 16), boundary="periodic"), n_modes=[32, 32])
    with pytest.raises(ValueError, match="one number per axis"):
        fno(Grid((16, 16)), n_modes=[8])
