"""The Helmholtz projection is exact for every field on the nodes, Nyquist waves included."""

import pytest
import torch

from pdeops.calculus.fourier import derivative
from pdeops.calculus.helmholtz import divergence, helmholtz, project_divergence_free
from pdeops.domain import Grid

GRIDS = [
    Grid((16, 24), (1.0, 6.3), "periodic"),
    Grid((15, 21), (2.0, 1.0), "periodic"),
    Grid((12, 10), (1.0, 1.0), "periodic", "centers"),
    Grid((8, 6, 7), (1.0, 2.0, 3.0), "periodic"),
    Grid((8, 6, 10), 6.3, "periodic"),
    Grid((16,), 1.0, "periodic"),
]
every_grid = pytest.mark.parametrize("grid", GRIDS, ids=str)


def noise(grid, generator, *leading):
    return torch.randn(*leading, *grid.shape, generator=generator, dtype=torch.float64)


def gradient(phi, grid):
    return torch.stack([derivative(phi, grid, a) for a in range(grid.ndim)], -grid.ndim - 1)


@every_grid
def test_projects_white_noise(grid, generator):
    """P² = P, P is symmetric, div P u = 0 at the nodes, after real transforms there and back."""
    u, v = noise(grid, generator, 2, 3, grid.ndim)
    P_u, rest = helmholtz(u, grid)
    size = divergence(u, grid).abs().max()
    assert divergence(P_u, grid).abs().max() < 1e-12 * size
    torch.testing.assert_close(project_divergence_free(P_u, grid), P_u, rtol=0, atol=1e-13)
    torch.testing.assert_close(P_u + rest, u, rtol=0, atol=1e-13)
    P_v = project_divergence_free(v, grid)
    assert (P_u * v).sum().item() == pytest.approx((u * P_v).sum().item(), rel=1e-12)
    torch.testing.assert_close(
        P_u.mean(tuple(range(-grid.ndim, 0))), u.mean(tuple(range(-grid.ndim, 0)))
    )


@every_grid
def test_gradients_vanish_and_curls_stay(grid, generator):
    phi = noise(grid, generator, 2)
    grad = gradient(phi, grid)
    assert project_divergence_free(grad, grid).abs().max() < 1e-12 * grad.abs().max()
    if grid.ndim == 2:
        dx, dy = gradient(phi, grid).unbind(1)
        curl = torch.stack([dy, -dx], 1)
    elif grid.ndim == 3:
        a = noise(grid, generator, 2, 3)
        D = [[derivative(a[:, i], grid, j) for j in range(3)] for i in range(3)]
        curl = torch.stack([D[2][1] - D[1][2], D[0][2] - D[2][0], D[1][0] - D[0][1]], 1)
    else:
        return
    torch.testing.assert_close(
        project_divergence_free(curl, grid), curl, rtol=0, atol=1e-12 * curl.abs().max().item()
    )


def test_the_projection_of_published_code_is_not_free_of_divergence(generator):
    """Negative control: û - ξ (ξ·û) / |ξ|² with the Nyquist wave numbers of fftfreq."""
    grid = Grid((16, 16), 1.0, "periodic")
    u = noise(grid, generator, 2)
    waves = torch.fft.fftfreq(16) * 16, torch.fft.rfftfreq(16) * 16
    xi = torch.stack(torch.meshgrid(*waves, indexing="ij"))
    u_hat = torch.fft.rfftn(u, dim=(1, 2))
    length = xi.square().sum(0)
    length[0, 0] = 1
    v = torch.fft.irfftn(u_hat - xi * (xi * u_hat).sum(0) / length, dim=(1, 2))
    assert divergence(v, grid).abs().max() > 0.1 * divergence(u, grid).abs().max()


def test_refuses_what_it_cannot_project(generator):
    with pytest.raises(ValueError, match="periodic boxes"):
        helmholtz(torch.zeros(2, 9, 9), Grid((9, 9)))
    with pytest.raises(ValueError, match="2 components"):
        divergence(torch.zeros(3, 8, 8), Grid((8, 8), boundary="periodic"))
