import math

import numpy as np
import pytest
import scipy.sparse
import torch

from pdeops.domain import Grid
from pdeops.solvers import Diffusion, Laplacian, Matrix, bicgstab, cg, flexible_cg


def noise(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def walls(n=14):
    """A Neumann box that a wall divides into two rooms, with solid corners."""
    fluid = torch.ones(n, n, dtype=torch.bool)
    fluid[:, n // 2] = False
    fluid[0, 0] = fluid[-1, 0] = False
    grid = Grid((n, n), boundary="neumann", placement="centers")
    return Diffusion(torch.exp(noise((n, n))), grid, fluid=fluid)


def test_multiplies_as_the_operator_it_came_from():
    A = Diffusion(torch.exp(noise((9, 12))), Grid((9, 12)))
    B = Matrix(A.to_csr(), A.grid)
    u = noise((2, 3, *A.grid.shape))
    torch.testing.assert_close(B @ u, A @ u, rtol=1e-12, atol=1e-10)
    torch.testing.assert_close(B @ u[0, 0], A @ u[0, 0], rtol=1e-12, atol=1e-10)
    torch.testing.assert_close(B.diagonal(), A.diagonal())
    assert (B @ u.float()).dtype == torch.float32
    assert B.symmetric
    assert B.positive_definite


def test_is_differentiable_by_a_second_way_to_the_same_product():
    A = Matrix(scipy.sparse.random_array((12, 12), density=0.3, rng=np.random.default_rng(0)))
    u = noise((2, 12)).requires_grad_()
    assert torch.autograd.gradcheck(A.apply, (u,))
    torch.testing.assert_close(A.apply(u).detach(), A.apply(u.detach()))


def test_finds_the_kernel_of_divided_boxes():
    A = walls()
    B = Matrix(A.to_csr(), A.grid)
    assert str(B.regions) == str(A.regions) == "2 floating regions, 16 of 196 solid"
    b = noise((3, *A.grid.shape))
    torch.testing.assert_close(B.project(b), A.project(b))
    assert not B.positive_definite
    assert B.semidefinite


@pytest.mark.parametrize("solve", [cg, flexible_cg, bicgstab], ids=lambda f: f.__name__)
def test_singular_systems_are_projected_and_inconsistent_ones_reported(solve):
    for A in (walls(), Matrix(walls().to_csr(), walls().grid)):
        raw = noise(A.grid.shape)
        b = A.project(raw)
        good = solve(A, b, rtol=1e-9)
        assert good.converged, good
        torch.testing.assert_close(A.project(good.x), good.x, rtol=1e-9, atol=1e-12)
        assert (A @ good.x - b).norm() <= 1e-9 * b.norm()
        bad = solve(A, raw, rtol=1e-9)
        assert not bad.converged
        assert "inconsistent" in bad.reason
        assert (A @ bad.x - b).norm() <= 2e-9 * raw.norm()
        outside = ((raw - b).norm() / raw.norm()).item()
        assert bad.residual == pytest.approx(outside, rel=1e-6)
        assert f"{outside:.1e} |b| of b is outside" in bad.reason


def test_what_is_outside_the_range_counts_as_residual():
    """An inconsistency below the tolerance is no obstacle, but it is part of |b - A x|."""
    A = walls()
    b = A.project(noise(A.grid.shape))
    b = b / b.norm()
    ones = (b != 0).double()
    raw = b + 0.9e-6 * ones / ones.norm()
    result = cg(A, raw, rtol=1e-6)
    assert result.converged
    assert 0.9e-6 < ((raw - A @ result.x).norm() / raw.norm()).item() <= 1e-6
    assert "outside A's range" in result.reason
    assert "inconsistent" in cg(A, raw, rtol=0.8e-6).reason


def test_a_right_hand_side_in_the_kernel_has_no_solution_at_all():
    A = Laplacian(Grid((6, 6), boundary="neumann"))
    result = cg(A, torch.ones(2, 6, 6, dtype=torch.float64))
    assert [c.iterations for c in result.columns] == [0, 0]
    assert "inconsistent: 1.0e+00 |b|" in result.columns[1].reason
    assert not result.x.any()


def test_a_kernel_that_the_entries_do_not_show_is_given():
    """v v' + w w' on four unknowns: the kernel is the plane orthogonal to v and w."""
    Q = torch.linalg.qr(noise((4, 4)))[0]
    dense = Q[:, :2] @ torch.diag(torch.tensor([1.0, 3.0]).double()) @ Q[:, :2].T
    A = Matrix(dense.numpy(), kernel=Q[:, 2:].T.contiguous(), positive_definite=True)
    b = noise(4)
    inside = Q[:, :2] @ (Q[:, :2].T @ b)
    torch.testing.assert_close(A.project(b), inside)
    torch.testing.assert_close(A.project(torch.stack((b, 2 * b)))[1], 2 * inside)
    result = cg(A, inside, rtol=1e-10)
    assert result.converged
    assert result.iterations == 2
    torch.testing.assert_close(result.x, torch.linalg.pinv(dense) @ b)
    assert "inconsistent" in cg(A, b).reason
    with pytest.raises(ValueError, match="not in the kernel"):
        Matrix(dense.numpy(), kernel=Q[:, 1:].T.contiguous())


@pytest.mark.parametrize(
    ("matrix", "symmetric", "definite", "semidefinite"),
    [
        ([[2.0, -1.0], [-1.0, 2.0]], True, True, True),
        ([[2.0, 1.0], [1.0, 2.0]], True, True, True),
        ([[1.0, 1.0], [1.0, 1.0]], True, False, False),  # singular, but not by constants
        ([[1.0, -1.0], [-1.0, 1.0]], True, False, True),
        ([[1.0, 2.0], [2.0, 1.0]], True, False, False),
        ([[-2.0, 1.0], [1.0, -2.0]], True, False, False),
        ([[2.0, -1.0], [-1.5, 2.0]], False, False, False),
        ([[0.0, 0.0], [0.0, 3.0]], True, False, True),
    ],
)
def test_reads_what_holds(matrix, symmetric, definite, semidefinite):
    A = Matrix(np.array(matrix))
    assert (A.symmetric, A.positive_definite, A.semidefinite) == (
        symmetric,
        definite,
        semidefinite,
    )
    eigenvalues = np.linalg.eigvals(np.array(matrix)).real
    assert not definite or eigenvalues.min() > 0
    assert not semidefinite or eigenvalues.min() > -1e-14


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="square"):
        Matrix(np.ones((2, 3)))
    with pytest.raises(ValueError, match="4 rows, the grid 6 nodes"):
        Matrix(np.eye(4), Grid((2, 3)))
    with pytest.raises(ValueError, match="NaN"):
        Matrix(np.array([[1.0, math.nan], [0.0, 1.0]]))


# Pressure systems of a flow solver: walls by ghost rows, corners empty, right-hand sides that do
# not lie in the range.


def pressure(folder, name, cells):
    matrix = scipy.sparse.load_npz(folder / f"A_Sparse_{name}.npz")
    return Matrix(matrix, Grid((cells,) * 3, boundary="neumann", placement="centers"))


def frame(folder, name, A):
    values = np.fromfile(folder / f"div_v_star_{name}.bin", dtype="<f8")[1:]
    return torch.from_numpy(values).reshape(A.grid.shape)


def test_small_pressure_systems(shared_data):
    folder = shared_data / "dcdm"
    A = pressure(folder, "3D_N15", 16)
    assert str(A.regions) == "1 floating regions, 176 of 4096 solid"
    b = torch.stack([frame(folder, f"N15_{i}", A) for i in (1, 50, 120)])
    result = cg(A, b, rtol=1e-10)
    assert result.converged, result
    assert (A @ result.x - b).flatten(1).norm(dim=1).max() <= 1e-10 * b.flatten(1).norm(dim=1).max()


@pytest.mark.parametrize(("number", "outside"), [(10, 7.8e-5), (20, 1.31e-4)])
def test_large_pressure_systems_take_129_iterations_once_projected(shared_data, number, outside):
    folder = shared_data / "dcdm"
    A = pressure(folder, "3D_N63", 64)
    b = frame(folder, f"N63_{number}", A)
    projected = A.project(b)
    result = cg(A, projected, rtol=1e-4)
    assert result.converged
    assert abs(result.iterations - 129) <= 1
    raw = cg(A, b, rtol=1e-5, max_iterations=400)
    assert not raw.converged
    assert "inconsistent" in raw.reason
    assert raw.residual == pytest.approx(outside, rel=0.02)
    assert (projected - A @ raw.x).norm() <= 1e-5 * b.norm()
