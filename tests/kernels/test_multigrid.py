"""The fused loops agree with their plain twin, step by step and as a whole, in each dtype."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from pdeops.kernels import multigrid as fused
from pdeops.kernels import multigrid_reference as plain

SHAPES = [(17, 17), (18, 17), (17, 18), (20, 24), (37, 21), (9, 50)]
TOLERANCE = {torch.float64: 1e-13, torch.float32: 1e-5}
both_dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=["float64", "float32"])
all_shapes = pytest.mark.parametrize("shape", SHAPES, ids="{0[0]}x{0[1]}".format)


def close(actual, expected):
    expected = torch.as_tensor(expected)
    gap = (torch.as_tensor(actual) - expected).abs().max() / expected.abs().max()
    assert gap < TOLERANCE[expected.dtype]


class Case:
    """A lognormal coefficient of contrast about 1e4, the twin's levels, and a right-hand side."""

    def __init__(self, shape, dtype):
        generator = torch.Generator().manual_seed(0)
        self.n, self.m = shape

        def draw(*shape):
            return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

        self.draw = draw
        self.cx, self.cy = plain.from_faces(
            3 * torch.exp(1.2 * draw(self.n + 1, self.m)),
            2 * torch.exp(1.2 * draw(self.n, self.m + 1)),
        )
        self.levels = plain.setup(self.cx, self.cy, self.n, self.m)

    def arrays(self, depth):
        """n, m, then cx, cy, cd, ca and r of a level as the loops take them."""
        level = self.levels[depth]
        c = level.couplings
        one = [c[1, 0], c[0, 1]]
        one += [c[1, 1], c[1, -1].roll(-1, -1)] if depth else [c[1, 0], c[1, 0]]
        return level, [x.contiguous().numpy() for x in one], level.r.contiguous().numpy()

    def transfer(self, depth):
        P = self.levels[depth].transfer
        return P, P.q.contiguous().numpy(), torch.stack(P.w).numpy()

    def padded(self, level):
        return plain.pad(self.draw(level.n, level.m))


@pytest.fixture
def case(shape, dtype):
    return Case(shape, dtype)


def inner(u, level):
    return u[..., 1 : level.n + 1, 1 : level.m + 1].contiguous()


@all_shapes
@both_dtypes
def test_set_up_of_one_level(case):
    """Weights of P, and Pᵀ A P cell by cell against Pᵀ A P read off by combs; 5 and 9 points."""
    for depth in range(len(case.levels) - 1):
        level, couplings, r = case.arrays(depth)
        _, q, w = case.transfer(depth)
        _, coarse, _ = case.arrays(depth + 1)
        new_q, new_w = np.zeros_like(q), np.zeros_like(w)
        new = [np.zeros_like(c) for c in coarse]
        fused.coarsen(level.n, level.m, *couplings, depth > 0, new_q, new_w, *new)
        close(new_q, q)
        close(new_w, w)
        # Between two boundary nodes a coupling has no meaning.
        N, M = level.n // 2, level.m // 2
        x, y, cells = np.s_[:, 1 : M + 1], np.s_[1 : N + 1, :], np.s_[:, :]
        for at, actual, expected in zip((x, y, cells, cells), new, coarse, strict=True):
            close(actual[at], expected[at])
        new_r = np.zeros_like(r)
        fused.invert_diagonal(level.n, level.m, *couplings, depth > 0, new_r)
        close(new_r, r)


@all_shapes
@both_dtypes
def test_smoothing_and_restriction(case):
    for depth in range(len(case.levels) - 1):
        level, couplings, r = case.arrays(depth)
        P, q, w = case.transfer(depth)
        b = case.padded(level)
        u, B = plain.descend(b, level, P)
        new_u = np.zeros_like(u.numpy())
        new_B = np.full((level.n // 2, level.m // 2), np.nan, new_u.dtype)
        rhs = inner(b, level).numpy()
        if depth == 0:
            fused.descend5(rhs, new_u, *couplings[:2], r, w, new_B)
        else:
            fused.descend9(rhs, new_u, *couplings, r, q, w, new_B)
        close(new_u, u)
        close(new_B, B[1 : level.n // 2 + 1, 1 : level.m // 2 + 1])


@all_shapes
@both_dtypes
def test_prolongation_and_smoothing(case):
    for depth in range(len(case.levels) - 1):
        level, couplings, r = case.arrays(depth)
        P, q, w = case.transfer(depth)
        u, b = case.padded(level), case.padded(level)
        U = case.padded(case.levels[depth + 1])
        expected = plain.ascend(u, b, level, P, U)
        new_u, rhs = u.clone().numpy(), inner(b, level).numpy()
        if depth == 0:
            out = np.empty_like(rhs)
            fused.ascend5(rhs, new_u, *couplings[:2], r, w, U.numpy(), out)
            close(out, inner(expected, level))
        else:
            fused.ascend9(rhs, new_u, *couplings, r, q, w, U.numpy())
        close(new_u, expected)


@pytest.mark.parametrize(
    "shape", [(5, 8), (8, 5), (1, 6), (6, 1), (2, 7), (7, 2), (1, 1), (17, 17)]
)
@both_dtypes
def test_coarsest_solve(case):
    depth = len(case.levels) - 1
    level, couplings, r = case.arrays(depth)
    L = np.zeros((level.n * level.m, min(level.n, level.m) + 2), r.dtype)
    assert fused.factor_band(level.n, level.m, *couplings, depth > 0, r, L)
    b = case.padded(level)
    u = np.zeros_like(b.numpy())
    fused.solve_band(level.n, level.m, L, inner(b, level).numpy(), u)
    close(u, plain.solve_coarsest(b, level))


@all_shapes
@both_dtypes
def test_whole_cycle(case):
    table, size = fused.layout(case.n, case.m)
    store = np.zeros(size, case.cx.numpy().dtype)
    assert fused.setup(case.cx.numpy(), case.cy.numpy(), store, table)
    for _ in range(2):  # the second call finds what the first left behind
        b = case.draw(case.n, case.m)
        out = np.empty_like(b.numpy())
        fused.cycle(b.numpy(), case.cx.numpy(), case.cy.numpy(), store, table, out)
        close(out, plain.cycle(b, case.levels))


def test_the_twin_works_on_batches():
    cases = [Case((20, 17), torch.float64), Case((20, 17), torch.float64)]
    cases[1].cx = 2 * cases[1].cx
    cx, cy = (torch.stack([getattr(c, name) for c in cases]) for name in ("cx", "cy"))
    b = cases[0].draw(2, 20, 17)
    z = plain.cycle(b, plain.setup(cx, cy, 20, 17))
    for i, c in enumerate(cases):
        close(z[i], plain.cycle(b[i], plain.setup(c.cx, c.cy, 20, 17)))


def test_an_indefinite_level_is_noticed():
    cx, cy = plain.from_faces(torch.ones(19, 18).double(), torch.ones(18, 19).double())
    table, size = fused.layout(18, 18)
    assert not fused.setup(-cx.numpy(), -cy.numpy(), np.zeros(size), table)
    with pytest.raises(torch.linalg.LinAlgError):
        plain.setup(-cx, -cy, 18, 18)


def test_the_twin_refuses_a_long_strip():
    cx, cy = plain.from_faces(torch.ones(5, 1998), torch.ones(4, 1999))
    with pytest.raises(ValueError, match="too many for a dense factor"):
        plain.setup(cx, cy, 4, 1998)


SOLVE = """
import torch
from pdeops.datasets import Darcy
problem = Darcy(num_modes=8)
grid = problem.grid((33, 17))
x = problem.sample_input(grid, 0, 0)
print(problem.solve(x, grid, 1e-8).x.numpy().tobytes().hex())
"""


@pytest.mark.slow
def test_bits_do_not_depend_on_the_compiler_cache(tmp_path):
    """Freshly compiled or read from the cache: the same numbers, so the same data files."""
    command = [sys.executable, "-c", SOLVE]
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    fresh, cached = (
        subprocess.run(command, env=env, capture_output=True, check=True).stdout for _ in range(2)
    )
    assert fresh == cached
    assert len(fresh) > 1000
