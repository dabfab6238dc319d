"""Least-squares fit by spherical harmonics: exact where quadrature aliases, and its transpose."""

import pytest
import torch

from pdeops.calculus.harmonic_fit import HarmonicFit
from pdeops.calculus.spherical import SphericalTransform, evaluate
from pdeops.domain import Sphere


def coefficients(degree, generator):
    c = torch.randn(2, degree + 1, degree + 1, 2, generator=generator, dtype=torch.float64)
    c = torch.view_as_complex(c).tril()
    c[..., 0].imag.zero_()
    return c


@pytest.mark.parametrize(("kind", "largest"), [("equiangular", 11), ("gauss", 12)])
def test_it_is_exact_up_to_the_degree_that_the_nodes_determine(kind, largest, generator):
    sphere = Sphere((13, 26), kind)
    fit = HarmonicFit(sphere, 99)
    assert fit.degree == largest
    c = coefficients(largest, generator)
    u = evaluate(c, sphere)
    torch.testing.assert_close(fit.forward(u), c, rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(fit.inverse(c), u)
    few = HarmonicFit(sphere, 5).forward(u)  # harmonics above 5 do not alias
    torch.testing.assert_close(few, c[..., :6, :6].tril(), rtol=1e-10, atol=1e-11)
    if kind == "equiangular":  # a negative control: by quadrature they do
        aliased = SphericalTransform(sphere, 5).forward(u) - c[..., :6, :6].tril()
        assert aliased.abs().max() > 1e-3


def test_sums_are_the_transpose_of_the_inverse(generator):
    fit = HarmonicFit(Sphere((9, 16)), 7)
    c, g = coefficients(7, generator), torch.randn(2, 9, 16, generator=generator).double()
    count = torch.where(torch.arange(8) > 0, 2.0, 1.0)
    pair = (count * (c.conj() * fit.sums(g)).real).sum().item()
    assert (fit.inverse(c) * g).sum().item() == pytest.approx(pair, rel=1e-12)
