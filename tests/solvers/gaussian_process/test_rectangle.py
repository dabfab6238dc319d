"""Separable equations on a rectangle by a Gaussian process with a product kernel."""

import math

import pytest
import torch

from pdeops.solvers import GaussianMixture, SecondOrder, StudentMixture, solve_on_rectangle

D2 = SecondOrder(a=1.0)
CHANGING = SecondOrder(b=lambda x: x - 0.5)
UNIT = ((0, 1), (0, 1))
COVERING = GaussianMixture.covering


def error(solution, exact, box=UNIT, order=(0, 0)):
    x, y = (torch.linspace(*side, 83, dtype=torch.float64) for side in box)
    truth = exact(*torch.meshgrid(x, y, indexing="ij"))
    return ((solution.on(x, y, order) - truth).norm() / truth.norm()).item()


def rough(x, y):
    """Not of the form p(x) q(y), nor zero on the boundary."""
    return torch.exp(x * y) + torch.sin(3 * x + y**2)


@pytest.mark.parametrize("c", [0.0, 40.0])
def test_equals_the_dense_kernel_system(c):
    """The function Σ α_i k₁(x - x_i) k₂(y - y_i) over all 144 nodes of 12 x 12, with the equation
    at inner nodes and the boundary values at the others: the same function, by one dense matrix of
    144 x 144 from the formulas of k and k''."""
    one, two = StudentMixture([0.0, 1.0], 0.3, [1.0, 0.4]), StudentMixture([0.5], 0.25)
    box = ((0.0, 1.0), (-0.5, 1.0))
    x, y = (torch.linspace(*side, 12, dtype=torch.float64) for side in box)
    X, Y = (v.flatten() for v in torch.meshgrid(x, y, indexing="ij"))
    f = torch.cos(5 * X - Y)
    dx, dy = X[:, None] - X, Y[:, None] - Y
    equation = one(dx, 2) * two(dy) + one(dx) * two(dy, 2) + c * one(dx) * two(dy)
    outside = (X == 0) | (X == 1) | (Y == -0.5) | (Y == 1)
    A = torch.where(outside[:, None], one(dx) * two(dy), equation)
    alpha = torch.linalg.solve(A, torch.where(outside, rough(X, Y), f))

    solution = solve_on_rectangle(
        (SecondOrder(a=1.0, c=c), D2), lambda x, y: torch.cos(5 * x - y), (one, two), box, rough,
        nodes=(12, 12),
    )  # fmt: skip
    p, q = (torch.linspace(*side, 17, dtype=torch.float64) for side in box)
    P, Q = (v.flatten() for v in torch.meshgrid(p, q, indexing="ij"))
    dense = (one(P[:, None] - X) * two(Q[:, None] - Y)) @ alpha
    torch.testing.assert_close(solution(P, Q), dense, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(solution.on(p, q).flatten(), dense, rtol=1e-8, atol=1e-8)


def test_a_product_of_sines():
    def exact(x, y):
        return torch.sin(100 * x) * torch.sin(100 * y)

    kernels = (COVERING(18, 1), COVERING(18, 1))
    solution = solve_on_rectangle(
        (D2, D2), lambda x, y: -2e4 * exact(x, y), kernels, UNIT, exact, nodes=(120, 120)
    )
    assert solution.converged
    assert error(solution, exact) < 1e-8
    wrong = solve_on_rectangle(
        (D2, D2), lambda x, y: 2e4 * exact(x, y), kernels, UNIT, exact, nodes=(120, 120)
    )
    assert error(wrong, exact) > 0.5


def test_helmholtz_with_boundary_values_and_derivatives():
    box = ((0.0, 1.0), (0.0, 0.5))
    solution = solve_on_rectangle(
        (SecondOrder(1.0, 0.0, 30.0), SecondOrder(1.0, 0.0, 20.0)),
        lambda x, y: -950 * torch.sin(30 * x + 10 * y) + 50 * x * y,
        (COVERING(7, 1), COVERING(4, 0.5)),
        box,
        lambda x, y: torch.sin(30 * x + 10 * y) + x * y,
    )
    assert error(solution, lambda x, y: torch.sin(30 * x + 10 * y) + x * y, box) < 1e-7
    slope = lambda x, y: 30 * torch.cos(30 * x + 10 * y) + y  # noqa: E731
    assert error(solution, slope, box, (1, 0)) < 1e-6
    curvature = lambda x, y: -100 * torch.sin(30 * x + 10 * y)  # noqa: E731
    assert error(solution, curvature, box, (0, 2)) < 1e-5


@pytest.mark.parametrize("speed", [200.0, -200.0])
def test_advection_with_values_at_the_inflow_only(speed):
    """u_x + ... of the paper: u = sin(x - 200 y), u_y + 200 u_x = 0; y is the time. With a negative
    speed the inflow is at the right."""

    def exact(x, y):
        return torch.sin(x - speed * y)

    def inflow(x, y):
        there = (x == 0) if speed > 0 else (x == 1)
        return torch.where(there | (y == 0), exact(x, y), 1e3)

    solution = solve_on_rectangle(
        (SecondOrder(b=speed), SecondOrder(b=1.0)), 0.0, (COVERING(1, 1), COVERING(33, 1)), UNIT,
        inflow,
    )  # fmt: skip
    assert solution.converged
    assert error(solution, exact) < 1e-7


def test_heat():
    box = ((0.0, math.pi), (0.0, 1.0))

    def exact(x, t):
        return torch.exp(-t) * torch.sin(x) + torch.exp(-4 * t) * torch.sin(2 * x)

    solution = solve_on_rectangle(
        (SecondOrder(a=-1.0), SecondOrder(b=1.0)), 0.0, (COVERING(2, 3.2), COVERING(3, 1)), box,
        exact,
    )  # fmt: skip
    assert error(solution, exact, box) < 1e-6


def test_a_kernel_without_the_frequency_fails_and_reports_it():
    def exact(x, y):
        return torch.sin(60 * x) * torch.sin(60 * y)

    plain = GaussianMixture([0.0], 0.7)
    solution = solve_on_rectangle(
        (D2, D2), lambda x, y: -7200 * exact(x, y), (plain, plain), UNIT, exact, nodes=(60, 60)
    )
    assert error(solution, exact) > 0.5
    assert not solution.converged


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"f": lambda x, y: 1 / (x - y)}, r"right-hand side f .*inf at the point \(0, 0\)"),
        ({"f": lambda x, y: x[0]}, r"right-hand side f .*returned \(28,\)"),
        ({"boundary": lambda x, y: torch.log(x + y)}, r"boundary value .*-inf at .* \(0, 0\)"),
        ({"operators": (CHANGING, D2)}, "in x needs b.* of one sign"),
        ({"f": lambda x, y: x * 1j}, "side f must be a real number"),
        ({"nodes": (28, 8)}, "8 nodes .*of y"),
    ],
)  # fmt: skip
def test_bad_input_names_the_term_and_the_point(change, message):
    kernel = GaussianMixture([4.0], 10.0)
    arguments = {
        "operators": (D2, D2), "f": 1.0, "kernels": (kernel, kernel), "box": UNIT, "boundary": 0.0,
        "nodes": (28, 28), **change,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        solve_on_rectangle(**arguments)


def test_points_outside_are_refused():
    kernel = GaussianMixture([1.0], 1.0)
    solution = solve_on_rectangle((D2, D2), 1.0, (kernel, kernel), UNIT, 0.0)
    with pytest.raises(ValueError, match=r"known for y in \[0, 1\]"):
        solution(torch.tensor([0.5]), torch.tensor([1.1]))


def test_a_singular_problem_is_reported():
    """2π² is the first eigenvalue of -Δ on the unit square, and f is not orthogonal to its
    function. Above it by 20 %, the problem is regular."""

    def f(x, y):
        return x * (1 - x) * y * (1 - y)

    for factor, converged in ((1.0, False), (1.2, True)):
        helmholtz = SecondOrder(a=1.0, c=factor * 2 * math.pi**2)
        solution = solve_on_rectangle(
            (helmholtz, D2), f, (COVERING(6, 1),) * 2, UNIT, 0.0, rtol=1e-4
        )
        assert solution.converged == converged
        assert ("singular" in solution.reason) != converged
