"""Sparse approximate inverses: FSAI against its definition, and the Chebyshev polynomial."""

import itertools
from contextlib import nullcontext

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from pdeops.datasets.systems.matrices import KINDS
from pdeops.kernels import approximate_inverse as kernel
from pdeops.kernels.approximate_inverse import layout
from pdeops.kernels.approximate_inverse.limits import LONGEST
from pdeops.linop import check_spd
from pdeops.solvers import (
    ApproximateInverse,
    Diagonal,
    FactoredApproximateInverse,
    Matrix,
    cg,
)
from pdeops.solvers.krylov.approximate_inverse import UnitDiagonal, start

SMALL = ("stencil_jumps", "triangles_jumps", "elasticity", "nine_points", "tetrahedra")


def system(kind, size=80, seed=0):
    A = KINDS[kind](size, np.random.default_rng(seed))
    return Matrix(A, symmetric=True, positive_definite=True)


def factor(scaled):
    """Â and L, dense, in the order of memory."""
    L = scaled.triangle(scaled.classical())
    return torch.from_numpy(scaled.csr().toarray()), torch.from_numpy(L.toarray())


def dense(M):
    return M.apply(torch.eye(M.grid.num_nodes, dtype=torch.float64))


@pytest.mark.parametrize("kind", SMALL)
def test_fsai_is_that_of_dense_solves(kind):
    scaled = UnitDiagonal(system(kind))
    values, bound = scaled.classical(), scaled.bound
    with kernel.FORMS.twin():
        plain = UnitDiagonal(system(kind))
        np.testing.assert_allclose(values, plain.classical(), rtol=1e-10, atol=1e-12)
        assert bound == pytest.approx(plain.bound, rel=1e-12)
    assert (scaled.order == plain.order).all()
    assert abs(scaled.csr() - plain.csr()).max() < 1e-15
    A, L = factor(scaled)
    key = A.square().sum(1)
    torch.testing.assert_close(key, torch.from_numpy(scaled.key))
    order = np.lexsort((np.arange(len(key)), scaled.key))
    rank = torch.from_numpy(np.argsort(order))
    assert not L[rank[None] > rank[:, None]].any()
    torch.testing.assert_close((L @ A @ L.T).diagonal(), torch.ones(len(A)).double())


@pytest.mark.parametrize("kind", SMALL[:3])
def test_fsai_minimises_the_frobenius_norm(kind):
    """The gradient of |I - L C|²_F in the entries of the pattern is zero, once each row of L has
    its optimal scale; with another scale it is not."""
    scaled = UnitDiagonal(system(kind))
    A, L = factor(scaled)
    order = np.lexsort((np.arange(len(A)), scaled.key))
    A, L = A[order][:, order], L[order][:, order]
    assert (L.triu(1) == 0).all()
    C = torch.linalg.cholesky(A)
    pattern = L != 0
    # The rows of the minimiser are c_ii y, those of L are y / √y_i = y / l_ii.
    best = (C.diagonal() * L.diagonal())[:, None] * L
    gradient = 2 * (best @ C - torch.eye(len(A)).double()) @ C.T
    assert gradient[pattern].abs().max() < 1e-10
    other = 2 * (1.1 * best @ C - torch.eye(len(A)).double()) @ C.T
    assert other[pattern].abs().max() > 1e-2


def test_fsai_of_a_diagonal_and_of_a_full_pattern():
    """Exact in both cases: L = D^-1/2, and L = C⁻¹."""
    one = UnitDiagonal(Matrix(sp.diags_array([4.0, 9.0, 1.0])))
    np.testing.assert_allclose(factor(one)[1], np.eye(3))
    B = np.random.default_rng(0).standard_normal((12, 12))
    A, L = factor(UnitDiagonal(Matrix(sp.csr_array(B @ B.T + np.eye(12)))))
    np.testing.assert_allclose(L @ A @ L.T, np.eye(12), atol=1e-12)


def test_a_hub_keeps_its_diagonal_alone():
    """The row of an unknown with more neighbours than LONGEST."""
    n = LONGEST + 10
    hub = sp.lil_array((n, n))
    hub[0, 1:] = hub[1:, 0] = 0.5 / n
    A = hub.tocsr() + sp.eye_array(n)
    for form in (nullcontext(), kernel.FORMS.twin()):
        with form:
            L = factor(UnitDiagonal(Matrix(A)))[1]
        assert ((L != 0).sum(1) == 1).all()
        assert (L != 0).sum() == n


@pytest.mark.parametrize("degree", [0, 2])
@pytest.mark.parametrize("kind", ["triangles_jumps", "elasticity"])
def test_loops_are_the_plain_twin(kind, degree):
    A = system(kind)
    M = FactoredApproximateInverse(A, degree=degree, dtype=torch.float64)
    with kernel.FORMS.twin():
        plain = FactoredApproximateInverse(A, degree=degree, dtype=torch.float64)
    np.testing.assert_allclose(M.steps, plain.steps, rtol=1e-10)
    twin = dense(plain)
    torch.testing.assert_close(dense(M), twin, rtol=1e-11, atol=1e-13)
    single = FactoredApproximateInverse(A, degree=degree)
    torch.testing.assert_close(dense(single), twin, rtol=1e-3, atol=1e-5 * twin.abs().max())
    check_spd(M)


def test_degree_zero_is_jacobi():
    A = system("triangles_jumps")
    r = torch.randn(3, A.grid.num_nodes, dtype=torch.float64)
    M = ApproximateInverse(A, degree=0, dtype=torch.float64)
    torch.testing.assert_close(M @ r, Diagonal(A) @ r, rtol=1e-14, atol=0)


def test_bound_is_above_the_spectrum_and_near_it():
    for kind in SMALL:
        scaled = UnitDiagonal(system(kind))
        largest = np.linalg.eigvalsh(scaled.csr().toarray())[-1]
        assert largest <= scaled.bound <= 1.6 * largest


@pytest.mark.parametrize("size", [1, 7, 8, 700])
def test_the_layout_is_the_matrix(size):
    """Slices of a random pattern with empty rows, and the order of a symmetric one."""
    random = np.random.default_rng(size)
    A = sp.random_array((size, size), density=min(0.4, 8 / size), format="csr", rng=random)
    starts, columns, values = layout.slices_of((A.indptr, A.indices, A.data), np.float64)
    rows = np.concatenate(
        [8 * s + np.arange(e - b) % 8 for s, (b, e) in enumerate(itertools.pairwise(starts))]
    )
    real = values != 0
    again = sp.coo_array((values[real], (rows[real], columns[real])), shape=A.shape)
    assert abs(again - A).sum() == 0
    S = (A + A.T).tocsr()
    S.sort_indices()
    length = np.diff(S.indptr)
    order = layout.order_of(S.indptr, S.indices, length, length)
    assert (np.sort(order) == np.arange(size)).all()
    assert (np.diff(length[order[:512]]) <= 0).all()
    lower = sp.csr_array(sp.tril(S) if size > 1 else [[1.0]])
    lower.sort_indices()
    S = sp.csr_array(S + sp.eye_array(size))
    key, scale = random.integers(0, 9, size).astype(float), random.random(size)
    arrays, found = (S.indptr, S.indices, S.data), []
    for form in (nullcontext(), kernel.FORMS.twin()):
        with form:
            assert kernel.has_symmetric_pattern(S.indptr, S.indices)
            assert kernel.has_symmetric_pattern(lower.indptr, lower.indices) == (size == 1)
            order, hat = kernel.renumbered(arrays, key, scale)
            found.append((order, *hat, *kernel.triangle(hat, key[order])))
    for loops, twin in zip(*found, strict=True):
        np.testing.assert_allclose(loops, twin, rtol=1e-15)


@pytest.mark.parametrize("kind", ["triangles_jumps", "elasticity"])
def test_iterations_decrease_with_the_degree(kind):
    """CG's count falls almost as one over degree + 1, and FSAI's is below that of Jacobi."""
    A = system(kind, 900)
    b = torch.from_numpy(np.random.default_rng(0).standard_normal(A.grid.num_nodes))
    plain, two, eight = (cg(A, b, M=ApproximateInverse(A, degree=d)).iterations for d in (0, 2, 8))
    assert two < 0.4 * plain
    assert eight < 0.5 * two
    assert cg(A, b, M=FactoredApproximateInverse(A)).iterations < 0.6 * plain


def test_estimates_without_a_factor():
    """|Â x| of the power method is below the largest eigenvalue, and near it."""
    A = system("triangles_jumps")
    M, largest = ApproximateInverse(A), np.linalg.eigvalsh(UnitDiagonal(A).csr().toarray())[-1]
    with kernel.FORMS.twin():
        plain = ApproximateInverse(A)
    x = start(A.grid.num_nodes)
    assert M._inverse.largest(x, 10) == pytest.approx(plain._inverse.largest(x, 10), rel=1e-5)
    assert 0.8 * largest < M._inverse.largest(x, 10) < (1 + 1e-6) * largest


def test_an_underestimated_bound_leaves_m_definite():
    A = system("elasticity")
    M = ApproximateInverse(A, degree=4, bound=0.5, dtype=torch.float64)
    assert torch.linalg.eigvalsh(dense(M))[0] > 0


def test_bad_input():
    A = KINDS["graph"](30, np.random.default_rng(0)).tolil()
    A[3, 3] = 0.0
    with pytest.raises(ValueError, match="Row 3 has 0 on the diagonal"):
        ApproximateInverse(Matrix(A.tocsr(), symmetric=True))
    A[3, 3], A[4, 5] = 1.0, 7.0
    with pytest.raises(ValueError, match="needs a symmetric A"):
        FactoredApproximateInverse(Matrix(A.tocsr()))
    indefinite = sp.csr_array([[1.0, 2.0], [2.0, 1.0]])
    for form in (nullcontext(), kernel.FORMS.twin()):
        with form, pytest.raises(ValueError, match="principal submatrix of row"):
            FactoredApproximateInverse(Matrix(indefinite))
    with pytest.raises(ValueError, match="degree of the polynomial must be even"):
        ApproximateInverse(system("graph"), degree=3)
    one = FactoredApproximateInverse(Matrix(sp.csr_array([[4.0]])), dtype=torch.float64)
    assert one.apply(torch.ones(1, dtype=torch.float64)).item() == pytest.approx(0.25)
