"""Fields move between grids exactly at common nodes and with fourth order elsewhere."""

import math
from itertools import pairwise

import pytest
import torch

from pdeops.domain import Grid, Points, Sphere
from pdeops.domain.transfer import Transfer


def wave(grid, periodic=False):
    """A smooth field that vanishes at the ends of the unit interval, in each axis."""
    f = torch.ones(grid.shape, dtype=torch.float64)
    for i, x in enumerate(grid.nodes()):
        f = f * torch.sin((2 if periodic else 1) * math.pi * (i + 1) * x)
    return f


def test_common_nodes_are_taken_over_exactly(generator):
    fine, coarse = Grid((33, 17)), Grid((9, 5))
    u = torch.randn(2, 3, *fine.shape, generator=generator, dtype=torch.float64)
    assert torch.equal(Transfer(fine, coarse)(u), u[..., ::4, ::4])
    assert torch.equal(Transfer(fine, fine)(u), u)


def test_interior_nodes_nest_too(generator):
    grid = Grid((65,)).interior
    u = torch.randn(grid.shape, generator=generator, dtype=torch.float64)
    coarse = Grid((17,)).interior
    assert torch.equal(Transfer(grid, coarse)(u), u[3::4])


@pytest.mark.parametrize(
    ("make", "periodic"),
    [
        (lambda n: Grid((n + 1, n + 1)), False),
        (lambda n: Grid((n + 1, n + 5), extent=(1.0, 2.0), boundary="neumann"), False),
        (lambda n: Grid((n - 1, n - 1)).with_shape((n - 1, n + 3)), False),
        (lambda n: Grid((n, n + 2), boundary="periodic"), True),
        (lambda n: Grid((n, n), placement="interior"), False),
        (lambda n: Grid((n // 2, n // 2, n // 2)), False),
    ],
    ids=["endpoints", "neumann", "non-square", "periodic", "interior", "3d"],
)
def test_interpolation_is_of_fourth_order(make, periodic):
    errors = []
    for n in (16, 32, 64):
        source = make(n)
        target = source.with_shape([67 if source.ndim < 3 else 37] * source.ndim)
        moved = Transfer(source, target)(wave(source, periodic))
        errors.append((moved - wave(target, periodic)).abs().max().item())
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert min(orders) > 3.5, (errors, orders)


def test_cubics_are_exact_and_quartics_are_not():
    source, target = Grid((9, 9)), Grid((21, 14))
    x, y = source.nodes()
    s, t = target.nodes()
    moved = Transfer(source, target)(x**3 * y**2 - y)
    torch.testing.assert_close(moved, s**3 * t**2 - t, rtol=0, atol=1e-13)
    assert (Transfer(source, target)(x**4) - s**4).abs().max() > 1e-7


def test_batches_channels_and_dtypes(generator):
    source, target = Grid((9, 17)), Grid((12, 9))
    u = torch.randn(2, 3, *source.shape, generator=generator)
    move = Transfer(source, target)
    moved = move(u)
    assert moved.shape == (2, 3, 12, 9)
    assert moved.dtype == torch.float32
    torch.testing.assert_close(moved[1, 2], move(u[1, 2]))


def test_another_box_is_refused():
    with pytest.raises(ValueError, match="one box"):
        Transfer(Grid((9, 9)), Grid((9, 9), extent=2.0))


def on_sphere(grid):
    """A smooth function of the place in space, so of the whole sphere."""
    theta, lam = grid.nodes()
    x, y, z = theta.sin() * lam.cos(), theta.sin() * lam.sin(), theta.cos()
    return (x + 2 * y * z).exp() + x * y


def test_common_nodes_of_a_sphere_are_taken_over_exactly(generator):
    coarse = Sphere((9, 16))
    u = torch.randn(2, 3, 17, 32, generator=generator, dtype=torch.float64)
    assert torch.equal(Transfer(coarse.refined(2), coarse)(u), u[..., ::2, ::2])
    gauss = Sphere((17, 32), "gauss")
    assert torch.equal(Transfer(gauss, gauss)(u), u)


@pytest.mark.parametrize("latitudes", ["equiangular", "gauss"])
def test_interpolation_on_a_sphere_is_of_fourth_order_and_knows_no_poles(latitudes):
    errors = []
    for n in (16, 32):
        source, target = Sphere((n, 2 * n + 1), latitudes), Sphere((43, 54))  # both poles stored
        moved = Transfer(source, target)(on_sphere(source))
        errors.append((moved - on_sphere(target)).abs().max().item())
        back = Transfer(target, Sphere((n, 2 * n), "gauss"))(on_sphere(target))
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert min(orders) > 3.5, (errors, orders)
    assert (back - on_sphere(Sphere((n, 2 * n), "gauss"))).abs().max() < 2e-3


def test_a_box_of_angles_is_worse_at_the_poles():
    """Negative control: splines that end at the poles."""
    source, target = Sphere((17, 32), "gauss"), Sphere((43, 54))
    box = Grid((17, 32), (math.pi, 2 * math.pi), ("neumann", "periodic"), ("centers", "left"))
    flat = Transfer(box, Grid((43, 54), box.extent, box.boundary))
    u, exact = on_sphere(source), on_sphere(target)
    error = (Transfer(source, target)(u) - exact).abs().max()
    assert (flat(u) - exact).abs().max() > 10 * error


def test_points_go_to_the_same_points_only(generator):
    positions = torch.rand(2, 7, generator=generator, dtype=torch.float64)
    u = torch.randn(2, 3, 7, generator=generator)
    assert torch.equal(Transfer(Points(2, positions), Points(2, positions.clone()))(u), u)
    with pytest.raises(ValueError, match="the same points only"):
        Transfer(Points(2, positions), Points(2, positions + 1))


def test_another_kind_or_radius_is_refused():
    with pytest.raises(ValueError, match=r"domains of one kind.*sphere of radius 1"):
        Transfer(Grid((9, 16)), Sphere((9, 16)))
    with pytest.raises(ValueError, match=r"one sphere; got radii 1\.0 and 2\.0"):
        Transfer(Sphere((9, 16)), Sphere((9, 16), radius=2.0))
