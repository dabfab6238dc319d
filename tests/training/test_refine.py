"""Refinement of predicted trajectories, on linear problems whose solution is known."""
# Axes: b sample, k frames, m residuals, x nodes.

import math

import pytest
import torch

from pdeops.training.descent import LBFGS, Adam, Coefficients
from pdeops.training.least_squares import minimise
from pdeops.training.refine import METHODS, GaussNewton, refine
from pdeops.training.search import Search


class Decay:
    """u_t = -a u + (q u²), backward Euler: r_m = (u_m - u_{m-1})/dt + a u_m - q u_m², per node."""

    def __init__(self, a=2.0, q=0.0, dt=0.1):
        self.a, self.q, self.dt = a, q, dt

    def residual(self, u):
        rate = (u[:, 1:] - u[:, :-1]) / self.dt
        return rate + self.a * u[:, 1:] - self.q * u[:, 1:] ** 2

    def __call__(self, u):
        return self.residual(u).flatten(1).square().sum(1).sqrt()

    def normal_equations(self, num_given):
        return lambda u: DecayLinearised(self, u, num_given)

    def solution(self, first, num_frames):
        """The trajectory without residual, for q = 0."""
        factors = (1 + self.a * self.dt) ** -torch.arange(1.0, num_frames + 1, dtype=first.dtype)
        return first * factors.reshape(-1, 1, 1)


class DecayLinearised:
    def __init__(self, equation, u, num_given):
        self.equation, self.u, self.n = equation, u, num_given
        self.residual = equation.residual(u)

    def apply(self, d):
        whole = torch.cat([torch.zeros_like(self.u[:, : self.n]), d], 1)
        eq, (u, v) = self.equation, (self.u[:, 1:], whole[:, 1:])
        return (v - whole[:, :-1]) / eq.dt + eq.a * v - 2 * eq.q * u * v

    def adjoint(self, y):
        leaf = torch.zeros_like(self.u[:, self.n :]).requires_grad_()
        with torch.enable_grad():
            value = (self.apply(leaf) * y).sum()
        return torch.autograd.grad(value, leaf)[0]

    def precondition(self, g):
        return g


def trajectories(batch=2, frames=6, nodes=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(batch, 1, 1, nodes, generator=generator, dtype=torch.float64)
    noise = torch.randn(batch, frames, 1, nodes, generator=generator, dtype=torch.float64)
    return first, noise


def test_cgls_finds_the_least_squares_solution():
    """More rows than unknowns, other ones for each sample; against LAPACK."""
    generator = torch.Generator().manual_seed(1)
    J = torch.randn(3, 9, 5, generator=generator, dtype=torch.float64)
    r = torch.randn(3, 9, generator=generator, dtype=torch.float64)
    J[0] *= 1e3  # samples have step lengths of their own

    class Dense:
        residual = r

        def apply(self, d):
            return torch.einsum("bij,bj->bi", J, d)

        def adjoint(self, y):
            return torch.einsum("bij,bi->bj", J, y)

        def precondition(self, g):
            return g

    found = minimise(Dense(), rtol=1e-12, iterations=20)
    exact = torch.linalg.lstsq(J, -r[..., None]).solution[..., 0]
    torch.testing.assert_close(found.d, exact, rtol=1e-9, atol=1e-12)
    assert found.reduction.max() <= 1e-12
    least = (r + torch.einsum("bij,bj->bi", J, exact)).norm(dim=1)
    torch.testing.assert_close(found.residual, least)
    assert not found.stalled.any()
    short = minimise(Dense(), rtol=1e-12, iterations=20, drop=0.01)
    assert short.stalled.all()
    assert (short.residual < 1.02 * least).all()


@pytest.mark.parametrize("name", METHODS)
def test_zero_steps_return_the_prediction_exactly(name):
    """E5 of the reference: the untouched output, not one within round-off."""
    first, noise = trajectories()
    done = refine(Decay(), first, noise, METHODS[name](steps=0))
    assert torch.equal(done.frames, noise)
    assert done.num_steps == 0
    assert torch.equal(done.eta[-1], Decay()(torch.cat([first, noise], 1)))


def test_gauss_newton_solves_a_linear_problem_in_one_step():
    first, noise = trajectories()
    equation = Decay()
    exact = equation.solution(first, 6)
    done = refine(
        equation, first, exact + 0.3 * noise, GaussNewton(rtol=1e-13, iterations=100, stall=0)
    )
    torch.testing.assert_close(done.frames, exact, rtol=0, atol=1e-11)
    assert done.eta[1].max() < 1e-10 * done.eta[0].min()


@pytest.mark.parametrize(
    ("method", "factor"), [(GaussNewton(), 1e-4), (LBFGS(steps=60), 1e-3), (Adam(lr=0.03), 0.3)]
)
def test_every_method_lowers_residual_and_error(method, factor):
    """A quadratic equation; the reference is converged Gauss-Newton from another prediction."""
    first, noise = trajectories()
    equation = Decay(q=0.5)
    exact = refine(
        equation, first, 0 * noise, GaussNewton(steps=9, rtol=1e-10, stall=0, drop=0)
    ).frames
    start = exact + 0.1 * noise
    done = refine(equation, first, start, method)
    assert (done.eta[-1] < factor * done.eta[0]).all()
    assert (done.frames - exact).norm() < 0.5 * (start - exact).norm()


@pytest.mark.parametrize("name", METHODS)
def test_the_estimator_never_rises(name):
    """E4: also from a useless prediction, from which full steps of Gauss-Newton overshoot."""
    first, noise = trajectories()
    done = refine(Decay(q=4.0), first, 5 * noise, METHODS[name](steps=8))
    assert (done.eta.diff(dim=0) <= 0).all()
    assert done.num_steps >= 1
    final = Decay(q=4.0)(torch.cat([first, done.frames], 1))
    torch.testing.assert_close(final, done.eta[-1])


class Floor(Decay):
    """Rows that no trajectory changes: the residual cannot fall below their size."""

    def residual(self, u):
        rows = super().residual(u)
        return torch.cat([rows, torch.ones_like(rows[:, :1])], 1)

    def normal_equations(self, num_given):
        def around(u):
            linear = DecayLinearised(self, u, num_given)
            apply = linear.apply

            def with_rows(d):
                rows = apply(d)
                return torch.cat([rows, torch.zeros_like(rows[:, :1])], 1)

            linear.apply = with_rows
            return linear

        return around


def test_the_search_ends_where_a_step_could_gain_nothing():
    """At the floor; one more step, which the model of second order predicts to be useless, is."""
    first, noise = trajectories()
    equation = Floor(q=0.5)
    start = equation.solution(first, 6) + 0.1 * noise
    done = refine(equation, first, start, GaussNewton(rtol=1e-9, iterations=100))
    assert all("within 10% of the least" in reason for reason in done.reasons)
    assert (done.eta[0] > 1.5 * done.eta[-1]).all()
    more = refine(equation, first, start, GaussNewton(steps=9, rtol=1e-9, stall=0, drop=0))
    assert more.num_steps > done.num_steps
    assert (more.eta[-1] > 0.9 * done.eta[-1]).all()


def test_the_search_ends_where_the_residual_has_fallen_enough():
    first, noise = trajectories()
    equation = Decay(q=0.5)
    start = equation.solution(first, 6) + 0.1 * noise
    done = refine(equation, first, start, GaussNewton(steps=9, reduction=1e-3))
    assert all("fallen to 1e-03" in reason for reason in done.reasons)
    assert (done.eta[-1] <= 1e-3 * done.eta[0]).all()
    assert (done.eta[-2] > 1e-3 * done.eta[0]).any()


def test_a_long_search_is_logged(monkeypatch, caplog):
    first, noise = trajectories()
    equation = Decay(q=0.5)
    with caplog.at_level("INFO", "pdeops"):
        refine(equation, first, noise, Adam(steps=3))
        assert not caplog.records
        monkeypatch.setattr("pdeops.training.search.SILENCE", 0.0)
        done = refine(equation, first, noise, Adam(steps=3))
    assert len(caplog.records) == done.num_steps
    assert caplog.messages[-1] == (
        f"step {done.num_steps}: residual {done.eta[0].mean():.3g}, now {done.eta[-1].mean():.3g}"
    )


class Wrong(Decay):
    """A Jacobian of the wrong sign: its steps lead uphill."""

    def normal_equations(self, num_given):
        def around(u):
            linear = DecayLinearised(self, u, num_given)
            linear.residual = -linear.residual
            return linear

        return around


def test_a_step_uphill_is_refused_and_the_reason_given():
    first, noise = trajectories()
    done = refine(Wrong(), first, noise)
    assert torch.equal(done.frames, noise)
    assert all("lowers the residual" in reason for reason in done.reasons)


class Overflowing(Decay):
    """A step that is not finite in the second sample."""

    def normal_equations(self, num_given):
        def around(u):
            linear = DecayLinearised(self, u, num_given)
            apply, scale = linear.apply, torch.tensor([1.0, 1e-200]).double()
            linear.residual = linear.residual / scale.reshape(-1, 1, 1, 1)
            linear.apply = lambda d: apply(d) * scale.reshape(-1, 1, 1, 1)
            return linear

        return around


def test_a_step_that_is_not_finite_is_refused_for_its_sample_alone():
    first, noise = trajectories()
    done = refine(Overflowing(), first, noise)
    assert done.eta[-1, 0] < 0.1 * done.eta[0, 0]
    assert torch.equal(done.frames[1], noise[1])
    assert "lowers the residual" in done.reasons[1]


def test_samples_do_not_depend_on_their_batch():
    """One good and one bad prediction, refined together and one by one."""
    first, noise = trajectories()
    equation = Decay(q=0.5)
    start = equation.solution(first, 6) + noise * torch.tensor([1e-3, 1.0]).reshape(2, 1, 1, 1)
    method = GaussNewton(steps=2, rtol=1e-6, stall=0)
    together = refine(equation, first, start, method).frames
    alone = [refine(equation, first[i : i + 1], start[i : i + 1], method).frames for i in (0, 1)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [(7,), (8,), (5, 6), (6, 5)])
def test_coordinates_are_orthonormal(shape):
    """|d| = σ |θ|, and the gradient with respect to θ is that of finite differences."""
    generator = torch.Generator().manual_seed(2)
    u, g = torch.randn(2, 2, 3, 2, *shape, generator=generator, dtype=torch.float64)
    c = Coefficients(Search(Decay(), u[:, :1], u[:, 1:]))
    g = g[:, 1:]
    theta = torch.stack([t / s for t, s in zip(c.pulled_back(g), c.sigma, strict=True)])
    torch.testing.assert_close(c.frames(theta) - u[:, 1:], c.sigma * g, rtol=1e-12, atol=1e-12)
    assert theta.norm().item() == pytest.approx(g.norm().item(), rel=1e-12)
    v = c.pulled_back(torch.randn(g.shape, generator=generator, dtype=torch.float64))
    slope = ((c.frames(theta + v) - c.frames(theta - v)) * g).sum() / 2
    assert (c.pulled_back(g) * v).sum().item() == pytest.approx(slope.item(), rel=1e-10)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite_are_refused(bad):
    first, noise = trajectories()
    noise[0, 3, 0, 2] = bad
    with pytest.raises(ValueError, match="predicted frames hold NaN or infinity"):
        refine(Decay(), first, noise)


def test_an_estimator_without_jacobian_is_refused_by_gauss_newton():
    first, noise = trajectories()
    with pytest.raises(ValueError, match=r"Use LBFGS\(\) or Adam\(\)"):
        refine(lambda u: u.flatten(1).norm(dim=1), first, noise)


def test_shapes_that_do_not_fit_are_refused():
    first, noise = trajectories()
    with pytest.raises(ValueError, match="equal b, c and space"):
        refine(Decay(), first[:1], noise)
