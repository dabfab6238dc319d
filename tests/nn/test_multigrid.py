"""The cycle is linear, is the recursion of the book, and contains classical multigrid."""

import math
from functools import reduce

import pytest
import torch

from pdeops.domain import Grid
from pdeops.nn.multigrid import MultigridCycle, Prolongation, Restriction, default_levels

HAT = torch.tensor([0.5, 1, 0.5], dtype=torch.float64)
CENTRE = torch.tensor([0, 1, 0], dtype=torch.float64)
SECOND_DIFFERENCE = torch.tensor([-1, 2, -1], dtype=torch.float64)


def tensor_product(factors):
    return reduce(lambda a, b: a[..., None] * b, factors)


def multilinear(ndim):
    """Weights of linear interpolation along every axis."""
    return tensor_product([HAT] * ndim)


def laplacian(ndim):
    """Sum of second differences along the axes: 2d in the middle, -1 beside it."""
    axes = range(ndim)
    return sum(
        tensor_product([SECOND_DIFFERENCE if i == j else CENTRE for j in axes]) for i in axes
    )


def cycle(grid, *, channels=(2, 3), seed=0, **arguments):
    torch.manual_seed(seed)
    arguments.setdefault("levels", default_levels(grid))
    return MultigridCycle(*channels, grid, **arguments).double()


def matrix(linear, shape, channels):
    """The dense matrix of a linear map of fields, column by column."""
    columns = torch.eye(channels * math.prod(shape), dtype=torch.float64)
    images = linear(columns.reshape(-1, channels, *shape))
    return images.detach().flatten(1).T


@pytest.mark.parametrize("boundary", ["dirichlet", "periodic", "neumann", ("periodic", "neumann")])
@pytest.mark.parametrize("shape", [(17, 17), (16, 21), (17,), (40,), (9, 12, 8)])
def test_linear(boundary, shape, generator):
    if isinstance(boundary, tuple):
        boundary = (*boundary, "dirichlet")[: len(shape)]
    W = cycle(Grid(shape, boundary=boundary))
    x, y = torch.randn(2, 1, 2, *shape, generator=generator, dtype=torch.float64)
    gap = W(2.5 * x - 0.3 * y) - (2.5 * W(x) - 0.3 * W(y))
    assert gap.norm() <= 1e-12 * W(x).norm()
    assert (W(torch.zeros_like(x)) == 0).all()


@pytest.mark.parametrize("sweeps", [(1, 0), (1, 1), (2, 1)])
@pytest.mark.parametrize(
    "grid",
    [
        Grid((7, 7), placement="interior"),
        Grid((9, 6)),
        Grid((8, 8), boundary="periodic"),
        Grid((9, 8), boundary="neumann"),
        Grid((15,), placement="interior"),
        Grid((18,)),
        Grid((16,), boundary="periodic"),
        Grid((17,), boundary="neumann"),
        Grid((5, 4, 6), boundary=("dirichlet", "periodic", "neumann")),
    ],
    ids=lambda grid: f"{grid.ndim}D-" + "-".join(dict.fromkeys(grid.placement + grid.boundary)),
)
def test_is_the_recursion_of_matrices(grid, sweeps):
    """B = smoothing, residual restricted, correction prolonged, smoothing; with dense matrices."""
    W = cycle(grid, channels=(2, 3), levels=3 if grid.ndim == 1 else 2, sweeps=sweeps)

    def recursion(level, shape):
        A = matrix(level.A, shape, 3)
        B = torch.zeros(A.T.shape, dtype=torch.float64)
        identity = torch.eye(len(A), dtype=torch.float64)
        for S in level.pre:
            B = B + matrix(S, shape, 2) @ (identity - A @ B)
        if level.coarser is not None:
            coarse = level.R(torch.zeros(1, 2, *shape, dtype=torch.float64)).shape[2:]
            R = matrix(level.R, shape, 2)
            P = matrix(lambda u: level.P(u, shape), coarse, 3)
            B = B + P @ recursion(level.coarser, coarse) @ R @ (identity - A @ B)
        for S in level.post:
            B = B + matrix(S, shape, 2) @ (identity - A @ B)
        return B

    expected = recursion(W, grid.shape)
    torch.testing.assert_close(matrix(W, grid.shape, 2), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("n", range(4, 18))
@pytest.mark.parametrize(
    ("boundary", "placement"),
    [("dirichlet", "endpoints"), ("dirichlet", "interior"), ("periodic", "left")],
)
def test_prolongation_is_adjoint_to_restriction(n, boundary, placement, generator):
    if boundary == "periodic" and n % 2:
        pytest.skip("the two ends of an odd periodic axis are coarse nodes side by side")
    check_adjoint(Grid((n, 8), boundary=boundary, placement=placement), generator)


@pytest.mark.parametrize("shape", [(9,), (12,), (15,), (8, 6, 10), (9, 7, 6)])
@pytest.mark.parametrize(
    ("boundary", "placement"),
    [("dirichlet", "endpoints"), ("dirichlet", "interior"), ("periodic", "left")],
)
def test_transfers_are_adjoint_along_any_number_of_axes(shape, boundary, placement, generator):
    if boundary == "periodic":
        shape = tuple(n + n % 2 for n in shape)
    check_adjoint(Grid(shape, boundary=boundary, placement=placement), generator)


def check_adjoint(grid, generator):
    """(R f, u) = (f, P u) for random fields, once both have the same kernels."""
    R, P = Restriction(2, grid).double(), Prolongation(2, grid).double()
    P.load_state_dict(R.state_dict())
    f = torch.randn(1, 2, *grid.shape, generator=generator, dtype=torch.float64)
    Rf = R(f)
    u = torch.randn(Rf.shape, generator=generator, dtype=torch.float64)
    torch.testing.assert_close((Rf * u).sum(), (f * P(u, f.shape[2:])).sum())


@pytest.mark.parametrize("boundary", ["periodic", "neumann"])
@pytest.mark.parametrize("shape", [(16, 16), (9, 17), (10, 9), (16,), (9,), (6, 9, 8)])
def test_multilinear_prolongation_keeps_constants(boundary, shape):
    grid = Grid(shape, boundary=boundary)
    P = Prolongation(1, grid).double()
    P.weight.data[:] = multilinear(grid.ndim)
    coarse = [(n + 1) // 2 for n in shape]
    fine = P(torch.ones(1, 1, *coarse, dtype=torch.float64), shape)
    torch.testing.assert_close(fine, torch.ones_like(fine))


def classical(grid, *, levels, coarse_sweeps, omega=0.8):
    """V(1,1) for the Laplacian of second differences: damped Jacobi, multilinear P, R ~ Pᵀ.

    R = 2^(2-d) Pᵀ takes the factor h² of A along, so that one stencil serves all levels: in two
    dimensions, where finite elements know no h, R = Pᵀ.
    """
    d = grid.ndim
    W = cycle(grid, channels=(1, 1), levels=levels, coarse_sweeps=coarse_sweeps)
    level = W
    while level is not None:
        level.A.weight.data[:] = laplacian(d)
        for S in [*level.pre, *level.post]:
            S.weight.data[:] = omega / (2 * d) * tensor_product([CENTRE] * d)
        if level.coarser is not None:
            level.P.weight.data[:] = multilinear(d)
            level.R.weight.data[:] = 2 ** (2 - d) * multilinear(d)
        level = level.coarser
    return W.requires_grad_(False)


def convergence_factor(W, shape, generator, iterations=30):
    """rho(I - B A) by the power method, on fields of mean zero where A is singular."""
    e = torch.randn(1, 1, *shape, generator=generator, dtype=torch.float64)
    periodic = W.geometry.modes[0] == "circular"
    rates = []
    for _ in range(iterations):
        e = e / e.norm()
        e = e - W(W.A(e))
        if periodic:
            e = e - e.mean()
        rates.append(e.norm().item())
    return rates[-1]


@pytest.mark.parametrize(
    ("grid", "levels", "expected"),
    [
        (Grid((31, 31), placement="interior"), 4, 0.356),
        (Grid((63, 63), placement="interior"), 5, 0.363),
        (Grid((32, 32), boundary="periodic"), 4, 0.364),
        (Grid((64, 64), boundary="periodic"), 5, 0.364),
    ],
    ids=["interior31", "interior63", "periodic32", "periodic64"],
)
def test_contains_classical_multigrid(grid, levels, expected, generator):
    W = classical(grid, levels=levels, coarse_sweeps=40)
    assert convergence_factor(W, grid.shape, generator) == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize(
    ("grid", "levels", "omega", "expected"),
    [
        # Two grids in 1D: the smoothing factor 1/3 of damped Jacobi for each of the two sweeps.
        (Grid((15,), placement="interior"), 2, 2 / 3, 1 / 9),
        (Grid((127,), placement="interior"), 6, 2 / 3, 0.19),
        (Grid((128,), boundary="periodic"), 6, 2 / 3, 0.19),
        # In 3D it is 5/7 per sweep, (5/7)² = 0.51, approached from below.
        (Grid((15, 15, 15), placement="interior"), 3, 6 / 7, 0.48),
        (Grid((16, 16, 16), boundary="periodic"), 3, 6 / 7, 25 / 49),
    ],
    ids=["two-grid15", "interior127", "periodic128", "interior15x15x15", "periodic16x16x16"],
)
def test_contains_classical_multigrid_in_1d_and_3d(grid, levels, omega, expected, generator):
    W = classical(grid, levels=levels, coarse_sweeps=400 if levels == 2 else 40, omega=omega)
    assert convergence_factor(W, grid.shape, generator) == pytest.approx(expected, abs=0.006)


def test_classical_limit_needs_the_correction(generator):
    """Negative control: without the coarser levels the same smoother hardly converges."""
    grid = Grid((31, 31), placement="interior")
    W = classical(grid, levels=4, coarse_sweeps=40)
    W.P.weight.data.zero_()
    assert convergence_factor(W, grid.shape, generator) > 0.95


def test_periodic_shift_commutes(generator):
    grid = Grid((32, 48), boundary="periodic")
    W = cycle(grid, levels=4)
    f = torch.randn(1, 2, 32, 48, generator=generator, dtype=torch.float64)
    by = {"shifts": (8, -16), "dims": (2, 3)}
    gap = W(f.roll(**by)) - W(f).roll(**by)
    assert gap.norm() <= 1e-12 * W(f).norm()
    odd = {"shifts": (1, 0), "dims": (2, 3)}  # negative control: not a shift of the coarsest grid
    assert (W(f.roll(**odd)) - W(f).roll(**odd)).norm() > 1e-3 * W(f).norm()


@pytest.mark.parametrize(
    ("shape", "by", "odd"), [((64,), (16,), (1,)), ((16, 8, 24), (4, 4, -8), (0, 1, 0))]
)
def test_periodic_shift_commutes_in_1d_and_3d(shape, by, odd, generator):
    W = cycle(Grid(shape, boundary="periodic"), levels=3)
    f = torch.randn(1, 2, *shape, generator=generator, dtype=torch.float64)
    axes = tuple(range(2, 2 + len(shape)))
    gap = W(f.roll(by, axes)) - W(f).roll(by, axes)
    assert gap.norm() <= 1e-12 * W(f).norm()
    assert (W(f.roll(odd, axes)) - W(f).roll(odd, axes)).norm() > 1e-3 * W(f).norm()


@pytest.mark.parametrize(
    ("shape", "levels"),
    [((16, 16), 3), ((64, 64), 5), ((65, 65), 5), ((129, 129), 6), ((3, 9), 1), ((129,), 6)],
)
def test_default_levels(shape, levels):
    assert default_levels(Grid(shape)) == levels


@pytest.mark.parametrize(
    ("grid", "arguments", "message"),
    [
        (Grid((16, 16)), {"levels": 6}, "at most 4 levels"),
        (Grid((4, 4, 4, 4)), {"levels": 1}, "one to three axes"),
        (Grid((16, 16)), {"levels": 2, "sweeps": (0, 1)}, "at least one before"),
        (Grid((16, 16)), {"levels": 2, "coarse_sweeps": 1}, "two coarse sweeps"),
    ],
)
def test_says_what_does_not_fit(grid, arguments, message):
    with pytest.raises(ValueError, match=message):
        MultigridCycle(1, 1, grid, **arguments)
