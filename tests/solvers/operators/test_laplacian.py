"""-Δ with Dirichlet and Neumann sides: symmetry, kernel, order, and the matrix."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from pdeops.domain import Grid
from pdeops.linop import check_spd
from pdeops.solvers import Diffusion, Laplacian, cg, solve_sparse, without_boundary

SIDES = [
    "dirichlet",
    "neumann",
    ("dirichlet", "neumann"),
    ("neumann", "dirichlet"),
]
GRIDS = [Grid((9, 12), (1.0, 0.6), sides) for sides in SIDES] + [
    Grid((7,), 2.0, "neumann"),
    Grid((2, 2), boundary="neumann"),
    Grid((3, 2), boundary=("dirichlet", "neumann")),
    Grid((5, 4, 6), (1.0, 2.0, 0.5), ("neumann", "dirichlet", "neumann")),
]


def noise(grid, generator, *batch):
    return torch.randn(*batch, *grid.shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("grid", GRIDS, ids=repr)
def test_the_matrix_is_the_operator_symmetric_and_semidefinite(grid, generator):
    A = Laplacian(grid)
    dense = A.to_csr().toarray()
    u = noise(A.grid, generator)
    np.testing.assert_allclose((A @ u).numpy().ravel(), dense @ u.numpy().ravel(), atol=1e-11)
    np.testing.assert_allclose(A.diagonal().numpy().ravel(), dense.diagonal())
    np.testing.assert_array_equal(dense, dense.T)
    off = dense - np.diag(dense.diagonal())
    assert (off <= 0).all()  # an M-matrix
    values = np.linalg.eigvalsh(dense)
    if A.positive_definite:
        assert values[0] > 0
        check_spd(A)
    else:
        assert abs(values[0]) < 1e-12 * values[-1]
        assert values[1] > 1e-3  # the constants, and nothing else
        assert (A @ torch.ones_like(u)).abs().max() < 1e-12 * values[-1]


@pytest.mark.parametrize("sides", SIDES)
def test_is_minus_the_second_difference_with_mirrored_ghosts(sides, generator):
    """Written out with ghost nodes: u_(-1) = u_1 beyond a Neumann end, zeros on a Dirichlet end."""
    grid = Grid((6, 8), (1.0, 0.5), sides)
    A = Laplacian(grid)
    u = noise(A.grid, generator).numpy()
    hx, hy = grid.spacing
    modes = [
        ({"mode": "constant"} if b == "dirichlet" else {"mode": "reflect"}) for b in grid.boundary
    ]
    ghost_x = np.pad(u, ((1, 1), (0, 0)), **modes[0])
    ghost_y = np.pad(u, ((0, 0), (1, 1)), **modes[1])
    expected = (
        -(ghost_x[2:] - 2 * u + ghost_x[:-2]) / hx**2
        - (ghost_y[:, 2:] - 2 * u + ghost_y[:, :-2]) / hy**2
    )
    u = torch.from_numpy(u)
    np.testing.assert_allclose((A @ u) / A.cell_fractions(), expected, atol=1e-10)
    if "neumann" in grid.boundary:  # negative control: divided by the fractions, not symmetric
        v, w = noise(A.grid, generator), noise(A.grid, generator)
        s = A.cell_fractions()
        assert ((A @ v / s * w).sum() - (A @ w / s * v).sum()).abs() > 1
        assert ((A @ v) * w).sum().item() == pytest.approx(((A @ w) * v).sum().item(), rel=1e-10)


def test_shares_are_the_weights_of_the_trapezoidal_rule():
    grid = Grid((6, 8), (1.0, 0.5), "neumann")
    hx, hy = grid.spacing
    torch.testing.assert_close(Laplacian(grid).cell_fractions() * hx * hy, grid.quadrature())


def test_dirichlet_sides_give_diffusion_with_coefficient_one(generator):
    grid = Grid((9, 12), (1.0, 0.6))
    one = Diffusion(torch.ones(grid.shape, dtype=torch.float64), grid)
    u = noise(grid.interior, generator)
    torch.testing.assert_close(Laplacian(grid) @ u, one @ u)
    f = noise(grid.interior, generator)
    assert torch.equal(Laplacian(grid).load(f), f)


@pytest.mark.parametrize("sides", SIDES)
def test_truncation_is_second_order_inside_and_at_the_sides(sides):
    """(A u - b) / s for u of the boundary's own slopes and zeros: u_xxx = 0 at a Neumann end."""
    errors = []
    for n in (17, 33, 65):
        grid = Grid((n, 2 * n - 1), (1.0, 2.0), sides)
        X, Y = grid.nodes()
        waves = [torch.sin if b == "dirichlet" else torch.cos for b in grid.boundary]
        u = waves[0](math.pi * X) * waves[1](math.pi * Y)
        A = Laplacian(grid)
        inside = without_boundary(u, grid)
        f = 2 * math.pi**2 * inside
        errors.append(((A @ inside - A.load(f)) / A.cell_fractions()).abs().max().item())
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert orders == pytest.approx([2, 2], abs=0.02)


def test_batches_and_gradients(generator):
    A = Laplacian(Grid((5, 6), boundary=("dirichlet", "neumann")))
    u = noise(A.grid, generator, 2, 3).requires_grad_()
    torch.testing.assert_close((A @ u)[1, 2], A @ u[1, 2])
    assert torch.autograd.gradcheck(A.apply, (u,))
    f = noise(A.grid, generator, 2, 3)
    torch.testing.assert_close(A.load(f)[1, 2], A.load(f[1, 2]))


def test_load_takes_the_mean_of_a_neumann_source_only(generator):
    for sides in SIDES:
        A = Laplacian(Grid((5, 6), boundary=sides))
        f = noise(A.grid, generator, 3) + 1
        sums = A.load(f).sum((-2, -1))
        assert (sums.abs() < 1e-12).all() == (not A.positive_definite)
        if not A.positive_definite:
            torch.testing.assert_close(A.load(f), A.load(f + 7))


def test_mixed_sides_are_solved_by_any_solver(generator):
    A = Laplacian(Grid((20, 17), boundary=("neumann", "dirichlet")))
    b = noise(A.grid, generator)
    x = solve_sparse(A, b)
    y = cg(A, b, rtol=1e-12)
    assert x.converged
    assert y.converged
    assert (x.x - y.x).norm() / x.x.norm() < 1e-9


def test_conjugate_gradients_solve_the_singular_operator(generator):
    A = Laplacian(Grid((9, 12), boundary="neumann"))
    b = A.load(noise(A.grid, generator))
    result = cg(A, b, rtol=1e-11)
    assert result.converged
    assert abs(result.x.sum()) < 1e-10
    assert (A @ result.x - b).norm() < 1e-10 * b.norm()
