"""The box of points: units of its sides, also where it lies far from the origin."""

import pytest
import torch

from pdeops.domain import Points
from pdeops.nn.point_box import PointBox

FAR = [[1000.1], [1001.1]]  # float32 has steps of 6e-5 there


def test_points_at_the_corners_are_inside_in_both_precisions():
    for dtype in (torch.float32, torch.float64):
        x = torch.tensor(FAR, dtype=dtype).T
        xi = PointBox(Points(1), FAR, model="M")(Points(1, x), torch.zeros(1))
        torch.testing.assert_close(xi, torch.tensor([[[0.0, 1.0]]]), atol=2e-4, rtol=0)
        beyond = Points(1, x + torch.tensor([0.0, 1e-3]).to(dtype))
        with pytest.raises(ValueError, match="got 1 outside of it"):
            PointBox(Points(1), FAR, model="M")(beyond, torch.zeros(1))


def test_differences_keep_the_precision_of_the_points():
    x = torch.tensor([[1000.35]], dtype=torch.float64)
    xi = PointBox(Points(1), FAR, model="M")(Points(1, x), torch.zeros(1))
    assert xi.dtype == torch.float32
    assert xi.item() == pytest.approx(0.25, abs=1e-7)
