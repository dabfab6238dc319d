"""Zero padding of coefficients and the transposed real transform."""

import pytest
import torch

from pdeops.calculus.fourier import pad_waves, resample, rfftn, transform
from pdeops.domain import Grid


@pytest.mark.parametrize(
    ("grid", "shape"),
    [
        (Grid((8,), 1.0, "periodic"), (8,)),
        (Grid((8,), 1.0, "periodic"), (13,)),
        (Grid((6, 7), 2.0, "periodic"), (15, 16)),
        (Grid((7, 8), 1.0, "periodic"), (10, 20)),
        (Grid((6, 9), boundary=("periodic", "neumann")), (13, 17)),
        (Grid((9, 6), boundary=("neumann", "periodic")), (12, 9)),
        (Grid((5, 5, 6), 1.0, "periodic"), (9, 6, 8)),
    ],
    ids=str,
)
def test_padded_coefficients_are_those_of_the_interpolated_field(grid, shape, generator):
    """Also for white noise, which holds Nyquist waves."""
    u = torch.randn(2, *grid.shape, generator=generator, dtype=torch.float64)
    padded = pad_waves(transform(u, grid), grid, shape)
    expected = transform(resample(u, grid, shape), grid.with_shape(shape))
    assert (padded - expected).abs().max() < 1e-14


def test_padding_does_not_coarsen():
    grid = Grid((8,), 1.0, "periodic")
    u = torch.zeros(5, dtype=torch.complex128)
    with pytest.raises(ValueError, match="needs a finer grid"):
        pad_waves(u, grid, (7,))


@pytest.mark.parametrize("shape", [(8,), (9,), (6, 7), (7, 6), (4, 3, 4)])
def test_the_gradient_of_the_real_transform(shape, generator):
    """Value and gradient are those of torch's transform; the gradient can be differentiated."""
    ndim, dims = len(shape), tuple(range(-len(shape), 0))
    u = torch.randn(2, *shape, generator=generator, dtype=torch.float64, requires_grad=True)
    ours, torchs = rfftn(u, ndim), torch.fft.rfftn(u, dim=dims, norm="forward")
    assert torch.equal(ours, torchs)
    g = torch.randn(2, *ours.shape, generator=generator, dtype=torch.float64)
    g = torch.complex(*g)
    ((mine,), (theirs,)) = (torch.autograd.grad(y, u, g) for y in (ours, torchs))
    assert (mine - theirs).abs().max() < 1e-15
    assert torch.autograd.gradgradcheck(lambda v: rfftn(v, ndim).abs().square().sum(), u)
