"""The box of points: units of its sides, also where it lies far from the origin."""

import math

import pytest
import torch

from pdeops.domain import Points
from pdeops.nn.point_box import PointBox

FAR = [[1000.1], [1001.1]]


def units(x):
    """ξ of points in the box FAR, in float32."""
    return PointBox(Points(1), FAR, model="M")(Points(1, x), torch.zeros(1))


def test_the_rounding_of_the_coordinates_is_no_distance():
    """float32 has steps of 6e-5 there, more than 1e-5 of the side."""
    corners = torch.tensor(FAR).T
    outward = torch.tensor([[-math.inf, math.inf]])
    next_ones = torch.nextafter(corners, outward)
    assert (next_ones - corners).abs().min() > 5e-5
    torch.testing.assert_close(units(next_ones), torch.tensor([[[0.0, 1.0]]]), atol=2e-4, rtol=0)
    for beyond in (next_ones + torch.tensor([0.0, 1e-3]), next_ones.double()):
        with pytest.raises(ValueError, match="outside of it"):
            units(beyond)


def test_differences_keep_the_precision_of_the_points():
    xi = units(torch.tensor([[1000.37]], dtype=torch.float64))
    assert xi.dtype == torch.float32
    assert xi.item() == pytest.approx(0.27, abs=1e-7)
