"""The fused loops for constant coefficients agree with their plain twin, in each dtype."""

import pytest
import torch

from pdeops.domain import Grid
from pdeops.kernels.blackbox import Cycle
from pdeops.kernels.blackbox import reference as blackbox_reference
from pdeops.kernels.blackbox.layout import schedule
from pdeops.kernels.constant import problem as constant_problem
from pdeops.kernels.constant import reference as constant_reference
from pdeops.kernels.constant.cpu import ConstantHierarchy
from pdeops.solvers import Diffusion
from pdeops.solvers.multigrid import hierarchy
from pdeops.solvers.multigrid.cycle import CycleSpec

TOLERANCE = {torch.float64: 1e-13, torch.float32: 1e-5}
# Unknowns: halved once and more often, with even ones below; planes and boxes.
SHAPES = [(7, 7), (15, 31), (63, 63), (41, 25), (7, 9, 11), (15, 15, 15), (31, 21, 17)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("c", [0.0, 50.0])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=["float64", "float32"])
def test_whole_cycle(shape, c, dtype, generator, monkeypatch):
    monkeypatch.setattr(constant_problem, "SMALLEST", 5)
    extent = [1.1 * (n + 1) / (shape[0] + 1) for n in shape[:-1]] + [1.0 * (shape[-1] + 1)]
    extent[-1] /= shape[0] + 1
    a = torch.full(shape, 2.0, dtype=dtype)
    A = Diffusion(a, Grid(shape, extent, placement="interior"), reaction=c)
    ours = ConstantHierarchy(hierarchy.constant_problem(A, CycleSpec()), a)
    assert ours.num_halved >= 1
    weights = [2 / h**2 for h in A.grid.spacing]
    levels = constant_reference.build_levels(ours.shapes, ours.num_halved, weights, c, a)
    steps = schedule(len(levels), "V").tolist()
    for _ in range(2):  # the second call finds what the first left behind
        b = torch.randn(2, *shape, generator=generator, dtype=torch.float64).to(dtype)
        out = torch.full_like(b, torch.nan)
        ours.run(b, out, Cycle())
        expected = blackbox_reference.apply_cycle(b, levels, steps)
        assert (out - expected).abs().max() < TOLERANCE[dtype] * expected.abs().max()


@pytest.mark.parametrize(
    "grid",
    [
        Grid((66, 65)),
        Grid((65, 65), boundary="neumann"),
        Grid((65, 65), boundary=("periodic", "dirichlet")),
        Grid((63, 63), placement="centers"),
        Grid((65, 65), (1.0, 2.0)),
        Grid((65,)),
    ],
    ids=["even", "neumann", "periodic", "centres", "weak axis", "line"],
)
def test_what_it_does_not_fit_is_left_to_others(grid):
    def fits(grid, spec):
        return hierarchy.constant_problem(Diffusion(1.0, grid), spec) is not None

    assert not fits(grid, CycleSpec())
    assert fits(Grid((65, 65)), CycleSpec())
    assert not fits(Grid((65, 65)), CycleSpec(pre=2))
