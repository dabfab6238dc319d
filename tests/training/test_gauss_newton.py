"""Gauss-Newton and Adam-then-L-BFGS as optimizers of the trainer's objectives."""

import math
from copy import deepcopy

import pytest
import torch
from torch import nn

from pdeops.batch import Batch
from pdeops.training.gauss_newton import Linearisation, least_squares
from pdeops.training.learner import Learner
from pdeops.training.optim import AdamThenLBFGS, AdamW, Constant, GaussNewton
from pdeops.training.options import TrainingOptions


class Parameters(nn.Module):
    """Two blocks of parameters; the residual uses one of them."""

    def __init__(self, size):
        super().__init__()
        start = torch.linspace(-1.2, 1.0, size, dtype=torch.float64)
        self.blocks = nn.ParameterList([nn.Parameter(start.clone()) for _ in range(2)])
        self.used = 0

    @property
    def theta(self):
        return self.blocks[self.used]


class Squares:
    """|r(θ)|² with its Jacobian."""

    def __init__(self, residual):
        self.residual = residual

    def __call__(self, model, batch):
        return self.residual(model.theta).square().sum()

    def linearise(self, model, batch):
        theta = model.theta.detach()
        J = torch.autograd.functional.jacobian(self.residual, theta)
        return Linearisation(self.residual(theta), J, lambda: self(model, batch).item())


def learner(spec, residual, size=2, **options):
    return Learner(
        Parameters(size),
        Squares(residual),
        options=TrainingOptions(**options),
        optimizer=spec,
        schedule=Constant(),
        total_steps=100,
        device=torch.device("cpu"),
    )


def step(learner):
    loss = learner.gradients(Batch(input=torch.zeros(1, 1)), 1)
    learner.update(learner.gradient_norm())
    return loss


def rosenbrock(theta):
    """Two residuals whose squares are Rosenbrock's function."""
    x, y = theta
    return torch.stack([1 - x, 10 * (y - x * x)])


@pytest.mark.parametrize(("least", "last"), [(1e-5, 1e-5), (0.0, 1e-3 / 3**7)])
def test_the_damping_stops_at_its_least_value(least, last):
    """Seven accepted steps: λ is divided by 3 in each."""
    fit = learner(GaussNewton(least_damping=least), lambda theta: theta.exp())
    for _ in range(7):
        step(fit)
    assert fit.optimizer.param_groups[0]["damping"] == pytest.approx(last)


def test_a_linear_problem_takes_one_step(generator):
    A = torch.randn(7, 3, dtype=torch.float64, generator=generator)
    b = torch.randn(7, dtype=torch.float64, generator=generator)
    fit = learner(GaussNewton(damping=0.0), lambda theta: A @ theta - b, size=3)
    step(fit)
    expected = torch.linalg.lstsq(A, b[:, None]).solution[:, 0]
    torch.testing.assert_close(fit.model.theta.detach(), expected, rtol=1e-12, atol=1e-12)
    assert step(fit) == pytest.approx((A @ expected - b).square().sum().item(), rel=1e-12)


@pytest.mark.parametrize("damping", [1e-3, 0.0])
def test_rosenbrock(damping):
    """The loss falls in every step, to the minimum (1, 1)."""
    fit = learner(GaussNewton(damping=damping), rosenbrock)
    losses = [step(fit) for _ in range(25)]
    assert losses == sorted(losses, reverse=True)
    torch.testing.assert_close(fit.model.theta.detach(), torch.ones(2).double(), atol=1e-8, rtol=0)


@pytest.mark.parametrize("shape", [(9, 4), (4, 9)])
def test_a_damped_step_solves_its_least_squares_problem(shape, generator):
    """min |A θ - b + A d|² + λ |D d|², with more residuals than parameters and with fewer."""
    A = torch.randn(shape, dtype=torch.float64, generator=generator)
    b = torch.randn(shape[0], dtype=torch.float64, generator=generator)
    fit = learner(GaussNewton(damping=0.5), lambda theta: A @ theta - b, size=shape[1])
    start = fit.model.theta.detach().clone()
    step(fit)
    whole = torch.cat([A, math.sqrt(0.5) * torch.diag(A.norm(dim=0))])
    right = torch.cat([b - A @ start, torch.zeros(shape[1], dtype=torch.float64)])
    d = torch.linalg.lstsq(whole, right[:, None]).solution[:, 0]
    torch.testing.assert_close(fit.model.theta.detach() - start, d, rtol=1e-10, atol=1e-12)


def test_dependent_parameters_share_the_step_of_least_norm(generator):
    """Two equal columns: a singular value of round-off is dropped."""
    A = torch.randn(7, 3, dtype=torch.float64, generator=generator)
    A[:, 2] = A[:, 0]
    b = torch.randn(7, dtype=torch.float64, generator=generator)
    expected = torch.linalg.pinv(A, rtol=1e-10) @ b
    torch.testing.assert_close(least_squares(A, b, 1e-12), expected, rtol=1e-10, atol=1e-12)


def test_other_parameters_are_left_alone():
    fit = learner(GaussNewton(), rosenbrock)
    before = fit.model.blocks[1].detach().clone()
    step(fit)
    assert torch.equal(fit.model.blocks[1].detach(), before)
    assert not torch.equal(fit.model.blocks[0].detach(), before)


def test_other_parameters_start_with_the_first_damping():
    """As the networks of time windows do, one after the other."""
    fit = learner(GaussNewton(damping=0.3), rosenbrock)
    for _ in range(3):
        step(fit)
    (group,) = fit.optimizer.param_groups
    assert group["damping"] != 0.3
    fit.model.used = 1
    start = group["damping"]
    step(fit)
    trials = math.log(group["damping"] / 0.1) / math.log(4)
    assert trials == pytest.approx(round(trials), abs=1e-9)
    assert group["damping"] != start / 3


def test_the_jacobian_is_required():
    with pytest.raises(ValueError, match=r"has no `linearise`. Use AdamW or LBFGS"):
        Learner(
            Parameters(2),
            lambda model, batch: model.theta.sum(),
            options=TrainingOptions(),
            optimizer=GaussNewton(),
            schedule=Constant(),
            total_steps=1,
            device=torch.device("cpu"),
        )
    with pytest.raises(ValueError, match="takes a batch as a whole"):
        learner(GaussNewton(), rosenbrock, accumulate=2)


def test_adam_then_lbfgs():
    """The first steps are Adam's, to the bit; L-BFGS then finds the minimum."""
    both = learner(AdamThenLBFGS(adam_steps=3, lr=1e-2), rosenbrock)
    adam = learner(AdamW(lr=1e-2, weight_decay=0.0), rosenbrock)
    for _ in range(3):
        step(both)
        step(adam)
    assert torch.equal(both.model.theta, adam.model.theta)
    for _ in range(4):
        step(both)
    torch.testing.assert_close(both.model.theta.detach(), torch.ones(2).double(), atol=1e-6, rtol=0)


def test_a_change_of_the_trained_parameters_starts_again():
    """The second window begins with Adam, and has no curvature of the first."""
    both = learner(AdamThenLBFGS(adam_steps=2), rosenbrock)
    for _ in range(4):
        step(both)
    both.model.used = 1
    fresh = learner(AdamThenLBFGS(adam_steps=2), rosenbrock)
    for _ in range(4):
        step(both)
        step(fresh)
        assert torch.equal(both.model.blocks[1], fresh.model.blocks[0])


@pytest.mark.parametrize(
    "spec",
    [AdamThenLBFGS(adam_steps=3, max_iter=2), AdamThenLBFGS(adam_steps=9), GaussNewton()],
)
def test_a_state_resumes_exactly(spec):
    whole = learner(spec, rosenbrock)
    for _ in range(5):
        step(whole)
    copy = learner(spec, rosenbrock)
    copy.load_state_dict(deepcopy(whole.state_dict()))
    for _ in range(3):
        assert step(copy) == step(whole)
