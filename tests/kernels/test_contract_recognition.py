"""The loops that read a matrix equal their plain twins, on matrices of every kind."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from pdeops.domain import Grid
from pdeops.kernels import recognition
from pdeops.kernels.recognition import layout, reference
from pdeops.solvers import Diffusion


def diffusion(shape, boundary="dirichlet", seed=0, **options):
    grid = Grid(shape, boundary=boundary, placement="centers")
    generator = torch.Generator().manual_seed(seed)
    a = torch.rand(shape, generator=generator, dtype=torch.float64) + 0.1
    return Diffusion(a, grid, **options).to_csr()


def walls(shape, seed=1):
    fluid = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) > 0.35
    return diffusion(shape, "neumann", fluid=fluid)


def elements(n, ndim=2):
    """Bilinear or trilinear elements."""
    K = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n))
    M = sp.diags_array([1.0, 4.0, 1.0], offsets=[-1, 0, 1], shape=(n, n))
    factors = [[K if a == b else M for b in range(ndim)] for a in range(ndim)]
    terms = [f[0] if ndim == 1 else sp.kron(f[0], f[1]) for f in factors]
    if ndim == 3:
        terms = [sp.kron(t, f[2]) for t, f in zip(terms, factors, strict=True)]
    return sp.csr_array(sum(terms[1:], terms[0]))


def scattered(n, seed=0, symmetric=True):
    """A sparse matrix of no structure, with positive and negative entries."""
    A = sp.random_array((n, n), density=4 / n, rng=np.random.default_rng(seed))
    A.data -= 0.5
    return sp.csr_array(A + A.T if symmetric else A)


def spoiled(matrix, i, j, value):
    A = matrix.tolil()
    A[i, j] = value
    return A.tocsr()


def obstacle(matrix):
    """Rows of the identity, cut out of a matrix."""
    inside = np.ones(matrix.shape[0])
    inside[30:33] = inside[38:42] = 0
    return sp.csr_array(
        sp.diags_array(inside) @ matrix @ sp.diags_array(inside) + sp.diags_array(1 - inside)
    )


MATRICES = {
    "1d": diffusion((9,)),
    "2d": diffusion((7, 8)),
    "3d": diffusion((4, 5, 6)),
    "periodic": diffusion((5, 6), ("periodic", "dirichlet")),
    "periodic 3d": diffusion((4, 5, 6), "periodic"),
    "two nodes": diffusion((2, 7)),
    "one node": diffusion((7, 1)),
    "walls": walls((9, 8)),
    "walls 3d": walls((5, 6, 4)),
    "reaction": diffusion((7, 8), "neumann", reaction=2.0),
    "elements": elements(7),
    "elements 3d": elements(5, 3),
    "scattered": scattered(60),
    "many distances": scattered(300),
    "asymmetric": scattered(60, symmetric=False),
    "one asymmetric entry": spoiled(diffusion((7, 8)), 40, 41, -7.0),
    "one entry without a partner": spoiled(diffusion((7, 8)), 40, 20, -7.0),
    "a lower entry without a partner": spoiled(diffusion((7, 8)), 20, 40, -7.0),
    "a far entry": spoiled(spoiled(diffusion((7, 8)), 40, 20, -7.0), 20, 40, -7.0),
    "not dominant": spoiled(diffusion((7, 8)), 9, 9, 0.1),
    "penalty": spoiled(spoiled(diffusion((7, 8)), 9, 9, 1e14), 0, 0, 1e20),
    "diagonal": sp.csr_array(sp.eye_array(6)),
    "obstacle": obstacle(walls((9, 8))),
    "empty": sp.csr_array((4, 4)),
}
every = pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)


def same(found, expected):
    for name in ("starts", "columns", "values", "diagonal", "largest"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)


def untidy(matrix, seed=0):
    """The same matrix with entries in another order, in two halves, and zeros stored."""
    coo = matrix.tocoo()
    n = len(coo.data)
    rng = np.random.default_rng(seed)
    extra = rng.integers(0, matrix.shape[0], (2, 5))
    rows = np.concatenate([coo.row, coo.row, extra[0]])
    columns = np.concatenate([coo.col, coo.col, extra[1]])
    values = np.concatenate([coo.data / 2, coo.data / 2, np.zeros(5)])
    order = rng.permutation(2 * n + 5)
    rows, columns, values = rows[order], columns[order], values[order]
    order = np.argsort(rows, kind="stable")
    starts = np.searchsorted(rows[order], np.arange(matrix.shape[0] + 1))
    return sp.csr_array((values[order], columns[order], starts), shape=matrix.shape)


@every
def test_entries(matrix):
    same(recognition.entries(matrix), reference.entries(matrix))


@every
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_entries_out_of_order(matrix, dtype):
    A = untidy(matrix)
    A = sp.csr_array((A.data, A.indices.astype(dtype), A.indptr.astype(dtype)), shape=A.shape)
    kept = [A.data.copy(), A.indices.copy(), A.indptr.copy()]
    found = recognition.entries(A)
    same(found, reference.entries(A))
    assert abs(reference.csr_of(found) - matrix).max() == 0
    for before, after in zip(kept, (A.data, A.indices, A.indptr), strict=True):
        np.testing.assert_array_equal(before, after)  # the caller's matrix is as it was


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("column", [-1, 3, 2**31 - 1])
def test_damaged_indices_are_refused(dtype, column):
    indices = np.array([0, 1, column], dtype)
    A = sp.csr_array((np.ones(3), np.array([0, 1, 2], dtype), np.arange(4, dtype=dtype)))
    A.indices = indices
    with pytest.raises(ValueError, match=r"column outside 0 \.\. 2"):
        recognition.entries(A)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_found(value):
    assert recognition.entries(spoiled(MATRICES["2d"], 12, 13, value)).not_finite == 12
    assert recognition.entries(MATRICES["2d"]).not_finite == -1


@every
@pytest.mark.parametrize("tidy", [True, False])
def test_pairs(matrix, tidy):
    A = recognition.entries(matrix if tidy else untidy(matrix))
    found, expected = recognition.pairs(A), reference.pairs(A)
    assert (found.asymmetric is None) == (expected.asymmetric is None)
    if found.asymmetric is not None:  # the loops end at the first that they meet
        i, j = found.asymmetric
        assert matrix[i, j] != matrix[j, i]
        return
    assert found == expected


def test_pairs_below_the_threshold_of_their_rows_are_equal():
    """1e-13 of the smaller of the largest entries of the two rows; a penalty does not widen it."""
    for gap, differs in ((0.5e-13, False), (2e-13, True)):
        for penalty in (1.0, 1e12):
            A = sp.csr_array(np.array([[penalty, -1.0], [-1.0 * (1 + gap), 1.0]]))
            assert (recognition.pairs(recognition.entries(A)).asymmetric is not None) == differs


@every
def test_totals_and_components(matrix):
    A = recognition.entries(matrix)
    for found, expected in zip(recognition.totals(A)[:2], reference.totals(A)[:2], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-13)
    assert recognition.totals(A)[2] == reference.totals(A)[2]
    if recognition.pairs(A).asymmetric is None:
        np.testing.assert_array_equal(recognition.linked(A), reference.linked(A))


@every
@pytest.mark.parametrize(("width", "period"), [(1, 10**9), (2, 10**9), (3, 10**9), (1, 28), (1, 7)])
def test_node_distances(matrix, width, period):
    A = recognition.entries(matrix)
    arguments = (A, width, period)
    assert recognition.node_distances(*arguments) == reference.node_distances(*arguments)


def slots_of(kind, shape):
    if kind == "box":
        slots = layout.half_slots(shape)
        return slots, len(slots) * int(np.prod(shape)), 1.0
    faces = [s for s in layout.face_slots(shape) if s[0]]
    slots = layout.ascending([*faces, *layout.seam_slots(shape)])
    return slots, sum(int(np.prod(n)) for n in layout.face_shapes(shape)), -1.0


@every
@pytest.mark.parametrize("kind", ["box", "axes"])
def test_arrange(matrix, kind):
    A = recognition.entries(matrix)
    for shape in ((len(A.diagonal),), (7, 8), (4, 5, 6), (5, 6), (9, 8), (7, 7), (5, 5, 5), (2, 7)):
        if np.prod(shape) != len(A.diagonal):
            continue
        arguments = (A, shape, *slots_of(kind, shape))
        (found, wrong), (expected, where) = (
            form.arrange(*arguments) for form in (recognition, reference)
        )
        assert wrong == where
        if wrong is None:
            np.testing.assert_array_equal(found, expected)


def test_arrange_rows_in_any_place():
    matrix, rng = MATRICES["2d"], np.random.default_rng(0)
    node = rng.permutation(120)[:56]  # of a larger grid: most entries have no slot there
    A = recognition.entries(matrix)
    slots, size, sign = slots_of("axes", (10, 12))
    found, expected = (
        form.arrange(A, (10, 12), slots, size, sign, node) for form in (recognition, reference)
    )
    assert found[1] == expected[1] is not None
    node = np.arange(120).reshape(10, 12)[2:9, 3:11].ravel()
    found, expected = (
        form.arrange(A, (10, 12), slots, size, sign, node) for form in (recognition, reference)
    )
    assert found[1] is None
    np.testing.assert_array_equal(found[0], expected[0])


@pytest.mark.parametrize(
    ("name", "shape", "periodic"),
    [
        ("1d", (9,), (False,)),
        ("2d", (7, 8), (False, False)),
        ("3d", (4, 5, 6), (False,) * 3),
        ("periodic", (5, 6), (True, False)),
        ("periodic 3d", (4, 5, 6), (True,) * 3),
        ("one node", (7, 1), (False, False)),
        ("walls", (9, 8), (False, False)),
        ("walls 3d", (5, 6, 4), (False,) * 3),
        ("reaction", (7, 8), (False, False)),
        ("obstacle", (9, 8), (False, False)),
        ("not dominant", (7, 8), (False, False)),
        ("penalty", (7, 8), (False, False)),
    ],
)
def test_balance_and_regions(name, shape, periodic):
    A = recognition.entries(MATRICES[name])
    slots, size, sign = slots_of("axes", shape)
    store, wrong = recognition.arrange(A, shape, slots, size, sign)
    assert wrong is None
    for axis, f in enumerate(layout.split_faces(store, shape)):
        if periodic[axis]:
            f.swapaxes(0, axis)[-1] = f.swapaxes(0, axis)[0]
    twin = store.copy()
    found = recognition.balance(A.diagonal, shape, periodic, store)
    expected = reference.balance(A.diagonal, shape, periodic, twin)
    assert found.weak == expected.weak
    assert (found.weak >= 0) == (name == "not dominant")
    if found.weak >= 0:
        return
    np.testing.assert_allclose(store, twin, rtol=1e-14)
    for one, other in ((found.excess, expected.excess), (found.hanging, expected.hanging)):
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=0)
    for name in ("closed", "solid", "held"):
        assert getattr(found, name) == getattr(expected, name)
    assert found.bounds == pytest.approx(expected.bounds, rel=1e-14)

    open_ = [f > 0 for f in layout.split_faces(store, shape)]
    fluid = (A.diagonal > 0).reshape(shape)
    held = np.zeros(shape, bool) if found.excess is None else found.excess.reshape(shape) > 0
    kept = held.copy()
    labels, number = recognition.components(open_, periodic, fluid, held)
    plain, count = reference.components(open_, periodic, fluid, held)
    np.testing.assert_array_equal(held, kept)
    np.testing.assert_array_equal(labels, plain)
    assert number == count


def removed(shape, kept):
    A = diffusion(shape)
    kept = kept.ravel()
    return sp.csr_array(A[kept][:, kept])


@pytest.mark.parametrize("ndim", [2, 3])
def test_embed(ndim):
    shape = (9, 8) if ndim == 2 else (6, 7, 5)
    corner = np.ones(shape, bool)
    corner[tuple(slice(n // 2, None) for n in shape)] = False
    for kept in (np.ones(shape, bool), corner, corner[::-1], corner[:, ::-1]):
        A = recognition.entries(removed(shape, kept))
        found, expected = recognition.embed(A, ndim), reference.embed(A, ndim)
        np.testing.assert_array_equal(found[1][:, 3 - ndim :], np.argwhere(kept))
        if expected is not None:  # the twin gives up where its ends do not determine a coupling
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, other)
    assert expected is not None or ndim == 3
    for name in ("many distances", "far entry"):
        matrix = abs(MATRICES["many distances" if name[0] == "m" else "a far entry"])
        A = recognition.entries(sp.csr_array(matrix))
        assert recognition.embed(A, 2) is None
        assert reference.embed(A, 2) is None
