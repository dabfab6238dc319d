"""Losses measure what their name says, per sample, and train through zero."""

import pytest
import torch
from jaxtyping import TypeCheckError

from pdeops.calculus.norms import Lp, Sobolev, check_alike
from pdeops.domain import Grid
from pdeops.losses import LOSSES, MeanSquare, Relative

GRID = Grid((9, 8), (1.0, 2.0), ("dirichlet", "periodic"))


@pytest.fixture
def fields(generator):
    return torch.randn(2, 5, 2, 9, 8, generator=generator, dtype=torch.float64)


def test_names_and_norms():
    assert set(LOSSES) == {"RelativeL2", "RelativeH1", "MSE", "PerChannel"}
    assert LOSSES["RelativeH1"](GRID).norm.order == 1
    assert LOSSES["RelativeH1"](GRID, alpha=2.0).norm.alpha == 2
    assert LOSSES["RelativeL2"](GRID).norm.p == 2


def test_relative_is_a_mean_of_ratios_not_a_ratio_of_means(fields):
    p, t = fields
    t = t * torch.logspace(-3, 3, 5)[:, None, None, None]
    w = GRID.quadrature()
    ratios = [
        ((w * (a - b) ** 2).sum().sqrt() / (w * b**2).sum().sqrt()).item()
        for a, b in zip(p, t, strict=True)
    ]
    assert LOSSES["RelativeL2"](GRID)(p, t).item() == pytest.approx(sum(ratios) / 5, rel=1e-13)


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_is_the_mean_of_its_samples(fields, name):
    p, t = fields
    loss = LOSSES[name](GRID)
    one_by_one = [loss(p[i : i + 1], t[i : i + 1]).item() for i in range(5)]
    assert loss(p, t).item() == pytest.approx(sum(one_by_one) / 5, rel=1e-13)
    assert loss.per_sample(p, t).shape == (5,)


@pytest.mark.parametrize("name", ["RelativeL2", "RelativeH1"])
def test_two_equal_channels_give_the_error_of_one(fields, name):
    """neuraloperator's loss sums over channels by default: there the error doubles."""
    p, t = fields[:, :, :1]
    loss = LOSSES[name](GRID)
    double = loss(p.repeat(1, 2, 1, 1), t.repeat(1, 2, 1, 1))
    assert double.item() == pytest.approx(loss(p, t).item(), rel=1e-13)


def test_per_channel_knows_no_units_and_no_offset(fields):
    p, t = fields
    loss = LOSSES["PerChannel"](GRID)
    a, b = torch.tensor([[1e4, 1e-5], [1e4, 0.0]], dtype=torch.float64)[..., None, None]
    assert loss(a * p + b, a * t + b).item() == pytest.approx(loss(p, t).item(), rel=1e-9)
    pooled = LOSSES["RelativeL2"](GRID)
    only_depth = torch.cat([t[:, :1], p[:, 1:]], 1)
    assert pooled(a * only_depth + b, a * t + b).item() < 1e-8  # what it is for
    assert loss(a * only_depth + b, a * t + b).item() > 0.5


def test_per_channel_is_one_for_the_mean_of_each_channel(fields):
    t = fields[1]
    w = GRID.quadrature() / GRID.quadrature().sum()
    mean = (w * t).sum((-2, -1), keepdim=True).expand_as(t)
    loss = LOSSES["PerChannel"](GRID)
    torch.testing.assert_close(loss.per_sample(mean, t), torch.ones(5).double())
    assert loss(mean + 1, mean).item() == pytest.approx(Lp(2.0, domain=GRID)(t[:1, :1] ** 0).item())


def test_mean_square_is_the_plain_mean_where_no_end_is_stored(fields):
    p, t = fields
    grid = Grid((9, 8), (3.0, 2.0), "periodic")
    expected = torch.nn.functional.mse_loss(p, t).item()
    assert MeanSquare(grid)(p, t).item() == pytest.approx(expected, rel=1e-13)


def test_mean_square_converges_to_the_integral():
    for n in (9, 33):
        grid = Grid((n,), 2.0)
        p = grid.axis(0)[None, None]
        error = MeanSquare(grid)(p, 0 * p).item() - 4 / 3
        assert error == pytest.approx(2 / 3 / (n - 1) ** 2, rel=1e-9)  # h²/6, the trapezoid's


@pytest.mark.parametrize("name", LOSSES)
def test_zero_target_and_zero_error_are_finite_with_their_gradients(fields, name):
    loss = LOSSES[name](GRID)
    for target in (fields[1], torch.zeros_like(fields[1])):
        for prediction in (target.clone(), target + 1, torch.zeros_like(target)):
            prediction.requires_grad_()
            value = loss(prediction, target)
            value.backward()
            assert value.isfinite()
            assert prediction.grad.isfinite().all()


def test_where_the_target_is_zero_the_error_itself_counts(fields):
    p = fields[0]
    for norm in (Lp(2.0, domain=GRID), Sobolev(1, GRID)):
        value = Relative(norm)(p, torch.zeros_like(p))
        assert value.item() == pytest.approx(norm(p).mean().item(), rel=1e-14)


@pytest.mark.parametrize("name", LOSSES)
def test_gradcheck(fields, name):
    p, t = fields[:, :2, :1]
    assert torch.autograd.gradcheck(lambda v: LOSSES[name](GRID)(v, t), p.clone().requires_grad_())


@pytest.mark.parametrize("name", LOSSES)
def test_fields_of_another_resolution_are_refused(name):
    loss = LOSSES[name](GRID)
    with pytest.raises(ValueError, match=r"9, 8.*got \(1, 1, 17, 16\)"):
        loss(torch.zeros(1, 1, 17, 16), torch.zeros(1, 1, 17, 16))


@pytest.mark.parametrize("name", LOSSES)
def test_shapes_are_not_broadcast(name):
    p, t = torch.zeros(4, 1, 9, 8), torch.zeros(1, 1, 9, 8)
    with pytest.raises((ValueError, TypeCheckError)):  # while testing jaxtyping is the first to see
        LOSSES[name](GRID)(p, t)
    with pytest.raises(ValueError, match=r"one shape; got \(4, 1, 9, 8\) and \(1, 1, 9, 8\)"):
        check_alike(p, t)
