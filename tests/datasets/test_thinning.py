"""Every K-th node of a grid is a grid of the same box, or there is an error."""

import math

import pytest
import torch

from pdeops.datasets.thinning import thinned
from pdeops.domain import Grid, Sphere

GRIDS = {
    "endpoints": Grid((13, 25), (2.0, 0.7)),
    "left": Grid((12, 24), 2 * math.pi, "periodic"),
    "interior": Grid((11, 23), placement="interior"),
    "centers": Grid((9, 15), boundary="neumann", placement="centers"),
    "each axis its own": Grid(
        (12, 13, 11), 1.0, ("periodic", "neumann", "dirichlet"), ("left", "endpoints", "interior")
    ),
    "sphere": Sphere((13, 24)),
}


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_nodes_of_the_coarse_grid_are_nodes_of_the_fine_one(grid, stride):
    coarse, first = thinned(grid, stride)
    assert coarse == grid.with_shape(coarse.shape)  # same box, boundary, placement
    for axis, start in enumerate(first):
        kept = grid.axis(axis)[start::stride]
        torch.testing.assert_close(coarse.axis(axis), kept, rtol=1e-14, atol=1e-14)
        assert coarse.cells[axis] * stride == grid.cells[axis]


def test_sizes_of_the_published_data():
    darcy, burgers = Grid((421, 421)), Grid((8192,), boundary="periodic")
    for stride, nodes in ((2, 211), (3, 141), (5, 85), (10, 43)):
        assert thinned(darcy, stride) == (Grid((nodes, nodes)), (0, 0))
    assert thinned(burgers, 8) == (Grid((1024,), boundary="periodic"), (0,))


@pytest.mark.parametrize(
    ("grid", "stride", "message"),
    [
        (Grid((421, 421)), 8, r"stride of 8 .* 421 x 421 nodes \(endpoints\).* 2, 3, 4, 5, 6"),
        (Grid((421, 421)), 0, "K = 1, 2, ...; got 0"),
        (Grid((421, 421)), -5, "got -5"),
        (Grid((12,), boundary="periodic"), 5, "choose one of 2, 3, 4, 6, 12"),
        (Grid((12,), placement="centers"), 2, "centers.*choose one of 3"),  # no node at a centre
        (Grid((11,), placement="interior"), 12, "interior.*choose one of 2, 3, 4, 6, say"),
        (Grid((14, 8)), 2, "none does"),  # 13 and 7 cells
        (Sphere((32, 64), "gauss"), 2, "gauss.*none does"),
    ],
)
def test_what_is_no_grid_is_refused(grid, stride, message):
    with pytest.raises(ValueError, match=message):
        thinned(grid, stride)
