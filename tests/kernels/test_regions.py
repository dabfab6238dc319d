"""The fused projection agrees with its plain twin, which autograd takes."""

import pytest
import torch

from pdeops.domain import Grid
from pdeops.solvers import Diffusion, Multigrid

TOLERANCE = {torch.float64: 1e-13, torch.float32: 1e-5}
CASES = {
    "closed box": ("neumann", None),
    "closed box with cells": ("neumann", 0.45),  # many regions, some of a single cell
    "one open side": (("dirichlet", "neumann"), 0.45),
    "all open": ("dirichlet", 0.0),
}


def system(case, generator, dtype, shape=(37, 22)):
    boundary, solid = CASES[case]
    fluid = None if solid is None else torch.rand(shape, generator=generator) >= solid
    if solid == 0.0:
        fluid[5:9, 3:11] = False  # an obstacle, and no region that floats
    return Diffusion(torch.ones(shape, dtype=dtype), Grid(shape, 1.0, boundary), fluid=fluid)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=["float64", "float32"])
@pytest.mark.parametrize("case", CASES)
def test_projection(case, dtype, generator):
    regions = system(case, generator, dtype).regions
    if "cells" in case:
        assert regions.num_floating > 10
    u = 3 + torch.randn(2, *regions.shape, generator=generator, dtype=torch.float64).to(dtype)
    expected = regions.project(u.requires_grad_()).detach()
    u = u.detach()
    close = {"rtol": 0, "atol": TOLERANCE[dtype]}
    torch.testing.assert_close(regions.project(u), expected, **close)
    torch.testing.assert_close(regions.project(u.mT.contiguous().mT), expected, **close)
    out = u.clone()
    assert regions.project_into(out, out) is out
    torch.testing.assert_close(out, expected, **close)
    if regions.labels is not None:
        assert (out[:, regions.labels < 0] == 0).all()
        for label in range(1, regions.num_floating + 1):
            assert out[:, regions.labels == label].sum(-1).abs().max() < 1e3 * TOLERANCE[dtype]


@pytest.mark.parametrize("case", CASES)
def test_a_bound_cycle_stays_in_the_range(case, generator):
    A = system(case, generator, torch.float64)
    M = Multigrid(A)
    u = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)
    out = torch.empty_like(u)
    M.bind(u, out)()
    torch.testing.assert_close(out, M @ u)
    torch.testing.assert_close(out, A.project(out))
    torch.testing.assert_close(out, M @ A.project(u))
