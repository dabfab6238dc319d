import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from pdeops.domain import Grid
from pdeops.solvers import RK4CN, Burgers, cole_hopf, evolve

PI = math.pi


def minus_sine(x):
    return -torch.sin(PI * x)


def its_potential(x):
    return torch.cos(PI * x) / PI


def exact(x, t, viscosity, num_nodes=100):
    return cole_hopf(minus_sine, its_potential, x, t, viscosity, num_nodes=num_nodes)


def circle(n):
    return Grid((n,), extent=2.0, boundary="periodic")


def initial(grid):
    return minus_sine(grid.axis(0) - 1)[None, None]


def test_cole_hopf_is_the_published_reference(shared_data):
    """deepxde's Burgers.npz, ν = 0.01/π: known to agree to 3e-12."""
    data = np.load(shared_data / "reference" / "Burgers.npz")
    x, t, u = (torch.from_numpy(data[k]) for k in ("x", "t", "usol"))
    for j in (1, 30, 99):
        ours = exact(x[:, 0], t[j, 0].item(), 0.01 / PI)
        assert (ours - u[:, j]).abs().max() < 1e-10


def test_cole_hopf_does_not_overflow():
    """At ν = 4e-4 the exponents span 800; beside the shock u is that of the characteristics."""
    x = torch.tensor([-0.5, -0.2, 0.2, 0.5], dtype=torch.float64)
    u = exact(x, 1.0, 4e-4, num_nodes=400)
    torch.testing.assert_close(u, -u.flip(0), rtol=1e-10, atol=0)
    foot = x - u  # u(x, t) = u0(x - ut), but for O(ν)
    assert (minus_sine(foot) - u).abs().max() < 1e-3


def test_cole_hopf_refuses_too_few_nodes():
    x = torch.tensor([0.2, 0.5], dtype=torch.float64)
    for viscosity, num_nodes in ((1e-3, 40), (1e-4, 400), (1e-6, 400)):
        with pytest.raises(ValueError, match="Gauss-Hermite nodes are too few"):
            exact(x, 1.0, viscosity, num_nodes=num_nodes)


@pytest.mark.parametrize("stepper_dt", [(None, 0.0025), (RK4CN, 0.0025)])
def test_equals_cole_hopf(stepper_dt):
    stepper, dt = stepper_dt
    grid = circle(256)
    x = grid.axis(0) - 1
    times = [0.25, 1.0]
    result = evolve(Burgers(grid, 0.03), initial(grid), times, dt=dt, stepper=stepper)
    assert result.completed
    for u, t in zip(result.u[0, :, 0], times, strict=True):
        assert (u - exact(x, t, 0.03)).abs().max() < (1e-8 if stepper is None else 1e-4)


def test_order_four():
    grid = circle(128)
    x = grid.axis(0) - 1
    errors = []
    for dt in (0.02, 0.01, 0.005):
        u = evolve(Burgers(grid, 0.1), initial(grid), [0.8], dt=dt).u[0, 0, 0]
        errors.append((u - exact(x, 0.8, 0.1)).abs().max().item())
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert orders == pytest.approx([4.0, 4.0], abs=0.3)


def test_two_dimensions_along_the_diagonal():
    """u = v = f(x + y, t): f_t + 2 f f' = 2ν f'', which is the 1D flow at time 2t."""
    grid = Grid((64, 64), extent=2.0, boundary="periodic")
    x, y = grid.nodes()
    f0 = minus_sine(x + y)
    result = evolve(Burgers(grid, 0.1), torch.stack([f0, f0])[None], [0.3], dt=0.01)
    f = exact((x + y).flatten(), 0.6, 0.1).reshape(x.shape)
    assert (result.u[0, 0] - f).abs().max() < 1e-6


def test_momentum_is_kept_and_energy_falls(generator):
    grid = Grid((64,), boundary="periodic")
    x = 2 * PI * grid.axis(0)
    u0 = (1 + torch.sin(x) + 0.5 * torch.cos(3 * x))[None, None]
    u = evolve(Burgers(grid, 0.02), u0, [0.0, 0.1, 0.2], dt=0.002).u[0, :, 0]
    assert (u.mean(1) - 1).abs().max() < 1e-14
    energy = u.square().mean(1)
    assert energy[0] > energy[1] > energy[2]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="all axes periodic"):
        Burgers(Grid((16,)), 0.1)
    with pytest.raises(ValueError, match="viscosity >= 0"):
        Burgers(circle(16), -0.1)
    with pytest.raises(ValueError, match="t and viscosity"):
        exact(torch.zeros(2), 0.0, 0.1)
