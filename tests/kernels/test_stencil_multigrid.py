"""Interpolation and coarse operators of multigrid for stencils, as sparse matrices."""

import math
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse
import torch

from pdeops.kernels import stencil_multigrid
from pdeops.kernels.stencil_multigrid import StencilSystem, cpu, layout, reference
from tests.stencils import elements, random_stencil, without

CASES = [
    ((19, 18), (1.0, 1.0)),
    ((20, 21), (1.0, 0.1)),
    ((3, 200), (1.0, 1.0)),
    ((1, 500), (1.0, 1.0)),
    ((600,), (1.0,)),
    ((8, 7, 9), (1.0, 1.0, 1.0)),
    ((10, 9, 8), (0.1, 1.0, 1.0)),
]


def interpolation_matrix(level):
    """P, from the nodes of the weights; a weight of a node that does not exist must be 0."""
    grid = level.grid
    number = [torch.full(size, -1) for size in (grid.size, grid.coarse_size)]
    for index, n in zip(number, (grid.n, grid.coarse), strict=True):
        index[tuple(slice(1, k + 1) for k in n)] = torch.arange(math.prod(n)).reshape(n)
    rows, columns, values = [], [], []
    for (parity, corner), w in zip(grid.weights, level.weights, strict=True):
        for cell in np.ndindex(*(n + 1 for n in grid.coarse)):
            if any(i == 0 and not c for i, c in zip(cell, grid.coarsen, strict=True)):
                continue
            steps = zip(cell, parity, grid.coarsen, strict=True)
            i = number[0][tuple(2 * i + p if c else i for i, p, c in steps)]
            j = number[1][tuple(i + c for i, c in zip(cell, corner, strict=True))]
            if i >= 0 and j >= 0:
                rows.append(int(i))
                columns.append(int(j))
                values.append(float(w[cell]))
            else:
                assert w[cell] == 0
    shape = (math.prod(grid.n), math.prod(grid.coarse))
    return scipy.sparse.csr_array((values, (rows, columns)), shape=shape)


def levels(A, strength=None, lines=()):
    strength = strength or (1.0,) * A.ndim
    system = StencilSystem(A.diagonal(), A.couplings, strength, lines)
    return reference.build(system, cpu.galerkin), system.order


def permuted(matrix, shape, order):
    """The matrix of the same operator with axes in another order."""
    index = np.arange(matrix.shape[0]).reshape(shape).transpose(order).ravel()
    return scipy.sparse.csr_array(matrix[index][:, index])


@pytest.mark.parametrize(("shape", "strength"), CASES)
@pytest.mark.parametrize("positive", [0.0, 0.4])
def test_coarse_operators_are_galerkin(shape, strength, positive):
    A = random_stencil(shape, positive=positive)
    found, order = levels(A, strength)
    matrix = permuted(A.to_csr(), shape, order)
    assert len(found) > 1
    for fine, coarse in pairwise(found):
        P = interpolation_matrix(fine)
        matrix = scipy.sparse.csr_array(P.T @ matrix @ P)
        dense = reference.dense(coarse.grid, coarse.entries).numpy()
        assert np.abs(matrix - dense).max() <= 1e-13 * np.abs(dense).max()


def test_a_wrong_sign_of_one_weight_is_seen():
    """Negative control of the test above."""
    A = random_stencil((19, 18))
    found, _ = levels(A)
    found[0].weights[5] *= -1
    P = interpolation_matrix(found[0])
    dense = reference.dense(found[1].grid, found[1].entries).numpy()
    assert np.abs(P.T @ A.to_csr() @ P - dense).max() > 1e-2 * np.abs(dense).max()


@pytest.mark.parametrize("shape", [(21, 19), (9, 7, 11)])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 3.0, 2.0)])
def test_weights_of_elements_are_those_of_linear_interpolation(shape, spacing):
    """Of any aspect ratio, where couplings along the wide axis are positive; up to the sides, where
    u = 0."""
    A = elements(shape, spacing=spacing[: len(shape)])
    if spacing[1] > 2:
        assert A.couplings.max() > 0
    found, _ = levels(A)
    grid = found[0].grid
    for (parity, corner), w in zip(grid.weights, found[0].weights, strict=True):
        inside = tuple(slice(1 - c, n + 1 - c) for c, n in zip(corner, grid.coarse, strict=True))
        assert torch.allclose(w[inside], torch.tensor(0.5).double() ** sum(parity), atol=1e-13)


def test_a_device_without_kernels_is_reported_once(monkeypatch, caplog, fresh_messages):
    A = random_stencil((5, 4))
    system = StencilSystem(A.diagonal(), A.couplings, (1.0, 1.0))
    stencil_multigrid.set_up(system)
    with stencil_multigrid.FORMS.twin():  # asked for
        stencil_multigrid.set_up(system)
    assert not caplog.text
    monkeypatch.setattr(stencil_multigrid.FORMS, "by_device", {})
    for _ in range(2):
        assert isinstance(stencil_multigrid.set_up(system), reference.ReferenceHierarchy)
    assert [r.getMessage() for r in caplog.records] == [
        "multigrid of a stencil: no kernels for cpu; the form `reference` is used instead"
    ]


def test_weights_follow_jumps():
    """Where k jumps by 1e6 between two rows of cells, u at the row of nodes between is that of the
    side with the large k."""
    k = torch.ones(22, 20, dtype=torch.float64)
    k[11:] = 1e6
    found, _ = levels(elements((21, 19), k=k))
    w = dict(zip(found[0].grid.weights, found[0].weights, strict=True))
    cell = (5, 4)  # node 11, counted from one, has rows 10 and 11 of cells beside it
    assert w[(1, 0), (0, 0)][cell] < 1e-5
    assert w[(1, 0), (1, 0)][cell] > 1 - 1e-5


def test_weights_of_a_node_add_up_to_at_most_1():
    for positive in (0.0, 0.5, 0.9):
        for level in levels(random_stencil((40, 43), positive=positive))[0][:-1]:
            sums = abs(interpolation_matrix(level)).sum(axis=1)
            assert sums.max() <= 1 + 1e-4


def test_a_line_is_interpolated_exactly():
    """A u = 0 at every second node of a line, whatever the signs of its couplings."""
    A = random_stencil((601,), positive=0.7)
    P = interpolation_matrix(levels(A)[0][0])
    residual = (A.to_csr() @ P)[::2]
    assert abs(residual).max() <= 1e-13 * A.diagonal().max()


def test_decoupled_nodes_take_nothing():
    hole = torch.zeros(21, 19, dtype=torch.bool)
    hole[4:9, 4:9] = True
    found, _ = levels(without(elements((21, 19)), hole))
    P = interpolation_matrix(found[0])
    fine = hole.flatten().numpy()
    odd = np.add.outer(np.arange(1, 22) % 2, np.arange(1, 20) % 2).ravel() > 0
    assert abs(P[np.flatnonzero(fine & odd)]).max() == 0


def test_levels():
    both = [g.n for g in layout.levels((100, 50), (1.0, 1.0), False)]
    assert both == [(100, 50), (50, 25), (25, 12), (12, 6)]
    one = [g.n for g in layout.levels((100, 50), (1.0, 0.01), False)]
    assert one == [(100, 50), (50, 50), (25, 50), (12, 50), (6, 25)]
    assert layout.levels((100, 50), (1.0, 0.01), True)[1].n == (50, 25)
    thin = [g.n for g in layout.levels((2, 1000), (1.0, 1.0), False)]
    assert thin == [(2, 1000), (1, 500), (1, 250)]
