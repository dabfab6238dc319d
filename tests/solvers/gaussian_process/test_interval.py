"""Boundary-value problems on an interval by a Gaussian process."""

import math
from itertools import pairwise

import pytest
import torch

from pdeops.solvers import GaussianMixture, SecondOrder, StudentMixture, solve_on_interval
from pdeops.solvers.gaussian_process.second_order import checked_points

POISSON = SecondOrder(a=1.0)
COVERING = GaussianMixture.covering(20, 1)


def wave(x):
    return torch.sin(100 * x)


def f_of_wave(x):
    return -1e4 * torch.sin(100 * x)


WAVE_ENDS = (0.0, math.sin(100))


def error(solution, exact, order=0, interval=(0.0, 1.0)):
    x = torch.linspace(*interval, 1237, dtype=torch.float64)
    return ((solution(x, order) - exact(x)).norm() / exact(x).norm()).item()


def test_poisson_with_a_high_frequency_and_derivatives_of_its_solution():
    solution = solve_on_interval(POISSON, f_of_wave, COVERING, (0, 1), WAVE_ENDS)
    assert solution.converged
    assert solution.iterations == 1
    assert error(solution, wave) < 1e-9
    assert error(solution, lambda x: 100 * torch.cos(100 * x), 1) < 1e-9
    assert error(solution, f_of_wave, 2) < 1e-9


def test_three_scales():
    def exact(x):
        return torch.sin(x) + 0.1 * torch.sin(20 * x) + 0.05 * torch.cos(100 * x)

    def f(x):
        return -torch.sin(x) - 40 * torch.sin(20 * x) - 500 * torch.cos(100 * x)

    interval = (0.0, 2 * math.pi)
    kernel = GaussianMixture.covering(17, interval[1])
    solution = solve_on_interval(POISSON, f, kernel, interval, (0.05, 0.05), nodes=420)
    assert solution.converged
    assert error(solution, exact, interval=interval) < 1e-7


def error_of_a_sine(frequency, kernel):
    ends = (math.sin(0.3), math.sin(frequency + 0.3))
    f = lambda x: -(frequency**2) * torch.sin(frequency * x + 0.3)  # noqa: E731
    solution = solve_on_interval(POISSON, f, kernel, (0, 1), ends)
    return error(solution, lambda x: torch.sin(frequency * x + 0.3))


@pytest.mark.parametrize("frequency", [100.0, 87.3, 33.33, 1.7])
def test_any_frequency_of_the_band_is_covered(frequency):
    """Also those between the frequencies of the dictionary."""
    assert error_of_a_sine(frequency, COVERING) < 1e-8


def test_a_dictionary_of_sharp_lines_has_gaps():
    """Negative control: 87.3 lies between 10 and 15 cycles."""
    assert error_of_a_sine(87.3, GaussianMixture([0.0, 5.0, 10.0, 15.0, 20.0], 30.0)) > 1e-3


def test_a_kernel_without_the_frequency_fails_and_reports_it():
    """Negative control: a squared exponential of the length of the interval. The residual between
    the nodes shows the failure, with fewer nodes than features as well."""
    plain = GaussianMixture([0.0], 0.7)
    for nodes in (200, 24):
        solution = solve_on_interval(POISSON, f_of_wave, plain, (0, 1), WAVE_ENDS, nodes=nodes)
        assert error(solution, wave) > 0.5
        assert solution.residual > 0.1
        assert not solution.converged
        assert "more or higher frequencies" in solution.reason


def test_a_dictionary_that_is_too_low_fails_and_reports_it():
    solution = solve_on_interval(
        POISSON, f_of_wave, GaussianMixture.covering(10, 1), (0, 1), WAVE_ENDS, nodes=200
    )
    assert error(solution, wave) > 1e-2
    assert not solution.converged


def test_student_mixtures_converge_algebraically():
    """k'' is smooth to second order only: the order of the error is finite, and above 2."""
    kernel = StudentMixture([0.0, 2.0, 4.0], 0.6)

    def exact(x):
        return torch.sin(20 * x)

    errors = [
        error(
            solve_on_interval(
                POISSON, lambda x: -400 * torch.sin(20 * x), kernel, (0, 1), (0, math.sin(20)),
                nodes=nodes,
            ),
            exact,
        )
        for nodes in (41, 81, 161)
    ]  # fmt: skip
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert all(2.0 < order < 6.0 for order in orders)


def test_variable_coefficients():
    def exact(x):
        return torch.sin(20 * x)

    operator = SecondOrder(lambda x: 1 + x, lambda x: x, torch.exp)
    solution = solve_on_interval(
        operator,
        lambda x: (-400 * (1 + x) + torch.exp(x)) * exact(x) + 20 * x * torch.cos(20 * x),
        GaussianMixture.covering(5, 1),
        (0, 1),
        (0, math.sin(20)),
    )
    assert error(solution, exact) < 1e-9


@pytest.mark.parametrize(("b", "ends"), [(1.0, (1.0, None)), (-2.0, (None, math.cos(30)))])
def test_first_order_with_one_end(b, ends):
    operator = SecondOrder(b=b, c=3.0)
    solution = solve_on_interval(
        operator,
        lambda x: -30 * b * torch.sin(30 * x) + 3 * torch.cos(30 * x),
        GaussianMixture.covering(8, 1),
        (0, 1),
        ends,
    )
    assert error(solution, lambda x: torch.cos(30 * x)) < 1e-9


def test_end_values_hold_exactly():
    solution = solve_on_interval(POISSON, 1.0, GaussianMixture.covering(3, 2), (-1, 1), (0.2, 5))
    ends = solution(torch.tensor([-1.0, 1.0], dtype=torch.float64))
    assert ends.tolist() == pytest.approx([0.2, 5.0], rel=1e-12)


def test_units_do_not_matter():
    """x in other units and u in other units: the same solution."""
    kernel = GaussianMixture.covering(20e-4, 1e4)
    solution = solve_on_interval(
        POISSON, lambda x: 1e9 * f_of_wave(1e-4 * x), kernel, (0, 1e4), (0, 1e17 * WAVE_ENDS[1])
    )
    exact = lambda x: 1e17 * wave(1e-4 * x)  # noqa: E731
    assert solution.converged
    assert error(solution, exact, interval=(0.0, 1e4)) < 1e-9


def allen_cahn(u, x):
    return u * (u**2 - 1)


@pytest.mark.parametrize("amplitude", [1.0, 10.0])
def test_allen_cahn_by_gauss_newton(amplitude):
    """Few iterations, since convergence is quadratic; the wrong sign of the reaction is another
    equation."""

    def exact(x):
        return amplitude * torch.sin(6 * x) * torch.cos(30 * x)

    def f(x):
        both = torch.cos(6 * x) * torch.sin(30 * x)
        return -936 * exact(x) - 360 * amplitude * both + allen_cahn(exact(x), x)

    kernel, at_one = GaussianMixture.covering(18, 1), torch.ones((), dtype=torch.float64)
    ends = (0.0, exact(at_one).item())
    solution = solve_on_interval(POISSON, f, kernel, (0, 1), ends, reaction=allen_cahn)
    assert solution.converged
    assert solution.iterations <= 8
    assert error(solution, exact) < 1e-8
    wrong = solve_on_interval(
        POISSON, f, kernel, (0, 1), ends, reaction=lambda u, x: -allen_cahn(u, x)
    )
    assert error(wrong, exact) > 1e-4


def test_a_linear_reaction_is_a_coefficient():
    kernel = GaussianMixture.covering(4, 1)
    linear = solve_on_interval(SecondOrder(a=1.0, c=7.0), torch.exp, kernel, (0, 1), (1, 2))
    as_reaction = solve_on_interval(
        POISSON, torch.exp, kernel, (0, 1), (1, 2), reaction=lambda u, x: 7 * u
    )
    assert as_reaction.iterations == 2
    assert error(as_reaction, linear) < 1e-10


def test_gauss_newton_that_does_not_converge_reports_it():
    solution = solve_on_interval(
        POISSON, 0.0, COVERING, (0, 1), (0, 1), reaction=lambda u, x: 1e4 * torch.sin(50 * u),
        iterations=2,
    )  # fmt: skip
    assert not solution.converged
    assert "has not converged in 2 iterations" in solution.reason


def test_nodes_that_alias_are_refused_with_the_number_that_does():
    """Nyquist: n nodes on [0, 1] carry (n - 1)/2 cycles."""
    kernel = GaussianMixture([0.0, 20.0], 30.0)
    solve_on_interval(POISSON, 1.0, kernel, (0, 1), (0, 0), nodes=42)
    with pytest.raises(ValueError, match=r"41 nodes .* alias .*at least 42 nodes"):
        solve_on_interval(POISSON, 1.0, kernel, (0, 1), (0, 0), nodes=41)


NAN = math.nan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"f": lambda x: torch.where(x > 0.5, NAN, x)}, r"side f .*nan at the point \(0\.5"),
        ({"operator": SecondOrder(a=lambda x: 1 / x)}, r"coefficient a .*inf at the point \(0\)"),
        ({"operator": SecondOrder(a=1.0, b=torch.log)}, r"coefficient b .*-inf at the point \(0\)"),
        ({"operator": SecondOrder(a=1.0, c=lambda x: x[:3])}, r"coefficient c .*returned \(3,\)"),
        ({"reaction": lambda u, x: u.log()}, r"reaction must be finite; got .* at the point \("),
        ({"reaction": lambda u, x: (u - u).sqrt()}, "derivative of the reaction must be finite"),
        ({"reaction": lambda u, x: u[None]}, r"reaction must be .* returned \(1, 28\)"),
        ({"ends": (0.0, NAN)}, "end value must be finite; got nan"),
        ({"f": lambda x: None}, "side f must be a real number"),
        ({"ends": (0.0, None)}, "order 2 needs 2 end value"),
        ({"operator": SecondOrder(b=1.0)}, "order 1 needs 1 end value"),
        ({"interval": (1, 1)}, "low < high"),
        ({"kernel": GaussianMixture([1.0], 1e6)}, "takes .* waves .*lengths below ten times"),
    ],
)  # fmt: skip
def test_bad_input_names_the_term_and_the_point(change, message):
    arguments = {
        "operator": POISSON, "f": 1.0, "kernel": GaussianMixture([1.0], 10.0), "interval": (0, 1),
        "ends": (-1.0, 1.0), **change,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        solve_on_interval(**arguments)


def test_points_outside_and_operators_of_order_zero_are_refused():
    solution = solve_on_interval(POISSON, 1.0, GaussianMixture([1.0], 1.0), (0, 1), (0, 0))
    with pytest.raises(ValueError, match=r"known for x in \[0, 1\]; got points in \[0, 1\.5\]"):
        solution(torch.tensor([0.0, 1.5]))
    with pytest.raises(ValueError, match=r"orders 0, 1 and 2; got \(3,\)"):
        solution(torch.tensor([0.5]), 3)
    with pytest.raises(ValueError, match=r"x must be a tensor of shape \(n,\); got 0\.5"):
        checked_points("x", solution.nodes, 0.5)
    with pytest.raises(ValueError, match="got a = b = 0"):
        SecondOrder(c=1.0)
    rounded = torch.tensor([0.1])  # above 0.1
    short = solve_on_interval(POISSON, 1.0, GaussianMixture([1.0], 1.0), (0, 0.1), (0, 2))
    assert short(rounded).item() == pytest.approx(2)


@pytest.mark.parametrize(("distance", "converged"), [(0.0, False), (1e-12, False), (1e-3, True)])
def test_a_singular_problem_is_reported(distance, converged):
    """u'' + c u = 1 has no solution for c = π², the first eigenvalue of -u''. The residual is small
    there too, since u is large."""
    operator = SecondOrder(a=1.0, c=math.pi**2 * (1 + distance))
    solution = solve_on_interval(operator, 1.0, GaussianMixture.covering(3, 1), (0, 1), (0, 0))
    assert solution.residual < 1e-8
    assert solution.converged == converged
    assert ("singular" in solution.reason) != converged


def test_matrices_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"nodes .* are more than 20000"):
        solve_on_interval(POISSON, 1.0, GaussianMixture([1e9], 1.0), (0, 1), (0, 0))
    with pytest.raises(ValueError, match="frequencies, more than 20000"):
        GaussianMixture.covering(1e18, 1)
