"""Spherical harmonics as modes: exactness, Parseval's equation, and the convolution theorem."""
# Axes: b batch, lat lon nodes, c channels, k pairs (l, m).

import math

import pytest
import torch

from pdeops.calculus.spherical import SphericalTransform
from pdeops.domain import Sphere
from pdeops.nn.spacetime import Modes
from pdeops.nn.spherical_modes import SphericalModes

SPHERE, N_MODES = Sphere((13, 24), radius=3.0), (10, 14)  # degrees above half of the latitudes


def coefficients(modes, generator, batch=2, channels=3):
    u_hat = torch.randn(batch, 2, modes.num_modes, channels, generator=generator).double()
    zonal = [i for i, k in enumerate(modes.kept) if k < modes.shape[0]]
    u_hat[:, 1, zonal] = 0  # of real fields
    return u_hat


@pytest.mark.parametrize("kind", ["equiangular", "gauss"])
def test_a_field_has_the_same_coefficients_on_every_grid(kind, generator):
    """Synthesis, then analysis, on grids that resolve the modes, whatever their shapes."""
    modes = SphericalModes(Sphere((13, 24), kind), N_MODES, "Model")
    assert isinstance(modes, Modes)
    assert modes.num_modes == sum(10 - m for m in range(7))
    u_hat = coefficients(modes, generator)
    for shape in ((13, 24), (12, 15), (30, 40)):
        u = modes.synthesis(u_hat, shape)
        torch.testing.assert_close(modes.analysis(u), u_hat, rtol=1e-11, atol=1e-12)
        again = modes.resample(u.movedim(-1, 1), (21, 30)).movedim(1, -1)
        torch.testing.assert_close(again, modes.synthesis(u_hat, (21, 30)), rtol=1e-10, atol=1e-11)


def test_they_are_the_harmonics_and_satisfy_parseval(generator):
    modes = SphericalModes(SPHERE, N_MODES, "Model")
    u_hat = coefficients(modes, generator, channels=1)
    fine = SPHERE.refined(3)
    u = modes.synthesis(u_hat, fine.shape)[..., 0]
    expected = SphericalTransform(fine, 9).forward(u) / math.sqrt(4 * math.pi)
    for i, k in enumerate(modes.kept):
        m, l = divmod(k, modes.shape[0])
        pair = torch.view_as_real(expected[:, l, m])
        torch.testing.assert_close(u_hat[:, :, i, 0], pair, rtol=1e-11, atol=1e-12)
    count = torch.tensor([1.0 if k < 10 else 2.0 for k in modes.kept])
    mean = (fine.mean_weights() * u.square()).sum((1, 2))
    parts = (u_hat.square().sum(1)[..., 0] * count).sum(1)
    torch.testing.assert_close(mean, parts, rtol=1e-11, atol=0)
    mode, factor = modes.constant
    one = modes.analysis(torch.ones(1, *SPHERE.shape, 1, dtype=torch.float64))[0, :, :, 0]
    assert one[0, mode].item() == pytest.approx(factor, rel=1e-13)
    assert one.abs().sum().item() == pytest.approx(factor, rel=1e-11)


def tilted(u_hat, modes, angle):
    """The field turned about the y axis, by values of its harmonics at the turned nodes."""
    from scipy.special import sph_harm_y

    theta, lam = Sphere((26, 52), "gauss").nodes()
    x, y, z = theta.sin() * lam.cos(), theta.sin() * lam.sin(), theta.cos()
    x, z = math.cos(angle) * x + math.sin(angle) * z, math.cos(angle) * z - math.sin(angle) * x
    theta, lam = torch.arccos(z.clamp(-1, 1)), torch.atan2(y, x)
    u = torch.zeros_like(theta)
    for i, k in enumerate(modes.kept):
        m, l = divmod(k, modes.shape[0])
        wave = torch.from_numpy(sph_harm_y(l, m, theta.numpy(), lam.numpy()))
        c = torch.complex(u_hat[0, 0, i, 0], u_hat[0, 1, i, 0]) * math.sqrt(4 * math.pi)
        u += (1 if m == 0 else 2) * (c * wave).real
    return u[None, ..., None]


def test_the_spherical_convolution_theorem(generator):
    """Real weights per degree commute with every rotation; complex ones per (l, m) with those about
    the polar axis only, which is why a Rossby wave needs them."""
    modes = SphericalModes(Sphere((26, 52), "gauss"), (7, 14), "Model")
    u_hat = coefficients(modes, generator, batch=1, channels=1)
    pairs = [divmod(k, 7) for k in modes.kept]
    per_degree = torch.randn(7, generator=generator).double()
    rossby = [1.0 * m / (l * (l + 1)) if l else 0.0 for m, l in pairs]

    def degrees(v_hat):
        return v_hat * torch.stack([per_degree[l] for _, l in pairs])[:, None]

    def moved(v_hat):
        phase = torch.exp(1j * torch.tensor(rossby, dtype=torch.float64))[:, None]
        return torch.view_as_real(torch.complex(v_hat[:, 0], v_hat[:, 1]) * phase).movedim(-1, 1)

    turned_hat = modes.analysis(tilted(u_hat, modes, 0.7))
    for weights, commutes in ((degrees, True), (moved, False)):
        a = modes.synthesis(weights(turned_hat), (26, 52))
        b = tilted(weights(u_hat), modes, 0.7)
        assert ((a - b).norm() < 1e-11 * b.norm()) == commutes
        u = modes.synthesis(u_hat, (26, 52)).roll(5, 2)
        c = modes.synthesis(weights(modes.analysis(u)), (26, 52))
        expected = modes.synthesis(weights(u_hat), (26, 52)).roll(5, 2)
        torch.testing.assert_close(c, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(
    ("shape", "n_modes", "message"),
    [
        ((13, 24), (13, 24), "exceed the 12 degrees and 24 orders"),
        ((13, 12), (12, 14), "exceed the 12 degrees and 12 orders"),
        ((13, 24), (6, 14), "at most 2L"),
        ((13, 24), (6, 7), "M even"),
        ((13, 24), (6,), "degrees l < L"),
    ],
)
def test_modes_that_do_not_fit_are_refused(shape, n_modes, message):
    with pytest.raises(ValueError, match=message):
        SphericalModes(Sphere(shape), n_modes, "Model")
