import math

import pytest
import torch

from pdeops.nn.jets import Jet, coordinate_jets, jet_of, pairs, periodic_embedding
from pdeops.nn.tanh_network import TanhNetwork


def points(d, generator, n=7):
    x = torch.rand(d, n, generator=generator, dtype=torch.float64)
    return x, torch.rand(n, generator=generator, dtype=torch.float64)


def jet_by_autograd(f, x, t):
    """The jet of f(x, t) -> (c, n) from nested reverse-mode derivatives."""
    y = torch.cat([x, t[None]]).requires_grad_()
    d = len(x)
    rows = []
    for u in f(y[:d], y[d]) + 0 * y.pow(3).sum(0):  # a linear f has second derivatives too
        (first,) = torch.autograd.grad(u.sum(), y, create_graph=True)
        second = [torch.autograd.grad(first[a].sum(), y, retain_graph=True)[0] for a in range(d)]
        rows.append(torch.stack([u, first[d], *first[:d], *[second[a][b] for a, b in pairs(d)]]))
    return torch.stack(rows).detach()


@pytest.mark.parametrize("d", [1, 2])
def test_jet_of_a_network_is_its_derivatives(d, generator):
    """Against nested reverse mode, on boxes whose periods are not 2π."""
    x, t = points(d, generator)
    extent, t_end = (1.5, 0.7)[:d], 0.4
    torch.manual_seed(0)
    network = TanhNetwork(4 * d + 1, [9, 8], 2).double()

    def f(x, t):
        waves = [
            g(2 * math.pi * k * x[a] / extent[a])
            for g in (torch.cos, torch.sin)
            for a in range(d)
            for k in (1, 2)
        ]
        h = torch.stack([*waves, t / t_end]).T
        for layer in network.hidden:
            h = torch.tanh(layer(h))
        return network.output(h).T

    jet = network.jet(periodic_embedding(x, t, extent, t_end, 2))
    torch.testing.assert_close(jet.data.detach(), jet_by_autograd(f, x, t), rtol=1e-11, atol=1e-11)


def test_views_of_a_jet(generator):
    x, t = points(2, generator)
    X, T = coordinate_jets(x, t)

    def f(x, t):
        return torch.stack([t * torch.sin(x[0]) * x[1] ** 2])

    jet = Jet(jet_by_autograd(f, x, t), 2)
    torch.testing.assert_close(jet.hessian[0, 0, 1], t * torch.cos(x[0]) * 2 * x[1])
    torch.testing.assert_close(jet.hessian, jet.hessian.transpose(1, 2))
    torch.testing.assert_close(jet.gradient[0, 1], t * torch.sin(x[0]) * 2 * x[1])
    torch.testing.assert_close(jet.dt[0], torch.sin(x[0]) * x[1] ** 2)
    torch.testing.assert_close(jet_of(lambda y: f(y, t), x).data[:, 2:], jet.data[:, 2:])
    constant = jet_of(lambda y: torch.full_like(y, 3.0), x).data
    assert (constant[:, 0] == 3).all()
    assert not constant[:, 1:].any()
    assert torch.equal(X.gradient, torch.eye(2).double()[..., None].expand(2, 2, 7))
    assert torch.equal(T.dt, torch.ones(1, 7).double())


def test_times_t_is_the_product_rule(generator):
    x, t = points(1, generator)

    def f(x, t):
        return torch.exp(x * t)

    jet = Jet(jet_by_autograd(f, x, t), 1).times_t(t)
    expected = jet_by_autograd(lambda x, t: t * f(x, t), x, t)
    torch.testing.assert_close(jet.data, expected, rtol=1e-12, atol=1e-12)


def test_shared_networks_have_one_set_of_weights():
    torch.manual_seed(0)
    shallow, deep = TanhNetwork.shared(3, 50, 1, 1)
    both = {id(p): p.numel() for network in (shallow, deep) for p in network.parameters()}
    assert sum(both.values()) == 5351  # the published count of weights in use
    assert len(deep.hidden) == 5
    assert deep.hidden[2] is deep.hidden[4]
    assert len(shallow.hidden) == 2
    assert shallow.output is deep.output
    with pytest.raises(ValueError, match="as many outputs"):
        TanhNetwork.shared(3, 50, 2, 1)


def test_bad_networks_are_refused(generator):
    with pytest.raises(ValueError, match="at least one hidden layer"):
        TanhNetwork(3, [], 1)
    with pytest.raises(ValueError, match=r"one deviation per input \(3\)"):
        TanhNetwork(3, [4], 1).randomise([1.0], 1.0, generator)
