import pytest
import torch

from pdeops.domain import Grid
from pdeops.linop import check_spd
from pdeops.solvers import Diffusion, RugeStueben, SmoothedAggregation, cg

KINDS = [RugeStueben, SmoothedAggregation]


@pytest.mark.parametrize("kind", KINDS)
def test_preconditions_cg_in_few_iterations(kind, piecewise):
    grid = Grid((65, 65))
    A = Diffusion(piecewise(grid), grid)
    b = torch.ones(2, *A.grid.shape, dtype=torch.float64)
    M = kind(A)
    check_spd(M, rtol=1e-9)
    result = cg(A, b, M=M, rtol=1e-8)
    assert result.converged
    assert result.iterations <= 15
    assert repr(M).startswith(f"{kind.__name__}(3969 > ")
    assert (M @ b.float()).dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_singular_boxes_with_walls(kind):
    fluid = torch.ones(24, 24, dtype=torch.bool)
    fluid[6:10, 5:20] = False
    A = Diffusion(1.0, Grid((24, 24), boundary="neumann", placement="centers"), fluid=fluid)
    b = A.project(torch.randn(24, 24, generator=torch.Generator().manual_seed(0)).double())
    result = cg(A, b, M=kind(A), rtol=1e-8)
    assert result.converged, result
    assert result.iterations <= 20


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, 1, 5])
def test_many_floating_regions(kind, seed):
    """Half of the cells solid, one by one: hundreds of small regions, each with a kernel."""
    fluid = torch.rand(100, 100, generator=torch.Generator().manual_seed(seed)) > 0.5
    A = Diffusion(1.0, Grid((100, 100), boundary="neumann", placement="centers"), fluid=fluid)
    assert A.regions.num_floating > 200
    b = A.project(torch.randn(100, 100, generator=torch.Generator().manual_seed(0)).double())
    result = cg(A, b, M=kind(A), rtol=1e-8)
    assert result.converged, result
    assert result.iterations <= 40
