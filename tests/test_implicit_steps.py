"""Implicit steps from predicted states: schemes, majorant, tolerance and accumulated error."""

import math

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
import torch

from pdeops.certify import implicit_steps
from pdeops.domain import Boundary, Grid
from pdeops.estimators import InverseMajorant, SystemBounds
from pdeops.polish import polished
from pdeops.solvers import Diffusion, without_boundary
from pdeops.solvers.evolution.diagonally_implicit import IMPLICIT_EULER, MIDPOINT, SDIRK2, SDIRK3
from pdeops.solvers.krylov.diagonal import Diagonal
from pdeops.solvers.operators.matrix import Matrix

SCHEMES = {"euler": IMPLICIT_EULER, "midpoint": MIDPOINT, "sdirk2": SDIRK2, "sdirk3": SDIRK3}
MIXED = (Boundary.NEUMANN, Boundary.DIRICHLET)


def stepped(scheme, z, u, dt, source):
    """Steps of u' = -z u + f as the class describes them."""
    for n in range(round(1 / dt)):
        stages = [u]
        for weights, c in zip(scheme.combinations, scheme.times, strict=True):
            past = sum(w * s for w, s in zip(weights, stages, strict=False))
            f = source((n + c) * dt)
            stages.append((past / (scheme.gamma * dt) + f) / (1 / (scheme.gamma * dt) + z))
        u = sum(w * s for w, s in zip(scheme.update, stages, strict=True))
    return u


@pytest.mark.parametrize("name", SCHEMES)
def test_order_in_time(name):
    """u = cos t solves u' = -3 u + 3 cos t - sin t."""
    scheme = SCHEMES[name]

    def error(dt):
        source = lambda t: 3 * math.cos(t) - math.sin(t)  # noqa: E731
        return abs(stepped(scheme, 3.0, 1.0, dt, source) - math.cos(1))

    assert math.log2(error(1 / 64) / error(1 / 128)) == pytest.approx(scheme.order, abs=0.1)


@pytest.mark.parametrize("name", SCHEMES)
def test_growth_bounds_the_error_of_a_step(name):
    """Against steps of eigenvalues z >= 1 with an error in u_n: attained, and never exceeded."""
    scheme = SCHEMES[name]
    z = np.concatenate([[1.0], np.geomspace(1.0, 1e6, 2000)])
    factor = np.abs(stepped(scheme, z, np.ones_like(z), 1.0, lambda t: 0.0)).max()
    growth = scheme.growth(1 / (1 + scheme.gamma))
    assert factor <= growth[0] * (1 + 1e-9)
    assert growth[0] == pytest.approx(factor, rel=1e-4)
    assert growth[0] <= 1
    assert growth[-1] == pytest.approx(abs(scheme.update[-1]))  # of the last stage


def coefficient(grid, contrast, seed=0):
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(grid.shape, generator=generator, dtype=torch.float64)
    return contrast**draws


@pytest.mark.parametrize("boundary", ["dirichlet", "neumann", "periodic", MIXED])
@pytest.mark.parametrize("reaction", [1e-2, 1e2])
def test_the_majorant_is_above_the_inverse(boundary, reaction):
    """The eigenvalues of G A lie in [1, (1 + s)²/(4 s)], s = max a / min a: 1 for constant a."""
    grid = Grid((6, 5), (1.0, 2.0), boundary)
    for a in (coefficient(grid, 50.0), torch.full(grid.shape, 3.0, dtype=torch.float64)):
        A, G = Diffusion(a, grid, reaction=reaction), InverseMajorant(a, grid, reaction)
        unit = torch.eye(A.grid.num_nodes, dtype=torch.float64).view(-1, *A.grid.shape)
        products = G.apply(A.apply(unit)).flatten(1)
        values = torch.linalg.eigvals(products).real
        assert values.min() > 1 - 1e-9
        s = a.max() / a.min()
        assert values.max() < (1 + s) ** 2 / (4 * s) + 1e-9
        if reaction < 1 and a.max() > a.min():
            assert values.max() > 1.3, "the coefficient matters"


def exact_steps(scheme, a, u0, grid, dt, steps, f):
    """The states by sparse LU, from the definition of a Runge-Kutta scheme: U = u + Δt a F."""
    mass = Diffusion(1.0, grid).cell_fractions().flatten().numpy()
    L = Diffusion(a, grid).to_csr()
    load = mass * without_boundary(f, grid).flatten().numpy()
    matrix, weights = np.array(scheme.matrix), np.array(scheme.weights)
    n, s = len(mass), len(matrix)
    u = [without_boundary(u0, grid).flatten().numpy()]
    S = scipy.sparse.diags_array(mass)
    whole = scipy.sparse.kron(scipy.sparse.eye_array(s), S) + dt * scipy.sparse.kron(matrix, L)
    solve = scipy.sparse.linalg.splu(scipy.sparse.csc_array(whole)).solve
    for _ in range(steps):
        rates = solve(np.tile(load - L @ u[-1], s)).reshape(s, n)
        u.append(u[-1] + dt * weights @ rates)
    A = (S / (scheme.gamma * dt) + L).tocsr()
    return u, lambda e: math.sqrt(e @ (A @ e))


@pytest.mark.parametrize(
    ("name", "boundary"),
    [("euler", MIXED)]
    + [
        pytest.param(name, boundary, marks=pytest.mark.slow)
        for name in SCHEMES
        for boundary in ("dirichlet", MIXED, "periodic")
    ],
)
def test_the_accumulated_error_is_below_its_bound(name, boundary):
    """And it is not far below: solves of 1e-2 with contrast 10, against states by sparse LU."""
    scheme, grid = SCHEMES[name], Grid((12, 9), boundary=boundary)
    a, (x, y) = coefficient(grid, 10.0), grid.nodes()
    u0 = torch.sin(math.pi * x) * torch.sin(math.pi * y)
    f = 1 + x + 0 * y
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(grid.shape, generator=generator, dtype=torch.float64)
    exact, norm = exact_steps(scheme, a, u0, grid, 0.02, 5, f)
    M = Diagonal(Diffusion(a, grid, reaction=50 / scheme.gamma))
    for tol in (1e-2, 1e-8):
        found = implicit_steps(
            a, u0, grid, dt=0.02, steps=5, tol=tol, source=f, guess=lambda t, u: noise,
            scheme=scheme, compared=(), M=M,
        )  # fmt: skip
        assert all(bars[-1] <= tol for bars in found.bars["prediction"])
        ratios = []
        for u, v, bound in zip(exact[1:], found.states[1:], found.errors, strict=True):
            error = norm(without_boundary(v, grid).flatten().numpy() - u) / norm(u)
            assert error <= bound
            ratios.append(bound / error)
        assert min(ratios) < 10
        assert found.errors[-1] < 100 * tol


def test_an_exact_guess_needs_no_iteration_and_a_poor_one_saves_none():
    grid = Grid((11, 11))
    x, y = grid.nodes()
    a, u0 = 1 + x, torch.sin(math.pi * x) * torch.sin(math.pi * y)
    M = Diagonal(Diffusion(a, grid, reaction=1e3))
    options = {"dt": 1e-3, "steps": 4, "tol": 1e-6, "M": M}
    tight = implicit_steps(a, u0, grid, **{**options, "tol": 1e-11}, compared=())
    states = dict(zip(tight.times, tight.states, strict=True))
    found = implicit_steps(a, u0, grid, **options, guess=lambda t, u: states[t])
    table = dict(found.iterations())
    assert list(table) == pytest.approx([10.0**-k for k in range(1, 7)])
    assert table[1e-6]["prediction"] == 0
    assert table[1e-6]["zero"] > table[1e-6]["last state"] > table[1e-6]["quadratic extrapolation"]
    text = found.to_markdown()
    assert "the prediction saved" in text
    assert "zero" not in text[text.index("As good") :]
    poor = implicit_steps(a, u0, grid, **options, guess=lambda t, u: torch.zeros_like(u0))
    assert dict(poor.iterations())[1e-6]["prediction"] == table[1e-6]["zero"]
    text = poor.to_markdown()
    assert "saved no iteration" in text
    assert "As good a first iterate was zero at every tolerance" in text
    assert torch.allclose(poor.states, tight.states, rtol=0, atol=1e-5)


def test_transforms_solve_a_step_of_a_constant_coefficient():
    """One iteration from every first iterate, and the report says that none is needed."""
    grid = Grid((9, 9), boundary="neumann")
    u0 = torch.cos(math.pi * grid.nodes()[0])
    found = implicit_steps(
        2.0, u0, grid, dt=0.1, steps=2, tol=1e-9, guess=lambda t, u: 0.9 * u0 + 0.1
    )
    assert {n: max(len(b) for b in bars) for n, bars in found.bars.items()}["zero"] == 2
    assert "a first iterate saves nothing" in found.to_markdown()


def test_a_step_of_a_matrix():
    """M/Δt + K of linear elements on (0, 1) with a lumped mass matrix, for which Δt/M is a
    majorant."""
    n, dt = 30, 1e-3
    K = scipy.sparse.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n))
    mass = scipy.sparse.diags_array(np.full(n, 1 / (n + 1)))
    A = Matrix(mass / dt + K * (n + 1.0))
    x = np.linspace(0, 1, n + 2)[1:-1]
    b = torch.from_numpy(np.sin(9 * x) + x)
    G = Diagonal(Matrix(mass / dt))
    bounds = SystemBounds(A, b, Diagonal(A), G, A.grid)
    exact = torch.from_numpy(scipy.sparse.linalg.spsolve(A.matrix.tocsc(), b.numpy()))
    for tol in (1e-1, 1e-4):
        found = polished(bounds, torch.from_numpy(x), tol)
        e = found.u - exact
        error = ((e * (A @ e)).sum() / (exact * (A @ exact)).sum()).sqrt().item()
        assert error <= found.bars[-1] <= tol
    assert polished(bounds, exact, 1e-6).iterations == 0


def test_bad_input():
    grid = Grid((9, 9))
    a, u0 = coefficient(grid, 3.0), torch.ones(9, 9, dtype=torch.float64)
    options = {"dt": 0.1, "steps": 1, "tol": 1e-3}
    with pytest.raises(ValueError, match="NaN"):
        implicit_steps(a, u0, grid, **options, guess=lambda t, u: u0 * math.nan)
    with pytest.raises(ValueError, match="NaN"):
        implicit_steps(a, u0, grid, **options, source=math.nan)
    with pytest.raises(ValueError, match="round-off"):
        implicit_steps(a, u0, grid, **{**options, "tol": 1e-17})
    with pytest.raises(ValueError, match="positive and below 1"):
        implicit_steps(a, u0, grid, **{**options, "tol": 1.0})
    with pytest.raises(ValueError, match="dt > 0"):
        implicit_steps(a, u0, grid, **{**options, "dt": -0.1})
    with pytest.raises(ValueError, match="cubic"):
        implicit_steps(a, u0, grid, **options, compared=["cubic"])
    A = Matrix(np.array([[1.0, 2.0], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="symmetric positive definite"):
        SystemBounds(A, torch.ones(2, dtype=torch.float64), A, A, A.grid)
