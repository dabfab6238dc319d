"""Spectra by shells: single waves, Parseval's sum, and the energy of a flow."""

import math

import pytest
import torch

from pdeops.calculus.spectrum import shell_spectrum
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
