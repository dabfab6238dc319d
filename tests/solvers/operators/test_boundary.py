import pytest
import torch

from pdeops.domain import Grid
from pdeops.solvers import with_boundary, without_boundary

GRIDS = [
    Grid((5, 7)),
    Grid((5, 7), boundary=("dirichlet", "neumann")),
    Grid((5, 7), boundary=("neumann", "dirichlet")),
    Grid((5, 7), boundary="neumann"),
    Grid((5, 7), boundary="periodic"),
    Grid((5, 7), placement="interior"),
    Grid((3, 4, 5), boundary=("periodic", "dirichlet", "neumann")),
]


@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: "-".join(g.boundary))
def test_unknowns_are_all_but_stored_dirichlet_ends(grid, generator):
    u = torch.randn(2, *grid.shape, generator=generator)
    inside = without_boundary(u, grid)
    assert tuple(inside.shape[1:]) == grid.interior.shape
    again = with_boundary(inside, grid)
    known = torch.zeros(grid.shape, dtype=torch.bool)
    for axis, (n, m) in enumerate(zip(grid.shape, grid.interior.shape, strict=True)):
        if m < n:
            known.index_fill_(axis, torch.tensor([0, n - 1]), True)
    assert torch.equal(again, torch.where(known, 0.0, u))


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="at all nodes"):
        without_boundary(torch.ones(3, 5), Grid((5, 7)))
