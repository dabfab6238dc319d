"""The blocked network against layer by layer, nested derivatives and finite differences."""

from dataclasses import replace

import pytest
import torch

from pdeops.domain import Grid
from pdeops.nn import tanh_blocks
from pdeops.nn.jets import Jet, TransportJet, coordinate_jets, pairs
from pdeops.nn.sine_network import SineNetwork
from pdeops.nn.tanh_network import TanhNetwork
from pdeops.solvers import Transport

DRIFT, KAPPA = (0.7, -0.4), 0.3
N = 11


ACTIVATION = {TanhNetwork: torch.tanh, SineNetwork: torch.sin}


@pytest.fixture(params=[1, 2])
def case(request, generator, monkeypatch):
    """Inputs with all entries, and a network with several blocks of unequal size."""
    monkeypatch.setattr(tanh_blocks, "_BLOCK", 8 * 5 * 8)
    monkeypatch.setattr(tanh_blocks, "_FEWEST", 2)
    return built(request.param, TanhNetwork, generator)


@pytest.fixture(params=["tanh", "sine"])
def either(request, case, generator):
    """The same, or a network of sines."""
    inputs, _ = case
    return case if request.param == "tanh" else built(inputs.d, SineNetwork, generator)


def built(d, kind, generator):
    """Random points and a network of two layers."""
    x = torch.rand(d, N, generator=generator, dtype=torch.float64)
    t = torch.rand(N, generator=generator, dtype=torch.float64)
    both = torch.cat([jet.data for jet in coordinate_jets(x, t)])
    torch.manual_seed(0)
    return Jet(both, d), kind(d + 1, [5, 4], d).double()


def nested(network, x, t):
    """u, ∂_t u, ∇u and the Hessian (c, d, d, n) by nested reverse mode, differentiable."""
    y = torch.cat([x, t[None]]).detach().requires_grad_()
    h = y.T
    for layer in network.hidden:
        h = ACTIVATION[type(network)](layer(h))
    u = network.output(h).T
    first = torch.stack(
        [torch.autograd.grad(c.sum(), y, create_graph=True)[0] for c in u.unbind(0)]
    )
    d = len(x)
    second = torch.stack(
        [
            torch.stack([torch.autograd.grad(g.sum(), y, create_graph=True)[0][:d] for g in c[:d]])
            for c in first
        ]
    )
    return u, first[:, d], first[:, :d], second


def gradient(network, value):
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, list(network.parameters()))])


def plain(network, inputs):
    weights, biases = [z.weight for z in network.layers], [z.bias for z in network.layers]
    return tanh_blocks.layer_by_layer(inputs, weights, biases)


def test_blocks_are_several_and_unequal(case):
    inputs, network = case
    sizes = [
        part.stop - part.start
        for part in tanh_blocks._parts(inputs.data, [z.weight for z in network.layers])
    ]
    assert sum(sizes) == N
    assert len(sizes) == 6  # for fewer than two points on average there would be more
    assert len(set(sizes)) == 2


def test_jet_and_its_gradient_are_nested_derivatives(either):
    inputs, network = either
    d = inputs.d
    x, t = inputs.value[:d], inputs.value[d]
    u, u_t, u_x, u_xx = nested(network, x, t)
    jet = network.jet(inputs)
    exact = {"rtol": 1e-12, "atol": 1e-13}
    torch.testing.assert_close(jet.value, u, **exact)
    torch.testing.assert_close(network(inputs.value), u, **exact)
    torch.testing.assert_close(jet.dt, u_t, **exact)
    torch.testing.assert_close(jet.gradient, u_x, **exact)
    torch.testing.assert_close(jet.hessian, u_xx, **exact)
    weights = torch.linspace(0.5, 2, jet.data.numel(), dtype=torch.float64).view_as(jet.data)
    entries = [u, u_t, *u_x.unbind(1), *(u_xx[:, a, b] for a, b in pairs(d))]
    expected = gradient(network, (weights * torch.stack(entries, 1)).sum())
    torch.testing.assert_close(gradient(network, (weights * jet.data).sum()), expected, **exact)


def test_transport_is_the_linear_part_of_the_equation(either):
    """P u carried through the layers, and the residual of an equation with c, κ, λ and f₁."""
    inputs, network = either
    d = inputs.d
    x, t = inputs.value[:d], inputs.value[d]
    grid = Grid((8,) * d, 2.0, "periodic")
    equation = Transport(
        grid,
        drift=DRIFT[:d],
        velocity=lambda u, x, t: u * t + x,
        diffusivity=KAPPA,
        growth=0.6,
        source=lambda u, x, t: -(u**3) * x * t,
        num_channels=d,
    )
    u, u_t, u_x, u_xx = nested(network, x, t)
    laplacian = torch.einsum("caan->cn", u_xx)
    drift = u.new_tensor(DRIFT[:d])
    transported = u_t + torch.einsum("a,can->cn", drift, u_x) - KAPPA * laplacian
    jet = network.jet(inputs.transport(equation.drift, KAPPA))
    exact = {"rtol": 1e-12, "atol": 1e-13}
    assert jet.data.shape[1] == 2 + d
    torch.testing.assert_close(jet.transported, transported, **exact)
    torch.testing.assert_close(jet.gradient, u_x, **exact)
    advection = torch.einsum("an,can->cn", drift[:, None] + u * t + x, u_x)
    residual = u_t + advection - KAPPA * laplacian - 0.6 * u + u**3 * x * t
    torch.testing.assert_close(jet.residual(equation, x, t), residual, **exact)
    full = network.jet(inputs).residual(equation, x, t)
    torch.testing.assert_close(full, residual, **exact)
    torch.testing.assert_close(
        gradient(network, jet.residual(equation, x, t).square().sum()),
        gradient(network, residual.square().sum()),
        **exact,
    )


@pytest.mark.parametrize("diffusivity", [0.0, KAPPA])
def test_gradcheck(case, diffusivity):
    """With respect to inputs, weights and biases."""
    inputs, network = case
    jet = inputs.transport((), diffusivity)
    layers = network.layers

    def outputs(data, *parameters):
        changed = replace(jet, data=data)
        return tanh_blocks.tanh_network(changed, parameters[:3], parameters[3:]).data

    leaves = [jet.data, *(z.weight for z in layers), *(z.bias for z in layers)]
    leaves = [v.detach().requires_grad_() for v in leaves]
    assert torch.autograd.gradcheck(outputs, leaves, fast_mode=True)


def test_frozen_layers_have_no_gradient(case):
    inputs, network = case
    network.hidden[0].requires_grad_(False)
    network.hidden[1].weight.requires_grad_(False)
    kept = [p for p in network.parameters() if p.requires_grad]
    assert len(kept) == 3
    loss = network.jet(inputs).data.square().sum()
    layer_by_layer = network.trace(inputs)[-1][2].data.square().sum()
    for a, b in zip(
        torch.autograd.grad(loss, kept), torch.autograd.grad(layer_by_layer, kept), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)


def test_twin(case):
    """Layer by layer in plain torch, which torch.compile receives; the values alone."""
    inputs, network = case
    twin = plain(network, inputs)
    jet = network.jet(inputs)
    torch.testing.assert_close(jet.data, twin.data, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(network(inputs.value), twin.value, rtol=1e-12, atol=1e-13)


def test_more_inputs_than_features(generator):
    """The gradient in the inputs is the widest field."""
    data = torch.randn(7, 3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    inputs = TransportJet(data, 1, KAPPA)
    network = TanhNetwork(7, [3], 1).double()
    blocked, twin = (z.data.square().sum() for z in (network.jet(inputs), plain(network, inputs)))
    torch.testing.assert_close(*(torch.autograd.grad(z, data)[0] for z in (blocked, twin)))


def test_torch_compile_receives_the_twin(case, monkeypatch):
    """It can be differentiated twice, which the blocked form cannot."""
    inputs, network = case
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    value = network.jet(inputs).data.square().sum()
    weight = network.output.weight
    (slope,) = torch.autograd.grad(value, weight, create_graph=True)
    (second,) = torch.autograd.grad(slope.sum(), weight)
    assert second.norm() > 0


def test_no_points(either):
    inputs, network = either
    empty = Jet(inputs.data[..., :0], inputs.d)
    assert network.jet(empty).data.shape == (inputs.d, inputs.data.shape[1], 0)
