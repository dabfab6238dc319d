"""Our algebraic multigrid on matrices whose rows are in random order."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from pdeops.domain import Grid
from pdeops.linop import check_spd
from pdeops.solvers import AlgebraicMultigrid, Diffusion, Matrix, cg


def mixed(A):
    """The matrix with its rows in random order, as an operator."""
    order = np.random.default_rng(0).permutation(A.shape[0])
    csr = sp.csr_array(sp.csr_array(A)[order][:, order])
    return Matrix(csr, symmetric=True, positive_definite=True)


def rhs(A):
    return torch.randn(A.shape[0], generator=torch.Generator().manual_seed(0)).double()


def iterations(A, **options):
    b = rhs(A)
    result = cg(A, b, M=AlgebraicMultigrid(A, **options), rtol=1e-10)
    assert result.converged
    assert (b - A @ result.x).norm() <= 1e-10 * b.norm()
    return result.iterations


def test_iterations_do_not_grow_with_the_grid_nor_with_the_contrast(piecewise):
    counts = []
    for n in (33, 129):
        for contrast in (1.0, 1e4):
            grid = Grid((n, n))
            k = torch.where(piecewise(grid) > piecewise(grid).mean(), contrast, 1.0).double()
            counts.append(iterations(mixed(Diffusion(k, grid).to_csr())))
    assert max(counts) <= 13, counts


def test_couplings_of_either_sign_need_few_iterations():
    """Bilinear elements, anisotropy 1e-3 at 45°; smoothed aggregation needs several times as many
    iterations."""
    n, ratio = 63, 1e-3

    def line(*stencil):
        return sp.diags_array(stencil, offsets=(-1, 0, 1), shape=(n, n))

    K, M, C = line(-1.0, 2.0, -1.0), line(1 / 6, 4 / 6, 1 / 6), line(-0.5, 0.0, 0.5)
    A = (1 + ratio) / 2 * (sp.kron(K, M) + sp.kron(M, K))
    A = mixed(A + (1 - ratio) / 2 * (sp.kron(C, C.T) + sp.kron(C.T, C)))
    assert (A.to_csr().data > 0).sum() > 2 * n * n  # not the diagonal alone
    count = iterations(A)
    assert count <= 16
    assert iterations(A, kind="smoothed_aggregation") > 2 * count


@pytest.mark.parametrize("kind", ["ruge_stueben", "smoothed_aggregation"])
def test_is_symmetric_positive_definite_and_the_same_each_time(kind, piecewise):
    """Also with rows of the identity, and couplings of either sign."""
    A = Diffusion(piecewise(Grid((33, 33))), Grid((33, 33))).to_csr()
    random = np.random.default_rng(1)
    C = sp.random_array((300, 300), density=0.02, rng=random)
    C = C + C.T
    A = mixed(
        sp.block_diag([A, sp.eye_array(20), sp.diags_array(abs(C).sum(axis=1) + 0.1) - C * 0.3])
    )
    M = AlgebraicMultigrid(A, kind=kind, dtype=torch.float64)
    check_spd(M)
    assert (M @ rhs(A) == AlgebraicMultigrid(A, kind=kind, dtype=torch.float64) @ rhs(A)).all()


def test_a_diagonal_matrix_needs_no_coarse_level():
    A = Matrix(sp.diags_array(np.linspace(1, 9, 1000)), symmetric=True, positive_definite=True)
    M = AlgebraicMultigrid(A)
    assert M.sizes == [1000, 0]
    assert iterations(A) <= 2
