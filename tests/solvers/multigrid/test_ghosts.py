"""Ghost rows are eliminated and put back: an exact inverse where waves serve, else a cycle."""

import re

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from pdeops.domain import Grid
from pdeops.solvers import (
    Diffusion,
    GhostElimination,
    IncompleteCholesky,
    Laplacian,
    Matrix,
    Multigrid,
    bicgstab,
    cg,
    flexible_cg,
    read_vector,
    recognise,
    solve_sparse,
)


def walled(shape, coefficient=None, periodic=()):
    """The matrix of a box of cells inside a wall of ghosts, but for the periodic axes: couplings
    between cells, a row u_ghost - u_cell for each face of the wall, corners empty."""
    inside = torch.zeros(shape, dtype=torch.bool)
    inside[tuple(slice(None) if a in periodic else slice(1, -1) for a in range(len(shape)))] = True
    faces = []
    for axis, n in enumerate(shape):
        here, there = inside.narrow(axis, 0, n - 1), inside.narrow(axis, 1, n - 1)
        c = (here | there).double()
        if coefficient is not None:
            mean = (coefficient.narrow(axis, 0, n - 1) + coefficient.narrow(axis, 1, n - 1)) / 2
            c = torch.where(here & there, mean, c)
        seam = inside.narrow(axis, 0, 1).double() * (axis in periodic)
        faces.append(torch.cat([seam, c, seam], axis))
    sides = ["periodic" if a in periodic else "neumann" for a in range(len(shape))]
    grid = Grid(shape, [float(n) for n in shape], sides, "centers")
    return Diffusion.from_faces(faces, grid).to_csr()


def noise(shape, generator):
    return torch.randn(shape, generator=generator, dtype=torch.float64)


WALLED = {
    "1d": ((12,), {}),
    "2d": ((9, 14), {}),
    "3d": ((6, 7, 8), {}),
    "channel": ((8, 11), {"periodic": (0,)}),
    "duct": ((6, 7, 8), {"periodic": (2,)}),
}


@pytest.mark.parametrize("name", WALLED)
def test_waves_solve_the_whole_system_to_round_off(name, generator):
    shape, options = WALLED[name]
    matrix = walled(shape, **options)
    found = recognise(matrix, shape)
    M = GhostElimination(found)
    assert int(found.ghosts.sum()) > 0
    assert "FastPoisson" in repr(M)
    b = noise((3, *shape), generator)
    x, right = M @ b, found.operator.project(b)
    for u, v in zip(x, right, strict=True):
        assert np.linalg.norm(matrix @ u.numpy().ravel() - v.numpy().ravel()) < 1e-13 * v.norm()
    torch.testing.assert_close(x, found.operator.project(x), rtol=1e-12, atol=1e-14)


def test_equals_a_direct_solution_of_the_whole_matrix(generator):
    matrix = walled((9, 14))
    found = recognise(matrix, (9, 14))
    b = found.operator.project(noise((9, 14), generator))
    exact = solve_sparse(Matrix(matrix, found.operator.grid), b)
    assert exact.converged
    torch.testing.assert_close(GhostElimination(found) @ b, exact.x, rtol=1e-10, atol=1e-12)


def test_without_the_ghosts_right_hand_sides_the_answer_is_wrong(generator):
    """A negative control: what ghosts are given matters inside."""
    found = recognise(walled((9, 14)), (9, 14))
    b = found.operator.project(noise((9, 14), generator))
    silent = torch.where(found.ghosts, 0, b)
    M = GhostElimination(found)
    assert (found.operator @ (M @ silent) - b).norm() > 0.1 * b.norm()


@pytest.mark.parametrize("name", WALLED)
def test_is_symmetric_and_positive_on_the_range(name, generator):
    shape, options = WALLED[name]
    k = torch.rand(shape, generator=generator, dtype=torch.float64) + 0.5
    for coefficient in (None, k):
        found = recognise(walled(shape, coefficient, **options), shape)
        M = GhostElimination(found)
        u, v = (found.operator.project(noise(shape, generator)) for _ in range(2))
        gap = ((M @ u) * v).sum() - (u * (M @ v)).sum()
        assert abs(gap) < 1e-12 * (M @ u).norm() * v.norm()
        assert (u * (M @ u)).sum() > 0


@pytest.mark.parametrize("solve", [cg, flexible_cg, bicgstab], ids=lambda f: f.__name__)
def test_a_solver_ends_after_one_step_and_reports_what_has_no_solution(solve, generator):
    found = recognise(walled((9, 14)), (9, 14))
    A, M = found.operator, GhostElimination(found)
    b = noise((9, 14), generator)
    good, raw = solve(A, A.project(b), M=M, rtol=1e-12), solve(A, b, M=M, rtol=1e-12)
    assert good.converged
    assert good.iterations <= 2
    assert not raw.converged
    assert "inconsistent" in raw.reason
    torch.testing.assert_close(raw.x, good.x, rtol=1e-9, atol=1e-11)


def test_variable_couplings_take_a_cycle_or_what_is_given(generator):
    k = torch.rand(20, 24, generator=generator, dtype=torch.float64) * 10 + 0.5
    found = recognise(walled((20, 24), k), (20, 24))
    A = found.operator
    b = A.project(noise((20, 24), generator))
    M = GhostElimination(found)
    assert "Multigrid" in repr(M)
    assert cg(A, b, M=M, rtol=1e-10).iterations <= 15
    other = GhostElimination(found, IncompleteCholesky(found.inner))
    assert cg(A, b, M=other, rtol=1e-10).converged


@pytest.mark.parametrize(
    ("grid", "exact"),
    [
        (Grid((12, 17), (11.0, 16.0)), True),
        (Grid((6, 7, 8), (7.0, 8.0, 9.0), placement="interior"), True),
        (Grid((8, 8), boundary=("periodic", "neumann"), placement="centers"), True),
        (Grid((8, 11), boundary=("periodic", "neumann"), placement="centers"), False),
        (Grid((9, 9), boundary="dirichlet", placement="centers"), False),
        (Grid((9, 9), boundary="neumann"), False),
    ],
    ids=str,
)
def test_matrices_without_ghosts(grid, exact, generator):
    """Our own operators: exact by waves where all couplings are one number, else by a cycle."""
    A = Laplacian(grid)
    M = GhostElimination(recognise(A.to_csr(), A.grid.shape))
    assert ("FastPoisson" in repr(M)) == exact
    b = A.project(noise(A.grid.shape, generator))
    result = cg(A, b, M=M, rtol=1e-10)
    assert result.converged
    assert result.iterations <= (1 if exact else 15)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="No stencil was recognised: not square"):
        GhostElimination(recognise(sp.csr_array((4, 5))))
    found = recognise(walled((9, 14)), (9, 14))
    with pytest.raises(ValueError, match=r"fields of shape \(7, 7\).* build it from structure"):
        GhostElimination(found, Multigrid(Laplacian(Grid((9, 9)))))


# Pressure systems of a flow solver.


def pressure(folder, name):
    matrix = sp.csr_array(sp.load_npz(folder / f"A_Sparse_{name}.npz"))
    return matrix, recognise(matrix)


def frame(folder, name, shape):
    return read_vector(folder / f"div_v_star_{name}.bin").reshape(shape)


@pytest.mark.parametrize(
    ("name", "nnz", "empty", "ghosts", "cells"),
    [
        ("N63", 19_716, 4, 248, (62, 62)),
        ("3D_N15", 21_560, 176, 1_176, (14, 14, 14)),
        ("3D_N63", 1_714_424, 752, 23_064, (62, 62, 62)),
    ],
)
def test_real_matrices_are_solved_directly(name, nnz, empty, ghosts, cells, shared_data, generator):
    matrix, found = pressure(shared_data / "dcdm", name)
    assert matrix.nnz == nnz
    assert int((np.diff(matrix.indptr) == 0).sum()) == empty
    assert int(found.ghosts.sum()) == ghosts
    assert int((matrix.diagonal() == 2 * len(cells)).sum()) == np.prod(cells)
    M = GhostElimination(found)
    assert M.inner.grid.shape == cells
    b = found.operator.project(noise(found.operator.grid.shape, generator))
    x = M @ b
    assert np.linalg.norm(matrix @ x.numpy().ravel() - b.numpy().ravel()) <= 1e-13 * b.norm()


@pytest.mark.parametrize(
    ("name", "frames"),
    [("3D_N15", ("N15_1", "N15_50", "N15_120")), ("3D_N63", ("N63_10", "N63_20"))],
)
def test_real_right_hand_sides_are_solved_to_1e_13(name, frames, shared_data):
    """The whole system, ghosts and all, of the part of b that has a solution."""
    folder = shared_data / "dcdm"
    matrix, found = pressure(folder, name)
    M = GhostElimination(found)
    for number in frames:
        b = found.operator.project(frame(folder, number, found.operator.grid.shape))
        x = M @ b
        residual = np.linalg.norm(matrix @ x.numpy().ravel() - b.numpy().ravel())
        assert residual <= 1e-13 * b.norm()
        result = cg(found.operator, b, M=M, rtol=1e-13)
        assert (result.converged, result.iterations) == (True, 1)


@pytest.mark.parametrize(("number", "outside"), [(10, 7.8e-5), (20, 1.31e-4)])
def test_raw_frames_are_reported_and_their_projection_takes_known_counts(
    number, outside, shared_data
):
    folder = shared_data / "dcdm"
    _, found = pressure(folder, "3D_N63")
    A = found.operator
    raw = frame(folder, f"N63_{number}", A.grid.shape)
    b = A.project(raw)
    result = cg(A, b, rtol=1e-8)
    assert result.converged
    counts = [next(i for i, r in enumerate(result.residuals) if r <= t) for t in (1e-4, 1e-6, 1e-8)]
    assert abs(counts[0] - 129) <= 1
    assert 174 <= counts[1] <= 181
    assert abs(counts[2] - 216) <= 1
    inner = found.inner.project(found.reduce(b))
    assert 90 <= cg(found.inner, inner, rtol=1e-4).iterations <= 95
    lost = cg(A, raw, M=GhostElimination(found), rtol=1e-10, max_iterations=1500)
    assert not lost.converged
    assert lost.iterations <= 2
    assert lost.residual == pytest.approx(outside, rel=0.02)
    assert re.match(r"inconsistent: \S+ \|b\| of b is outside the range of A", lost.reason)
    assert (A @ lost.x - b).norm() <= 1e-13 * b.norm()
