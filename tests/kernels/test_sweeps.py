"""Sparse loops against their dense twins."""

import numpy as np
import pytest
import scipy.sparse
import torch

from pdeops.kernels.sweeps import cpu as sweeps
from pdeops.kernels.sweeps import reference as sweeps_reference


def matrix(n=23, seed=0):
    """A random sparse M-matrix, diagonally dominant."""
    rng = np.random.default_rng(seed)
    off = scipy.sparse.random_array((n, n), density=0.15, rng=rng)
    off = -(off + off.T)
    off.setdiag(0)
    off.eliminate_zeros()
    return scipy.sparse.csr_array(off + scipy.sparse.diags_array(abs(off).sum(axis=1) + 0.1))


@pytest.mark.parametrize("dropped", [0.0, 0.5, 1.0])
def test_factor_equals_the_dense_twin(dropped):
    A = matrix()
    upper = scipy.sparse.triu(A).tocsr()
    upper.sort_indices()
    assert sweeps.factor(upper.indptr, upper.indices, upper.data, dropped) == -1
    twin = sweeps_reference.incomplete_cholesky(torch.from_numpy(A.toarray()), dropped)
    np.testing.assert_allclose(upper.toarray(), twin.numpy(), rtol=1e-12, atol=1e-14)


def test_incomplete_cholesky_is_exact_on_the_pattern():
    A = torch.from_numpy(matrix().toarray())
    U = sweeps_reference.incomplete_cholesky(A, 0.0)
    error = (U.T @ U - A).abs()
    assert error[A != 0].max() < 1e-13
    assert error[A == 0].max() > 1e-2
    modified = sweeps_reference.incomplete_cholesky(A, 1.0)
    torch.testing.assert_close((modified.T @ modified).sum(1), A.sum(1))
    assert ((U.T @ U).sum(1) - A.sum(1)).abs().max() > 1e-2


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_triangular_solves_are_those_of_the_factor(dtype):
    A = matrix()
    U = sweeps_reference.incomplete_cholesky(torch.from_numpy(A.toarray()), 0.0)
    rows = scipy.sparse.csr_array(U.numpy())
    rows.sort_indices()
    values = rows.data.astype(dtype)
    values[rows.indptr[:-1]] = 1 / values[rows.indptr[:-1]]
    b = np.random.default_rng(1).standard_normal((3, len(U))).astype(dtype)
    x = np.empty_like(b)
    sweeps.solve(rows.indptr, rows.indices, values, b, x)
    expected = torch.cholesky_solve(torch.from_numpy(b.T).double(), U, upper=True)
    np.testing.assert_allclose(x.T, expected.numpy(), rtol=1e-4 if dtype == np.float32 else 1e-11)


@pytest.mark.parametrize("omega", [0.7, 1.0, 1.6])
def test_sweeps_equal_the_dense_twin(omega):
    A = matrix()
    dense = torch.from_numpy(A.toarray())
    generator = torch.Generator().manual_seed(0)
    b, x = torch.randn(2, len(dense), generator=generator, dtype=torch.float64)
    scale = omega / A.diagonal()
    forth = sweeps_reference.sweep(dense, omega, b, x)
    back = sweeps_reference.sweep_back(dense, omega, b, forth)
    for symmetric, expected in ((False, forth), (True, back)):
        y = x.numpy().copy()
        sweeps.sweep(A.indptr, A.indices, A.data, scale, symmetric, b.numpy(), y)
        np.testing.assert_allclose(y, expected.numpy(), rtol=1e-12)


def test_relax_counts_sweeps_and_stops_where_the_norm_is_lost():
    A = matrix()
    b = np.ones(A.shape[0])
    x, norms = np.zeros_like(b), np.empty(1000)
    scale = 1 / A.diagonal()
    count = sweeps.relax(A.indptr, A.indices, A.data, scale, b, x, 1e-6, norms)
    assert norms[count] <= 1e-6 < norms[count - 1]
    assert norms[count] == pytest.approx(np.linalg.norm(b - A @ x), rel=1e-9)
    x[:] = np.nan
    assert sweeps.relax(A.indptr, A.indices, A.data, scale, b, x, 1e-6, norms) == 0


def test_systems_side_by_side_take_the_sweeps_they_take_alone():
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
