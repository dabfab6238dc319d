import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from pdeops.domain import Grid
from pdeops.linop import check_spd
from pdeops.solvers import Diffusion, Multigrid, cg
from pdeops.solvers.operators import faces

SHAPES = [(9, 9), (10, 17), (17, 8), (3, 12), (12, 3), (3, 3)]


def lognormal(shape, generator):
    return torch.exp(torch.randn(*shape, generator=generator, dtype=torch.float64))


def observed_orders(errors):
    return [math.log2(a / b) for a, b in pairwise(errors)]


@pytest.mark.parametrize("shape", SHAPES)
def test_matrix_is_a_symmetric_m_matrix_and_equals_the_operator(shape, generator):
    A = Diffusion(lognormal(shape, generator), Grid(shape, extent=(1.0, 2.0)))
    matrix = A.to_csr()
    dense = matrix.toarray()
    u = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)
    np.testing.assert_allclose((A @ u).numpy().ravel(), dense @ u.numpy().ravel(), rtol=1e-12)
    np.testing.assert_allclose(A.diagonal().numpy().ravel(), matrix.diagonal(), rtol=1e-14)
    assert (dense == dense.T).all()
    off = dense - np.diag(np.diag(dense))
    assert (off <= 0).all()
    assert (dense.sum(axis=1) > -1e-12 * dense.max()).all()
    assert (np.linalg.inv(dense) > 0).all()
    check_spd(A)


def test_constant_coefficient_gives_the_five_point_stencil():
    A = Diffusion(torch.full((5, 7), 2.0, dtype=torch.float64), Grid((5, 7), extent=(4.0, 3.0)))
    u = torch.zeros(A.grid.shape, dtype=torch.float64)
    u[1, 2] = 1
    column = A @ u  # h = (1, 1/2)
    assert column[1, 2] == 2 * (2 * 1 + 2 * 4)
    assert column[0, 2] == column[2, 2] == -2
    assert column[1, 1] == column[1, 3] == -8
    assert column.count_nonzero() == 5


def test_truncation_is_second_order_for_smooth_coefficients():
    errors = []
    for n in (33, 65, 129):
        grid = Grid((n, 2 * n - 1), extent=(1.0, 2.0))
        x, y = grid.nodes()
        k = torch.exp(x - y)
        s, c = torch.sin, torch.cos
        u = s(math.pi * x) * s(math.pi * y)
        u_x = math.pi * c(math.pi * x) * s(math.pi * y)
        u_y = math.pi * s(math.pi * x) * c(math.pi * y)
        f = -k * (-2 * math.pi**2 * u + u_x - u_y)  # k_x = k, k_y = -k
        inner = (slice(1, -1), slice(1, -1))
        errors.append((Diffusion(k, grid) @ u[inner] - f[inner]).abs().max().item())
    assert observed_orders(errors) == pytest.approx([2, 2], abs=0.05)


def test_solution_is_second_order_where_k_jumps_midway_between_nodes():
    """k = 1 | 10 at x = 1/2, p = g(x) sin(πy) with -(k g')' = 1, g continuous: the flux is too."""
    errors = []
    for cells in (17, 51, 153):
        grid = Grid((cells + 1, cells + 1))
        x, y = grid.nodes()
        left, right = 1.0, 10.0
        k = torch.where(x < 0.5, left, right)
        # k g' = c - x, g(0) = g(1) = 0.
        c = (1 / 8 / left + 3 / 8 / right) / (1 / 2 / left + 1 / 2 / right)
        g = torch.where(x < 0.5, (c * x - x**2 / 2) / left, (c * (x - 1) - (x**2 - 1) / 2) / right)
        p = g * torch.sin(math.pi * y)
        f = (1 + k * math.pi**2 * g) * torch.sin(math.pi * y)
        result = cg(Diffusion(k, grid), f[1:-1, 1:-1].contiguous(), rtol=1e-11)
        assert result.converged
        errors.append((result.x - p[1:-1, 1:-1]).abs().max().item())
    orders = [math.log(a / b, 3) for a, b in pairwise(errors)]
    assert orders == pytest.approx([2, 2], abs=0.1)


def test_batches_dtypes_and_strides_agree_with_one_field(generator):
    grid = Grid((12, 9))
    k = lognormal(grid.shape, generator)
    A = Diffusion(k, grid)
    u = torch.randn(3, 2, *A.grid.shape, generator=generator, dtype=torch.float64)
    assert torch.equal((A @ u)[2, 1], A @ u[2, 1])
    strided = u.transpose(0, 1)
    assert torch.equal((A @ strided)[1, 2], A @ u[2, 1])
    single = Diffusion(k.float(), grid) @ u.float()
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), A @ u, rtol=1e-4, atol=1e-3)
    out = torch.empty_like(u)
    assert A.apply_into(u, out) is out
    assert torch.equal(out, A @ u)


def test_in_another_precision_a_number_is_a_coefficient_too():
    """Its faces are made when they are asked for, in the precision that was asked for."""
    for grid in (Grid((9, 8)), Grid((9, 8), 1.0, "neumann", "centers")):
        A = Diffusion(2.0, grid, reaction=1.0).to(torch.float32)
        assert {f.dtype for f in A.faces} == {A.dtype} == {A.excess.dtype} == {torch.float32}
        u = torch.ones(A.grid.shape)
        torch.testing.assert_close(A @ u, (Diffusion(2.0, grid, reaction=1.0) @ u.double()).float())
        check_spd(Multigrid(A), rtol=1e-4)


def test_is_differentiable_in_field_and_coefficient(generator):
    grid = Grid((6, 7))
    k = lognormal(grid.shape, generator).requires_grad_()
    u = torch.randn(4, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda k, u: Diffusion(k, grid) @ u, (k, u))


def test_a_grid_without_an_unknown_is_refused():
    with pytest.raises(ValueError, match="no interior node"):
        Diffusion(torch.ones(2, 9), Grid((2, 9)))


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_reaction_must_be_finite_and_not_negative(bad):
    with pytest.raises(ValueError, match="finite and not negative"):
        Diffusion(1.0, Grid((9, 9)), reaction=bad)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_coefficients_must_be_positive_and_finite(bad):
    k = torch.ones(9, 9)
    k[4, 0] = bad
    with pytest.raises(ValueError, match="positive and finite"):
        Diffusion(k, Grid((9, 9)))


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="coefficient must have shape"):
        Diffusion(torch.ones(7, 7), Grid((9, 9)))
    with pytest.raises(ValueError, match="argument of Diffusion"):
        Diffusion(torch.ones(9, 9), Grid((9, 9))) @ torch.ones(9, 9)


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ((7,), {}),
        ((6, 9), {}),
        ((6, 9), {"boundary": ("dirichlet", "neumann")}),
        ((6, 9), {"boundary": ("periodic", "dirichlet"), "placement": ("left", "centers")}),
        ((4, 6, 5), {"boundary": ("neumann", "dirichlet", "periodic"), "extent": (1.0, 2.0, 3.0)}),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_fused_couplings_are_those_of_the_twin_to_the_last_bit(shape, box, dtype, generator):
    grid = Grid(shape, **box)
    a = torch.rand(shape, generator=generator, dtype=dtype) + 0.1
    for axis in range(grid.ndim):
        plain = faces.variable_faces(a.clone().requires_grad_(), grid, None, axis)
        assert plain.requires_grad
        assert torch.equal(faces.variable_faces(a, grid, None, axis), plain.detach())


@pytest.mark.parametrize("a", [1.0, None], ids=["constant", "variable"])
def test_bound_to_its_fields_it_is_the_same(a, generator):
    grid = Grid((7, 6))
    a = torch.rand(grid.shape, generator=generator, dtype=torch.float64) + 1 if a is None else a
    A = Diffusion(a, grid)
    u = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)
    out = torch.empty_like(u)
    product = A.bind(u, out)
    for _ in range(2):
        product()
        assert torch.equal(out, A @ u)
        u += 1
    batch, result = torch.stack((u, 2 * u)), torch.empty(2, *A.grid.shape, dtype=u.dtype)
    A.bind(batch, result)()
    assert torch.equal(result, A @ batch)
