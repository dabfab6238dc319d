"""Position channels and bias are functions: the same at every resolution, periodic with the box."""

import math

import torch

from pdeops.domain import Grid
from pdeops.nn.coordinates import (
    BiasFunction,
    num_position_channels,
    position_channels,
    reference_distances,
)


def test_position_channels():
    grid = Grid((5, 8), extent=(2.0, 3.0), boundary=("dirichlet", "periodic"))
    x, cos, sin = position_channels(grid)
    assert len(position_channels(grid)) == num_position_channels(grid)
    assert x[:, 0].tolist() == [-1, -0.5, 0, 0.5, 1]
    torch.testing.assert_close(torch.atan2(sin, cos)[0, 1], torch.tensor(2 * math.pi / 8))


def test_bias_is_one_function_on_all_grids():
    torch.manual_seed(0)
    grid = Grid((5, 9))
    bias = BiasFunction(grid, 3)
    coarse = bias(position_channels(grid))
    fine = bias(position_channels(grid.refined(2)))
    torch.testing.assert_close(fine[:, ::2, ::2], coarse)
    assert coarse.flatten(1).std(dim=1).min() > 1e-3


def test_reference_distances_have_gradients_also_at_their_nodes():
    """Of sqrt at 0 it would be infinite times 0, which is no number."""
    xi = torch.tensor([[0.0, 0.25], [0.0, 1.0]], dtype=torch.float64, requires_grad=True)
    distances = reference_distances(xi, 2, [False, False])
    assert distances[0, 0].item() == 0
    (gradient,) = torch.autograd.grad(distances.sum(), xi)
    r = math.sqrt(0.5)  # of the node (1, 1) from the point (0, 0), in each direction
    torch.testing.assert_close(gradient[:, 0], torch.tensor([-1 - r, -1 - r]).double())
    assert gradient.isfinite().all()
