"""Interpolation: injection at common nodes, exact for polynomials, of its order if smooth."""

import math
from itertools import pairwise

import pytest
import torch

from pdeops.domain import Grid
from pdeops.nn.interpolation import interpolate, interpolation_matrix


def on(grid, function):
    return function(*grid.nodes())[None, None]


def test_injection_where_nodes_nest(generator):
    fine, coarse = Grid((129, 65)), Grid((65, 33))
    u = torch.randn(2, 3, 129, 65, generator=generator)
    for points in (2, 4):
        assert torch.equal(interpolate(u, fine, coarse, points=points), u[..., ::2, ::2])


@pytest.mark.parametrize("placement", ["endpoints", "interior", "centers"])
@pytest.mark.parametrize("points", [2, 4])
def test_exact_for_polynomials(placement, points):
    source = Grid((12, 15), extent=(1.0, 2.0), placement=placement)
    target = source.with_shape((31, 14))
    degree = points - 1

    def polynomial(x, y):
        return (1 + 2 * x - x**degree) * (3 - y**degree)

    u = interpolate(on(source, polynomial), source, target, points=points)
    torch.testing.assert_close(u, on(target, polynomial), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("boundary", ["dirichlet", "periodic", "neumann"])
@pytest.mark.parametrize("points", [2, 4])
def test_order(boundary, points):
    def smooth(x, y):
        return torch.sin(2 * math.pi * x + 1) * torch.cos(2 * math.pi * y)

    errors = []
    for n in (17, 33, 65):
        source = Grid((n, n), boundary=boundary)
        target = source.with_shape((200, 201))
        gap = interpolate(on(source, smooth), source, target, points=points) - on(target, smooth)
        errors.append(gap.abs().max())
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert orders[-1] == pytest.approx(points, abs=0.25)


def test_rows_sum_to_one_on_tiny_axes():
    W = interpolation_matrix(Grid((3, 3)), Grid((7, 7)), 0, points=4)
    torch.testing.assert_close(W.sum(1), torch.ones(7, dtype=torch.float64))


def test_two_boxes_are_refused():
    with pytest.raises(ValueError, match="two grids of one box"):
        interpolate(torch.zeros(1, 1, 5, 5), Grid((5, 5)), Grid((9, 9), extent=2.0), points=2)
