"""Schedules are the stated functions of the step; optimizers take the stated steps."""

import math

import pytest
import torch

from pdeops.training.optim import (
    LBFGS,
    OPTIMIZERS,
    SCHEDULES,
    Adam,
    AdamW,
    Constant,
    Cosine,
    OneCycle,
    Step,
)


def rates(schedule, n):
    """The learning rate of each of n steps, by torch's scheduler on a peak of 1."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    scheduler = schedule.build(optimizer, n)
    seen = []
    for _ in range(n):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_one_cycle_rises_and_falls_in_half_cosines():
    lr = rates(OneCycle(warmup=0.25, start_factor=0.1, final_factor=0.01), 101)
    assert (lr[0], lr[25], lr[100]) == pytest.approx((0.1, 1.0, 0.01))
    assert lr[:26] == sorted(lr[:26])
    assert lr[25:] == sorted(lr[25:], reverse=True)
    assert lr[5] == pytest.approx(0.1 + 0.9 * (1 - math.cos(math.pi * 5 / 25)) / 2)
    assert lr[62] + lr[63] == pytest.approx(1.01, abs=1e-3)  # odd about the middle of the fall


def test_cosine_after_a_linear_rise():
    lr = rates(Cosine(warmup=0.1, final_factor=0.2), 111)
    assert lr[0] > 0
    assert torch.tensor(lr[:12]).diff().diff().abs().max() < 1e-6
    assert (lr[11], lr[110]) == pytest.approx((1.0, 0.2))
    assert lr[11 + 33] == pytest.approx(0.2 + 0.8 * (1 + math.cos(math.pi / 3)) / 2)
    assert rates(Cosine(), 51)[0] == 1.0


@pytest.mark.parametrize("n", [10, 30, 500])
def test_step_drops_five_times(n):
    lr = rates(Step(every=0.2, gamma=0.5), n)
    assert lr == [0.5 ** (5 * k // n) for k in range(n)]


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_short_runs_have_finite_positive_rates(name, n):
    lr = rates(SCHEDULES[name](), n)
    assert all(0 <= rate <= 1 for rate in lr)
    assert lr[0] > 0
    assert rates(Constant(), n) == [1.0] * n


def decayed(spec, gradient):
    """A weight of 1 after one step with a constant gradient."""
    parameter = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = spec.build([parameter])
    parameter.grad = torch.full_like(parameter, gradient)
    optimizer.step()
    return parameter.item()


def test_weight_decay_is_decoupled_in_adamw_and_l2_in_adam():
    # AdamW: θ − lr·wd·θ − lr·sign(g). Adam: θ − lr·sign(g + wd·θ), whatever the size of wd.
    assert decayed(AdamW(lr=0.1, weight_decay=0.5), 1.0) == pytest.approx(1 - 0.05 - 0.1)
    assert decayed(Adam(lr=0.1, weight_decay=0.5), 1.0) == pytest.approx(1 - 0.1)
    assert decayed(Adam(lr=0.1, weight_decay=2.0), -1.0) == pytest.approx(1 - 0.1)
    assert decayed(Adam(lr=0.1, weight_decay=0.0), -1.0) == pytest.approx(1 + 0.1)


@pytest.mark.parametrize("name", [n for n, s in OPTIMIZERS.items() if not s.needs_jacobian])
def test_real_pairs_and_complex_parameters_take_the_same_steps(name, generator):
    start = torch.randn(4, 2, generator=generator, dtype=torch.float64)
    pairs = torch.nn.Parameter(start.clone())
    whole = torch.nn.Parameter(torch.view_as_complex(start.clone()))
    optimizers = [OPTIMIZERS[name]().build([p]) for p in (pairs, whole)]
    target = torch.randn(4, generator=generator, dtype=torch.complex128)
    for _ in range(5):
        for optimizer, z in zip(optimizers, (pairs, whole), strict=True):

            def closure(optimizer=optimizer, z=z):
                optimizer.zero_grad()
                z = z if z.is_complex() else torch.view_as_complex(z)
                loss = (z - target).abs().pow(3).sum()
                loss.backward()
                return loss

            optimizer.step(closure)
    torch.testing.assert_close(torch.view_as_real(whole), pairs, rtol=1e-12, atol=0)


def test_betas_may_be_a_list():
    assert AdamW(betas=[0.8, 0.9]) == AdamW(betas=(0.8, 0.9))
    group = AdamW(betas=[0.8, 0.9]).build([torch.nn.Parameter(torch.ones(1))]).param_groups[0]
    assert group["betas"] == (0.8, 0.9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AdamW(lr=0.0), "lr; got 0.0"),
        (lambda: AdamW(lr=math.inf), "lr; got inf"),
        (lambda: Adam(weight_decay=-1.0), "weight_decay >= 0; got -1.0"),
        (lambda: Adam(betas=(0.9,)), "two numbers"),
        (lambda: Adam(betas=(0.9, 1.0)), r"\[0, 1\)"),
        (lambda: LBFGS(lr=0.0), "lr; got 0.0"),
        (lambda: LBFGS(max_iter=0), "max_iter >= 1; got 0"),
        (lambda: LBFGS(history=0), "history >= 1; got 0"),
        (lambda: LBFGS(tolerance_grad=-1.0), "tolerance_grad >= 0"),
        (lambda: OneCycle(warmup=1.0), "warmup"),
        (lambda: OneCycle(start_factor=0.0), "start_factor"),
        (lambda: Cosine(final_factor=2.0), "final_factor"),
        (lambda: Step(every=20.0), "fraction of the run; got 20.0"),
        (lambda: Step(gamma=0.0), "gamma"),
    ],
)
def test_values_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
