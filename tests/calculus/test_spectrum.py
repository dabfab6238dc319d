"""Spectra by shells: single waves, Parseval's sum, and the energy of a flow."""

import math

import pytest
import torch

from pdeops.calculus.spectrum import centroid_of, shell_spectrum, spectral_centroid
from pdeops.calculus.spherical import evaluate
from pdeops.domain import Grid, Sphere

SIDE = 2 * math.pi
DOMAINS = [
    Grid((16, 15), (1.0, 2.0), "periodic"),
    Grid((12,), (3.0,), "periodic"),
    Grid((9, 8), (1.0, 2.0), ("neumann", "periodic"), ("endpoints", "left")),
    Grid((7, 8), placement="interior"),
    Sphere((9, 16)),
    Sphere((8, 15), "gauss", radius=3.0),
]


@pytest.mark.parametrize("domain", DOMAINS, ids=str)
def test_the_shells_sum_to_half_the_mean_square(generator, domain):
    u = torch.randn(3, 2, *domain.shape, generator=generator, dtype=torch.float64)
    if isinstance(domain, Sphere) and domain.poles_stored:
        u[..., [0, -1], :] = u[..., [0, -1], :1]  # a pole holds one value
    half = (domain.quadrature() * u.square()).flatten(2).sum(2) / (2 * domain.volume)
    spectrum = shell_spectrum(u, domain)
    assert spectrum.shape[:2] == (3, 2)
    torch.testing.assert_close(spectrum.sum(-1), half, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("k", "shell"), [((3, 0), 3), ((0, 5), 5), ((3, 4), 5), ((1, 1), 1)])
def test_one_wave_lies_in_one_shell(k, shell):
    """Mean square ½ of a cosine: S = ¼; and λ^order/4 for another order."""
    grid = Grid((16, 16), (SIDE, SIDE), "periodic")
    x, y = grid.nodes()
    u = torch.cos(k[0] * x + k[1] * y + 0.3)
    for order in (0, -1, 1):
        spectrum = shell_spectrum(u, grid, order=order)
        expected = torch.zeros_like(spectrum)
        expected[shell] = (k[0] ** 2 + k[1] ** 2) ** order / 4
        torch.testing.assert_close(spectrum, expected, rtol=1e-12, atol=1e-13)


def test_one_harmonic_has_one_degree():
    sphere = Sphere((13, 24))
    waves = torch.zeros(6, 6, dtype=torch.complex128)
    waves[4, 2] = 1.0 - 0.5j
    spectrum = shell_spectrum(evaluate(waves, sphere), sphere)
    expected = torch.zeros_like(spectrum)
    expected[4] = 2 * 1.25 / (2 * sphere.volume)
    torch.testing.assert_close(spectrum, expected, rtol=1e-12, atol=1e-13)


def test_the_energy_of_a_flow_by_the_order_minus_one(generator):
    """Σ_k of order -1 is ½ mean |u|² of the velocity; a constant vorticity carries none."""
    from pdeops.solvers.evolution.equations.navier_stokes import NavierStokes

    grid = Grid((12, 16), (1.0, 2.0), "periodic")
    flow = NavierStokes(grid, 0.0)
    w_hat = flow.encode(torch.randn(1, 1, 12, 16, generator=generator, dtype=torch.float64))
    w_hat[:, 0, flow.K[0]] = 0
    w, u = flow.decode(w_hat), flow.velocity(w_hat)
    energy = u.square().sum(1).mean() / 2
    found = shell_spectrum(w[0, 0] + 7.0, grid, order=-1)
    assert found.sum().item() == pytest.approx(energy.item(), rel=1e-12)
    assert found[0] == 0


def test_the_centroid_of_a_tone_is_its_wavenumber():
    """In radians per length, along each axis, for any mean, sign and amplitude."""
    extent = (2.0, 5.0)
    for shape in ((32, 27), (45, 64)):
        x, y = (grid := Grid(shape, extent, "periodic")).nodes()
        u = 3.0 - 0.7 * torch.sin(math.pi * 6 * x - 2 * math.pi * 4 / 5 * y + 0.3)
        assert spectral_centroid(u, grid).tolist() == pytest.approx(
            [6 * math.pi, 1.6 * math.pi], rel=1e-12
        )
    assert spectral_centroid(torch.full(shape, 2.5).double(), grid).tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="needs periodic axes"):
        spectral_centroid(torch.zeros(7, 8), Grid((7, 8)))


def test_the_centroid_weighs_waves_by_their_amplitudes():
    """(3·1 + 1·9)/4 of 3 sin x and sin 9x, as one field or as two."""
    grid = Grid((32,), SIDE, "periodic")
    x = grid.axis(0)
    fields = torch.stack([3 * torch.sin(x), torch.sin(9 * x)])
    for u in (fields, fields.sum(0), fields[:, None]):
        assert spectral_centroid(u, grid).item() == pytest.approx(3.0, rel=1e-12)


def test_the_centroid_does_not_depend_on_the_samples():
    """A Gaussian of width w has û = exp(-w²ξ²/2): κ = ∫ ξ û / ∫ û = √(2/π)/w."""
    grid = Grid((64,), SIDE, "periodic")

    def u0(x):
        return torch.exp(-(((x - math.pi) / 0.1) ** 2) / 2)

    values = [
        spectral_centroid(u0(g.axis(0)), g).item()
        for g in (grid.with_shape((256,)), grid.with_shape((511,)))
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-9)
    # The sum over ξ = ±1, ±2, .. without the mean.
    xi = torch.arange(1, 200, dtype=torch.float64)
    u_hat = torch.exp(-((0.1 * xi) ** 2) / 2)
    assert values[0] == pytest.approx(((xi * u_hat).sum() / u_hat.sum()).item(), rel=1e-6)
    assert centroid_of(u0, grid).item() == pytest.approx(values[0], rel=1e-2)


def test_the_centroid_of_a_function_finds_waves_that_coarse_grids_miss():
    """sin(127x + 0.3) looks like sin(x + 0.3) at 63 and 126 nodes; a jump has no centroid."""
    grid = Grid((64,), SIDE, "periodic")
    wave = centroid_of(lambda x: torch.sin(127 * x + 0.3), grid).item()
    assert wave == pytest.approx(127, rel=1e-9)
    assert centroid_of(torch.ones_like, grid).item() == 0
    with pytest.raises(ValueError, match="decays too slowly"):
        centroid_of(lambda x: (x > 2).double(), grid)
