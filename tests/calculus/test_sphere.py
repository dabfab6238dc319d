"""Fields on a sphere by degree: harmonics first, then all that the nodes hold besides."""

import math

import numpy as np
import pytest
import torch

from pdeops.calculus import calculus_of
from pdeops.calculus.norms import Lp, Sobolev
from pdeops.calculus.sphere import SphereCalculus
from pdeops.calculus.spherical import SphericalTransform
from pdeops.domain import Grid, Points, Sphere
from pdeops.metrics import band_errors

SPHERES = [
    Sphere((24, 48), "gauss"),
    Sphere((25, 51), "gauss", radius=3.0),
    Sphere((33, 64)),
    Sphere((34, 60), radius=0.5),
    Sphere((20, 10)),  # fewer longitudes than degrees
    Sphere((9, 40)),
    Sphere((2, 4)),
    Sphere((3, 5)),
    Sphere((1, 3), "gauss"),
]
every_sphere = pytest.mark.parametrize("sphere", SPHERES, ids=str)


def y(l, m, sphere):
    """Re Y_lm by scipy."""
    from scipy.special import sph_harm_y

    theta, lam = sphere.nodes().numpy()
    return torch.from_numpy(np.real(sph_harm_y(l, m, theta, lam)))


def orders(l, sphere):
    """Orders of degree l that the longitudes tell from all others."""
    return range(min(l, (sphere.shape[1] - 1) // 2) + 1)


@every_sphere
def test_every_field_is_its_transform_and_keeps_its_norm(sphere, generator):
    u = torch.randn(2, 3, *sphere.shape, generator=generator, dtype=torch.float64)
    calculus = calculus_of(sphere)
    u_hat = calculus.transform(u)
    assert (calculus.inverse_transform(u_hat) - u).abs().max() < 1e-13
    energy = (calculus.parseval_weights * u_hat.abs().square()).sum((-2, -1))
    integral = (sphere.quadrature() * u.square()).sum((-2, -1))
    torch.testing.assert_close(energy, integral, rtol=1e-13, atol=0.0)


@pytest.mark.parametrize("sphere", SPHERES[:4], ids=str)
def test_coefficients_of_low_degree_are_those_of_the_harmonic_transform(sphere, generator):
    calculus = SphereCalculus(sphere)
    n = calculus.harmonic_degree + 1
    u = torch.randn(2, *sphere.shape, generator=generator, dtype=torch.float64)
    found = calculus.transform(u)[..., :n, :n].tril()
    assert (found - SphericalTransform(sphere, n - 1).forward(u)).abs().max() < 1e-13


@every_sphere
def test_every_harmonic_has_its_eigenvalue(sphere):
    """Exactly up to `harmonic_degree`, to 3 % (the docstring's claim) up to `largest_degree`."""
    calculus, l2 = calculus_of(sphere), Lp(2, domain=sphere)
    h1, dual = Sobolev(1, sphere), Sobolev(-1, sphere)
    for l in range(calculus.largest_degree + 1):
        root = math.sqrt(1 + l * (l + 1) / sphere.radius**2)
        tolerance = 1e-12 if l <= calculus.harmonic_degree else 0.03
        for m in orders(l, sphere):
            u = y(l, m, sphere)[None, None]
            size = l2(u).item()
            assert h1(u).item() == pytest.approx(root * size, rel=tolerance)
            assert dual(u).item() == pytest.approx(size / root, rel=tolerance)


@pytest.mark.parametrize("sphere", [Sphere((12, 24), "gauss"), Sphere((13, 24))], ids=str)
def test_no_wave_is_cut_off(sphere):
    """What no harmonic explains counts with the lowest degree that it can have."""
    calculus = calculus_of(sphere)
    high = y(20, 20, sphere)  # order 20 looks like order 4: there are 24 longitudes
    aliased = calculus.transform(high).abs()
    assert aliased[:, 4].max() > 0.5 * aliased.max()
    poles = torch.zeros(sphere.shape, dtype=torch.float64)
    poles[0] = torch.cos(3 * sphere.axis(1))  # a pole with many values is no function
    for u in (high, poles):
        norm = Sobolev(1, sphere)(u[None, None]).item()
        size = Lp(2, domain=sphere)(u[None, None]).item()
        assert size < norm
    if sphere.poles_stored:
        rest = calculus.transform(poles)
        weight = calculus.parseval_weights * rest.abs().square()
        lowest = calculus.largest_degree + 1
        assert weight[calculus.wave_number < lowest].sum() < 1e-25 * weight.sum()


def test_degrees_and_the_rest_of_each_order():
    """3 equiangular latitudes, 5 longitudes: degrees 0 and 1, and 4 kinds of rest."""
    numbers = SphereCalculus(Sphere((3, 5))).wave_number
    assert numbers.tolist() == [[0, 2, 2], [1, 1, 2], [2, 2, 2]]
    many = SphereCalculus(Sphere((3, 9))).wave_number
    assert many[:, 3:].tolist() == [[3, 4]] * 3


@pytest.mark.parametrize("sphere", SPHERES[:4], ids=str)
def test_the_rest_of_a_smooth_field_is_round_off(sphere):
    theta, lam = sphere.nodes()
    x, z = theta.sin() * lam.cos(), theta.cos()
    u = (x + 0.5 * z).exp()
    calculus = calculus_of(sphere)
    u_hat = calculus.transform(u)
    rest = u_hat[calculus.wave_number > calculus.largest_degree]
    assert rest.abs().max() < 1e-14 * u_hat.abs().max()


def test_bands_of_a_field_of_degree_21_on_a_grid_that_is_exact_up_to_16():
    """The shallow-water files: 33 x 64 equiangular nodes."""
    sphere = Sphere((33, 64))
    for l in (17, 21, 30):
        e = y(l, 9, sphere)[None, None]
        parts = band_errors(e, torch.zeros_like(e), sphere)[0]
        assert parts[2].item() > 0.99 * parts.sum().item()


@pytest.mark.parametrize(
    ("sphere", "shape"),
    [
        (Sphere((17, 32), "gauss"), (33, 64)),
        (Sphere((33, 64), "gauss"), (17, 40)),
        (Sphere((17, 32)), (33, 64)),
        (Sphere((34, 65), radius=4.0), (16, 33)),
        (Sphere((13, 25)), (13, 12)),
    ],
    ids=str,
)
def test_resampling_is_exact_for_what_both_grids_hold(sphere, shape):
    calculus, target = calculus_of(sphere), sphere.with_shape(shape)
    degree = min(calculus.largest_degree, calculus_of(target).largest_degree)
    for l in (0, 1, degree // 2, degree):
        for m in orders(l, min((sphere, target), key=lambda s: s.shape[1])):
            found = calculus.resample(y(l, m, sphere), shape)
            assert (found - y(l, m, target)).abs().max() < 1e-11


def test_gradients(generator):
    sphere = Sphere((5, 8))
    u = torch.randn(2, 1, 5, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    for order in (1, -1, 0.5):
        assert torch.autograd.gradcheck(Sobolev(order, sphere), u)


def test_single_precision(generator):
    sphere = Sphere((33, 64))
    u = torch.randn(2, 1, 33, 64, generator=generator)
    norm = Sobolev(1, sphere)
    assert norm(u).dtype == torch.float32
    torch.testing.assert_close(norm(u).double(), norm(u.double()), rtol=1e-5, atol=0.0)


def test_zero_mean_is_that_of_the_surface():
    sphere = Sphere((17, 32))
    u = sphere.latitude().sin().square().expand(1, 1, *sphere.shape) - 1 / 3
    assert abs(u.mean().item()) > 0.1  # of the nodes
    assert Sobolev(-1, sphere, 0.0)(u).isfinite().all()
    with pytest.raises(ValueError, match=r"zero mean; got a mean of 0\.1"):
        Sobolev(-1, sphere, 0.0)(u + 0.1)
    with pytest.raises(ValueError, match="An inverse Laplacian"):
        calculus_of(sphere).inverse_laplacian(u + 0.1)


def test_shapes_and_series_are_refused():
    sphere = Sphere((33, 64))
    with pytest.raises(ValueError, match=r"\(\.\.\., 33, 33\); got \(33, 32\)"):
        calculus_of(sphere).inverse_transform(torch.zeros(33, 32, dtype=torch.complex128))
    with pytest.raises(ValueError, match=r"\(\.\.\., 33, 64\) on this grid"):
        calculus_of(sphere).transform(torch.zeros(64, 33))
    with pytest.raises(ValueError, match=r"for a box.*Omit the argument"):
        Sobolev(1, sphere, series="cosine")


def test_a_calculus_is_made_once():
    assert calculus_of(Sphere((9, 16))) is calculus_of(Sphere((9, 16)))
    assert calculus_of(Grid((9, 16))) is calculus_of(Grid((9, 16)))
    with pytest.raises(ValueError, match=r"no waves on Points.*Grid and Sphere have them"):
        calculus_of(Points(2))
