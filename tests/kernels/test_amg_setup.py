"""Set-up of algebraic multigrid against its plain twin, and what any hierarchy must fulfil."""

import numpy as np
import pytest
import scipy.sparse as sp

from pdeops.kernels import amg
from pdeops.kernels.amg import coarsening, products, setup
from pdeops.kernels.amg import setup_reference as twin
from pdeops.kernels.amg.layout import arrays_of


def matrix(n, density, positive=0.2, seed=0):
    """A definite matrix with couplings of either sign, whose magnitudes differ, and lone rows."""
    random = np.random.default_rng(seed)
    C = -sp.random_array((n, n), density=density, rng=random).tocsr()
    C.data *= np.where(random.random(C.nnz) < positive, -0.5, 1.0)
    C = sp.triu(C, 1)
    C = C + C.T
    lone = random.random(n) < 0.1
    keep = sp.diags_array((~lone).astype(float))
    C = keep @ C @ keep
    size = abs(C).sum(axis=1)
    return sp.csr_array(C + sp.diags_array(np.where(size > 0, 1.01 * size, 1.0)))


def dense(csr, columns):
    starts, where, values = (array.astype(kind) for array, kind in zip(csr, "iid", strict=True))
    return sp.csr_array((values, where, starts), shape=(len(starts) - 1, columns)).toarray()


def arrays(A):
    A = sp.csr_array(A)
    A.eliminate_zeros()
    return amg.arrays_of(A)


CASES = [matrix(60, 0.05), matrix(80, 0.1, 0.0, 1), matrix(40, 0.4, 0.3, 2), matrix(30, 0.0)]


@pytest.mark.parametrize("theta", [0.25, 0.5])
@pytest.mark.parametrize("A", CASES)
def test_a_level_equals_its_twin(A, theta):
    csr, full = arrays(A), A.toarray()
    P, count = setup.prolongation(csr, theta)
    S = twin.strong_couplings(sp.csr_array(full), theta)
    coarse = twin.splitting(S)
    assert count == coarse.sum()
    expected = twin.interpolation(sp.csr_array(full), S, coarse).toarray()
    np.testing.assert_allclose(dense(P, count), expected, atol=1e-14)
    R = amg.transposed(P, count)
    np.testing.assert_array_equal(dense(R, len(full)), dense(P, count).T)
    product = setup.galerkin(csr, P, R)
    np.testing.assert_allclose(
        dense(product, count), expected.T @ full @ expected, atol=1e-13 * abs(full).max()
    )
    for i in range(count):
        assert (np.diff(product[1][product[0][i] : product[0][i + 1]].astype(int)) > 0).all()
    assert (dense(product, count) == dense(product, count).T).all()


@pytest.mark.parametrize("A", CASES)
def test_flags_of_the_couplings(A):
    csr, n = arrays(A), A.shape[0]
    strong = np.zeros(len(csr[1]), np.int8)
    coarsening.strong_couplings(*csr, 0.25, np.empty(n, np.int32), strong)
    S = twin.strong_couplings(A, 0.25).toarray()
    flags = dense((csr[0], csr[1], strong), n)
    np.testing.assert_array_equal(flags, S * coarsening.DEPENDS + S.T * coarsening.INFLUENCES)


def test_constants_are_interpolated_exactly_where_rows_sum_to_zero():
    """And every fine unknown with a strong coupling is interpolated from some."""
    A = matrix(120, 0.05, 0.0)
    A = sp.csr_array(A - sp.diags_array(A.sum(axis=1)))  # rows sum to zero
    lone = A.diagonal() == 0
    A = arrays(A + sp.diags_array(lone.astype(float)))
    P, count = setup.prolongation(A, 0.25)
    np.testing.assert_allclose(dense(P, count).sum(axis=1), np.where(lone, 0.0, 1.0), atol=1e-14)


def test_product_that_outgrows_its_memory(monkeypatch):
    A = arrays(CASES[2])
    P, count = setup.prolongation(A, 0.25)
    R = amg.transposed(P, count)
    whole = setup.galerkin(A, P, R)
    monkeypatch.setattr(setup, "ROOM", 0.0)
    calls = []
    product = products.upper_product
    monkeypatch.setattr(products, "upper_product", lambda *a: calls.append(a) or product(*a))
    again = setup.galerkin(A, P, R)
    assert len(calls) > 1
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("A", CASES)
def test_hierarchies_and_levels_equal_their_twins(A):
    for found, expected in zip(
        *(form.hierarchy(arrays(A), 0.25, 8)[0] for form in (amg, twin)), strict=True
    ):
        columns = len(found[0][0]) - 1, len(found[2][0]) - 1
        for one, other, count in zip(found, expected, (*columns, columns[0]), strict=True):
            np.testing.assert_allclose(dense(one, count), dense(other, count), atol=1e-12)
    for dtype in (np.float32, np.float64):
        found, expected = (form.level(*found, dtype) for form in (amg, twin))
        np.testing.assert_array_equal(found.middle, expected.middle)
        np.testing.assert_allclose(found.inverse, expected.inverse, rtol=1e-6)
        assert found.inverse.dtype == expected.inverse.dtype == dtype
        found = found.A, found.P, found.R


@pytest.mark.parametrize("amg", [amg, twin], ids=["loops", "twin"])
def test_order_of_scattered_rows(amg):
    """Neighbours come near each other, in every component."""
    n, random = 400, np.random.default_rng(0)
    line = sp.diags_array([-1.0, 2.5, -1.0], offsets=(-1, 0, 1), shape=(n, n))
    A = sp.csr_array(sp.block_diag([line, line]))
    mixed = random.permutation(2 * n)
    A = sp.csr_array(A[mixed][:, mixed])
    A.sort_indices()
    found, order = amg.near(arrays_of(A), 0.05)
    np.testing.assert_array_equal(dense(found, 2 * n), A[order][:, order].toarray())
    row = np.repeat(np.arange(2 * n), np.diff(found[0]))
    assert (np.diff(found[1].astype(int))[np.diff(row) == 0] > 0).all()  # columns are sorted
    assert abs(found[1].astype(int) - row).max() <= 2
    assert amg.near(found, 0.05) == (found, None)


def test_coarsening_ends_where_nothing_is_coupled():
    levels, last = amg.hierarchy(arrays(sp.diags_array(np.arange(1.0, 300.0))), 0.25, 50)
    assert len(levels) == 1
    assert len(last[0]) == 1


def test_hierarchies_are_the_same_each_time():
    A = arrays(matrix(300, 0.02))
    for one, other in zip(*(amg.hierarchy(A, 0.25, 20)[0] for _ in range(2)), strict=True):
        for a, b in zip(one, other, strict=True):
            assert all((x == y).all() for x, y in zip(a, b, strict=True))
