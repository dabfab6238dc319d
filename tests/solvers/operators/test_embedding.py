"""Nodes that were removed from a matrix: the others are put back on their grid."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from pdeops.domain import Grid
from pdeops.solvers import Diffusion, Multigrid, cg, recognise


def coordinates(shape):
    return np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")


def corner(shape):
    return ~np.all([x > 0.5 for x in coordinates(shape)], axis=0)


def first_corner(shape):
    return ~np.all([x < 0.4 for x in coordinates(shape)], axis=0)


def hole(shape):
    return sum((x - 0.45) ** 2 for x in coordinates(shape)) > 0.05


def ball(shape):
    return sum((x - 0.5) ** 2 for x in coordinates(shape)) < 0.24


def slit(shape):
    x = coordinates(shape)
    return ~((abs(x[0] - 0.5) < 0.5 / shape[0]) & (x[-1] > 0.3))


def blocks(shape):
    x = coordinates(shape)
    return ~np.all([(k * 4 % 1 > 0.3) & (k * 4 % 1 < 0.7) for k in x], axis=0)


DOMAINS = {f.__name__: f for f in (corner, first_corner, hole, ball, slit, blocks)}
SHAPES = [(65, 65), (40, 53), (17, 17, 17), (12, 15, 18)]
every = pytest.mark.parametrize("name", DOMAINS)
sizes = pytest.mark.parametrize("shape", SHAPES, ids=str)


def whole(shape, generator=None):
    """-div(a grad u) with u = 0 around the box; a is 1 or lognormal."""
    grid = Grid(shape, placement="interior")
    a = 1.0
    if generator is not None:
        a = torch.randn(shape, generator=generator, dtype=torch.float64).exp()
    return Diffusion(a, grid).to_csr()


def removed(matrix, kept):
    kept = kept.ravel()
    return sp.csr_array(matrix[kept][:, kept])


def identity_rows(matrix, kept):
    inside = sp.diags_array(kept.ravel().astype(float))
    return sp.csr_array(inside @ matrix @ inside + sp.diags_array((~kept.ravel()).astype(float)))


def embedded_matrix(found):
    matrix, index = found.operator.to_csr(), found.embedding.numpy()
    others = np.setdiff1d(np.arange(matrix.shape[0]), index)
    assert matrix[others].nnz == 0
    return matrix[index][:, index]


@every
@sizes
def test_the_operator_is_the_same_matrix(name, shape, generator):
    kept = DOMAINS[name](shape)
    matrix = removed(whole(shape, generator), kept)
    found = recognise(matrix)
    assert found.operator is not None, found.reason
    assert len(found.embedding) == matrix.shape[0] == kept.sum()
    assert "of them no unknowns" in found.reason
    largest = matrix.diagonal().max()
    assert abs(embedded_matrix(found) - matrix).max() <= 1e-15 * largest
    # The rows are where they were, but for lines that are missing at the sides of the box.
    used = [np.flatnonzero(kept.any(tuple(b for b in range(kept.ndim) if b != a)))
            for a in range(kept.ndim)]  # fmt: skip
    box = kept[np.ix_(*used)]
    assert found.operator.grid.shape == box.shape
    np.testing.assert_array_equal(found.embedding.numpy(), np.flatnonzero(box))
    assert found.operator.regions.num_floating == 0
    u = torch.randn(2, matrix.shape[0], generator=generator, dtype=torch.float64)
    torch.testing.assert_close(found.extract(found.embed(u)), u, rtol=0, atol=0)
    v = found.extract(found.operator @ found.embed(u))
    np.testing.assert_allclose(v, u.numpy() @ matrix, rtol=1e-10, atol=1e-10 * largest)


@every
@sizes
@pytest.mark.parametrize("rows", [removed, identity_rows])
def test_multigrid_takes_about_as_many_iterations_as_on_a_box(name, shape, rows, generator):
    """The box takes 8 in two and 10 in three dimensions."""
    matrix = rows(whole(shape), DOMAINS[name](shape))
    found = recognise(matrix)
    assert found.operator.positive_definite == (rows is identity_rows)
    b = torch.randn(matrix.shape[0], generator=generator, dtype=torch.float64)
    result = cg(found.operator, found.embed(b), M=Multigrid(found.operator), rtol=1e-8)
    assert result.converged
    assert result.iterations <= 13
    x = found.extract(result.x).numpy()
    assert np.linalg.norm(b.numpy() - matrix @ x) <= 1.01e-8 * b.norm()


@pytest.mark.parametrize("form", ["int64", "untidy", "penalty", "contrast"])
def test_any_form_of_the_matrix_is_embedded(form, generator):
    shape = (30, 31)
    matrix = removed(whole(shape, generator), corner(shape))
    n = matrix.shape[0]
    if form == "penalty":
        matrix = matrix + sp.diags_array(np.eye(1, n, 77).ravel() * 1e12)
    if form == "contrast":
        grid = Grid(shape, placement="interior")
        a = torch.where(torch.rand(shape, generator=generator) > 0.5, 1e11, 1.0).double()
        matrix = removed(Diffusion(a, grid).to_csr(), corner(shape))
    given = matrix
    if form in ("int64", "untidy"):
        arrays = (matrix.data, matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64))
        given = sp.csr_array(arrays)
    if form == "untidy":
        coo = matrix.tocoo()
        order = np.lexsort((-coo.col, coo.row))
        arrays = (coo.data[order], coo.col[order], matrix.indptr)
        given = sp.csr_array(arrays, shape=matrix.shape)
        assert not given.has_sorted_indices
    found = recognise(given)
    gap = abs(embedded_matrix(found) - matrix).tocoo()
    largest = abs(matrix).max(axis=1).toarray().ravel()
    assert (gap.data <= 1e-15 * np.minimum(largest[gap.row], largest[gap.col])).all()


def test_separate_parts_and_single_rows_have_a_place_each(generator):
    """A slit that divides the box, and rows without couplings."""
    shape = (21, 16)
    kept = np.ones(shape, bool)
    kept[9:11] = False
    kept[3:5, 4:9] = False
    single = np.zeros(shape, bool)
    single[9, 5] = single[10, 9] = True
    matrix = removed(identity_rows(whole(shape, generator), kept), kept | single)
    found = recognise(matrix)
    assert found.operator is not None, found.reason
    assert len(np.unique(found.embedding)) == matrix.shape[0] == kept.sum() + 2
    assert abs(embedded_matrix(found) - matrix).max() <= 1e-14 * matrix.diagonal().max()


def test_a_part_without_flux_is_singular(generator):
    """The constants on each part that floats are the kernel; b is projected on the range."""
    shape = (20, 21)
    kept = torch.from_numpy(first_corner(shape))
    kept[12] = False
    grid = Grid(shape, boundary="neumann", placement="centers")
    A = Diffusion(1.0, grid, fluid=kept)
    matrix = removed(A.to_csr(), kept.numpy())
    found = recognise(matrix)
    assert found.operator.regions.num_floating == 2
    b = torch.randn(matrix.shape[0], generator=generator, dtype=torch.float64)
    right = found.operator.project(found.embed(b))
    result = cg(found.operator, right, M=Multigrid(found.operator), rtol=1e-9)
    assert result.converged
    x = found.extract(result.x).numpy()
    residual = found.extract(right).numpy() - matrix @ x
    assert np.linalg.norm(residual) < 1e-8 * b.norm()


def changed(i, j, value, symmetric=True):
    matrix = removed(whole((20, 21)), corner((20, 21))).tolil()
    matrix[i, j] = value
    if symmetric:
        matrix[j, i] = value
    return matrix.tocsr()


def test_one_wrong_entry_is_refused():
    """Negative controls: a coupling that closes no cell, one that is not symmetric, another
    order."""
    assert recognise(changed(30, 51, -400.0)).embedding is not None
    for i, j in ((0, 40), (30, 53), (5, 300)):
        assert recognise(changed(i, j, -5.0)).on_grid is None
    found = recognise(changed(30, 51, -5.0, symmetric=False))
    assert found.on_grid is None
    assert "not symmetric" in found.reason
    matrix = removed(whole((20, 21)), corner((20, 21)))
    order = np.random.default_rng(0).permutation(matrix.shape[0])
    found = recognise(matrix[order][:, order])
    assert found.on_grid is None
    assert "in another order" in found.reason


def test_vectors_of_another_length_are_refused():
    found = recognise(removed(whole((20, 21)), corner((20, 21))))
    with pytest.raises(ValueError, match=r"has 3.. entries .* got shape \(7,\)"):
        found.embed(torch.zeros(7))
    with pytest.raises(ValueError, match=r"\(20, 21\)"):
        found.extract(torch.zeros(7, 7))
