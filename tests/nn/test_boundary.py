"""Ghost nodes continue a field as its boundary condition says."""

import pytest
import torch

from pdeops.domain import Grid
from pdeops.kernels.multichannel_cycle import add_ghosts
from pdeops.nn.boundary import ghost_modes


@pytest.mark.parametrize(
    ("boundary", "placement", "expected"),
    [
        ("dirichlet", "endpoints", [0.0, 1, 2, 3, 0]),
        ("periodic", "left", [3.0, 1, 2, 3, 1]),
        ("neumann", "endpoints", [2.0, 1, 2, 3, 2]),
        ("neumann", "centers", [1.0, 1, 2, 3, 3]),
    ],
)
def test_ghosts(boundary, placement, expected):
    modes = ghost_modes(Grid((3,), boundary=boundary, placement=placement))
    u = add_ghosts(torch.tensor([[[1.0, 2, 3]]]), modes, (1,), (1,))
    assert u.flatten().tolist() == expected


def test_ghosts_differ_per_axis():
    grid = Grid((3, 4), boundary=("periodic", "neumann"))
    u = torch.arange(12.0).reshape(1, 1, 3, 4)
    v = add_ghosts(u, ghost_modes(grid), (1, 1), (1, 1))[0, 0]
    assert torch.equal(v[0, 1:-1], u[0, 0, -1])
    assert torch.equal(v[1:-1, 0], u[0, 0, :, 1])
