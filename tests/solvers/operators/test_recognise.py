"""Stencils found in matrices: our own, real pressure systems, and matrices that are none."""

import re

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from pdeops.domain import Grid
from pdeops.solvers import Diffusion, Multigrid, cg
from pdeops.solvers.operators.recognise import recognise

GRIDS = [
    Grid((30,)),
    Grid((30,), boundary="periodic"),
    Grid((9, 14)),
    Grid((8, 11), boundary=("periodic", "neumann")),
    Grid((7, 8), boundary="periodic"),
    Grid((6, 7, 8), (1.0, 2.0, 0.5)),
    Grid((5, 6, 7), boundary=("neumann", "periodic", "dirichlet")),
]


def row_gap(found, matrix):
    """The largest deviation of an entry, relative to the largest entry of either of its rows."""
    matrix = sp.csr_array(matrix, dtype=float)
    ours = found.on_grid.to_csr()
    if found.embedding is not None:
        ours = ours[found.embedding.numpy()][:, found.embedding.numpy()]
    largest = abs(matrix).max(axis=1).toarray().ravel()
    gap = abs(ours - matrix).tocoo()
    bound = np.minimum(largest[gap.row], largest[gap.col])
    return (gap.data[gap.data > 0] / bound[gap.data > 0]).max(initial=0)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("variable", [False, True])
def test_our_own_operators_are_recognised(grid, variable, generator):
    k = torch.rand(grid.shape, generator=generator, dtype=torch.float64) + 0.5
    A = Diffusion(k if variable else 2.0, grid)
    matrix = A.to_csr()
    found = recognise(matrix)
    assert found.operator is not None, found.reason
    assert found.operator.grid.shape == A.grid.shape
    assert found.operator.periodic == A.periodic
    assert row_gap(found, matrix) < 1e-15
    assert found.operator.positive_definite == A.positive_definite
    assert ("variable" in found.reason) == (variable or len(set(A.grid.spacing)) > 1)
    assert not found.ghosts.any()
    assert found.inner is found.operator


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_any_form_of_the_same_matrix_is_recognised(grid, generator):
    """int64 indices, unsorted and duplicate entries, explicit zeros, other formats and types; the
    caller's arrays stay as they are."""
    k = torch.rand(grid.shape, generator=generator, dtype=torch.float64) + 0.5
    matrix = Diffusion(k, grid).to_csr()
    coo = matrix.tocoo()
    rng = np.random.default_rng(0)
    n = matrix.shape[0]
    zeros = rng.integers(0, n, (2, 9))
    rows = np.concatenate([coo.row, coo.row, zeros[0]])
    columns = np.concatenate([coo.col, coo.col, zeros[1]])
    order = rng.permutation(len(rows))
    order = order[np.argsort(rows[order], kind="stable")]
    values = np.concatenate([coo.data / 4, coo.data * 0.75, np.zeros(9)])[order]
    starts = np.searchsorted(rows[order], np.arange(n + 1))
    plain = recognise(matrix)
    for dtype in (np.int32, np.int64):
        arrays = (values.copy(), columns[order].astype(dtype), starts.astype(dtype))
        untidy = sp.csr_array(arrays, shape=matrix.shape)
        kept = [a.copy() for a in (untidy.data, untidy.indices, untidy.indptr)]
        found = recognise(untidy)
        assert found.operator is not None, found.reason
        assert found.reason == plain.reason
        assert row_gap(found, matrix) < 1e-15
        for before, after in zip(kept, (untidy.data, untidy.indices, untidy.indptr), strict=True):
            np.testing.assert_array_equal(before, after)
    for other in (matrix.tocsc(), matrix.tocoo(), sp.csr_matrix(matrix), sp.lil_matrix(matrix)):
        assert recognise(other).reason == plain.reason
    whole = sp.csr_array((np.rint(matrix.data).astype(np.int32), matrix.indices, matrix.indptr))
    rounded = recognise(whole)
    assert rounded.on_grid is None or row_gap(rounded, whole) < 1e-15


def test_reaction_and_walls_are_recognised(generator):
    grid = Grid((12, 13), boundary="neumann", placement="centers")
    fluid = torch.rand(grid.shape, generator=generator) > 0.2
    k = torch.rand(grid.shape, generator=generator, dtype=torch.float64) + 0.5
    for c in (0.0, 3.0):
        A = Diffusion(k, grid, reaction=c, fluid=fluid)
        for found in (recognise(A.to_csr(), grid.shape), recognise(A.to_csr())):
            assert row_gap(found, A.to_csr()) < 1e-14
            assert str(found.operator.regions) == str(A.regions)


def test_what_was_recognised_can_be_solved_by_multigrid(generator):
    """Couplings to known ends are told from a reaction, so that it converges as for A itself."""
    grid = Grid((66, 66))
    A = Diffusion(1.0, grid)
    B = recognise(A.to_csr()).operator
    b = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)
    result = cg(B, b, M=Multigrid(B), rtol=1e-8)
    assert result.converged
    assert result.iterations <= 9
    assert (A @ result.x - b).norm() < 1e-7 * b.norm()


# ----------------------------------------------------------------- thresholds, relative to the row


@pytest.mark.parametrize("row", [0, 5, 40], ids=["corner", "side", "inside"])
@pytest.mark.parametrize("penalty", [0.9e12, 1e15, 1e30])
def test_one_penalty_row_shortens_nothing(row, penalty, generator):
    A = Diffusion(1.0, Grid((9, 14), (1.0, 1.5)))
    matrix = A.to_csr().tolil()
    matrix[row, row] = penalty
    matrix = matrix.tocsr()
    found = recognise(matrix)
    assert row_gap(found, matrix) < 1e-15
    b = torch.randn(matrix.shape[0], generator=generator, dtype=torch.float64)
    result = cg(found.operator, found.embed(b), M=Multigrid(found.operator), rtol=1e-10)
    assert result.converged
    x = found.extract(result.x).numpy()
    assert np.linalg.norm(b.numpy() - matrix @ x) < 1e-9 * b.norm()


@pytest.mark.parametrize("contrast", [1e8, 1e11])
@pytest.mark.parametrize("boundary", ["dirichlet", "neumann"])
def test_a_contrast_of_1e11_is_recognised_whole(contrast, boundary, generator):
    """The small couplings too; with no flux through the boundary the matrix stays singular."""
    grid = Grid((12, 13), boundary=boundary)
    high = torch.rand(grid.shape, generator=generator) > 0.5
    A = Diffusion(torch.where(high, contrast, 1.0).double(), grid)
    found = recognise(A.to_csr())
    assert found.operator is not None, found.reason
    assert row_gap(found, A.to_csr()) < 1e-15
    assert found.operator.bounds[1] / found.operator.bounds[0] > contrast / 10
    assert found.operator.positive_definite == (boundary == "dirichlet")


def test_entries_that_are_round_off_in_their_rows_do_not_hide_a_stencil(generator):
    """P1 elements on right angles leave entries of 1e-17 along diagonals."""
    A = Diffusion(1.0, Grid((9, 14), (10.0, 15.0)))
    matrix = A.to_csr()
    n = matrix.shape[0]
    rng = np.random.default_rng(0)
    noise = sp.diags_array(
        1e-16 * rng.standard_normal((2, n - 13)), offsets=[13, -13], shape=(n, n)
    )
    noise = noise + noise.T
    found = recognise(matrix + noise)
    assert found.operator is not None, found.reason
    assert row_gap(found, matrix + noise) < 1e-12
    # A negative control: entries that matter in their rows are not round-off.
    assert recognise(matrix + 1e6 * noise).operator is None
    # And next to a large entry elsewhere they matter as much.
    spoilt = (matrix + 1e6 * noise).tolil()
    spoilt[60, 60] = 1e12
    found = recognise(spoilt.tocsr())
    assert found.operator is None or row_gap(found, spoilt.tocsr()) < 1e-12


# ------------------------------------------------------------------------ stencils with diagonals


def spoiled(change):
    A = Diffusion(1.0, Grid((9, 14))).to_csr().tolil()
    change(A)
    return A.tocsr()


def entry(i, j, value, symmetric=True):
    def change(A):
        A[i, j] = value
        if symmetric:
            A[j, i] = value

    return change


def line(n, off, diagonal):
    return sp.diags_array([off, diagonal, off], offsets=[-1, 0, 1], shape=(n, n), dtype=float)


def elements(shape, weights):
    """Bilinear or trilinear elements of -Σ w_a ∂²/∂x_a², unit spacing, u = 0 at the boundary."""
    total = 0
    for axis, w in enumerate(weights):
        term = np.ones((1, 1))
        for a, n in enumerate(shape):
            term = sp.kron(term, line(n, -1, 2) if a == axis else line(n, 1 / 6, 4 / 6))
        total = total + w * term
    return sp.csr_array(total)


def rotated(shape, angle, ratio):
    """Differences of -div(D grad u) with D = diag(1, ratio) turned by an angle; u = 0 outside."""
    c, s = np.cos(angle), np.sin(angle)
    xx, yy, xy = c * c + ratio * s * s, s * s + ratio * c * c, (1 - ratio) * c * s
    n, m = shape
    first = [sp.diags_array([-1.0, 1.0], offsets=[-1, 1], shape=(k, k)) for k in shape]
    A = xx * sp.kron(line(n, -1, 2), sp.eye_array(m)) + yy * sp.kron(
        sp.eye_array(n), line(m, -1, 2)
    )
    return sp.csr_array(A - xy / 2 * sp.kron(*first))


def scaled(matrix):
    """D A D with another scale of each unknown: definite, but not dominant."""
    D = sp.diags_array(np.exp(np.random.default_rng(0).standard_normal(matrix.shape[0])))
    return sp.csr_array(D @ matrix @ D)


STENCILS = {
    "bilinear": (elements((9, 12), (1, 1)), (9, 12), True),
    "bilinear, flat cells": (elements((9, 12), (10, 1)), (9, 12), False),
    "trilinear": (elements((5, 6, 7), (1, 1, 1)), (5, 6, 7), True),
    "trilinear, flat cells": (elements((5, 6, 7), (1, 9, 2)), (5, 6, 7), False),
    "rotated by 30°": (rotated((10, 9), np.pi / 6, 1e-3), (10, 9), False),
    "rotated by 45°": (rotated((10, 9), np.pi / 4, 1e-3), (10, 9), False),
    "small": (elements((2, 3), (1, 1)), (2, 3), True),
    "one positive coupling": (spoiled(entry(3, 4, 1.0)), (7, 12), True),
    "one weak row": (spoiled(lambda A: entry(3, 3, 0.7 * A[3, 3])(A)), (7, 12), False),
    "scaled": (scaled(spoiled(lambda A: None)), (7, 12), False),
}


@pytest.mark.parametrize("name", STENCILS)
def test_stencils_with_diagonals_or_either_sign(name, generator):
    matrix, shape, proven = STENCILS[name]
    found = recognise(matrix)
    assert found.stencil is not None, found.reason
    assert found.operator is None
    assert found.on_grid is found.stencil
    assert found.stencil.grid.shape == shape
    assert row_gap(found, matrix) < 1e-15
    eigenvalues = np.linalg.eigvalsh(matrix.toarray())
    assert eigenvalues.min() > 0
    assert found.stencil.positive_definite == proven
    assert ("not" in found.reason.split(";")[1]) != proven
    u = torch.randn(matrix.shape[0], generator=generator, dtype=torch.float64)
    v = found.extract(found.stencil @ found.embed(u))
    np.testing.assert_allclose(v, matrix @ u.numpy(), rtol=1e-12, atol=1e-12)
    given = recognise(matrix, shape)
    assert given.reason == found.reason


@pytest.mark.parametrize("name", STENCILS)
def test_one_wrong_entry_is_noticed(name):
    """Negative controls: an entry that is not symmetric, and one at a wrong distance."""
    matrix, shape, _ = STENCILS[name]
    A, upper = matrix.tolil(), sp.triu(matrix, 1).tocoo()
    i, j = int(upper.row[3]), int(upper.col[3])
    A[j, i] *= 1 + 1e-9
    found = recognise(A.tocsr())
    assert found.on_grid is None
    assert f"not symmetric: entry ({i}, {j})" in found.reason
    n = matrix.shape[0]
    if n > 6:
        A = matrix.tolil()
        A[0, n - 1] = A[n - 1, 0] = -0.1
        assert recognise(A.tocsr()).on_grid is None
        assert recognise(A.tocsr(), shape).on_grid is None


def test_a_changed_entry_changes_the_stencil():
    matrix = STENCILS["bilinear"][0].tolil()
    matrix[40, 41] = matrix[41, 40] = -0.25
    found = recognise(matrix.tocsr())
    assert row_gap(found, matrix.tocsr()) == 0
    assert row_gap(found, STENCILS["bilinear"][0]) > 1e-3


# -------------------------------------------------------------------------------------- no stencils


def scattered(n):
    R = sp.random_array((n, n), density=3 / n, rng=np.random.default_rng(0))
    return R @ R.T + sp.eye_array(n)


def shuffled(matrix, seed=0):
    order = np.random.default_rng(seed).permutation(matrix.shape[0])
    return matrix[order][:, order]


FIVE = Diffusion(1.0, Grid((22, 27))).to_csr()
SEVEN = Diffusion(1.0, Grid((9, 10, 11))).to_csr()
PAIR = np.array([[2.0, 0.5], [0.5, 1.0]])
TRIPLE = np.eye(3) + 0.1


@pytest.mark.parametrize(
    ("matrix", "reason"),
    [
        (spoiled(entry(3, 4, -1.0, symmetric=False)), r"not symmetric: entry \(3, 4\) is -1.0,"),
        (spoiled(entry(3, 3, 1.0)), r"not positive definite: \|a_ij\|² > a_ii a_jj"),
        (spoiled(entry(3, 3, -1.0)), "not positive definite: the diagonal entry of row 3 is -1"),
        (-spoiled(lambda A: None), r"no diagonal entry is positive.* solve \(-A\) x = -b"),
        (spoiled(entry(11, 12, -5.0)), "which are no neighbours"),
        (spoiled(entry(3, 50, -5.0)), "no grid of one to three axes"),
        (spoiled(entry(3, 3, np.nan)), "NaN or infinity, first in row 3"),
        (sp.csr_array((4, 5)), "not square"),
        (sp.csr_array((4, 4)), "it is zero"),
        (FIVE.astype(complex), "type complex128; real ones"),
        (shuffled(FIVE), "look like a grid of 2 axes in another order.*row by row"),
        (shuffled(SEVEN), "look like a grid of 3 axes in another order"),
        (shuffled(elements((20, 20), (1, 1))), "look like a grid of 2 axes in another order"),
        (sp.kron(FIVE, PAIR), "interleaved unknowns: 2 at each node of a grid of 20 x 25"),
        (sp.kron(PAIR, FIVE), "2 fields, one after the other of a grid of 20 x 25"),
        (sp.kron(SEVEN, TRIPLE), "interleaved unknowns: 3 at each node of a grid of 7 x 8 x 9"),
        (
            sp.kron(elements((6, 7, 8), (1, 1, 1)), TRIPLE),
            "interleaved unknowns: 3 at each node of a grid of 6 x 7 x 8",
        ),
        (sp.kron(line(30, -1, 2), [[12, 3], [3, 4]]), "2 at each node of a grid of 30"),
        (line(30, -1, 2) @ line(30, -1, 2), "no grid of one to three axes.* 1, 2 of"),
        (FIVE @ FIVE, "no grid of one to three axes"),
        (abs(line(9, -1, 2)), r"3-point stencil on 9 nodes, not an M-matrix: entry \(0, 1\)"),
        (
            abs(Diffusion(1.0, Grid((8, 9), boundary="periodic"), reaction=999.0).to_csr()),
            r"5-point stencil on 8 x 9 nodes, not an M-matrix.*none periodic",
        ),
        (scattered(300), "more than 32 distances .* unstructured mesh"),
        (
            elements((9, 9), (1, 1)) - sp.diags_array(elements((9, 9), (1, 1)).sum(axis=1)),
            "9-point stencil on 9 x 9 nodes, singular",
        ),
    ],
    ids=[
        *("unsymmetric", "indefinite", "negative entry", "negative", "row end", "far", "nan"),
        *("oblong", "zero", "complex", "shuffled", "shuffled 3d", "shuffled 9 points", "system"),
        *("fields", "system 3d", "elasticity", "beam", "five diagonals", "biharmonic"),
        *("a positive line", "a positive torus", "scattered", "singular"),
    ],
)
def test_others_are_not_and_it_says_why(matrix, reason):
    found = recognise(matrix)
    assert found.on_grid is None
    assert re.search(reason, found.reason), found.reason
    for call in (lambda: found.reduce(torch.zeros(3)), lambda: found.embed(torch.zeros(3))):
        with pytest.raises(ValueError, match="No stencil"):
            call()


def test_a_shape_that_does_not_fit_is_named():
    A = Diffusion(1.0, Grid((9, 14))).to_csr()
    assert "do not fill" in recognise(A, (9, 14)).reason
    assert "do not fill" in recognise(A, (1, 1, 7, 12)).reason
    assert "do not fill" in recognise(A, ()).reason
    assert "no neighbours" in recognise(A, (12, 7)).reason
    assert recognise(A, (7, 12)).operator is not None


def test_an_operator_in_single_precision_is_recognised_by_its_matrix(generator):
    """Its matrix is that of its couplings, summed in float64."""
    a = torch.rand(9, 8, generator=generator) + 0.1
    A = Diffusion(a, Grid((9, 8)))
    assert A.dtype == torch.float32
    assert recognise(A.to_csr()).operator is not None


def test_the_text_of_an_operator_does_not_call_held_sides_closed():
    """The matrix of a Dirichlet problem is that of a Neumann problem plus a diagonal."""
    for boundary, expected in (("dirichlet", True), ("neumann", False)):
        a = 1 + torch.rand(9, 8, generator=torch.Generator().manual_seed(0)).double()
        matrix = Diffusion(a, Grid((9, 8), boundary=boundary, placement="centers")).to_csr()
        text = repr(recognise(matrix).operator)
        assert text.startswith("Diffusion(9 x 8 unknowns")
        assert ("+ diagonal (a reaction, or u = 0 at the ends)" in text) == expected
