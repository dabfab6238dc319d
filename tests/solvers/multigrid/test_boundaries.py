"""`Diffusion` on every boundary and placement, one to three axes, with reaction and walls."""

import math
from functools import reduce
from itertools import pairwise, product

import numpy as np
import pytest
import torch

from pdeops.domain import Grid
from pdeops.kernels.diffusion import reference as plain
from pdeops.linop import check_spd
from pdeops.solvers import Diffusion, Laplacian, without_boundary

AXES = [
    ("dirichlet", "endpoints"),
    ("dirichlet", "interior"),
    ("dirichlet", "centers"),
    ("neumann", "endpoints"),
    ("neumann", "centers"),
    ("periodic", "left"),
    ("periodic", "centers"),
]
# Waves with the boundary's own zeros and slopes, and their wavenumbers on the unit interval.
WAVES = {
    "dirichlet": (torch.sin, math.pi),
    "neumann": (torch.cos, math.pi),
    "periodic": (lambda x: torch.sin(x + 0.3), 2 * math.pi),
}


def box(axes, shape, extent=(1.0, 2.0, 0.5)):
    boundary, placement = zip(*axes, strict=True)
    return Grid(shape, extent[: len(shape)], boundary, placement)


def noise(shape, generator):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def every(ndim):
    return (
        list(product(AXES, repeat=ndim))
        if ndim < 3
        else [(a, b, AXES[3]) for a in AXES for b in AXES]
    )


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_matrix_operator_and_twin_are_one_symmetric_m_matrix(ndim, generator):
    for axes in every(ndim):
        grid = box(axes, (5, 4, 6)[:ndim])
        k = torch.exp(noise(grid.shape, generator))
        for a, c in product((2.0, k), (0.0, 0.7, k)):
            A = Diffusion(a, grid, reaction=c)
            u = noise((2, *A.grid.shape), generator)
            dense = A.to_csr().toarray()
            expected = torch.from_numpy(u.flatten(1).numpy() @ dense).reshape(u.shape)
            size = np.abs(dense).max()
            assert (dense == dense.T).all()
            assert (dense - np.diag(dense.diagonal()) <= 0).all()
            assert (A @ u - expected).abs().max() < 1e-14 * size * u.abs().max()
            twin = plain.apply(u, A.faces, A.excess, A.periodic)
            assert (twin - expected).abs().max() < 1e-14 * size * u.abs().max()
            np.testing.assert_allclose(A.diagonal().numpy().ravel(), dense.diagonal(), rtol=1e-13)
            if ndim < 3:
                assert (np.linalg.eigvalsh(dense)[0] > 1e-12 * size) == A.positive_definite


def manufactured(axes, n, ndim):
    """u, a and f = -div(a grad u) + c u at the unknowns; a = exp of a wave without slope."""
    extent = (1.0, 1.5, 0.75)[:ndim]
    grid = box(axes, (n,) * ndim, extent)
    X = grid.nodes().requires_grad_()
    waves = [WAVES[b] for b, _ in axes]
    u = reduce(torch.mul, [f(k * x / L) for (f, k), x, L in zip(waves, X, extent, strict=True)])
    smooth = [torch.cos(2 * math.pi * x / L) for x, L in zip(X, extent, strict=True)]
    a = torch.exp(0.3 * sum(smooth))
    c = 1 + 0.5 * smooth[0]

    def gradient(v):
        return torch.autograd.grad(v.sum(), X, create_graph=True)[0]

    flux = a * gradient(u)
    divergence = sum(gradient(flux[i])[i] for i in range(ndim))
    f = -divergence + c * u
    return [v.detach() for v in (u, a, c, f)], grid


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_solutions_are_second_order(ndim, generator):
    """By a direct solve, in the maximum norm; truncation alone is of lower order at half cells."""
    from scipy.sparse.linalg import spsolve

    families = (
        every(ndim) if ndim < 3 else [(AXES[2], AXES[3], AXES[5]), (AXES[4], AXES[0], AXES[6])]
    )
    for axes in families:
        errors, widths = [], []
        for n in {1: (32, 64), 2: (24, 48), 3: (10, 20)}[ndim]:
            (u, a, c, f), grid = manufactured(axes, n, ndim)
            A = Diffusion(a, grid, reaction=c)
            b = A.load(without_boundary(f, grid)).numpy().ravel()
            x = torch.from_numpy(spsolve(A.to_csr().tocsc(), b)).reshape(A.grid.shape)
            errors.append((x - without_boundary(u, grid)).abs().max().item())
            widths.append(grid.spacing[0])
        pairs = zip(pairwise(errors), pairwise(widths), strict=True)
        orders = [math.log(e / f) / math.log(h / k) for (e, f), (h, k) in pairs]
        assert 1.8 < orders[-1] < 2.35, (axes, orders)


def test_a_number_is_a_field_of_that_number(generator):
    for axes in every(2):
        grid = box(axes, (6, 7))
        field = torch.full(grid.shape, 3.0, dtype=torch.float64)
        a, b = Diffusion(3, grid, reaction=2), Diffusion(field, grid, reaction=2 * field / 3)
        u = noise(a.grid.shape, generator)
        torch.testing.assert_close(a @ u, b @ u, rtol=1e-12, atol=1e-10)
        torch.testing.assert_close(a @ u, plain.apply(u, a.faces, a.excess, a.periodic))
        assert (a @ u.float()).dtype == torch.float32


def test_gradients_in_field_coefficient_and_reaction(generator):
    grid = Grid(
        (3, 4, 3),
        boundary=("neumann", "periodic", "dirichlet"),
        placement=("endpoints", "left", "centers"),
    )
    k = torch.exp(noise(grid.shape, generator)).requires_grad_()
    c = torch.exp(noise(grid.shape, generator)).requires_grad_()
    u = noise(grid.shape, generator).requires_grad_()
    assert torch.autograd.gradcheck(lambda k, c, u: Diffusion(k, grid, reaction=c) @ u, (k, c, u))


def test_kernel_of_a_floating_box(generator):
    A = Laplacian(Grid((8, 9), boundary=("periodic", "neumann")))
    assert not A.positive_definite
    b = noise((3, *A.grid.shape), generator)
    assert (A @ torch.ones_like(b)).abs().max() < 1e-10
    assert A.project(b).sum((-2, -1)).abs().max() < 1e-12
    assert A.load(b).sum((-2, -1)).abs().max() < 1e-12
    torch.testing.assert_close(A.project(A.project(b)), A.project(b))
    regular = Laplacian(Grid((8, 9)))
    assert torch.equal(regular.project(b[..., :6, :7]), b[..., :6, :7])


WALLED = torch.tensor(
    [
        [1, 1, 0, 1, 1],
        [1, 1, 0, 0, 1],
        [0, 0, 1, 0, 1],
        [1, 1, 0, 1, 1],
    ],
    dtype=torch.bool,
)


@pytest.mark.parametrize(
    ("boundary", "floating"),
    [
        (("neumann", "neumann"), 4),  # left top, the single cell, left bottom, right
        (("periodic", "neumann"), 3),  # top and bottom touch over the seam
        (("neumann", "periodic"), 2),  # left and right touch over the seam; the single cell
        (("dirichlet", "neumann"), 1),  # all but the single cell reach the ends of x
    ],
)
def test_walls_divide_the_kernel(boundary, floating, generator):
    grid = Grid((4, 5), boundary=boundary, placement="centers")
    k = torch.exp(noise(grid.shape, generator))
    A = Diffusion(k, grid, fluid=WALLED)
    dense = A.to_csr().toarray()
    wet = WALLED.numpy().ravel()
    assert (dense[~wet] == 0).all()
    assert (dense[:, ~wet] == 0).all()
    values, vectors = np.linalg.eigh(dense[np.ix_(wet, wet)])
    size = values[-1]
    assert (values < 1e-12 * size).sum() == floating == A.regions.num_floating
    # project is the orthogonal projection onto the range.
    b = noise(grid.shape, generator)
    range_ = vectors[:, values > 1e-12 * size]
    expected = np.zeros(20)
    expected[wet] = range_ @ (range_.T @ b.numpy().ravel()[wet])
    np.testing.assert_allclose(A.project(b).numpy().ravel(), expected, atol=1e-12)
    np.testing.assert_allclose(A.project(A.load(b)), A.load(b), atol=1e-12)
    assert not A.positive_definite


def test_walls_of_a_box_all_fluid_change_nothing(generator):
    grid = Grid((6, 5))
    k = torch.exp(noise(grid.shape, generator))
    fluid = torch.ones(grid.shape, dtype=torch.bool)
    A, B = Diffusion(k, grid, fluid=fluid), Diffusion(k, grid)
    u = noise(A.grid.shape, generator)
    assert torch.equal(A @ u, B @ u)
    assert A.positive_definite
    check_spd(A)


def test_a_box_all_solid_is_the_zero_operator(generator):
    grid = Grid((4, 4), boundary="neumann")
    A = Diffusion(1.0, grid, fluid=torch.zeros(grid.shape, dtype=torch.bool))
    u = noise(grid.shape, generator)
    assert (A @ u).count_nonzero() == 0
    assert A.project(u).count_nonzero() == 0
    assert A.to_csr().nnz == 0
