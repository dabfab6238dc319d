"""Scattered points: integrals, what travels in a batch, what a file keeps, and bad input."""

import math

import pytest
import torch

from pdeops.batch import Batch
from pdeops.domain import Grid, Points, Sphere, domain_from_dict


def mesh(n=5):
    """Triangles of the unit square with a node on each corner, and lumped areas as weights."""
    x = torch.linspace(0, 1, n, dtype=torch.float64)
    positions = torch.stack(torch.meshgrid(x, x, indexing="ij")).flatten(1)
    corner = (torch.arange(n - 1)[:, None] * n + torch.arange(n - 1)).flatten()
    lower = torch.stack([corner, corner + n, corner + 1], 1)
    upper = torch.stack([corner + n + 1, corner + 1, corner + n], 1)
    cells = torch.cat([lower, upper])
    weights = torch.zeros(n * n, dtype=torch.float64)
    area = 0.5 / (n - 1) ** 2
    weights.index_add_(
        0, cells.flatten(), torch.full((cells.numel(),), area / 3, dtype=torch.float64)
    )
    return Points(2, positions, weights=weights, cells=cells)


def batch_of(*counts, weights=True):
    samples = [
        Batch(
            positions=torch.full((2, n), float(n)).double(),
            weights=torch.arange(1.0, n + 1).double() if weights else None,
        )
        for n in counts
    ]
    return Batch.collate(samples)


def test_a_mesh_integrates_linear_functions_exactly():
    points = mesh()
    x, y = points.nodes()
    w = points.quadrature()
    assert points.volume == pytest.approx(1, rel=1e-14)
    assert (w * (2 + 3 * x - y)).sum().item() == pytest.approx(3, rel=1e-13)
    assert abs((w * x * x).sum().item() - 1 / 3) > 1e-3  # negative control: a quadratic is not
    assert points.mean_weights().sum().item() == pytest.approx(1, rel=1e-14)
    assert points.shape == (25,)
    assert (points.axes, points.ndim, points.num_nodes) == (("point",), 1, 25)


def test_unknown_weights_are_a_plain_mean_times_the_volume():
    positions = mesh().positions
    for volume, expected in ((None, 1.0), (4, 4.0)):
        points = Points(2, positions, volume=volume)
        assert points.volume == expected
        assert torch.allclose(points.quadrature(), torch.full((25,), expected / 25).double())
        assert points.mean_weights().sum().item() == pytest.approx(1)


def test_the_points_of_a_batch():
    template, batch = Points(2), batch_of(3, 5)
    here = template.at(batch)
    assert here.shape == (5,)
    assert here.volume.tolist() == [6, 15]
    assert here.quadrature().tolist() == [[[1, 2, 3, 0, 0]], [[1, 2, 3, 4, 5]]]
    assert here.mean_weights().sum(-1).tolist() == [[1], [1]]
    assert here.nodes().shape == (2, 2, 5)
    unknown = Points(2, volume=10).at(batch_of(3, 5, weights=False))
    assert unknown.volume == 10
    assert unknown.quadrature().sum(-1).flatten().tolist() == pytest.approx([10, 10])
    assert unknown.quadrature()[0, 0].tolist() == pytest.approx([10 / 3] * 3 + [0, 0])
    u = torch.full((2, 1, 5), math.nan)
    assert here.mask_padding(u)[0, 0, 3:].tolist() == [0, 0]
    assert here.mask_padding(u)[:, :, :3].isnan().all()


def test_domains_with_common_nodes_are_their_own_at_any_batch():
    batch = Batch(input=torch.zeros(2, 1, 25))
    for domain in (Grid((5, 5)), Sphere((5, 8)), mesh()):
        assert domain.at(batch) is domain
        u = torch.ones(2, 1, *domain.shape)
        assert domain.mask_padding(u) is u
    with pytest.raises(ValueError, match=r"domain\.at\(batch\)"):
        Points(2).at(batch)


def test_a_template_knows_no_nodes():
    template = Points(2)
    assert template.shape == (-1,)
    assert template.num_nodes == -1
    assert template.outermost() is None
    template.check(torch.zeros(2, 1, 17))
    for ask in (template.nodes, template.quadrature, template.mean_weights):
        with pytest.raises(ValueError, match=r"differ from sample to sample: use domain.at"):
            ask()


@pytest.mark.parametrize(
    "points",
    [Points(3), Points(2, volume=2.5), mesh(), Points(2, mesh().positions, volume=3)],
    ids=["template", "volume", "mesh", "cloud"],
)
def test_dict_round_trip(points):
    plain = points.to_dict()
    again = domain_from_dict(plain)
    assert type(again) is Points
    assert again == points
    assert hash(again) == hash(points)
    assert again.to_dict() == plain
    assert again != Points(1)


def test_points_that_differ_are_different_domains():
    other = mesh()
    other.positions[0, 0] += 1
    assert mesh() == mesh()
    assert mesh() != other
    assert Points(2, mesh().positions) != mesh()


def test_points_of_a_batch_are_not_stored_with_the_domain():
    with pytest.raises(ValueError, match=r"with its fields.*Points\(2\)"):
        Points(2).at(batch_of(3, 5)).to_dict()


def test_names():
    assert str(Points(2)) == "points with 2 coordinates, which differ from sample to sample"
    assert str(mesh()) == "25 points with 2 coordinates"
    assert repr(mesh()) == "Points(25 points with 2 coordinates, weights, cells)"
    assert str(Points(1, torch.zeros(1, 4))) == "4 points with 1 coordinate"


def test_fields_of_other_points_are_refused():
    with pytest.raises(ValueError, match=r"\(\.\.\., 25\) on these points; got \(2, 1, 24\)"):
        mesh().check(torch.zeros(2, 1, 24))
    here = Points(2).at(batch_of(3, 5))
    here.check(torch.zeros(2, 1, 5))
    for shape in ((2, 1, 4), (3, 1, 5)):
        with pytest.raises(ValueError, match=r"\(2, \.\.\., 5\).*same samples"):
            here.check(torch.zeros(shape))


POSITIONS = torch.zeros(2, 3, 4)  # 2 samples, 3 coordinates, 4 points


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_coordinates": 0}, "at least one coordinate"),
        ({"num_coordinates": 2, "volume": 0}, "positive volume"),
        ({"num_coordinates": 2, "weights": torch.ones(4)}, "Give positions too"),
        ({"num_coordinates": 2, "positions": POSITIONS}, r"2 coordinates.*got \(2, 3, 4\)"),
        (
            {"num_coordinates": 3, "positions": POSITIONS, "weights": torch.ones(4)},
            r"weights.*shape \(2, 4\); got \(4,\)",
        ),
        (
            {"num_coordinates": 3, "positions": POSITIONS, "mask": torch.ones(2, 3).bool()},
            r"mask.*shape \(2, 4\); got \(2, 3\)",
        ),
        (
            {"num_coordinates": 3, "positions": POSITIONS, "mask": torch.zeros(2, 4).bool()},
            "at least one point",
        ),
        (
            {"num_coordinates": 3, "positions": POSITIONS[0], "mask": torch.ones(4).bool()},
            "no padding, so no mask",
        ),
        (
            {"num_coordinates": 3, "positions": POSITIONS, "mask": torch.ones(2, 4)},
            r"torch\.bool.*got torch\.float32.*mask\.bool\(\)",
        ),
        (
            {
                "num_coordinates": 3,
                "positions": POSITIONS[0],
                "cells": torch.zeros(0, 3, dtype=torch.int64),
            },
            r"one cell at least; got \(0, 3\)",
        ),
        (
            {"num_coordinates": 3, "positions": POSITIONS, "weights": -torch.ones(2, 4)},
            "not be negative",
        ),
        (
            {
                "num_coordinates": 3,
                "positions": POSITIONS[0],
                "cells": torch.tensor([[0, 1, 4]]),
            },
            r"nodes 0\.\.3; got numbers from 0 to 4",
        ),
    ],
)
def test_members_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Points(**arguments)


def test_weights_of_padding_have_no_meaning():
    weights = torch.tensor([[1.0, 2, math.nan], [1, math.nan, 3]])
    mask = torch.tensor([[True, True, False], [True, False, True]])
    points = Points(2, torch.zeros(2, 2, 3), mask=mask, weights=weights)
    assert points.quadrature().tolist() == [[[1, 2, 0]], [[1, 0, 3]]]
    assert points.volume.tolist() == [3, 4]
    with pytest.raises(ValueError, match="not be negative or NaN"):
        Points(2, torch.zeros(2, 2, 3), mask=~mask | mask, weights=weights)


@pytest.mark.parametrize("weights", [[0.0, 0.0, 0.0], [1.0, math.inf, 1.0]])
def test_weights_that_are_no_area_are_refused(weights):
    with pytest.raises(ValueError, match=r"positive and finite; got"):
        Points(2, torch.rand(2, 3), weights=torch.tensor(weights))
