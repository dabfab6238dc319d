"""Bad input to every equation in time, and what goes wrong on the way: a violated Courant limit, a
blow-up at its step, speeds without end. An error that teaches, or `completed=False` with a reason.
"""

import math
import os
import re
from itertools import product

import pytest
import torch

from pdeops.domain import Grid, Sphere
from pdeops.solvers import (
    ETDRK4,
    RK4CN,
    AdvectionDiffusion,
    AllenCahn,
    Burgers,
    BurgersFlux,
    GrayScott,
    Heat,
    KortewegDeVries,
    KuramotoSivashinsky,
    LinearFlux,
    NavierStokes,
    ShallowWater,
    Wave,
    evolve,
    solve_conservation_law,
)

UNHOOKED = os.environ.get("JAXTYPING_DISABLE") == "1"
CIRCLE, TORUS = (Grid(n, boundary="periodic") for n in ((32,), (16, 16)))
EQUATIONS = {
    "Heat": Heat(CIRCLE, 0.01),
    "AdvectionDiffusion": AdvectionDiffusion(CIRCLE, [1.0], 0.01),
    "Wave": Wave(CIRCLE, 1.0),
    "AllenCahn": AllenCahn(CIRCLE, 0.01),
    "GrayScott": GrayScott(TORUS),
    "Burgers": Burgers(CIRCLE, 0.01),
    "Burgers in 2D": Burgers(TORUS, 0.01),
    "KortewegDeVries": KortewegDeVries(CIRCLE),
    "KuramotoSivashinsky": KuramotoSivashinsky(CIRCLE),
    "NavierStokes": NavierStokes(TORUS, 1e-3),
    "ShallowWater": ShallowWater(Sphere((8, 16), "gauss"), 1.0, rotation=0.0, gravity=1.0),
}
LINEAR = ("Heat", "AdvectionDiffusion", "Wave")
ADVECTED = ("Burgers", "Burgers in 2D", "KortewegDeVries", "KuramotoSivashinsky", "NavierStokes")


def initial(name, scale=1.0):
    """Two samples of noise without a mean; the depth of shallow water is 1."""
    equation = EQUATIONS[name]
    generator = torch.Generator().manual_seed(0)
    shape = (2, equation.num_channels, *equation.grid.shape)
    u = torch.randn(shape, generator=generator, dtype=torch.float64)
    u = scale * (u - u.flatten(2).mean(-1)[(..., *(None,) * equation.grid.ndim)])
    if name == "ShallowWater":
        u[:, 0] = 1.0
    return u


def holed(u):
    u = u.clone()
    u.view(-1)[3] = math.nan
    return u


# name: (what is done to the field, what is changed in the call, what is said)
REFUSED = {
    "NaN": (holed, {}, "initial field holds NaN or infinity"),
    "infinity": (lambda u: u / 0.0, {}, "initial field holds NaN or infinity"),
    "a node too few": (lambda u: u[..., 1:], {}, r"must have shape .* on this grid; got .*Resam"),
    "a channel too many": (
        lambda u: torch.cat([u, u[:, :1]], 1), {}, r"has \d channel.* shape \(batch, \d, ...\)",
    ),
    "no sample": (lambda u: u[:0], {}, r"holds no sample; got shape \(0"),
    "no time": (None, {"times": []}, r"times must increase .*; got \[\]"),
    "times fall": (None, {"times": [0.2, 0.1]}, r"times must increase .*; got \[0.2, 0.1\]"),
    "a time before 0": (None, {"times": [-0.1]}, r"from 0 or later.*; got \[-0.1\]"),
    "a time of NaN": (None, {"times": [0.1, math.nan, 0.2]}, "times must increase.*nan"),
    "an infinite time": (None, {"times": [math.inf]}, "be finite; got .inf"),
    "dt = 0": (None, {"dt": 0.0}, "dt must be positive and finite; got 0.0"),
    "dt < 0": (None, {"dt": -1e-3}, "dt must be positive and finite; got -0.001"),
    "dt of NaN": (None, {"dt": math.nan}, "dt must be positive and finite; got nan"),
    "courant = 0": (None, {"courant": 0.0}, "courant must be positive.*; got 0.0.* near 0.5"),
    "courant infinite": (None, {"courant": math.inf}, "courant must be .*finite; got inf"),
    "largest = 0": (None, {"largest": 0.0}, "largest must be positive; got 0.0.* leave it out"),
    "largest of NaN": (None, {"largest": math.nan}, "largest must be positive; got nan"),
    "complex": (lambda u: u + 0j, {}, "of float32 or float64; got torch.complex128.*Convert"),
    "integers": (lambda u: u.int(), {}, "of float32 or float64; got torch.int32. Convert"),
    "half": (lambda u: u.half(), {}, "of float32 or float64; got torch.float16. Convert"),
}  # fmt: skip
# Refused by the tests' own check of every signature before the equation can.
TYPED = ("complex", "integers")


@pytest.mark.parametrize("name", EQUATIONS)
@pytest.mark.parametrize("row", [row for row in REFUSED if (row in TYPED) == UNHOOKED])
def test_refused(row, name):
    spoil, change, message = REFUSED[row]
    u = initial(name) if spoil is None else spoil(initial(name))
    with pytest.raises(ValueError, match=message):
        evolve(EQUATIONS[name], u, **{"times": [0.1], "dt": 0.01, **change})


@pytest.mark.parametrize("name", EQUATIONS)
def test_nothing_stays_nothing(name):
    result = evolve(EQUATIONS[name], initial(name, scale=0.0), [0.01], dt=1e-3)
    assert result.completed
    if name not in ("GrayScott", "ShallowWater"):  # one is fed, the other has a depth
        assert not result.u.any()


@pytest.mark.parametrize(
    ("name", "stepper"),
    [*product(ADVECTED, (ETDRK4, RK4CN)), ("ShallowWater", ETDRK4)],  # the others refuse that one
)
def test_a_violated_courant_limit_stops_before_the_step(name, stepper):
    result = evolve(EQUATIONS[name], initial(name, 100.0), [1.0], dt=1.0, stepper=stepper)
    assert not result.completed
    assert (result.num_steps, result.u.shape[1]) == (0, 0)
    found = re.fullmatch(
        rf"Courant number (\S+) > (\S+) at t = 0: {stepper.__name__} is unstable there; use "
        r"dt <= (\S+), or courant=0.5",
        result.reason,
    )
    number, limit, dt = (float(text) for text in found.groups())
    assert number == pytest.approx(result.courant, rel=0.01)
    assert dt == pytest.approx(limit / number, rel=0.1)
    cured = evolve(EQUATIONS[name], initial(name, 100.0), [dt], dt=0.5 * dt, stepper=stepper)
    assert cured.courant < limit


class Reckless(ETDRK4):
    """Without its limit, so that what it warns of can be seen."""

    courant_limit = math.inf


@pytest.mark.parametrize("name", [name for name in EQUATIONS if name not in LINEAR])
def test_blow_up_is_found_at_its_step(name):
    """With the time and the largest coefficient; all times before it are kept."""
    equation, dt = EQUATIONS[name], 0.5
    u0 = initial(name, 1e5 if name == "KuramotoSivashinsky" else 30.0)  # strongly damped
    bound = 1e6 * max(1.0, equation.encode(u0).abs().max().item())

    def run(times):
        return evolve(equation, u0, times, dt=dt, stepper=Reckless)

    times = [dt * (i + 1) for i in range(40)]
    result = run(times)
    assert not result.completed
    found = re.fullmatch(
        r"blow-up at t = (\S+), step (\d+): the largest coefficient is (\S+), after (\S+) a step "
        r"before; use a smaller dt or a finer grid",
        result.reason,
    )
    t, step, size, before = (float(text) for text in found.groups())
    assert step == result.num_steps
    assert t == pytest.approx(step * dt)
    assert before <= bound
    assert not size <= 0.7 * bound  # the larger of a coefficient's two parts is compared
    assert len(result.times) == step - 1
    assert result.u.isfinite().all()
    if step > 1:
        assert run(times[: int(step) - 1]).completed


@pytest.mark.parametrize("name", LINEAR)
def test_linear_equations_have_no_limit(name):
    result = evolve(EQUATIONS[name], initial(name, 1e100), [1e3], dt=1e3)
    assert result.completed
    assert result.u.isfinite().all()


# Finite volumes.

CELLS = Grid((32,), boundary="periodic", placement="centers")


def cells(scale=1.0):
    generator = torch.Generator().manual_seed(0)
    return scale * torch.randn(2, 1, 32, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(
    ("u", "change", "message"),
    [
        (holed(cells()), {}, "initial field holds NaN or infinity"),
        (cells()[..., 1:], {}, r"must have shape \(..., 32\) on this grid; got \(2, 1, 31\)"),
        (cells()[:0], {}, "holds no sample"),
        (cells(), {"courant": 0.6}, r"courant must lie in \(0, 0.5\].*; got 0.6"),
        (cells(), {"courant": math.nan}, r"courant must lie in \(0, 0.5\].*; got nan"),
        (cells(), {"times": [0.2, 0.1]}, "times must increase"),
        (cells(), {"grid": Grid((32,))}, "periodic or Neumann .* Use Grid"),
        (cells(), {"flux": [BurgersFlux()] * 2}, r"one per axis \(1\); got 2"),
    ],
)
def test_finite_volumes_refuse(u, change, message):
    call = {"flux": BurgersFlux(), "grid": CELLS, "times": [0.1], **change}
    with pytest.raises(ValueError, match=message):
        solve_conservation_law(call.pop("flux"), u, call.pop("grid"), call.pop("times"), **call)


@pytest.mark.parametrize("speed", [math.nan, math.inf])
def test_a_speed_that_is_none(speed):
    with pytest.raises(ValueError, match="c must be finite; got"):
        LinearFlux(speed)


def test_overflow_is_found_at_its_step():
    """u² overflows, u does not."""
    result = solve_conservation_law(BurgersFlux(), cells(1e160), CELLS, [0.0, 1e-160])
    assert not result.completed
    assert result.times.tolist() == [0.0]
    assert result.num_steps == 1
    assert re.match(
        r"blow-up at t = \S+e-163, step 1: the largest value is (nan|inf), after \S+e.160 a step",
        result.reason,
    ), result.reason


def test_speeds_at_which_time_stands_still():
    result = solve_conservation_law(BurgersFlux(), cells(1e100), CELLS, [0.0, 1.0])
    assert not result.completed
    assert result.times.tolist() == [0.0]
    assert re.match(r"speeds of \S+e.10\d cells per unit of time at t = 0", result.reason)


if UNHOOKED:

    @pytest.mark.parametrize(
        ("u", "message"),
        [
            (cells() + 0j, "got torch.complex128.*Convert"),
            (cells().int(), "got torch.int32.*Convert"),
            (torch.cat([cells(), cells()], 1), r"of shape \(batch, 1, ...\); got \(2, 2, 32\)"),
            (cells()[0], r"of shape \(batch, 1, ...\); got \(1, 32\)"),
        ],
    )
    def test_refused_by_finite_volumes(u, message):
        with pytest.raises(ValueError, match=message):
            solve_conservation_law(BurgersFlux(), u, CELLS, [0.1])

    @pytest.mark.parametrize("name", EQUATIONS)
    def test_refused_without_a_batch(name):
        with pytest.raises(ValueError, match=r"has \d channel|must have shape"):
            evolve(EQUATIONS[name], initial(name)[0], [0.1], dt=0.01)

else:

    @pytest.mark.slow
    def test_types_are_refused_without_the_checks_of_the_tests(passed_without_type_checks):
        number = len(EQUATIONS) * (len(TYPED) + 1) + 4
        assert passed_without_type_checks(__file__, "test_refused") == number
