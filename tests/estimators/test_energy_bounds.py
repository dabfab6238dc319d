"""Guaranteed bounds of the energy error: identities, exact solutions, refined references."""

import math

import pytest
import torch

from pdeops.datasets import Darcy, Poisson
from pdeops.domain import Grid
from pdeops.estimators import EnergyBounds
from pdeops.estimators.equilibrated_flux import (
    equilibrated_fluxes,
    flux_at_points,
    imbalance,
    plain_fluxes,
)
from pdeops.estimators.half_cells import HalfCells, mean_square
from pdeops.solvers import cg, with_boundary, without_boundary

GRIDS = {
    "line": Grid((9,), 2.0),
    "ring": Grid((8,), boundary="periodic"),
    "square": Grid((7, 9), (1.0, 2.0)),
    "sides": Grid((6, 7), (1.0, 0.5), ("dirichlet", "neumann")),
    "closed": Grid((6, 7), (1.0, 0.5), "neumann"),
    "channel": Grid((6, 7), (2.0, 1.0), ("periodic", "dirichlet")),
    "torus": Grid((6, 4), boundary="periodic"),
    "box": Grid((5, 4, 6), (1.0, 2.0, 1.0), ("dirichlet", "neumann", "periodic")),
}


def drawn(grid, seed=0, contrast=4.0):
    """A coefficient, a source and two fields at the nodes of a grid."""
    generator = torch.Generator().manual_seed(seed)
    g = torch.randn(4, *grid.shape, generator=generator, dtype=torch.float64)
    exponent = g[0].clamp(-1.5, 1.5) / 3 * math.log(contrast)
    return exponent.exp(), g[1] + 0.5, g[2], g[3]


def functional(bounds, v):
    """J(v) = ∫ a |∇v|² / 2 - f v, with 2 (J(v) - J(u*)) = ∫ a |∇(v - u*)|²."""
    a, f = bounds.on_halves
    return (bounds.cells.energy(v, a) / 2 - bounds.cells.load(v, f)).item()


@pytest.mark.parametrize("name", GRIDS)
def test_the_misfits_of_two_fields_differ_as_their_energies(name):
    """∫|σ - a∇v|²/a = ∫a|∇(u* - v)|² + ∫|σ - a∇u*|²/a if and only if σ balances f: the second term
    cancels in the difference of two fields."""
    grid = GRIDS[name]
    a, f, u, v = drawn(grid)
    bounds = EnergyBounds(a, f, grid)
    u, v = (with_boundary(without_boundary(x, grid), grid) for x in (u, v))
    fluxes = equilibrated_fluxes(u, bounds.f, bounds.A, a, bounds.cells)
    sigma = flux_at_points(fluxes, bounds.f, bounds.cells)
    fields = [bounds.cells.conforming(x, a) for x in (u, v)]
    squares = [bounds.cells.misfit(x, sigma, bounds.on_halves[0]).item() for x in fields]
    energies = [2 * functional(bounds, x) for x in fields]
    assert squares[0] - squares[1] == pytest.approx(energies[0] - energies[1], rel=1e-11)
    # The same for the sums over faces: h^d (u·A u - 2 b·u).
    squares = [bounds._discrete_misfit(x, fluxes) ** 2 for x in (u, v)]
    inside = [without_boundary(x, grid) for x in (u, v)]
    sums = [(x * (bounds.A.apply(x) - 2 * bounds.b)).sum().item() for x in inside]
    volume = math.prod(grid.spacing)
    assert squares[0] - squares[1] == pytest.approx(volume * (sums[0] - sums[1]), rel=1e-11)
    rest = imbalance(sigma, bounds.on_halves[1], bounds.cells)
    assert rest.abs().max() < 1e-11 * sum(s.abs().max() for s in sigma) / min(bounds.cells.sides)


def test_a_parabola_on_a_line():
    """-u'' = 1: the interpolant on n cells has |∇(u* - v)|² = h²/12, and the flux is exact."""
    grid = Grid((9,))
    x = grid.axis(0)
    bounds = EnergyBounds(1.0, torch.ones(9, dtype=torch.float64), grid)(x * (1 - x) / 2)
    assert bounds.upper == pytest.approx(math.sqrt(1 / 12 / 8**2), rel=1e-12)
    assert bounds.norm_upper == pytest.approx(math.sqrt(1 / 12), rel=1e-12)
    # Halved cells have a quarter of the square of the error: no field on them gives a bound above.
    assert 0.98 < bounds.lower / (math.sqrt(3 / 4) * bounds.upper) < 1 + 1e-12
    assert bounds.discrete_upper < 1e-14


def test_the_flux_of_a_conforming_field_is_continuous_between_two_nodes():
    a = torch.tensor([1.0, 9.0, 9.0], dtype=torch.float64)
    u = torch.tensor([0.0, 5.0, 0.0], dtype=torch.float64)
    v = HalfCells(Grid((3,))).conforming(u, a)
    assert v.tolist() == pytest.approx([0.0, 4.5, 5.0, 2.5, 0.0])
    assert (v[1] - v[0]) * a[0] == pytest.approx(((v[2] - v[1]) * a[1]).item())


@pytest.mark.parametrize(
    ("name", "eigenvalue"),
    [("line", 1 / 4), ("square", 1 + 1 / 4), ("sides", 1), ("closed", 1), ("torus", 4), ("box", 1)],
)
def test_what_an_unbalanced_source_adds(name, eigenvalue):
    """|rest| over the root of the smallest eigenvalue of -Δ, here in units of π², and of min a."""
    grid = GRIDS[name]
    bounds = EnergyBounds(torch.full(grid.shape, 4.0), drawn(grid)[1], grid)
    rest = torch.ones([2 * m for m in grid.cells], dtype=torch.float64)
    expected = math.sqrt(grid.volume / eigenvalue) / (2 * math.pi)
    assert bounds._round_off(rest) == pytest.approx(expected, rel=1e-12)


def refined(u, factor, ends):
    """The function that is constant around each node, at the nodes of a grid refined by an odd
    factor."""
    for axis, end in enumerate(ends):
        n = u.shape[axis]
        m = (n - 1) * factor + 1 if end else n * factor
        u = u.index_select(axis, ((torch.arange(m) + factor // 2) // factor) % n)
    return u


def exact_error(bounds, u, factor=5):
    """A lower and an upper bound of the error of u, from a grid refined by an odd factor."""
    cells, grid = bounds.cells, bounds.cells.grid
    fine = grid.refined(factor)
    ends = [b != "periodic" for b in grid.boundary]
    reference = EnergyBounds(refined(bounds.a, factor, ends), refined(bounds.f, factor, ends), fine)
    solution = cg(reference.A, reference.b, M=reference.M, rtol=1e-12).x
    truth = reference(with_boundary(solution, fine))
    v = cells.conforming(with_boundary(without_boundary(u, grid), grid), bounds.a)
    twice = 2 * functional(bounds, v)
    return (
        math.sqrt(max(twice + truth.norm_lower**2, 0.0)),
        math.sqrt(twice + truth.norm_upper**2),
    )


PROBLEMS = {
    "piecewise": Darcy("piecewise", num_modes=16),
    "lognormal": Darcy("lognormal", num_modes=16),
    "multiscale": Darcy("multiscale", num_scales=3),
    "gaussian": Poisson("gaussian", num_modes=16),
    "neumann": Poisson("neumann", num_modes=8),
    "mixed": Poisson("mixed", num_modes=8),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_bounds_enclose_the_error(name):
    """The solution of the discrete system, a prediction that is wrong by 1 to 10 %, zero."""
    problem = PROBLEMS[name]
    grid = problem.grid((17, 17))
    x = problem.sample_input(grid, 0, 0)
    bounds = EnergyBounds(*problem.diffusion(x, grid), grid)
    solution = problem.solve(x, grid).x
    wave = torch.sin(2 * math.pi * grid.nodes()[0]) * grid.nodes()[1]
    for size in (0.0, 0.01, 0.1):
        u = solution + size * solution.abs().max() * wave
        got = bounds(u)
        low, high = exact_error(bounds, u)
        assert got.lower <= high
        assert got.upper >= low
        assert got.upper < 1.6 * low
        assert got.lower > 0.7 * high
        assert got.relative_lower <= high / got.norm_lower
    nothing = bounds(torch.zeros_like(u))
    assert nothing.relative_upper == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("name", ["ring", "channel", "torus"])
def test_the_bounds_enclose_the_error_on_periodic_axes(name):
    grid = GRIDS[name]
    a, f, u, _ = drawn(grid)
    bounds = EnergyBounds(a, f, grid)
    for field in (u, torch.zeros_like(u)):
        got = bounds(field)
        low, high = exact_error(bounds, field)
        assert low <= got.upper < 1.6 * low
        assert 0.5 * high < got.lower <= high


@pytest.mark.parametrize("seed", range(16))
def test_no_bound_is_violated(seed):
    """Random coefficients of contrast up to 1e4, random fields, few or no steps; the truth is
    enclosed by the bounds of the discrete solution."""
    names = list(GRIDS)
    grid = GRIDS[names[seed % len(names)]]
    a, f, u, _ = drawn(grid, seed, contrast=10.0 ** (seed % 5))
    bounds = EnergyBounds(a, f, grid, steps=seed % 3)
    solution = with_boundary(cg(bounds.A, bounds.b, M=bounds.M, rtol=1e-12).x, grid)
    got, best = bounds(u), EnergyBounds(a, f, grid)(solution)
    inside = with_boundary(without_boundary(u, grid), grid)
    twice = 2 * functional(bounds, bounds.cells.conforming(inside, a))
    assert got.upper**2 >= (twice + best.norm_lower**2) * (1 - 1e-9)
    assert got.lower**2 <= (twice + best.norm_upper**2) * (1 + 1e-9)
    assert got.norm_lower <= best.norm_upper * (1 + 1e-9)
    assert got.norm_upper >= best.norm_lower * (1 - 1e-9)
    e = without_boundary(solution - inside, grid)
    error = math.sqrt(math.prod(grid.spacing) * (e * (bounds.A @ e)).sum().item())
    assert got.discrete_lower <= error * (1 + 1e-7)
    assert got.discrete_upper >= error * (1 - 1e-7)


def test_two_steps_give_a_sharp_discrete_bound():
    problem = PROBLEMS["lognormal"]
    grid = problem.grid((33, 33))
    x = problem.sample_input(grid, 0, 1)
    a, f = problem.diffusion(x, grid)
    u = 0.9 * problem.solve(x, grid).x
    none, two = (EnergyBounds(a, f, grid, steps=k)(u) for k in (0, 2))
    assert two.discrete_upper < 1.001 * two.discrete_lower
    assert two.lower > 2 * none.lower
    assert none.discrete_upper >= two.discrete_upper


def test_a_wrong_flux_is_noticed():
    """Negative control: the flux of the prediction itself does not balance the source, and its
    misfit is no bound."""
    problem = PROBLEMS["piecewise"]
    grid = problem.grid((17, 17))
    x = problem.sample_input(grid, 0, 0)
    a, f = problem.diffusion(x, grid)
    bounds = EnergyBounds(a, f, grid)
    u = 0.5 * problem.solve(x, grid).x
    cells = bounds.cells
    sigma = flux_at_points(plain_fluxes(u, a, cells), f, cells)
    v = cells.conforming(u, a)
    assert cells.misfit(v, sigma, bounds.on_halves[0]).sqrt() < 0.5 * bounds(u).lower
    assert imbalance(sigma, bounds.on_halves[1], cells).abs().max() > 0.4


def test_integrals_on_half_cells():
    """Energy, load and diagonal of every field against numerical quadrature of the same field."""
    corners = torch.tensor([[1.0, 2.0], [4.0, -3.0]], dtype=torch.float64)
    s = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    x, y = s[:, None], s
    bilinear = 1 + (4 - 1) * x + (2 - 1) * y + (1 - 4 - 2 - 3) * x * y
    assert mean_square(corners, [0, 1]).item() == pytest.approx(
        (bilinear**2).mean().item(), rel=1e-6
    )
    grid = GRIDS["box"]
    a, f, _, _ = drawn(grid)
    cells = HalfCells(grid)
    on_halves = cells.of_nodes(a)
    points = cells.closed(torch.zeros(grid.shape, dtype=torch.float64)).shape
    for point in ((0, 0, 0), (3, 2, 1), (2, 6, 4), (8, 3, 6)):
        v = torch.zeros([2 * n - 1 for n in points], dtype=torch.float64)
        v[point] = 1
        if point[2] == 0:  # the same point at the other end of the periodic axis
            v[point[0], point[1], -1] = 1
        assert cells.energy(v, on_halves).item() == pytest.approx(
            cells.diagonal(on_halves)[point].item(), rel=1e-12
        )
    assert cells.load(torch.ones_like(v), cells.of_nodes(f * 0 + 2)).item() == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grid": Grid((7, 9), placement="centers")}, "placement 'endpoints'"),
        ({"u": torch.full((7, 9), math.nan)}, "NaN"),
        ({"u": torch.zeros(9, 7)}, "one field of shape"),
        ({"f": torch.full((7, 9), math.inf)}, "source holds NaN"),
        ({"a": 1.0, "f": torch.zeros(3, 3)}, "source"),
        ({"a": torch.zeros(7, 9)}, "positive"),
    ],
)
def test_bad_input(change, message):
    given = {"grid": Grid((7, 9)), "a": torch.ones(7, 9), "f": torch.ones(7, 9)}
    given = {**given, "u": torch.zeros(7, 9), **change}
    with pytest.raises(ValueError, match=message):
        EnergyBounds(given["a"], given["f"], given["grid"])(given["u"])
