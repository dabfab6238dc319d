"""The fused loops of conjugate gradients against `CG.step`, their plain twin."""

import math

import pytest
import torch

from pdeops.domain import Grid
from pdeops.kernels.runtime import row_blocks
from pdeops.linop import LinearOperator
from pdeops.solvers import Diffusion, Multigrid
from pdeops.solvers.krylov.columns import ManyColumns, OneColumn
from pdeops.solvers.krylov.conjugate_gradients import CG, FusedCG, start

both_dtypes = pytest.mark.parametrize("dtype", [torch.float64, torch.float32])


def pair(A, M, b):
    return [kind(A, M, torch.zeros_like(b), b.clone(), OneColumn()) for kind in (CG, FusedCG)]


@pytest.mark.parametrize("shape", [(3, 5), (10, 8), (33, 26), (9, 8, 7)])
@pytest.mark.parametrize("preconditioned", [False, True])
@both_dtypes
def test_steps_agree(shape, preconditioned, dtype, generator):
    """Below, at and beyond a whole number of partial sums."""
    grid = Grid(shape)
    A = Diffusion(torch.rand(shape, generator=generator, dtype=dtype) + 1, grid)
    b = torch.randn(A.grid.shape, generator=generator, dtype=dtype)
    plain, fused = pair(A, Multigrid(A) if preconditioned else None, b)
    tight = 1e4 * torch.finfo(dtype).eps
    for _ in range(3):
        expected, norm = plain.step(), fused.step()
        if expected < tight * b.norm():
            break  # the few unknowns are solved
        assert norm == pytest.approx(expected, rel=tight)
        assert fused.rz == pytest.approx(plain.rz, rel=tight)
        assert fused.pAp == pytest.approx(plain.pAp, rel=tight)
        for name in ("x", "r", "p"):
            u, v = getattr(fused, name), getattr(plain, name)
            assert (u - v).norm() <= tight * v.norm()


class Scaled(LinearOperator):
    """s u: minus the identity, or NaN, which CG must notice."""

    def __init__(self, s, grid):
        self.s, self.grid = s, grid

    def apply(self, u):
        return self.s * u


@pytest.mark.parametrize("sign", [-1.0, math.nan])
def test_breakdowns_agree(sign, generator):
    """x stays as it was, and the words are the same."""
    A = Scaled(sign, Grid((12, 9)))
    b = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)
    plain, fused = pair(A, None, b)
    assert math.isnan(plain.step())
    assert math.isnan(fused.step())
    assert fused.explain(0).split("=")[0] == plain.explain(0).split("=")[0]
    assert torch.equal(fused.x.isnan(), plain.x.isnan())


def test_batches_are_left_to_torch():
    A = Diffusion(1.0, Grid((6, 5)))
    b = torch.ones(A.grid.shape, dtype=torch.float64)
    assert type(start(A, None, b.clone(), b, OneColumn())) is FusedCG
    assert type(start(A, None, b[None].clone(), b[None], ManyColumns())) is CG


@both_dtypes
def test_threads_do_not_change_a_bit(dtype, generator, monkeypatch):
    monkeypatch.setattr(row_blocks, "VAST", 1)
    A = Diffusion(1.0, Grid((402, 403)))  # 40 blocks, the last not full
    b = torch.randn(A.grid.shape, generator=generator, dtype=dtype)
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        run = FusedCG(A, None, torch.zeros_like(b), b.clone(), OneColumn())
        assert run._vectors.num_threads == threads
        results.append([torch.tensor([run.step() for _ in range(5)]), run.x, run.r, run.p])
    for other in results[1:]:
        assert all(torch.equal(u, v) for u, v in zip(results[0], other, strict=True))
