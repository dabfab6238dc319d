import pickle

import pytest
import torch

from pdeops.grid import Grid
from pdeops.kernels import multigrid_reference as reference
from pdeops.linop import Preconditioner, check_spd
from pdeops.solvers import Diffusion, Multigrid, cg

# Nodes with the boundary: odd and even, square and not, one level and several.
SHAPES = [(65, 65), (66, 66), (65, 40), (42, 103), (33, 20), (21, 21), (12, 50), (3, 30), (3, 3)]


class Twin(Preconditioner):
    """The cycle of the plain-torch twin."""

    def __init__(self, A):
        self.grid = A.grid
        self.levels = reference.setup(*reference.from_faces(*A.faces), *A.grid.shape)

    def apply(self, u):
        return reference.cycle(u, self.levels)


@pytest.mark.parametrize("contrast", [1.0, 4.0, 1e4])
@pytest.mark.parametrize("shape", SHAPES)
def test_is_symmetric_positive_definite(shape, contrast, piecewise):
    grid = Grid(shape)
    check_spd(Multigrid(Diffusion(piecewise(grid, 1.0, contrast), grid)))


def test_unreversed_colours_are_not_symmetric(monkeypatch, piecewise):
    grid = Grid((34, 34))
    M = Twin(Diffusion(piecewise(grid), grid))
    check_spd(M)

    def same_order(u, b, level, P, U):
        u = u + reference.prolong(U, P, level.n, level.m)
        for colour in reference.COLOURS:
            reference.relax(u, b, level, colour)
        return u

    monkeypatch.setattr(reference, "ascend", same_order)
    with pytest.raises(ValueError, match="not symmetric"):
        check_spd(M)


def iterations(grid, k, rtol=1e-8):
    A = Diffusion(k, grid)
    b = torch.ones(A.grid.shape, dtype=torch.float64)
    result = cg(A, b, M=Multigrid(A), rtol=rtol, max_iterations=40)
    assert result.converged, result
    return result.iterations


@pytest.mark.parametrize(("contrast", "bound"), [(1.0, 8), (4.0, 9), (1e4, 12), (1e6, 13)])
def test_iterations_are_bounded_and_do_not_grow_with_the_grid(contrast, bound, piecewise):
    counts = []
    for n in (65, 129, 257):
        grid = Grid((n, n))
        counts.append(iterations(grid, piecewise(grid, 3.0, 3.0 * contrast, seed=1)))
    assert max(counts) <= bound
    assert counts[-1] <= counts[0] + 2


@pytest.mark.parametrize("n", [64, 80, 100, 121, 127, 130])
def test_any_size_converges_alike(n, piecewise):
    grid = Grid((n, n + 3))
    assert iterations(grid, piecewise(grid)) <= 10


def test_stand_alone_cycle_contracts_independently_of_the_size(generator):
    """|e| per cycle for Poisson, by the power method on I - M A: 0.24 with reversed colours."""
    for n in (33, 65, 129):
        grid = Grid((n, n))
        A = Diffusion(torch.ones(n, n, dtype=torch.float64), grid)
        M = Multigrid(A)
        e = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)
        for _ in range(15):
            e /= e.norm()
            e = e - M @ (A @ e)
        assert e.norm() < 0.25


def test_a_single_level_is_the_exact_inverse(generator):
    grid = Grid((9, 40))
    A = Diffusion(torch.rand(9, 40, generator=generator, dtype=torch.float64) + 0.1, grid)
    M = Multigrid(A)
    assert M.shapes == [(7, 38)]
    u = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(M @ (A @ u), u, rtol=1e-11, atol=1e-11)


def test_batches_dtypes_and_strides_agree_with_one_field(generator, piecewise):
    grid = Grid((30, 41))
    M = Multigrid(Diffusion(piecewise(grid), grid))
    u = torch.randn(2, 3, *M.grid.shape, generator=generator, dtype=torch.float64)
    assert torch.equal((M @ u)[1, 2], M @ u[1, 2])
    assert torch.equal((M @ u.transpose(0, 1))[2, 1], M @ u[1, 2])
    assert (M @ u.float()).dtype == torch.float32
    torch.testing.assert_close((M @ u.float()).double(), M @ u, rtol=1e-4, atol=1e-6)


def test_single_precision_cycle_costs_no_iterations(piecewise):
    grid = Grid((129, 129))
    k = piecewise(grid)
    A = Diffusion(k, grid)
    b = torch.ones(A.grid.shape, dtype=torch.float64)
    double = cg(A, b, M=Multigrid(A), rtol=1e-10)
    single = cg(A, b, M=Multigrid(Diffusion(k.float(), grid)), rtol=1e-10)
    assert single.converged
    assert single.iterations <= double.iterations + 1


def test_works_as_scipys_preconditioner_and_survives_pickling(piecewise):
    from scipy.sparse.linalg import cg as scipy_cg

    grid = Grid((65, 65))
    A = Diffusion(piecewise(grid), grid)
    M = pickle.loads(pickle.dumps(Multigrid(A)))
    b = torch.ones(A.grid.shape, dtype=torch.float64)
    steps = []
    x, info = scipy_cg(
        A.to_csr(), b.numpy().ravel(), M=M.to_scipy(), rtol=1e-8, callback=steps.append
    )
    assert info == 0
    assert len(steps) <= 9
    torch.testing.assert_close(
        torch.from_numpy(x).reshape(63, 63), cg(A, b, M=M, rtol=1e-10).x, rtol=1e-6, atol=1e-8
    )


def test_repr_shows_the_hierarchy():
    grid = Grid((65, 42))
    M = Multigrid(Diffusion(torch.ones(65, 42), grid))
    assert repr(M) == "Multigrid(63 x 40 > 31 x 20 > 15 x 10 > 7 x 5)"
