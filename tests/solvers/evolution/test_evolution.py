import math

import pytest
import torch

from pdeops.calculus import fourier
from pdeops.domain import Grid
from pdeops.solvers import ETDRK4, RK4CN, PseudoSpectral, evolve
from pdeops.solvers.evolution.evolve import _Interval, _Watch

GRID = Grid((8,), extent=2 * math.pi, boundary="periodic")
STEPPERS = [RK4CN, ETDRK4]


class Riccati(PseudoSpectral):
    """u_t = u² at each node: u = u0/(1 - u0 t) blows up at t = 1/u0."""

    def __init__(self):
        super().__init__(GRID, torch.zeros(5, dtype=torch.float64))

    def nonlinear(self, u_hat, t):
        return fourier.transform(self.decode(u_hat) ** 2, self.grid)


class Decay(PseudoSpectral):
    """u_t = -λ u + cos(ω t), the force being N."""

    def __init__(self, rate, frequency):
        super().__init__(GRID, torch.full((5,), -float(rate), dtype=torch.float64))
        self.frequency = frequency

    def nonlinear(self, u_hat, t):
        force = torch.zeros_like(u_hat)
        force[..., 0] = math.cos(self.frequency * t)
        return force


def ones(value=1.0):
    return torch.full((1, 1, 8), value, dtype=torch.float64)


@pytest.mark.parametrize("stepper", STEPPERS)
def test_stage_times(stepper):
    """Each method sees a force that depends on time alone to its own order."""
    equation = Decay(0.5, 3.0)
    lam, om, t = 0.5, 3.0, 2.0
    forced = (lam * math.cos(om * t) + om * math.sin(om * t)) / (lam**2 + om**2)
    exact = forced + (1 - lam / (lam**2 + om**2)) * math.exp(-lam * t)
    errors = []
    for dt in (0.05, 0.025):
        u = evolve(equation, ones(), [t], dt=dt, stepper=stepper).u
        errors.append(abs(u[0, 0, 0, 0].item() - exact))
    assert math.log2(errors[0] / errors[1]) > stepper.order - 0.1


@pytest.mark.parametrize("stepper", STEPPERS)
def test_order_without_linear_part(stepper):
    order = {RK4CN: 4}.get(stepper, stepper.order)
    errors = [
        abs(evolve(Riccati(), ones(), [0.5], dt=dt, stepper=stepper).u[0, 0, 0, 0].item() - 2)
        for dt in (0.05, 0.025)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.3)


def test_blow_up_is_found_at_its_step():
    result = evolve(Riccati(), ones(2.0), [0.25, 1.0], dt=0.01)
    assert not result.completed
    assert result.times.tolist() == [0.25]
    assert result.u[0, 0, 0, 0].item() == pytest.approx(4, rel=1e-6)
    assert 50 <= result.num_steps <= 54
    assert f"step {result.num_steps}: the largest coefficient is" in result.reason
    assert float(result.reason.split("t = ")[1].split(",")[0]) == pytest.approx(0.52, abs=0.02)


def test_a_bound_of_ones_own():
    result = evolve(Riccati(), ones(2.0), [1.0], dt=0.01, largest=10)
    assert not result.completed
    assert result.num_steps == 41  # 2/(1 - 2t) = 10 at t = 0.4


def test_saved_times_are_met_whatever_dt():
    equation = Decay(1.0, 0.0)
    times = [0.0, 0.1, 0.13, 1.0]
    result = evolve(equation, ones(3.0), times, dt=0.04)
    assert result.completed
    assert result.num_steps == 3 + 1 + 22
    exact = 1 + 2 * torch.exp(-torch.tensor(times, dtype=torch.float64))
    assert (result.u[0, :, 0, 0] - exact).abs().max() < 1e-13  # constant N: no error in time
    assert result.times.tolist() == times
    again = evolve(equation, ones(3.0), [0.1], dt=0.02)
    assert again.num_steps == 5


def test_an_interval_is_gone_through_in_halves():
    interval = _Interval(1.0, 2.0, 0.3)  # four parts of 0.25
    sizes = [interval.take(level) for level in (0, 2, 0, 1, 0, 0)]
    assert sizes == [0.25, 0.0625, 0.25, 0.125, 0.25, 0.0625]
    assert interval.left == 0
    assert interval.time == 2.0


def test_on_an_accelerator_the_step_is_found_afterwards():
    """Sizes are gathered and read together; the step and the time are those of the first large."""
    u_hat = torch.ones(2, 3, dtype=torch.complex128)
    watch = _Watch(u_hat, 100)
    watch.every = 4
    reasons = [watch.after(u_hat * 10.0**i, 0.1 * (i + 1)) for i in range(4)]
    assert reasons[:3] == ["", "", ""]
    assert "blow-up at t = 0.4, step 4: the largest coefficient is 1e+03, after 100" in reasons[3]
    assert watch.num_steps == 4
    watch = _Watch(u_hat, None)
    watch.every = 4
    sizes = (1.0, math.inf, math.nan)
    assert [watch.after(torch.full((2,), s), float(i)) for i, s in enumerate(sizes)] == ["", "", ""]
    assert "blow-up at t = 1, step 2: the largest coefficient is inf, after 1 a" in watch.flush()
    assert watch.num_steps == 2
