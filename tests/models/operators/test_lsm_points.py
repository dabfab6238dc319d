"""LSM on scattered points: integrals over points, masks, the latent grid, and errors."""

import pytest
import torch

from pdeops.batch import Batch
from pdeops.domain import Points
from pdeops.models import PointLSM
from pdeops.nn.nonuniform import hermitian_weights, to_modes, to_points

SMALL = {
    "hidden_channels": 8,
    "num_heads": 2,
    "n_modes": (6, 8),
    "latent_shape": (12, 16),
    "levels": 3,
    "patches": 2,
}
BOX = [[0.0, -1.0], [1.0, 1.0]]


def build(points=None, **arguments):
    torch.manual_seed(0)
    made = PointLSM(1, 1, points or Points(2), **{"box": BOX, **SMALL, **arguments}).double()
    if made.deform is not None:
        torch.nn.init.normal_(made.deform.network[-1].weight, std=0.02)
    return made


def cloud(generator, n, b=2):
    x = torch.rand(b, 2, n, generator=generator, dtype=torch.float64)
    return x * torch.tensor([1.0, 2.0])[:, None] + torch.tensor([0.0, -1.0])[:, None]


def fields(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("coordinate_map", [False, True])
def test_all_points_twice_change_nothing(coordinate_map, generator):
    model = build(coordinate_map=coordinate_map)
    x, u = cloud(generator, 50), fields(generator, 2, 1, 50)
    y = model(u, Points(2, x))
    twice = model(u.repeat(1, 1, 2), Points(2, x.repeat(1, 1, 2)))
    torch.testing.assert_close(twice, y.repeat(1, 1, 2), rtol=1e-9, atol=1e-11)
    once_more = Points(2, torch.cat([x, x[..., :9]], dim=-1))  # negative control: some of them
    assert (model(torch.cat([u, u[..., :9]], dim=-1), once_more)[..., :50] - y).norm() > 1e-4


def test_splitting_a_point_changes_nothing(generator):
    """Two points of half the weight; equal weights for them would be another integral."""
    model = build()
    x, u = cloud(generator, 30, 1), fields(generator, 1, 1, 30)
    w = torch.rand(1, 30, generator=generator, dtype=torch.float64)
    y = model(u, Points(2, x, weights=w))
    halves = torch.cat([w[:, :1] / 2, w[:, 1:], w[:, :1] / 2], dim=1)
    split = Points(2, torch.cat([x, x[..., :1]], dim=-1), weights=halves)
    z = model(torch.cat([u, u[..., :1]], dim=-1), split)
    torch.testing.assert_close(z[..., :30], y, rtol=1e-9, atol=1e-11)


def test_clouds_of_different_size_in_one_batch(generator):
    """With a mask each sample is as if alone; values and positions at padding do not count."""
    model = build(coordinate_map=True)
    samples = [
        Batch(positions=cloud(generator, n, 1)[0], input=fields(generator, 1, n)) for n in (20, 33)
    ]
    batch = Batch.collate(samples)
    points = Points(2).at(batch)
    y = model(batch.input, points)
    for i, (sample, n) in enumerate(zip(samples, (20, 33), strict=True)):
        alone = model(sample.input[None], Points(2, sample.positions[None]))
        torch.testing.assert_close(y[i, :, :n], alone[0], rtol=1e-9, atol=1e-11)
    assert (y[0, :, 20:] == 0).all()
    batch.input[0, :, 20:] = float("nan")
    assert torch.equal(model(batch.input, points), y)


def test_commutes_with_permutations_of_the_points(generator):
    model, x, u = build(), cloud(generator, 40), fields(generator, 2, 1, 40)
    order = torch.randperm(40, generator=generator)
    y = model(u[..., order], Points(2, x[..., order]))
    torch.testing.assert_close(y, model(u, Points(2, x))[..., order], rtol=1e-9, atol=1e-11)


def test_latent_field_and_modes_are_those_at_its_nodes(generator):
    """The fast transforms on the latent grid equal the sums over its nodes as points."""
    model = build()
    axes = [torch.arange(n, dtype=torch.float64) / n for n in model.latent.shape]
    nodes = torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1)[None]
    f = torch.view_as_complex(fields(generator, 1, 2, 6, 4, 2))
    v = model._on_latent_grid(f)
    sums = to_points(f * hermitian_weights(4, f), nodes, model.numbers)
    torch.testing.assert_close(v.flatten(2), sums, rtol=1e-10, atol=1e-12)
    mean = to_modes(v.flatten(2), nodes, model.numbers) / nodes.shape[-1]
    torch.testing.assert_close(model._modes_of(v), mean, rtol=1e-10, atol=1e-12)


def test_every_parameter_has_a_gradient(generator):
    model = build(coordinate_map=True, num_parameters=3)
    y = model(
        fields(generator, 2, 1, 30), Points(2, cloud(generator, 30)), torch.ones(2, 3).double()
    )
    y.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


@pytest.mark.parametrize("d", [1, 3])
def test_other_numbers_of_coordinates(d, generator):
    x = torch.rand(d, 25, generator=generator)
    arguments = {**SMALL, "n_modes": (4,) * d, "latent_shape": (8,) * d, "coordinate_map": True}
    model = PointLSM(2, 3, Points(d, x), **arguments)
    assert model(torch.randn(2, 2, 25, generator=generator)).shape == (2, 3, 25)


def test_says_what_does_not_fit(generator):
    with pytest.raises(ValueError, match="needs box="):
        PointLSM(1, 1, Points(2), **SMALL)
    with pytest.raises(ValueError, match="larger upper corner of 2 finite"):
        build(box=[[0, 0], [1, 0]])
    with pytest.raises(ValueError, match="PointLSM needs one hidden channel at least; got 0"):
        build(hidden_channels=0)
    with pytest.raises(ValueError, match="even number of modes"):
        build(n_modes=(5, 8))
    with pytest.raises(ValueError, match="at least as many latent nodes"):
        build(n_modes=(16, 8))
    with pytest.raises(ValueError, match="Only the coordinate map uses"):
        build(num_parameters=2)
    with pytest.raises(ValueError, match="needs 16 nodes per axis"):
        build(levels=5)
    model, x, u = build(), cloud(generator, 10), fields(generator, 2, 1, 10)
    for value in (1.5, float("nan")):
        x[1, 0, 3] = value
        with pytest.raises(ValueError, match="got 1 outside of it"):
            model(u, Points(2, x))
    with pytest.raises(ValueError, match="takes 0 parameters per sample; got 4"):
        model(u, Points(2, cloud(generator, 10)), torch.zeros(2, 4).double())
    with pytest.raises(ValueError, match="differ from sample to sample"):
        model(u)
