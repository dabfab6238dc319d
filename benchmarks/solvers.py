"""Multigrid-CG beside sparse direct and the sine transform; its cycle beside the plain twin."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pdeops.grid import Grid
from pdeops.kernels import blackbox_layout, blackbox_reference
from pdeops.solvers import Diffusion, Multigrid, cg, solve_darcy, solve_poisson

from .bench import Bench


class Darcy(NamedTuple):
    """One problem: permeability and source at all nodes."""

    k: Tensor
    f: Tensor
    grid: Grid


class Cycles(NamedTuple):
    """The same cycle twice, and what it is applied to."""

    fused: Multigrid
    levels: list[blackbox_reference.Level]
    b: Tensor


def darcy(n: int, low: float, high: float) -> Darcy:
    """Blobs of two permeabilities."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, 1, 12, 12, generator=generator, dtype=torch.float64)
    smooth = F.interpolate(noise, size=(n, n), mode="bicubic", align_corners=True)[0, 0]
    k = torch.where(smooth > 0, high, low).double()
    return Darcy(k, torch.ones(n, n, dtype=torch.float64), Grid((n, n)))


def solve(method: str, problem: Darcy) -> Tensor:
    """Set-up included."""
    result = solve_darcy(*problem, rtol=1e-10, method=method)
    assert result.converged, result
    return result.x


def poisson_by_multigrid(problem: Darcy) -> Tensor:
    """Set-up included."""
    A = Diffusion(problem.k, problem.grid)
    result = cg(A, problem.f[1:-1, 1:-1].contiguous(), M=Multigrid(A), rtol=1e-10)
    assert result.converged, result
    return result.x


def cycles(n: int) -> Cycles:
    k, _, grid = darcy(n, 3.0, 12.0)
    A = Diffusion(k, grid)
    b = torch.randn(A.grid.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    M = Multigrid(A)
    both = [(True, True)] * (len(M.shapes) - 1)
    levels = blackbox_reference.setup(A.faces, None, A.periodic, both, singular=False)
    return Cycles(M, levels, b)


def plain_cycle(c: Cycles) -> Tensor:
    """The plain twin of the cycle."""
    steps = blackbox_layout.schedule(len(c.levels), "V").tolist()
    return blackbox_reference.cycle(c.b, c.levels, steps)


BENCHES = [
    Bench(
        name="darcy421",
        size="421 x 421 nodes, k in {3, 12}, to 1e-10, set-up included",
        dtype="float64",
        setup=lambda: darcy(421, 3.0, 12.0),
        work=lambda problem: solve("multigrid-cg", problem),
        reference=lambda problem: solve("direct", problem),
        work_name="multigrid-CG (numba)",
        reference_name="scipy splu, MMD_AT_PLUS_A",
        tolerance=1e-9,
    ),
    Bench(
        name="darcy421_contrast1e4",
        size="421 x 421 nodes, k in {1, 1e4}, to 1e-10, set-up included",
        dtype="float64",
        setup=lambda: darcy(421, 1.0, 1e4),
        work=lambda problem: solve("multigrid-cg", problem),
        reference=lambda problem: solve("direct", problem),
        work_name="multigrid-CG (numba)",
        reference_name="scipy splu, MMD_AT_PLUS_A",
        tolerance=1e-8,
    ),
    Bench(
        name="poisson1023",
        size="1023 x 1023 unknowns, k = 1, to 1e-10, set-up included",
        dtype="float64",
        setup=lambda: darcy(1025, 1.0, 1.0),
        work=poisson_by_multigrid,
        reference=lambda problem: solve_poisson(problem.f[1:-1, 1:-1], problem.grid),
        work_name="multigrid-CG (numba)",
        reference_name="scipy DST-I, direct for constant k only",
        tolerance=1e-7,
    ),
    Bench(
        name="cycle419",
        size="one V(1,1) cycle, 419 x 419 unknowns",
        dtype="float64",
        setup=lambda: cycles(421),
        work=lambda c: c.fused @ c.b,
        reference=plain_cycle,
        work_name="fused loops (numba)",
        reference_name="plain twin (torch)",
        tolerance=1e-12,
        repeats=21,
    ),
]
