"""FNO: the period, the modes, and one operator at every resolution."""

import pytest
import torch
import torch.nn.functional as F

from pdeops.domain import Grid
from pdeops.kernels.fno import reference as fno_reference
from pdeops.kernels.spectral_conv import reference as spectral_conv_reference
from pdeops.models import FNO
from pdeops.nn.coordinates import position_channels


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


def plain(model, x):
    """The model from the plain twins: channels first, FFT, every step a tensor of its own."""
    position = position_channels(model.grid).to(x).expand(len(x), *model.position.shape)
    u = torch.cat([x, position], dim=1)
    u = fno_reference.pointwise_mlp(u, model.period_cells, *model.lifting.maps())
    last = len(model.skips) - 1
    parts = zip(model.convolutions, model.mlps, model.skips, strict=True)
    for l, (K, M, W) in enumerate(parts):
        if isinstance(M, torch.nn.Identity):
            v = spectral_conv_reference.convolve(u, K.weight)
            u = v + fno_reference.pointwise(u, W.matrix, W.bias)
        else:
            u = fno_reference.fourier_layer(u, K.weight, *M.maps(), W.matrix, W.bias)
        u = F.gelu(u) if l < last else u
    return fno_reference.pointwise_mlp(u, model.grid.shape, *model.projection.maps())


def training_curve(model, forward, num_steps, generator):
    """Losses of Adam steps on one batch."""
    batch = (4, 1, *model.grid.shape)
    dtype = model.position.dtype
    x = torch.randn(batch, generator=generator, dtype=dtype)
    y = x.square()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(num_steps):
        optimizer.zero_grad()
        loss = (forward(x) - y).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 2e-3)], ids=str
)
@pytest.mark.parametrize(
    ("grid", "mlp_channels"),
    [
        (Grid((17, 20)), 5),
        (Grid((16, 16), boundary="periodic"), 5),
        (Grid((17, 20), boundary=("periodic", "neumann")), 0),
    ],
    ids=["padded", "periodic", "no mlp"],
)
def test_trains_as_its_plain_twin(grid, mlp_channels, dtype, tolerance):
    """Curves that differ by the growth of round-off."""
    curves = []
    for path in ("fast", "plain"):
        model = fno(grid, mlp_channels=mlp_channels).to(dtype)
        forward = model if path == "fast" else lambda x, model=model: plain(model, x)
        generator = torch.Generator().manual_seed(0)
        curves.append(training_curve(model, forward, 30, generator))
    assert curves[0] == pytest.approx(curves[1], rel=tolerance)
    assert curves[0][-1] < 0.8 * curves[0][0]  # it trains
