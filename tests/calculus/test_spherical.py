import warnings

import numpy as np
import pytest
import torch

from pdeops.calculus.spherical import SphericalTransform, evaluate, unaliased_degree
from pdeops.domain import Latitudes, Sphere

GRIDS = [
    Sphere((24, 48), "gauss"),
    Sphere((25, 51), "gauss", radius=3.0),
    Sphere((33, 64)),
    Sphere((34, 60), radius=0.5),
]
ids = [f"{g.latitudes.value}{g.shape[0]}" for g in GRIDS]


def coefficients(degree, generator, *batch):
    """Random ones of a real field."""
    n = degree + 1
    c = torch.randn(*batch, n, n, dtype=torch.complex128, generator=generator).tril()
    c[..., 0].imag.zero_()
    return c


def y(l, m, grid):
    """Re Y_lm by scipy."""
    from scipy.special import sph_harm_y

    theta, lam = grid.nodes().numpy()
    return torch.from_numpy(np.real(sph_harm_y(l, m, theta, lam)))


@pytest.mark.parametrize("grid", GRIDS, ids=ids)
class TestTransform:
    def test_coefficients_are_those_of_scipys_harmonics(self, grid):
        T = SphericalTransform(grid, 7)
        for l, m in ((0, 0), (1, 0), (1, 1), (5, 3), (7, 7)):
            u_hat = T.forward(y(l, m, grid))
            expected = torch.zeros_like(u_hat)
            expected[l, m] = 1 if m == 0 else 0.5  # û_l-m is the conjugate
            assert (u_hat - expected).abs().max() < 1e-13

    def test_there_and_back(self, grid, generator):
        largest = unaliased_degree(grid, factors=1)
        T = SphericalTransform(grid, largest)
        u_hat = coefficients(largest, generator, 2, 3)
        u = T.inverse(u_hat)
        assert (T.forward(u) - u_hat).abs().max() < 1e-12
        energy = u_hat.abs().square()
        energy = energy[..., 0].sum(-1) + 2 * energy[..., 1:].sum((-2, -1))
        integral = (grid.quadrature() * u.square()).sum((-2, -1))
        torch.testing.assert_close(integral, energy * grid.radius**2, rtol=1e-12, atol=0.0)
        with pytest.raises(ValueError, match=f"up to degree {largest}; got degree {largest + 1}"):
            SphericalTransform(grid, largest + 1)

    def test_products_up_to_the_degree_do_not_alias(self, grid, generator):
        """The same coefficients as on a grid twice as fine; not so two degrees on (one may do, by
        symmetry)."""
        fine = grid.with_shape([2 * n for n in grid.shape])
        for more in (0, 2):
            degree = unaliased_degree(grid) + more
            u_hat = coefficients(degree, generator, 2)
            coarse, exact = (
                T.forward(T.inverse(u_hat).prod(0))
                for T in (SphericalTransform(g, degree) for g in (grid, fine))
            )
            error = (coarse - exact).abs().max() / exact.abs().max()
            assert error < 1e-12 if more == 0 else error > 1e-6

    def test_laplacian(self, grid):
        """Of sin φ it is -2 sin φ/R², by l(l+1) = 2, and its inverse leaves no mean."""
        T = SphericalTransform(grid)
        u = grid.latitude().sin().expand(grid.shape)
        laplacian = T.inverse(T.laplacian * T.forward(u))
        torch.testing.assert_close(laplacian, -2 / grid.radius**2 * u, rtol=0.0, atol=1e-10)
        back = T.inverse(T.inverse_laplacian * T.forward(laplacian + 5))
        torch.testing.assert_close(back, u, rtol=0.0, atol=1e-12)

    def test_wind_of_a_rotation_and_of_a_gradient(self, grid):
        T, phi, lam = SphericalTransform(grid), grid.latitude(), grid.axis(1)
        zero = torch.zeros(grid.shape, dtype=torch.float64)
        # cos φ eastward: ζ = 2 sin φ/R. The gradient of R cos φ cos λ: (-sin λ, -sin φ cos λ).
        for wind, zeta, delta in (
            ((phi.cos() + zero, zero), 2 / grid.radius * phi.sin(), zero),
            (
                (-lam.sin() + zero, -phi.sin() * lam.cos()),
                zero,
                -2 / grid.radius * phi.cos() * lam.cos(),
            ),
        ):
            v = torch.stack(wind)
            expected = torch.stack([zeta + zero, delta + zero])
            zeta_delta = T.vorticity_divergence(v)
            assert (T.inverse(zeta_delta) - expected).abs().max() < 1e-12
            assert (T.wind(zeta_delta) - v).abs().max() < 1e-12

    def test_winds_there_and_back(self, grid, generator):
        """Vorticity and divergence of the wind, which has no mean of either."""
        T = SphericalTransform(grid)
        zeta_delta = coefficients(T.degree, generator, 2, 2)
        back = T.vorticity_divergence(T.wind(zeta_delta))
        zeta_delta[..., 0, 0] = 0
        assert (back - zeta_delta).abs().max() < 1e-12 * T.degree**2

    def test_gradients_and_rotations_are_orthogonal(self, grid, generator):
        """∫|v|² = -∫ψζ - ∫χδ, so the two parts do not mix."""
        T = SphericalTransform(grid)
        zeta_delta = coefficients(T.degree, generator, 2)
        zeta_delta[:, 0] = 0
        v = T.wind(zeta_delta)
        potential = T.inverse(T.inverse_laplacian * zeta_delta)
        w = grid.quadrature()
        energy, products = (w * v.square()).sum(), -(w * potential * T.inverse(zeta_delta)).sum()
        assert energy.item() == pytest.approx(products.item(), rel=1e-12)

    def test_half_as_fine(self, grid, generator):
        """Float32 agrees to its precision."""
        T = SphericalTransform(grid)
        u = T.inverse(coefficients(T.degree, generator))
        u_hat = T.forward(u.float())
        assert u_hat.dtype == torch.complex64
        scale = u.abs().max()
        assert (T.inverse(u_hat) - u).abs().max() < 1e-5 * scale
        assert (T.wind(torch.stack([u_hat] * 2)).double().isfinite()).all()


@pytest.mark.parametrize("grid", GRIDS, ids=ids)
def test_agrees_with_torch_harmonics_own_modules(grid, generator):
    """The plain twins; their vector analysis has a factor rounded to float32."""
    import torch_harmonics

    T = SphericalTransform(grid)
    n = T.degree + 1
    nodes = "legendre-gauss" if grid.latitudes is Latitudes.GAUSS else "equiangular"
    analysis, synthesis, vector_analysis, vector_synthesis = (
        getattr(torch_harmonics, name)(*grid.shape, lmax=n, mmax=n, grid=nodes)
        for name in ("RealSHT", "InverseRealSHT", "RealVectorSHT", "InverseRealVectorSHT")
    )
    u = torch.randn(2, 2, *grid.shape, dtype=torch.float64, generator=generator)
    u_hat = coefficients(T.degree, generator, 2, 2)
    scale = T.laplacian * grid.radius
    integral = T.inverse_laplacian / grid.radius
    for ours, theirs, tolerance in (
        (T.forward(u), analysis(u), 1e-13),
        (T.inverse(u_hat), synthesis(u_hat), 1e-13),
        (T.vorticity_divergence(u), scale * vector_analysis(u), 1e-6),
        (T.wind(u_hat), vector_synthesis(integral * u_hat), 1e-13),
    ):
        assert (ours - theirs).abs().max() < tolerance * theirs.abs().max()


def test_gradients_are_those_of_finite_differences(generator):
    T = SphericalTransform(Sphere((6, 12), "gauss"))
    u = torch.randn(2, 6, 12, dtype=torch.float64, generator=generator, requires_grad=True)

    def there_and_back(u):
        return T.wind(T.vorticity_divergence(u)) * T.inverse(T.forward(u))

    with warnings.catch_warnings():  # gradcheck's own
        warnings.simplefilter("ignore")
        assert torch.autograd.gradcheck(there_and_back, (u,))


@pytest.mark.parametrize("shape", [(9, 8), (8, 12), (40, 3)])
def test_values_on_a_coarse_grid_are_those_of_the_same_function(shape, generator):
    u_hat = coefficients(11, generator, 2)
    coarse = Sphere(shape)
    theta, lam = coarse.nodes().numpy()
    from scipy.special import sph_harm_y

    expected = torch.zeros(2, *shape, dtype=torch.float64)
    for l in range(12):
        for m in range(l + 1):
            wave = torch.from_numpy(sph_harm_y(l, m, theta, lam))
            part = u_hat[:, l, m, None, None] * wave
            expected += part.real * (1 if m == 0 else 2)
    assert (evaluate(u_hat, coarse) - expected).abs().max() < 1e-12


def test_other_shapes_are_refused():
    T = SphericalTransform(GRIDS[0], 7)
    with pytest.raises(ValueError, match=r"degree 7 have shape \(..., 8, 8\); got \(9, 9\)"):
        T.inverse(torch.zeros(9, 9, dtype=torch.complex128))
    with pytest.raises(ValueError, match=r"\(..., 24, 48\) on this grid"):
        T.forward(torch.zeros(48, 24, dtype=torch.float64))
