"""The equations along labels, on closed-form fields."""

import math

import pytest
import torch

from pdeops.domain import Grid
from pdeops.nn.jets import Jet
from pdeops.nn.lagrangian import METRICS, cleared_laplacian, label, lagrangian_residual
from pdeops.solvers import Burgers, Transport

from .test_jets import jet_by_autograd, points

CIRCLE = Grid((32,), 2 * math.pi, "periodic")
SQUARE = Grid((8, 8), (2.0, 3.0), "periodic")


def maps(d):
    """A smooth map of labels, neither linear nor a gradient, and a field of positions."""
    if d == 1:
        return lambda y, t: y + 0.4 * t * torch.sin(2 * y), lambda x: torch.sin(x) + x**3
    return (
        lambda y, t: torch.stack([y[0] + 0.3 * torch.sin(y[1] + t), y[1] + 0.2 * y[0] * y[1]]),
        lambda x: torch.stack([torch.sin(x[0]) * x[1] ** 2, x[0] * x[1] + x[1] ** 3]),
    )


@pytest.mark.parametrize("d", [1, 2])
def test_cleared_laplacian_is_that_of_positions(d, generator):
    """w(ξ) = g(X(ξ)) with Δg known: J³ Δ_x w = J³ (Δg)(X)."""
    y, t = points(d, generator)
    map_, g = maps(d)
    X = Jet(jet_by_autograd(map_, y, t), d)
    w = Jet(jet_by_autograd(lambda y, t: g(map_(y, t)), y, t), d)
    at_positions = Jet(jet_by_autograd(lambda x, t: g(x), X.value, t), d)
    J = torch.linalg.det(X.gradient.movedim(2, 0))
    expected = J**3 * at_positions.laplacian
    torch.testing.assert_close(cleared_laplacian(X, w), expected, rtol=1e-10, atol=1e-10)
    f2, source = 0.3 * torch.ones_like(w.value), w.value**2
    r = METRICS["divided"](X, w, f2, source)
    expected = w.dt - w.value**2 - 0.3 * at_positions.laplacian
    torch.testing.assert_close(r, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("d", [1, 2])
def test_residual_of_a_manufactured_solution(d, generator):
    """u(x, t) on a shear or a rotation: w_t along labels is the material derivative of u."""
    y, t = points(d, generator)
    nu = 0.07

    def velocity(u, x, t):
        c = 0.5 + 0.2 * t
        return c.expand_as(x) if d == 1 else torch.cat([c * torch.ones_like(x[:, :1]), c**2], 1)

    def map_(y, t):  # exact characteristics
        first = 0.5 * t + 0.1 * t**2
        second = 0.25 * t + 0.1 * t**2 + 0.04 / 3 * t**3
        return torch.stack([y[a] + s for a, s in zip(range(d), (first, second), strict=False)])

    def u(x, t):
        return torch.exp(-t) * torch.sin(x.sum(0, keepdim=True)) * torch.cos(x[:1])

    def flow(y, t):
        return u(map_(y, t), t)

    def source(value, x, t):
        """u_t + f₁·∇u - ν Δu of the solution above."""
        jet = Jet(jet_by_autograd(u, x[0], t[0, 0]), d)
        advected = torch.einsum("dn,cdn->cn", velocity(value, x, t)[0], jet.gradient)
        return (jet.dt + advected - nu * torch.einsum("caan->cn", jet.hessian))[None]

    box = Grid((8,) * d, 10.0, "periodic")  # the points do not leave it
    equation = Transport(box, velocity=velocity, diffusivity=nu, source=source)
    X = Jet(jet_by_autograd(map_, y, t), d)
    w = Jet(jet_by_autograd(flow, y, t), d)
    for r in lagrangian_residual(equation, X, w, t):
        assert r.abs().max() < 1e-11
    wrong = Transport(box, velocity=velocity, diffusivity=2 * nu, source=source)
    assert lagrangian_residual(wrong, X, w, t)[1].abs().max() > 1e-2


@pytest.mark.parametrize("nu", [0.0, 0.05])
def test_closed_form_of_diffusion_in_labels(nu, generator):
    """X and w of w_t = ν w_ξξ satisfy the label form, not the physical one unless ν = 0; on both
    J_t = w_ξ."""
    y, t = points(1, generator, 40)
    y = 2 * math.pi * y
    c = 2.0

    def X(y, t):
        decay = t if nu == 0 else -torch.expm1(-nu * t) / nu
        return y + c * t + decay * torch.sin(y)

    def w(y, t):
        return c + torch.exp(-nu * t) * torch.sin(y)

    jets = [Jet(jet_by_autograd(f, y, t), 1) for f in (X, w)]
    for r in lagrangian_residual(Burgers(CIRCLE, nu), *jets, t, label):
        assert r.abs().max() < 1e-12
    r = lagrangian_residual(Burgers(CIRCLE, nu), *jets, t, METRICS["physical"])[1]
    assert (r.abs().max() > 1e-2) == (nu > 0)

    def X_t(y, t):
        return torch.autograd.grad(X(y, t).sum(), t, create_graph=True)[0][None]

    J_t = jet_by_autograd(X_t, y, t)[:, 2]
    torch.testing.assert_close(J_t, jets[1].gradient[:, 0], rtol=1e-10, atol=1e-10)


def test_positions_are_wrapped_to_the_box(generator):
    """A speed that is given on the box only is evaluated there."""
    y, t = points(1, generator, 30)

    def velocity(u, x, t):
        assert (x >= 0).all()
        assert (x <= CIRCLE.extent[0]).all()
        return x * (CIRCLE.extent[0] - x)

    equation = Transport(CIRCLE, velocity=velocity)
    X = Jet(jet_by_autograd(lambda y, t: y + 50.0 - 200 * t, y, t), 1)
    w = Jet(jet_by_autograd(lambda y, t: torch.sin(y), y, t), 1)
    r_X, r_w = lagrangian_residual(equation, X, w, t)
    x = X.value.remainder(CIRCLE.extent[0])
    torch.testing.assert_close(r_X, -200 - x * (CIRCLE.extent[0] - x))
    assert not r_w.any()


def test_two_dimensional_rotation_keeps_the_value(generator):
    """Incompressible transport: J = 1 and w constant solve both equations."""
    y, t = points(2, generator)
    centre = torch.tensor([1.0, 1.5], dtype=torch.float64)[:, None]

    def X(y, t):
        p = y - centre
        return centre + torch.stack(
            [p[0] * t.cos() - p[1] * t.sin(), p[0] * t.sin() + p[1] * t.cos()]
        )

    def velocity(u, x, t):
        p = x - centre
        return torch.stack([-p[:, 1], p[:, 0]], 1)

    equation = Transport(SQUARE, velocity=velocity)
    jets = [Jet(jet_by_autograd(f, y, t), 2) for f in (X, lambda y, t: torch.sin(y[:1] * y[1:]))]
    inside = ((jets[0].value >= 0) & (jets[0].value <= torch.tensor([[2.0], [3.0]]))).all(0)
    assert inside.any()
    r_X, r_w = lagrangian_residual(equation, *jets, t)
    assert r_X[:, inside].abs().max() < 1e-12
    assert not r_w.any()
    torch.testing.assert_close(
        torch.linalg.det(jets[0].gradient.movedim(2, 0)), torch.ones(7).double()
    )
