"""Sparse loops and their twin: each against the other and against dense matrices."""

import numpy as np
import pytest
import scipy.sparse
import torch

from pdeops.kernels.sweeps import cpu, reference

FORMS = pytest.mark.parametrize("sweeps", [cpu, reference], ids=["loops", "twin"])


def matrix(n=23, seed=0):
    """A random sparse M-matrix, diagonally dominant."""
    rng = np.random.default_rng(seed)
    off = scipy.sparse.random_array((n, n), density=0.15, rng=rng)
    off = -(off + off.T)
    off.setdiag(0)
    off.eliminate_zeros()
    return scipy.sparse.csr_array(off + scipy.sparse.diags_array(abs(off).sum(axis=1) + 0.1))


def factored(form, A, dropped):
    upper = scipy.sparse.triu(A).tocsr()
    upper.sort_indices()
    assert form.factor(upper.indptr, upper.indices, upper.data, dropped) == -1
    return upper


@pytest.mark.parametrize("dropped", [0.0, 0.5, 1.0])
def test_factor_equals_the_twin(dropped):
    found, expected = (factored(form, matrix(), dropped) for form in (cpu, reference))
    np.testing.assert_allclose(found.toarray(), expected.toarray(), rtol=1e-12, atol=1e-14)


@FORMS
def test_incomplete_cholesky_is_exact_on_the_pattern(sweeps):
    A = matrix().toarray()
    U = factored(sweeps, matrix(), 0.0).toarray()
    error = abs(U.T @ U - A)
    assert error[A != 0].max() < 1e-13
    assert error[A == 0].max() > 1e-2
    modified = factored(sweeps, matrix(), 1.0).toarray()
    np.testing.assert_allclose((modified.T @ modified).sum(1), A.sum(1))
    assert abs((U.T @ U).sum(1) - A.sum(1)).max() > 1e-2


@FORMS
def test_pivots_that_are_zero_or_negative(sweeps):
    """A singular matrix has a factor, a negative pivot is reported with its row."""
    ones = scipy.sparse.csr_array(np.triu(np.ones((3, 3))))
    assert sweeps.factor(ones.indptr, ones.indices, ones.data, 0.0) == -1
    np.testing.assert_allclose(ones.diagonal(), 1)
    bad = scipy.sparse.csr_array(np.triu([[4.0, 4.0, 0], [4.0, 1.0, 0], [0, 0, 1.0]]))
    assert sweeps.factor(bad.indptr, bad.indices, bad.data, 0.0) == 1


@FORMS
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_triangular_solves_are_those_of_the_factor(dtype, sweeps):
    rows = factored(reference, matrix(), 0.0)
    U = torch.from_numpy(rows.toarray())
    values = rows.data.astype(dtype)
    values[rows.indptr[:-1]] = 1 / values[rows.indptr[:-1]]
    b = np.random.default_rng(1).standard_normal((3, len(U))).astype(dtype)
    x = np.empty_like(b)
    sweeps.solve(rows.indptr, rows.indices, values, b, x)
    expected = torch.cholesky_solve(torch.from_numpy(b.T).double(), U, upper=True)
    np.testing.assert_allclose(x.T, expected.numpy(), rtol=1e-4 if dtype == np.float32 else 1e-11)


@FORMS
@pytest.mark.parametrize("omega", [0.7, 1.0, 1.6])
def test_sweeps_are_those_of_dense_matrices(omega, sweeps):
    """x + (D/ω + L)⁻¹ (b - A x), then the same with U; an empty row keeps its value."""
    A = scipy.sparse.block_diag([matrix(), np.zeros((1, 1))], format="csr")
    A.eliminate_zeros()
    dense, (b, x) = A.toarray(), np.random.default_rng(0).standard_normal((2, 24))
    D = np.diag(np.where(A.diagonal() > 0, A.diagonal() / omega, np.inf)[:-1])
    scale = np.append(omega / A.diagonal()[:-1], 0.0)
    forth = x.copy()
    forth[:-1] += np.linalg.solve(D + np.tril(dense, -1)[:-1, :-1], (b - dense @ x)[:-1])
    back = forth.copy()
    back[:-1] += np.linalg.solve(D + np.triu(dense, 1)[:-1, :-1], (b - dense @ forth)[:-1])
    for symmetric, expected in ((False, forth), (True, back)):
        y = x.copy()
        sweeps.sweep(A.indptr, A.indices, A.data, scale, symmetric, b, y)
        np.testing.assert_allclose(y, expected, rtol=1e-12)


@FORMS
def test_relax_counts_sweeps_and_stops_where_the_norm_is_lost(sweeps):
    A = matrix()
    b = np.ones(A.shape[0])
    x, norms = np.zeros_like(b), np.empty(1000)
    scale = 1 / A.diagonal()
    count = sweeps.relax(A.indptr, A.indices, A.data, scale, b, x, 1e-6, norms)
    assert norms[count] <= 1e-6 < norms[count - 1]
    assert norms[count] == pytest.approx(np.linalg.norm(b - A @ x), rel=1e-9)
    x[:] = np.nan
    assert sweeps.relax(A.indptr, A.indices, A.data, scale, b, x, 1e-6, norms) == 0


@FORMS
def test_systems_side_by_side_take_the_sweeps_they_take_alone(sweeps):
    A, b = matrix(), np.random.default_rng(2).standard_normal((23, 5))
    shifts = np.array([0.0, 0.3, 1.0, 0.1, 5.0])
    values = np.repeat(A.data[:, None], 5, axis=1)
    rows = np.repeat(np.arange(23), np.diff(A.indptr))
    values[rows == A.indices] += shifts
    scale = 1.2 / (A.diagonal()[:, None] + shifts)
    counts = np.empty(5, dtype=np.int64)
    pattern = (A.indptr, A.indices)
    sweeps.relax_many(*pattern, values, scale, b, np.zeros_like(b), np.full(5, 1e-6), 800, counts)
    alone = [
        sweeps.relax(
            *pattern, values[:, t].copy(), scale[:, t].copy(), b[:, t].copy(), np.zeros(23),
            1e-6, np.empty(801),
        )
        for t in range(5)
    ]  # fmt: skip
    assert counts.tolist() == alone
    assert len(set(alone)) > 2
