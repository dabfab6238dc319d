"""Grids of the sphere: integrals, nodes, and what a file keeps of them."""

import math

import pytest
import torch

import pdeops
from pdeops.domain import Grid, Latitudes, Sphere, domain_from_dict
from pdeops.losses import MeanSquare

GRIDS = [
    Sphere((6, 12), "gauss"),
    Sphere((7, 15), "gauss", radius=3.0),
    Sphere((9, 16)),
    Sphere((10, 18), radius=0.5),
]
ids = [f"{g.latitudes.value}{g.shape[0]}" for g in GRIDS]


@pytest.mark.parametrize("grid", GRIDS, ids=ids)
def test_integrals_are_exact_up_to_a_degree(grid):
    """∫ P_k(sin φ) dA = 0 for k > 0; the next even degree is seen."""
    from scipy.special import eval_legendre

    w, s = grid.quadrature(), grid.latitude().sin().numpy()
    n = grid.shape[0]
    exact_to = 2 * n - 1 if grid.latitudes is Latitudes.GAUSS else n - 1
    assert grid.volume == pytest.approx(4 * math.pi * grid.radius**2)
    assert w.sum().item() == pytest.approx(grid.volume, rel=1e-14)

    def integral(k):
        return (w * torch.from_numpy(eval_legendre(k, s))).sum().item() / grid.volume

    assert max(abs(integral(k)) for k in range(1, exact_to + 1)) < 1e-14
    assert abs(integral(exact_to // 2 * 2 + 2)) > 1e-6


def test_nodes():
    grid = Sphere((5, 8))
    quarter = math.pi / 4
    assert grid.axis(0).tolist() == pytest.approx([i * quarter for i in range(5)])
    assert grid.axis(-1).tolist() == pytest.approx([i * quarter for i in range(8)])
    assert grid.latitude()[:, 0].tolist() == pytest.approx(
        [math.pi / 2 - i * quarter for i in range(5)]
    )
    gauss = Sphere((3, 4), "gauss").latitude().sin()[:, 0]
    assert gauss.tolist() == pytest.approx([0.6**0.5, 0, -(0.6**0.5)], abs=1e-15)
    assert grid.refined(2).shape == (9, 16)
    assert torch.equal(grid.refined(2).nodes()[:, ::2, ::2], grid.nodes())
    assert Sphere((5, 8), "gauss").refined(3).shape == (15, 24)
    assert not grid.outermost().any()


def test_errors_name_a_sphere_as_one():
    assert str(Sphere((33, 64))) == "33 x 64 nodes, sphere of radius 1, equiangular"
    assert str(GRIDS[1]) == "7 x 15 nodes, sphere of radius 3, gauss"


@pytest.mark.parametrize("grid", GRIDS, ids=ids)
def test_dict_round_trip(grid):
    again = domain_from_dict(grid.to_dict())
    assert again == grid == Sphere.from_dict(grid.to_dict())
    assert type(again) is Sphere
    assert hash(again) == hash(grid)
    assert again.with_shape((8, 16)) == Sphere((8, 16), grid.latitudes, radius=grid.radius)


def test_a_box_stays_a_box():
    box = Grid((5, 8), (math.pi, 2 * math.pi), ("neumann", "periodic"))
    assert type(domain_from_dict(box.to_dict())) is Grid
    assert domain_from_dict(box.to_dict()) == box
    with pytest.raises(ValueError, match=r"a sphere, not of a box.*domain_from_dict"):
        Grid.from_dict(Sphere((5, 8)).to_dict())


def test_the_package_names_it():
    assert pdeops.Sphere is Sphere


def test_bad_arguments():
    for arguments, message in (
        ({"shape": (8,)}, "latitudes, longitudes"),
        ({"shape": (8, 16), "radius": 0.0}, "positive radius"),
        ({"shape": (8, 16), "latitudes": "uniform"}, "equiangular, gauss"),
        ({"shape": (1, 16)}, "at least 2"),
    ):
        with pytest.raises(ValueError, match=message):
            Sphere(**arguments)


def test_a_sphere_is_no_box():
    """What only a box has would be wrong on a sphere, and silently so."""
    for name in ("extent", "boundary", "placement", "series", "spacing", "interior"):
        assert hasattr(Grid((8, 16)), name)
        assert not hasattr(Sphere((8, 16)), name)
    assert not isinstance(Sphere((8, 16)), Grid)


def test_losses_integrate_over_the_sphere():
    """The mean of sin² φ is 1/3, whatever the number of nodes near the poles."""
    grid = Sphere((33, 64), radius=7.0)
    u = grid.latitude().sin().expand(1, 1, *grid.shape)
    assert MeanSquare(grid)(u, torch.zeros_like(u)).item() == pytest.approx(1 / 3, rel=1e-12)
    assert (u**2).mean().item() > 0.4
