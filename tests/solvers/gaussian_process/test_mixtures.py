"""Spectral-mixture kernels: derivatives, positivity, and features whose products they are."""

import math

import pytest
import torch

from pdeops.solvers import GaussianMixture, StudentMixture

KINDS = [GaussianMixture, StudentMixture]
NODES = torch.linspace(-0.4, 1.1, 40, dtype=torch.float64)


def mixture(kind):
    return kind([0.0, 1.3, 4.0], [0.5, 0.9, 0.3], [0.2, 1.5, 0.7])


@pytest.mark.parametrize("kind", KINDS)
def test_equals_its_definition(kind):
    d = torch.tensor([0.0, 0.2, -0.7], dtype=torch.float64)
    expected = torch.zeros(3, dtype=torch.float64)
    for f, ell, w in ((0.0, 0.5, 0.2), (1.3, 0.9, 1.5), (4.0, 0.3, 0.7)):
        s = d.abs() / ell
        envelope = torch.exp(-(s**2) / 2)
        if kind is StudentMixture:
            envelope = (1 + math.sqrt(5) * s + 5 * s**2 / 3) * torch.exp(-math.sqrt(5) * s)
        expected += w * envelope * torch.cos(2 * math.pi * f * d)
    torch.testing.assert_close(mixture(kind)(d), expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", [1, 2])
def test_derivatives_by_autograd(kind, order):
    k = mixture(kind)
    d = torch.tensor([-0.9, -0.31, 1e-3, 0.2, 0.77], dtype=torch.float64, requires_grad=True)
    slope = k(d)
    for _ in range(order):
        (slope,) = torch.autograd.grad(slope.sum(), d, create_graph=True)
    torch.testing.assert_close(k(d.detach(), order), slope.detach(), rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_matrix_is_symmetric_and_positive(kind):
    K = mixture(kind)(NODES[:, None] - NODES)
    assert torch.equal(K, K.mT)
    eigenvalues = torch.linalg.eigvalsh(K)
    assert eigenvalues[0] > -1e-14 * eigenvalues[-1]


@pytest.mark.parametrize(("kind", "rtol"), [(GaussianMixture, 1e-14), (StudentMixture, 1e-10)])
def test_products_of_features_are_the_kernel_and_its_derivatives(kind, rtol):
    """Also between the nodes for the waves of a Gaussian mixture."""
    k = mixture(kind)
    x = NODES if kind is StudentMixture else torch.linspace(-0.4, 1.1, 57, dtype=torch.float64)
    features = k.features(NODES)
    y = features.at(NODES)
    for order in (0, 1, 2):
        expected = k(x[:, None] - NODES, order)
        error = features.at(x, order) @ y.mT - expected
        assert error.abs().max() < rtol * expected.abs().max()


def test_a_period_of_the_interval_alone_is_too_short():
    """Negative control: waves of period L reproduce a periodic kernel, which is another one."""
    k = mixture(GaussianMixture)
    features = k.features(NODES)
    coarse = features.frequencies * (1 / 1.5) / features.frequencies[1]
    scale = 2 * math.pi * k.lengths
    density = torch.zeros_like(coarse)
    for sign in (-1, 1):
        bell = torch.exp(-(((coarse[:, None] + sign * k.frequencies) * scale) ** 2) / 2)
        density += (bell * k.weights * k.lengths).sum(1) * math.sqrt(2 * math.pi) / 1.5
    density[0] /= 2
    periodic = (density * torch.cos(2 * math.pi * coarse * 1.5)).sum()
    assert abs(periodic - density.sum()) < 1e-12
    d = torch.tensor(1.5, dtype=torch.float64)
    assert abs(density.sum() - k(d)) > 0.5 * k(torch.zeros_like(d))


def test_the_covering_dictionary_has_no_gap():
    """Its spectral density is flat up to the highest frequency, and that of spread lines is not."""
    k = GaussianMixture.covering(10, 2.0)
    assert len(k.frequencies) == 21
    assert k.frequencies[-1] == 10
    assert (k.lengths == 1).all()

    def valley(k):
        f, a = (v for v in (k.features(NODES).frequencies, k.features(NODES).amplitudes))
        inside = (f > 1) & (f < 9)
        return ((a[inside] ** 2).min() / (a[inside] ** 2).max()).item()

    assert valley(k) > 0.4
    assert valley(GaussianMixture(k.frequencies[::5], 1.0)) < 1e-6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],  1.0), "list of frequencies >= 0"),
        (([-1.0], 1.0), "list of frequencies >= 0.*covering"),
        (([math.nan], 1.0), "list of frequencies >= 0"),
        (([1.0], 0.0), "lengths > 0"),
        (([1.0, 2.0], [1.0]), "2 frequencies needs as many lengths"),
        (([1.0, 2.0], 1.0, [1.0, math.inf]), "weights > 0"),
    ],
)  # fmt: skip
def test_bad_parameters_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(*arguments)
    with pytest.raises(ValueError, match="extent > 0"):
        GaussianMixture.covering(3, 0.0)
