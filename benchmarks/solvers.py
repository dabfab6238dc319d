"""Multigrid-CG against PyAMG, CHOLMOD, BoomerAMG, sparse LU and the sine transform; the cycle
against its twin."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pdeops.domain import Grid
from pdeops.kernels.blackbox import layout as blackbox_layout
from pdeops.kernels.blackbox import reference as blackbox_reference
from pdeops.solvers import Diffusion, Multigrid, cg, solve_darcy, solve_poisson

from .bench import Bench
from .opponents import OPPONENTS, Given


class Darcy(NamedTuple):
    """One problem: permeability and source at all nodes."""

    k: Tensor
    f: Tensor
    grid: Grid


class System(NamedTuple):
    """One problem and its matrix for PyAMG, which is assembled outside the timed calls."""

    k: Tensor
    grid: Grid
    matrix: Any
    b: Tensor


class Cycles(NamedTuple):
    """The compiled cycle, the levels of its plain twin, and the vector both are applied to."""

    fused: Multigrid
    levels: list[blackbox_reference.Level]
    b: Tensor


def darcy(n: int, low: float, high: float) -> Darcy:
    """A permeability of two values on random smooth regions."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, 1, 12, 12, generator=generator, dtype=torch.float64)
    smooth = F.interpolate(noise, size=(n, n), mode="bicubic", align_corners=True)[0, 0]
    k = torch.where(smooth > 0, high, low).double()
    return Darcy(k, torch.ones(n, n, dtype=torch.float64), Grid((n, n)))


def solve(method: str, problem: Darcy) -> Tensor:
    """The pressure by `solve_darcy`, set-up included."""
    result = solve_darcy(*problem, rtol=1e-10, method=method)
    assert result.converged, result
    return result.x


def poisson_by_multigrid(problem: Darcy) -> Tensor:
    """The solution by multigrid-CG, set-up included."""
    A = Diffusion(problem.k, problem.grid)
    result = cg(A, problem.f[1:-1, 1:-1].contiguous(), M=Multigrid(A), rtol=1e-10)
    assert result.converged, result
    return result.x


def poisson_by_sines(problem: Darcy) -> Tensor:
    """The direct sine transform, with as many threads as torch."""
    threads = torch.get_num_threads()
    return solve_poisson(problem.f[1:-1, 1:-1], problem.grid, workers=threads)


def system(k: Tensor, grid: Grid) -> System:
    """The system with permeability k and b = 1 everywhere."""
    A = Diffusion(k, grid)
    return System(k, grid, A.to_csr(), torch.ones(A.grid.shape, dtype=torch.float64))


def by_multigrid(problem: System) -> Tensor:
    """Multigrid-CG to 1e-10; couplings, hierarchy and solution."""
    A = Diffusion(problem.k, problem.grid)
    result = cg(A, problem.b, M=Multigrid(A), rtol=1e-10)
    assert result.converged, result
    return result.x


def by_ruge_stuben(problem: System) -> Tensor:
    """CG with Ruge-Stüben to 1e-10, the best of PyAMG here; hierarchy and solution."""
    import pyamg
    from scipy.sparse import csr_matrix

    levels = pyamg.ruge_stuben_solver(csr_matrix(problem.matrix))
    x = levels.solve(problem.b.numpy().ravel(), tol=1e-10, accel="cg", maxiter=100)
    return torch.from_numpy(x).reshape(problem.b.shape)


def against_pyamg(name: str, size: str, setup: Callable[[], System], repeats: int) -> Bench:
    return Bench(
        name=name,
        size=f"{size}, to 1e-10, set-up included",
        dtype="float64",
        setup=setup,
        work=by_multigrid,
        reference=by_ruge_stuben,
        work_name="multigrid-CG (numba)",
        reference_name="PyAMG Ruge-Stüben CG",
        tolerance=1e-7,
        repeats=repeats,
        threads=2,
    )


def several(problem: System, count: int) -> System:
    """The same system with `count` right-hand sides of white noise, (count, *nodes)."""
    generator = torch.Generator().manual_seed(1)
    b = torch.randn(count, *problem.b.shape, generator=generator, dtype=torch.float64)
    return problem._replace(b=b)


def by_opponent(name: str, problem: System) -> Tensor:
    """x by a solver of others to 1e-10: one set-up, then one right-hand side after the other."""
    from scipy.sparse import csr_matrix

    given = Given(csr_matrix(problem.matrix), 1e-10, len(problem.grid.shape))
    solve = OPPONENTS[name].set_up(given)
    columns = problem.b.reshape(-1, given.A.shape[0]).numpy()
    x = [torch.from_numpy(solve(b).x) for b in columns]
    return torch.stack(x).reshape(problem.b.shape)


def against(
    name: str, opponent: str, size: str, setup: Callable[[], System], solves: int, repeats: int
) -> Bench:
    """A bench with `solves` right-hand sides per matrix, named after their number if several."""
    plural = f", {solves} right-hand sides" if solves > 1 else ""
    return Bench(
        name=name + (f"_rhs{solves}" if solves > 1 else ""),
        size=f"{size}{plural}, to 1e-10, set-up included",
        dtype="float64",
        setup=(lambda: several(setup(), solves)) if solves > 1 else setup,
        work=by_multigrid,
        reference=partial(by_opponent, opponent),
        work_name="multigrid-CG (numba)",
        reference_name=opponent,
        tolerance=1e-6,
        repeats=repeats,
        threads=2,
    )


def blobs512(low: float, high: float) -> System:
    k, _, grid = darcy(514, low, high)
    return system(k, grid)


def cycles(n: int) -> Cycles:
    k, _, grid = darcy(n, 3.0, 12.0)
    A = Diffusion(k, grid)
    b = torch.randn(A.grid.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    M = Multigrid(A)
    both = [(True, True)] * (len(M.shapes) - 1)
    levels = blackbox_reference.build_levels(A.faces, None, A.periodic, both, singular=False)
    return Cycles(M, levels, b)


def plain_cycle(c: Cycles) -> Tensor:
    """The plain twin of the cycle."""
    steps = blackbox_layout.schedule(len(c.levels), "V").tolist()
    return blackbox_reference.apply_cycle(c.b, c.levels, steps)


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
        threads=2,
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
        threads=2,
    ),
    Bench(
        name="poisson1023",
        size="1023 x 1023 unknowns, k = 1, to 1e-10, set-up included",
        dtype="float64",
        setup=lambda: darcy(1025, 1.0, 1.0),
        work=poisson_by_multigrid,
        reference=poisson_by_sines,
        work_name="multigrid-CG (numba)",
        reference_name="scipy DST-I, direct for constant k only",
        tolerance=1e-7,
        threads=2,
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
        tolerance=1e-4,  # the compiled loops keep negative weights
        repeats=21,
        threads=2,
    ),
    against_pyamg(
        "poisson1023_pyamg",
        "1023 x 1023 unknowns, k = 1",
        lambda: system(torch.ones(1025, 1025, dtype=torch.float64), Grid((1025, 1025))),
        repeats=5,
    ),
    against_pyamg(
        "poisson127_3d",
        "127 x 127 x 127 unknowns, k = 1",
        lambda: system(torch.ones(129, 129, 129, dtype=torch.float64), Grid((129,) * 3)),
        repeats=3,
    ),
    against_pyamg(
        "darcy512", "512 x 512 unknowns, k in {3, 12}", lambda: blobs512(3.0, 12.0), repeats=7
    ),
    against_pyamg(
        "darcy512_contrast1e4",
        "512 x 512 unknowns, k in {1, 1e4}",
        lambda: blobs512(1.0, 1e4),
        repeats=7,
    ),
    against_pyamg(
        "anisotropy512",
        "512 x 512 unknowns, spacings 1 : 1000^½, k = 1",
        lambda: system(
            torch.ones(514, 514, dtype=torch.float64), Grid((514, 514), (1000**0.5, 1.0))
        ),
        repeats=7,
    ),
    *(
        against(f"{stem}_{short}", opponent, size, setup, solves, repeats)
        for stem, size, setup in (
            ("darcy512", "512 x 512 unknowns, k in {3, 12}", lambda: blobs512(3.0, 12.0)),
            ("darcy512_contrast1e4", "512 x 512, k in {1, 1e4}", lambda: blobs512(1.0, 1e4)),
        )
        for opponent, short, solves, repeats in (
            ("CHOLMOD", "cholmod", 1, 5),
            ("CHOLMOD", "cholmod", 10, 3),
            ("CHOLMOD", "cholmod", 100, 1),
            ("BoomerAMG+CG", "boomeramg", 1, 5),
            ("BoomerAMG+CG", "boomeramg", 10, 1),
        )
    ),
    against(
        "poisson127_3d_boomeramg",
        "BoomerAMG+CG",
        "127 x 127 x 127 unknowns, k = 1",
        lambda: system(torch.ones(129, 129, 129, dtype=torch.float64), Grid((129,) * 3)),
        solves=1,
        repeats=1,
    ),
]
