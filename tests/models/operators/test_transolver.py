"""Transolver: slices, tokens, points, grids, published sizes, and errors."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pdeops.batch import Batch
from pdeops.domain import Grid, Points
from pdeops.models import Transolver
from pdeops.nn.coordinates import reference_distances, unit_coordinates
from pdeops.nn.parameters import num_parameters
from pdeops.nn.physics_attention import PhysicsAttention

SMALL = {"hidden_channels": 8, "num_heads": 2, "num_slices": 5, "n_layers": 2}
BOX = [[0.0, -1.0], [1.0, 1.0]]


def fields(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def spread(network, generator, std=0.5):
    """The network with large random weights, so that its slices and tokens differ."""
    for p in network.parameters():
        if p.ndim == 2 or p.ndim > 3:
            torch.nn.init.normal_(p, std=std, generator=generator)
    return network.double()


def on_points(generator, points=None, **arguments):
    return spread(
        Transolver(1, 1, points or Points(2, box=BOX), **{**SMALL, **arguments}), generator
    )


def cloud(generator, n, b=2):
    x = torch.rand(b, 2, n, generator=generator, dtype=torch.float64)
    return x * torch.tensor([1.0, 2.0])[:, None] + torch.tensor([0.0, -1.0])[:, None]


def attention(generator):
    return spread(
        PhysicsAttention(6, lambda: torch.nn.Linear(6, 6), num_slices=4, num_heads=2), generator
    )


def numpy_attention(layer, u, w):
    """The equations of `PhysicsAttention` for one sample, by loops over heads and slices."""
    p = {name: value.detach().numpy() for name, value in layer.named_parameters()}
    e = u.shape[1] // layer.num_heads
    heads = []
    for h in range(layer.num_heads):
        part = slice(h * e, (h + 1) * e)
        x = (u @ p["coordinate.weight"].T + p["coordinate.bias"])[:, part]
        f = (u @ p["feature.weight"].T + p["feature.bias"])[:, part]
        a = np.exp((x @ p["slice.weight"].T + p["slice.bias"]) / p["temperature"][h, 0, 0])
        a /= a.sum(1, keepdims=True)
        z = np.stack([np.average(f, axis=0, weights=w * a[:, g]) for g in range(a.shape[1])])
        q, k, v = (z @ p[f"{name}.weight"].T for name in ("query", "key", "value"))
        scores = np.exp(q @ k.T / math.sqrt(e))
        heads.append(a @ (scores / scores.sum(1, keepdims=True)) @ v)
    return np.concatenate(heads, axis=1) @ p["output.weight"].T + p["output.bias"]


def test_attention_is_that_of_the_equations(generator):
    layer, u = attention(generator), fields(generator, 1, 7, 6)
    w = torch.rand(1, 7, generator=generator, dtype=torch.float64)
    w = w / w.sum()
    expected = numpy_attention(layer, u[0].numpy(), w[0].numpy())
    torch.testing.assert_close(layer(u, w)[0], torch.from_numpy(expected), rtol=1e-10, atol=1e-12)


def test_temperature_is_clamped(generator):
    layer, u = attention(generator), fields(generator, 1, 7, 6)
    with torch.no_grad():
        layer.temperature[:] = torch.tensor([0.1, 5.0], dtype=torch.float64)[:, None, None]
        a = layer.shares(u)
        layer.temperature[:] = torch.tensor([-3.0, 80.0])[:, None, None]
        assert torch.equal(layer.shares(u), a)


def test_slices_are_a_partition_of_unity(generator):
    """So the tokens, weighted by the shares of the slices, add up to the mean of the features."""
    layer, u, w = attention(generator), fields(generator, 2, 9, 6), torch.full((1, 9), 1 / 9)
    a, f = layer.shares(u), fields(generator, 2, 2, 9, 3)
    assert (a > 0).all()
    torch.testing.assert_close(a.sum(-1), torch.ones(2, 2, 9).double(), rtol=1e-14, atol=0)
    sizes = torch.einsum("n,bhng->bhg", w[0].double(), a)
    total = (sizes[..., None] * layer.tokens(a, f, w)).sum(-2)
    torch.testing.assert_close(total, f.mean(-2), rtol=1e-6, atol=1e-8)


def test_an_empty_slice_is_no_division_by_zero(generator):
    layer, u = attention(generator).float(), fields(generator, 1, 7, 6).float()
    with torch.no_grad():
        layer.slice.bias[1] = -1e4
    u.requires_grad_()
    assert layer.shares(u)[..., 1].max() == 0
    y = layer(u, torch.full((1, 7), 1 / 7))
    y.square().sum().backward()
    assert y.isfinite().all()
    assert u.grad.isfinite().all()


def test_layers_are_those_of_the_equations(generator):
    """u + attention(norm(u)), then u + mlp(norm(u)), and a norm before the head."""
    model, x, f = on_points(generator), cloud(generator, 9), fields(generator, 2, 1, 9)
    position = 2 * (x - torch.tensor([0.0, -1.0])[:, None]) / torch.tensor([1.0, 2.0])[:, None] - 1
    u, w = model.lift(torch.cat([f, position], dim=1)).mT, torch.full((1, 9), 1 / 9).double()
    for block in model.blocks:
        u = u + block.attention(F.layer_norm(u, (8,)), w)
        u = u + block.mlp(F.layer_norm(u, (8,)).mT).mT
    torch.testing.assert_close(model(f, Points(2, x)), model.head(F.layer_norm(u, (8,))).mT)


@pytest.mark.parametrize("arguments", [{}, {"reference_nodes": 3}])
def test_commutes_with_permutations_of_the_points(arguments, generator):
    model, x = on_points(generator, **arguments), cloud(generator, 30)
    u, order = fields(generator, 2, 1, 30), torch.randperm(30, generator=generator)
    y = model(u, Points(2, x))
    again = model(u[..., order], Points(2, x[..., order]))
    torch.testing.assert_close(again, y[..., order], rtol=1e-9, atol=1e-11)


def test_all_points_twice_change_nothing(generator):
    model, x, u = on_points(generator), cloud(generator, 30), fields(generator, 2, 1, 30)
    y = model(u, Points(2, x))
    twice = model(u.repeat(1, 1, 2), Points(2, x.repeat(1, 1, 2)))
    torch.testing.assert_close(twice, y.repeat(1, 1, 2), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("quadrature", [False, True])
def test_some_points_twice(quadrature, generator):
    """They count twice in the means, unless quadrature weights are divided among the copies."""
    model, n = on_points(generator, quadrature=quadrature), 30
    x, u = cloud(generator, n, 1), fields(generator, 1, 1, n)
    w = torch.rand(1, n, generator=generator, dtype=torch.float64)
    y = model(u, Points(2, x, weights=w))
    halves = torch.cat([w[:, :9] / 2, w[:, 9:], w[:, :9] / 2], dim=1)
    more = Points(2, torch.cat([x, x[..., :9]], dim=-1), weights=halves)
    gap = (model(torch.cat([u, u[..., :9]], dim=-1), more)[..., :n] - y).norm() / y.norm()
    assert gap < 1e-10 if quadrature else gap > 1e-3


@pytest.mark.parametrize("quadrature", [False, True])
def test_clouds_of_different_size_in_one_batch(quadrature, generator):
    """With a mask each sample is as if alone; values and positions at padding do not count."""
    model = on_points(generator, quadrature=quadrature)
    samples = [
        Batch(
            positions=cloud(generator, n, 1)[0],
            input=fields(generator, 1, n),
            weights=torch.rand(n, generator=generator, dtype=torch.float64),
        )
        for n in (20, 33)
    ]
    batch = Batch.collate(samples)
    points = Points(2).at(batch)
    y = model(batch.input, points)
    for i, (sample, n) in enumerate(zip(samples, (20, 33), strict=True)):
        alone = Points(2, sample.positions[None], weights=sample.weights[None])
        torch.testing.assert_close(
            y[i, :, :n], model(sample.input[None], alone)[0], rtol=1e-9, atol=1e-11
        )
    assert (y[0, :, 20:] == 0).all()
    batch.input[0, :, 20:] = float("nan")
    batch.positions[0, :, 20:] = float("nan")
    assert torch.equal(model(batch.input, Points(2).at(batch)), y)


@pytest.mark.parametrize("reference_nodes", [0, 3])
def test_a_grid_with_pointwise_projections_is_its_nodes_as_points(reference_nodes, generator):
    """On any grid of the box, without interpolation; with quadrature by the trapezoidal rule."""
    grid = Grid((6, 7), extent=(1.0, 2.0))
    arguments = {**SMALL, "reference_nodes": reference_nodes, "quadrature": True}
    on_grid = spread(Transolver(1, 1, grid, kernel_size=1, **arguments), generator)
    scattered = Transolver(1, 1, Points(2, box=[[0, 0], [1, 2]]), **arguments).double()
    scattered.load_state_dict(on_grid.state_dict())
    for g in (grid, grid.with_shape((5, 9))):
        x = fields(generator, 2, 1, *g.shape)
        nodes = Points(2, g.nodes().flatten(1), weights=g.quadrature().flatten())
        torch.testing.assert_close(
            on_grid(x).flatten(2), scattered(x.flatten(2), nodes), rtol=1e-6, atol=1e-9
        )


def test_reference_distances():
    """Of a corner of the square to the corners, and on a circle of length one."""
    distances = reference_distances(torch.tensor([[0.0], [0.0]]), 2, [False, False])
    torch.testing.assert_close(distances[:, 0], torch.tensor([0.0, 1.0, 1.0, math.sqrt(2)]))
    xi = unit_coordinates(Grid((8,), extent=3.0, boundary="periodic"))
    around = reference_distances(xi, 4, [True])
    torch.testing.assert_close(around.roll((1, 2), (0, 1)), around, atol=1e-14, rtol=0)
    near = reference_distances(torch.tensor([[1e-3]]).double(), 4, [True])[0, 0].item()
    assert near == pytest.approx(1e-3, rel=1e-5)


@pytest.mark.parametrize(
    ("published", "in_channels", "domain", "arguments"),
    [
        (2_826_945, 1, Grid((85, 85)), {}),
        (11_232_321, 10, Grid((64, 64)), {"hidden_channels": 256, "num_slices": 32}),
        (713_665, 0, Points(2, box=BOX), {}),
    ],
    ids=["Darcy", "Navier-Stokes", "elasticity"],
)
def test_sizes_of_the_published_models(published, in_channels, domain, arguments):
    """They have one parameter per channel more: the constant vector that this model leaves out."""
    model = Transolver(in_channels, 1, domain, **arguments)
    assert num_parameters(model) + model.arguments["hidden_channels"] == published


@pytest.mark.parametrize("d", [1, 3])
def test_other_dimensions(d, generator):
    shape = (6, 5, 4)[:d]
    grid = Transolver(2, 3, Grid(shape, boundary="neumann"), reference_nodes=2, **SMALL)
    assert grid(torch.randn(2, 2, *shape, generator=generator)).shape == (2, 3, *shape)
    points = Points(d, torch.rand(d, 9, generator=generator))
    scattered = Transolver(2, 3, points, **SMALL)
    assert scattered(torch.randn(2, 2, 9, generator=generator)).shape == (2, 3, 9)


def test_says_what_does_not_fit(generator):
    with pytest.raises(ValueError, match="8 channels and 3 heads"):
        Transolver(1, 1, Grid((9, 9)), **{**SMALL, "num_heads": 3})
    with pytest.raises(ValueError, match="one slice at least; got 0"):
        Transolver(1, 1, Grid((9, 9)), **{**SMALL, "num_slices": 0})
    with pytest.raises(ValueError, match="Physics attention needs one head at least; got 0"):
        Transolver(1, 1, Grid((9, 9)), **{**SMALL, "num_heads": 0})
    with pytest.raises(ValueError, match="one hidden channel at least; got -4"):
        Transolver(1, 1, Grid((9, 9)), **{**SMALL, "hidden_channels": -4})
    with pytest.raises(ValueError, match="one layer at least"):
        Transolver(1, 1, Grid((9, 9)), **{**SMALL, "n_layers": 0})
    with pytest.raises(ValueError, match="one to three axes"):
        Transolver(1, 1, Grid((4, 4, 4, 4)), **SMALL)
    with pytest.raises(ValueError, match="Only points need a box"):
        Transolver(1, 1, Grid((9, 9)), box=BOX, **SMALL)
    with pytest.raises(ValueError, match="got reference_nodes=1"):
        Transolver(1, 1, Grid((9, 9)), reference_nodes=1, **SMALL)
    with pytest.raises(ValueError, match="got 3 on points"):
        on_points(generator, kernel_size=3)
    with pytest.raises(ValueError, match="Transolver needs box="):
        on_points(generator, Points(2))
    model, x, u = on_points(generator), cloud(generator, 10), fields(generator, 2, 1, 10)
    for value in (1.5, -0.5, float("nan")):
        x[1, 0, 3] = value
        with pytest.raises(ValueError, match="got 1 outside of it"):
            model(u, Points(2, x))
    with pytest.raises(ValueError, match="differ from sample to sample"):
        model(u)
