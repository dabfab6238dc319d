"""Implicit one-step schemes: order, and the amplification of waves."""

import math

import pytest
import torch

from pdeops.solvers.evolution.implicit_scheme import SCHEMES


def step(scheme, factor, u, t, dt):
    """u_{n+1} of u' = factor(t) u: the residual is affine in the stages."""
    s = scheme.num_stages
    times = [factor(t + c * dt) for c in scheme.times]

    def residual(stages):
        states = torch.cat([u[None], stages])
        rates = torch.stack(times) * scheme.evaluated(states)
        return scheme.residual(states, rates, dt)

    zero = torch.zeros(s, dtype=u.dtype)
    right = residual(zero)
    A = torch.stack([residual(row) - right for row in torch.eye(s, dtype=u.dtype)], 1)
    return torch.linalg.solve(A, -right)[-1]


@pytest.mark.parametrize("name", SCHEMES)
def test_order(name):
    """u' = cos(t) u to t = 2."""
    scheme, errors = SCHEMES[name], []
    for num_steps in (16, 32):
        dt = 2 / num_steps
        u = torch.ones((), dtype=torch.float64)
        for n in range(num_steps):
            u = step(scheme, lambda t: torch.tensor(t, dtype=torch.float64).cos(), u, n * dt, dt)
        errors.append(abs(u.item() - math.exp(math.sin(2.0))))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(scheme.order, abs=0.15)


@pytest.mark.parametrize("name", SCHEMES)
def test_amplification_of_a_wave(name):
    """The symmetric schemes keep |u| of u' = iωu; the others damp it, at any Δt."""
    for omega in (0.1, 1.0, 30.0):
        rate = torch.tensor(1j * omega, dtype=torch.complex128)
        size = abs(step(SCHEMES[name], lambda t, r=rate: r, torch.ones_like(rate), 0.0, 1.0).item())
        if name in ("midpoint", "trapezoid", "lobatto"):
            assert size == pytest.approx(1, abs=1e-14)
        else:
            assert size < 1 - 1e-6
