"""Polynomials and radial basis functions reproduce what they must; the choice is by validation."""

import pytest
import torch

from pdeops.solvers.reduced_basis.regression import (
    PolynomialRegression,
    RadialBasisInterpolation,
    num_monomials,
)
from pdeops.solvers.reduced_basis.surrogate import Pairs, polynomial_surrogate, radial_surrogate

RANDOM = torch.Generator().manual_seed(0)


def normal(*shape):
    return torch.randn(*shape, generator=RANDOM, dtype=torch.float64)


def cubic(z):
    """Two polynomials of degree three in three variables."""
    a, b, c = z.mT
    return torch.stack([1 + 2 * a - b * c + 0.5 * a * b * c, c**3 - 3 * a**2 * b + 4], 1)


@pytest.mark.parametrize(("degree", "exact"), [(2, False), (3, True), (4, True)])
def test_a_polynomial_is_recovered_from_its_degree_on(degree, exact):
    z, new = normal(80, 3) * torch.tensor([1.0, 10.0, 0.1]), normal(20, 3)
    (fit,) = PolynomialRegression.fits(z, cubic(z), degree)
    assert torch.allclose(fit(new), cubic(new), rtol=1e-8, atol=1e-8) == exact
    assert len(fit.coefficients) == num_monomials(3, degree)


def test_the_ridge_solves_its_normal_equations():
    z, y, ridge = normal(15, 2), normal(15, 3), 0.03
    fit, damped = PolynomialRegression.fits(z, y, 2, [0.0, ridge])
    phi = fit.features(z)
    gram, largest = phi.mT @ phi, torch.linalg.matrix_norm(phi, 2) ** 2
    expected = torch.linalg.solve(gram + ridge * largest * torch.eye(6).double(), phi.mT @ y)
    torch.testing.assert_close(damped.coefficients, expected)
    torch.testing.assert_close(fit.coefficients, torch.linalg.solve(gram, phi.mT @ y))


def test_radial_functions_interpolate_and_reproduce_affine_maps():
    z, new = normal(30, 4), normal(9, 4)
    y = normal(30, 2)
    torch.testing.assert_close(RadialBasisInterpolation.fit(z, y)(z), y)
    affine = lambda z: z @ torch.arange(8.0).double().reshape(4, 2) - 1  # noqa: E731
    for smoothing in (0.0, 1.0):
        fit = RadialBasisInterpolation.fit(z, affine(z), smoothing)
        torch.testing.assert_close(fit(new), affine(new))
    smooth = RadialBasisInterpolation.fit(z, y, 1.0)
    assert (smooth(z) - y).norm() > 0.1 * y.norm()


def test_smoothing_approaches_the_affine_least_squares_fit():
    z, y = normal(40, 2), normal(40, 1)
    (affine,) = PolynomialRegression.fits(z, y, 1)
    gaps = [
        (RadialBasisInterpolation.fit(z, y, smoothing)(z) - affine(z)).norm()
        for smoothing in (0.0, 1.0, 1e4)
    ]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-2 * y.norm()


def test_radial_functions_converge_with_the_samples():
    """Errors of the cubic spline in one variable fall by more than 2³ from n to 2n."""
    x = torch.linspace(-0.9, 0.9, 101).double()[:, None]
    errors = []
    for n in (11, 21, 41):
        z = torch.linspace(-1, 1, n).double()[:, None]
        errors.append(
            (RadialBasisInterpolation.fit(z, z.mul(3).sin())(x) - x.mul(3).sin()).abs().max()
        )
    assert errors[0] > 8 * errors[1] > 64 * errors[2]


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="5 samples or more"):
        RadialBasisInterpolation.fit(normal(4, 4), normal(4, 1))


INTO, OUT = normal(3, 50), normal(2, 60)
WEIGHTS = 0.5 + torch.rand(60, generator=RANDOM, dtype=torch.float64)


def pairs(n, noise=0.0):
    """Fields of three random coefficients -> fields of two cubic polynomials of them."""
    z = normal(n, 3)
    return Pairs(z @ INTO, cubic(z) @ OUT + noise * normal(n, 60), WEIGHTS)


def test_validation_chooses_the_degree_of_the_map():
    training, validation, test = pairs(60), pairs(15), pairs(10)
    found = polynomial_surrogate(training, validation)
    assert "degree 3" in found.choice
    assert "3 of 3 input modes, 2 of 2 output modes" in found.choice
    assert found.error < 1e-8
    torch.testing.assert_close(found(test.x), test.y)
    single = found.to(torch.float32)(test.x.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), test.y, rtol=1e-3, atol=1e-3)


def test_a_map_that_is_no_polynomial_of_few_samples_is_not_fitted():
    """The negative control: targets that do not depend on the inputs."""
    training, validation, test = pairs(60), pairs(15), pairs(10)
    shuffled = Pairs(training.x, training.y.flip(0), WEIGHTS)
    found = polynomial_surrogate(shuffled, validation)
    gap = (found(test.x) - test.y).norm() / test.y.norm()
    assert min(found.error, gap) > 0.3


@pytest.mark.parametrize("fit", [polynomial_surrogate, radial_surrogate])
def test_the_error_on_the_validation_samples_is_the_weighted_relative_error(fit):
    training, validation = pairs(40, 0.2), pairs(12, 0.2)
    found = fit(training, validation)
    gap = ((found(validation.x) - validation.y).square() @ WEIGHTS).sqrt()
    relative = (gap / (validation.y.square() @ WEIGHTS).sqrt()).mean().item()
    assert found.error == pytest.approx(relative, rel=1e-9)
    assert found.outputs.rank < 39, "noise is not worth its modes"


def test_a_validation_solution_of_zero_has_no_relative_error():
    """It is left out of the mean; a set of such solutions is refused."""
    training, validation = pairs(40, 0.2), pairs(12, 0.2)
    zero = Pairs(
        torch.cat([validation.x, INTO[:1]]), torch.cat([validation.y, OUT[:1] * 0]), WEIGHTS
    )
    with_zero, without = (polynomial_surrogate(training, v) for v in (zero, validation))
    assert with_zero.choice == without.choice
    assert with_zero.error == pytest.approx(without.error, rel=1e-12)
    with pytest.raises(ValueError, match="solutions are zero"):
        polynomial_surrogate(training, Pairs(validation.x, validation.y * 0, WEIGHTS))
