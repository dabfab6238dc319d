import math
from fractions import Fraction

import pytest
import torch

from pdeops.solvers.evolution.etdrk4 import matrix_phi_functions, phi_functions


def exact_phi(z, k):
    """Σ z^j/(j + k)! in rational numbers."""
    z = Fraction(z)
    total, term = Fraction(0), Fraction(1, math.factorial(k))
    j = 0
    while j < 40 or abs(term) > Fraction(1, 10**40):
        total += term
        j += 1
        term = term * z / (j + k)
    return float(total)


Z = [0.0, 1e-12, -1e-7, 1e-3, -0.3, 0.999, -1.0, 1.0, -1.001, 2.5, -7.0, -40.0]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_phi_functions_to_round_off(k):
    """(e^z - 1 - z - z²/2)/z³ as written has no digit left at z = 1e-5."""
    exact = torch.tensor([exact_phi(z, k) for z in Z], dtype=torch.float64)
    z = torch.tensor(Z, dtype=torch.float64)
    torch.testing.assert_close(phi_functions(z)[k], exact, rtol=3e-15, atol=0)
    matrices = matrix_phi_functions(z[None, None])[k][0, 0]
    torch.testing.assert_close(matrices, exact, rtol=1e-13, atol=0)
    if k == 3:
        naive = (z.exp() - 1 - z - z**2 / 2) / z**3
        assert (naive / exact - 1)[2].abs() > 1


def test_phi_functions_of_imaginary_numbers():
    """φ₁(iy) = sin y/y + i (1 - cos y)/y, and the recurrence for the others."""
    y = torch.tensor([1e-9, 0.2, 0.99, 1.01, 30.0, 1e4], dtype=torch.float64)
    E, p1, p2, p3 = phi_functions(1j * y)
    assert (E.abs() - 1).abs().max() < 1e-15
    exact = torch.complex(torch.sin(y) / y, 2 * torch.sin(y / 2) ** 2 / y)
    assert (p1 / exact - 1).abs().max() < 1e-15 / 1e-4 * 1e-3
    assert (1j * y * p3 - (p2 - 0.5)).abs().max() < 1e-15
    assert (1j * y * p2 - (p1 - 1)).abs().max() < 1e-15


def test_very_stiff_symbols():
    E, p1, p2, p3 = phi_functions(torch.tensor([-1e8], dtype=torch.float64))
    assert [v.item() for v in (E, p1, p2, p3)] == pytest.approx([0, 1e-8, 1e-8, 5e-9], rel=1e-7)


def test_a_matrix_that_has_no_eigenvectors():
    """exp([[0, t], [0, 0]]) = [[1, t], [0, 1]]: a mean that moves."""
    Z = torch.tensor([[0.0, 3.0], [0.0, 0.0]], dtype=torch.float64)[..., None]
    E, p1, p2, p3 = matrix_phi_functions(Z)
    for phi, a, b in ((E, 1, 3), (p1, 1, 3 / 2), (p2, 1 / 2, 3 / 6), (p3, 1 / 6, 3 / 24)):
        expected = torch.tensor([[a, b], [0, a]], dtype=torch.float64)
        torch.testing.assert_close(phi[..., 0], expected, rtol=1e-15, atol=1e-15)
