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


def apart(a, b):
    return abs(a - b).max() / abs(b).max()


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
    assert apart(found.operator.to_csr(), matrix) < 1e-12
    assert found.operator.positive_definite == A.positive_definite
    assert ("variable" in found.reason) == (variable or len(set(A.grid.spacing)) > 1)
    assert not found.ghosts.any()


def test_reaction_and_walls_are_recognised(generator):
    grid = Grid((12, 13), boundary="neumann", placement="centers")
    fluid = torch.rand(grid.shape, generator=generator) > 0.2
    k = torch.rand(grid.shape, generator=generator, dtype=torch.float64) + 0.5
    for c in (0.0, 3.0):
        A = Diffusion(k, grid, reaction=c, fluid=fluid)
        found = recognise(A.to_csr(), grid.shape)
        assert apart(found.operator.to_csr(), A.to_csr()) < 1e-12


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


@pytest.mark.parametrize(
    ("matrix", "reason"),
    [
        (spoiled(entry(3, 4, -1.0, symmetric=False)), "not symmetric"),
        (spoiled(entry(3, 4, 1.0)), r"not an M-matrix: entry \(3, 4\)"),
        (spoiled(entry(3, 3, 1.0)), "row 3 is not diagonally dominant"),
        (spoiled(entry(11, 12, -5.0)), "which are no neighbours"),
        (spoiled(entry(3, 50, -5.0)), "no grid of one to three axes"),
        (spoiled(entry(3, 3, np.nan)), "NaN"),
        (sp.csr_array((4, 5)), "not square"),
        (sp.csr_array((4, 4)), "it is zero"),
    ],
    ids=["unsymmetric", "positive", "weak", "row end", "far", "nan", "oblong", "zero"],
)
def test_others_are_not_and_it_says_why(matrix, reason):
    found = recognise(matrix)
    assert found.operator is None
    with pytest.raises(ValueError, match="No stencil"):
        found.reduce(torch.zeros(3))
    assert re.search(reason, found.reason), found.reason


def test_a_shape_that_does_not_fit_is_named():
    A = Diffusion(1.0, Grid((9, 14))).to_csr()
    assert "do not fill" in recognise(A, (9, 14)).reason
    assert "no neighbours" in recognise(A, (12, 7)).reason
    assert recognise(A, (7, 12)).operator is not None


@pytest.mark.parametrize(
    ("name", "shape", "ghosts", "empty"),
    [
        ("A_Sparse_N63", (64, 64), 248, 4),
        ("A_Sparse_3D_N15", (16, 16, 16), 1176, 176),
        ("A_Sparse_3D_N63", (64, 64, 64), 23064, 752),
    ],
)
def test_pressure_systems_with_ghost_rows(name, shape, ghosts, empty, shared_data, generator):
    A = sp.load_npz(shared_data / "dcdm" / f"{name}.npz")
    found = recognise(A)
    assert found.operator.grid.shape == shape
    assert apart(found.operator.to_csr(), sp.csr_array(A)) == 0
    assert int(found.ghosts.sum()) == ghosts
    assert int((found.operator.regions.labels < 0).sum()) == empty
    assert found.operator.regions.num_floating == 1
    assert found.coupling == 1
    assert found.box == ((1, shape[0] - 2),) * len(shape)

    # Without the ghosts it is the unit-spacing Neumann Laplacian of the cells.
    b = found.operator.project(torch.randn(shape, generator=generator, dtype=torch.float64))
    rhs = found.inner.project(found.reduce(b))
    assert (rhs - found.reduce(b)).abs().max() < 1e-10
    inner = cg(found.inner, rhs, M=Multigrid(found.inner), rtol=1e-11)
    assert inner.converged
    assert inner.iterations <= 25
    x = found.extend(inner.x, b)
    assert np.linalg.norm(A @ x.numpy().ravel() - b.numpy().ravel()) < 1e-9 * b.norm()

    # Or as it is, ghosts and all.
    whole = cg(found.operator, b, M=Multigrid(found.operator), rtol=1e-8)
    assert whole.converged
    assert whole.iterations <= 25


def test_an_operator_in_single_precision_is_recognised_by_its_matrix(generator):
    """Its matrix is that of its couplings, summed in float64."""
    a = torch.rand(9, 8, generator=generator) + 0.1
    A = Diffusion(a, Grid((9, 8)))
    assert A.dtype == torch.float32
    assert recognise(A.to_csr()).operator is not None
