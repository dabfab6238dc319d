"""Systems whose matrix is singular, or nearly so, or looks as if it were."""

import re

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import pdeops

from .test_solve import residual, rhs, ring, shifted


def q1(n, h=(1.0, 3.0)):
    """Stiffness of bilinear elements with natural sides: rows sum to zero, some
    couplings are positive."""
    K = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n)).tolil()
    M = sp.diags_array([1 / 6, 4 / 6, 1 / 6], offsets=[-1, 0, 1], shape=(n, n)).tolil()
    for e in (0, n - 1):
        K[e, e], M[e, e] = 1, 2 / 6
    return sp.csr_array(h[1] / h[0] * sp.kron(K, M) + h[0] / h[1] * sp.kron(M, K))


@pytest.mark.parametrize("method", [None, "direct", "amg", "ic0", "none"])
def test_rows_that_sum_to_zero_with_positive_couplings(method):
    A = q1(12)
    assert sp.triu(A, 1).max() > 0
    b = rhs(A)
    inside = pdeops.solve(A, b - b.mean(), method=method, rtol=1e-9)
    assert inside.converged, inside
    assert abs(inside.x.mean()) <= 1e-10 * inside.x.abs().max()
    outside = pdeops.solve(A, b, method=method, rtol=1e-9)
    assert not outside.converged
    assert "singular" in outside.reason
    best = np.abs(b.mean()) * np.sqrt(b.size) / np.linalg.norm(b)
    assert outside.residual == pytest.approx(best, rel=1e-6)


def test_empty_rows_and_positive_couplings():
    A = sp.block_diag([q1(8), sp.csr_array((3, 3)), q1(5)], format="csr")
    b = rhs(A)
    b[64:67] = 0
    b[:64] -= b[:64].mean()
    b[67:] -= b[67:].mean()
    result = pdeops.solve(A, b)
    assert result.converged, result
    assert not result.x[64:67].any()
    b[65] = 1.0
    result = pdeops.solve(A, b)
    assert not result.converged
    assert result.residual == pytest.approx(1 / np.linalg.norm(b), rel=1e-6)


@pytest.mark.parametrize("method", ["none", "jacobi", "ic0"])
def test_an_unknown_kernel(method):
    """A = C Cᵀ with a random kernel; b has a part in it. The iterate that is kept is no worse than
    zero, and "singular" is the reason."""
    C = np.random.default_rng(0).standard_normal((30, 24))
    A = C @ C.T
    b = rhs(A)
    result = pdeops.solve(A, b, method=method)
    assert not result.converged
    assert result.reason.startswith("singular, and b is outside the range of A")
    true = residual(A, result.x, b)
    assert true <= 1
    assert result.residual == pytest.approx(true, rel=1e-6)


def test_scaled_rows_are_not_a_kernel():
    """D T D of condition 1e24 is regular; the scaling by D must not look like a kernel. Round-off
    of A x is the only limit of the residual."""
    D = sp.diags_array(10.0 ** np.linspace(-6, 6, 6))
    A, b = (D @ shifted(6, -1e-9) @ D).tocsr(), np.ones(6)
    result = pdeops.solve(A, b)
    assert result.converged or "round-off" in result.reason
    x = np.asarray(result.x)
    limit = float(2.2e-16 * np.linalg.norm(abs(A) @ abs(x)) / np.linalg.norm(b))
    assert result.residual <= limit
    assert pdeops.solve(A, b, rtol=limit).converged


@pytest.mark.parametrize("method", [None, "transform", "direct", "none"])
def test_a_matrix_that_is_singular_to_round_off_is_solved_as_it_is_given(method):
    """Row sums of 1e-13: b = 1 has the solution 1 / 1e-13, of which a sum of entries of order 1e13
    leaves two digits; without the excess there is no solution."""
    A, b = ring(100, 1e-13), np.ones(100)
    result = pdeops.solve(A, b, method=method)
    assert "singular to round-off" in result.reason
    assert result.residual == pytest.approx(residual(A, result.x, b), abs=1e-3)
    assert result.residual <= 0.02
    exact = 1 / (A[0].toarray().sum())
    assert np.asarray(result.x) == pytest.approx(exact, rel=0.02)
    kernel = pdeops.solve(ring(100, 0.0), b, method=method)
    assert kernel.reason.startswith("inconsistent")
    assert "round-off" not in kernel.reason
    assert not kernel.x.any()


def graph(n, shift):
    """Laplacian of a random graph plus a multiple of the identity: regular, condition 1 / shift."""
    rows, columns = np.random.default_rng(n).integers(0, n, (2, 4 * n))
    k = rows != columns
    W = sp.coo_array((np.ones(k.sum()), (rows[k], columns[k])), shape=(n, n)).tocsr()
    W = W + W.T
    return sp.csr_array(sp.diags_array(W.sum(axis=1) + shift) - W)


@pytest.mark.parametrize("method", ["ruge_stueben", "smoothed_aggregation"])
@pytest.mark.parametrize("n", [3, 30, 300])
def test_multigrid_solves_regular_systems_of_a_condition_beyond_single_precision(n, method):
    """No round-off of float64 is near the tolerance: of size 1 / shift is only the second x."""
    noise = np.random.default_rng(0).standard_normal(n)
    near, far = graph(n, 1e-8), graph(n, 1e-6)
    for A, b in ((near, near @ noise), (far, noise)):
        result = pdeops.solve(A, b, method=method)
        assert result.converged, result
        assert np.linalg.norm(b - A @ result.x.numpy()) <= 1e-8 * np.linalg.norm(b)
        assert result.iterations <= 10


def test_single_precision_is_left_where_the_coarsest_matrix_needs_it():
    from pdeops.solvers import AlgebraicMultigrid, Matrix

    def dtype(A):
        return AlgebraicMultigrid(Matrix(A, symmetric=True, positive_definite=True)).dtype

    assert dtype(graph(30, 1e-8)) == torch.float64
    assert dtype(graph(30, 1e-2)) == torch.float32
    S = sp.diags_array(np.logspace(-5, 5, 30))  # a scaling of the rows makes no difference
    assert dtype(sp.csr_array(S @ graph(30, 1e-2) @ S)) == torch.float32


def test_a_regular_matrix_is_not_called_singular():
    """Round-off leaves a residual; the lower bound of the condition number holds."""
    A = graph(30, 1e-10)
    result = pdeops.solve(A, np.random.default_rng(0).standard_normal(30), method="amg")
    assert not result.converged
    found = re.match(r"A is singular, or its condition number is above (\S+):", result.reason)
    S = np.diag(A.diagonal() ** -0.5)
    assert 1e8 < float(found[1]) <= 1.05 * np.linalg.cond(S @ A.toarray() @ S)
