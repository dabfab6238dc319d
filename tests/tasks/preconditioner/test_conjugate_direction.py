"""The objective against the solver whose steps it counts."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from pdeops.batch import Batch
from pdeops.domain import Grid
from pdeops.solvers import Diffusion, deep_conjugate_direction
from pdeops.tasks.preconditioner.conjugate_direction import MEASURES, ConjugateDirection


class Anything(nn.Module):
    """A model from a map of residuals."""

    def __init__(self, direction):
        super().__init__()
        self.direction = direction

    def at(self, faces):
        return self.direction


@pytest.fixture
def system(generator):
    grid = Grid((14, 11), (14.0, 11.0), "neumann", "centers")
    fluid = torch.rand(grid.shape, generator=generator) > 0.15
    A = Diffusion(1.0, grid, fluid=fluid)
    e = A.project(torch.randn(3, *grid.shape, generator=generator, dtype=torch.float64))
    faces = [c.expand(3, *c.shape) for c in A.faces]
    return A, Batch(operator=faces, target=e)


def nonlinear(r):
    kernel = torch.tensor([[0.1, 0.3, 0.1], [0.3, 1.0, 0.2], [0.0, 0.3, 0.1]]).to(r)[None, None]
    return torch.nn.functional.conv2d(r, kernel, padding=1) + 0.3 * r.relu()


def energy(A, e):
    return (e * (A @ e)).flatten(1).sum(1).sqrt()


def test_rates_are_those_of_the_solver(system):
    A, batch = system
    b, steps = A @ batch.target, 6
    rates, residuals = ConjugateDirection(steps=steps).walk(Anything(nonlinear), batch)
    norms = [energy(A, batch.target)]
    for k in range(1, steps + 1):
        x = deep_conjugate_direction(A, b, nonlinear, num_previous=1, max_iterations=k).x
        norms.append(energy(A, batch.target - x))
    expected = torch.stack([(v / u).log() for u, v in pairwise(norms)])
    torch.testing.assert_close(rates, expected, rtol=1e-6, atol=1e-8)
    assert rates.shape == residuals.shape == (steps, 3)


def test_the_residual_measure_is_that_of_the_first_step(system):
    A, batch = system
    r = A @ batch.target
    r = r / r.flatten(1).norm(dim=1)[:, None, None]
    z = nonlinear(r[:, None])[:, 0]
    dots = [(u * v).flatten(1).sum(1) for u, v in ((z, r), (z, A @ z))]
    expected = (r - (dots[0] / dots[1])[:, None, None] * (A @ z)).flatten(1).square().sum(1)
    loss = ConjugateDirection(steps=1, measure="residual")(Anything(nonlinear), batch)
    torch.testing.assert_close(loss, expected.mean())


@pytest.mark.parametrize("measure", MEASURES)
def test_scale_sign_and_kernel_do_not_matter(system, measure):
    _, batch = system
    objective = ConjugateDirection(steps=3, measure=measure)
    losses = [
        objective(Anything(f), batch)
        for f in (nonlinear, lambda r: -7 * nonlinear(r), lambda r: nonlinear(r) + 5)
    ]
    torch.testing.assert_close(losses[1:], [losses[0]] * 2)
    assert not torch.isclose(losses[0], objective(Anything(lambda r: r), batch))


def test_the_inverse_leaves_nothing(system):
    A, batch = system
    inverse = torch.linalg.pinv(torch.from_numpy(A.to_csr().toarray()), rtol=1e-12)
    exact = Anything(lambda r: (r.flatten(1) @ inverse).reshape(r.shape))
    for measure, least in (("energy", 1e-4), ("log_energy", -9), ("residual", 1e-20)):
        assert ConjugateDirection(steps=1, measure=measure)(exact, batch) < least


def test_what_is_solved_stays_finite(system):
    """A zero residual: a finite loss that counts as solved, a finite gradient."""
    _, batch = system
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    model = Anything(lambda r: scale * nonlinear(r))
    zero = batch.replace(target=batch.target * torch.tensor([1.0, 0.0, 1.0])[:, None, None])
    rates, _ = ConjugateDirection(steps=3).walk(model, zero)
    assert (rates[:, 1] < -10).all()
    torch.testing.assert_close(
        rates[:, ::2], ConjugateDirection(steps=3).walk(model, batch)[0][:, ::2]
    )
    rates.exp().mean().backward()
    assert scale.grad is not None
    assert scale.grad.isfinite()


@pytest.mark.parametrize("measure", MEASURES)
def test_gradient_is_that_of_differences_at_one_step(system, measure):
    """Later steps start from where this one ended, as constants: so only one is differentiable."""
    _, batch = system
    objective = ConjugateDirection(steps=1, measure=measure)

    def loss(t):
        return objective(Anything(lambda r: nonlinear(r) + t * r.roll(1, -1)), batch)

    t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(t), t)
    difference = (loss(torch.tensor(1e-5).double()) - loss(torch.tensor(-1e-5).double())) / 2e-5
    assert difference.item() == pytest.approx(slope.item(), rel=1e-6)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="steps of 1 or more"):
        ConjugateDirection(steps=0)
    with pytest.raises(ValueError, match=r"from energy, log_energy, residual\. .* 'log_energy'"):
        ConjugateDirection(measure="log-energy")
