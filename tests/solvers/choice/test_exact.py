"""The exact residual against rational numbers."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp

import pdeops
from pdeops.solvers.choice.exact import residual, two_products


def rational(A, x, b):
    """b - A x in rational numbers."""
    return [
        Fraction(right) - sum(Fraction(a) * Fraction(v) for a, v in zip(row, x, strict=True))
        for row, right in zip(A.tolist(), b.tolist(), strict=True)
    ]


@pytest.mark.parametrize("size", [1e-150, 1.0, 1e150])
def test_it_is_that_of_rational_numbers(size):
    """b is fl(A x): all digits of b - A x cancel in float64."""
    random = np.random.default_rng(0)
    A = random.standard_normal((12, 12)) * (random.random((12, 12)) < 0.5) * size
    x = random.standard_normal(12) * 10.0 ** random.integers(-9, 9, 12)
    b = A @ x
    r = residual(sp.csr_array(A), x, b)
    exact = [float(value) for value in rational(A, x.tolist(), b)]
    assert r.tolist() == exact
    assert (b - A @ x).tolist() != exact


@pytest.mark.parametrize("size", [1.0, 1e305])
def test_products_are_exact(size):
    """Also where the factor that halves the digits would overflow."""
    a, b = np.random.default_rng(0).standard_normal((2, 200)) * [[size], [1 / size]]
    for one, two, p, e in zip(a, b, *two_products(a, b), strict=True):
        assert Fraction(one) * Fraction(two) == Fraction(p) + Fraction(e)
        assert p == one * two


def test_a_residual_that_float64_rounds_to_zero_is_not_claimed():
    """|x| is 4e10: b - A x is 0 in float64 and 3e-7 in truth."""
    a, c = 0.5277837889876463, 0.5277837889731037
    A, b = np.array([[a, c], [c, a]]), np.array([1.0, 0.0])
    result = pdeops.solve(A, b)
    true = np.linalg.norm([float(r) for r in rational(A, result.x.tolist(), b)])
    assert true > 1e-8
    assert result.residual == pytest.approx(true, rel=1e-12)
    assert not result.converged
    assert "round-off" in result.reason
    assert pdeops.solve(A, b, rtol=1e-6).converged
