"""Statistics in one pass equal those of all data at once, and the map is undone by its inverse."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from pdeops.normalizer import Normalizer


def split(u, *sizes):
    return torch.split(u, list(sizes))


@pytest.mark.parametrize("sizes", [(23,), (8, 8, 7), (1,) * 23, (22, 1)])
@pytest.mark.parametrize("mean", [0.0, 1e4, 1e8])
def test_fit_equals_numpy_in_float64_whatever_the_batches(generator, sizes, mean):
    u = torch.randn(23, 3, 4, 5, generator=generator, dtype=torch.float64)
    u = u * torch.tensor([1.0, 1e-3, 50.0])[:, None, None] + mean
    normalizer = Normalizer.fit(split(u, *sizes))
    shifted = u.numpy() - mean  # exact; numpy itself loses digits to a large mean
    expected = mean + shifted.mean((0, 2, 3))
    np.testing.assert_allclose(normalizer.mean.numpy(), expected, rtol=1e-15, atol=1e-14)
    np.testing.assert_allclose(normalizer.std.numpy(), shifted.std((0, 2, 3)), rtol=1e-12)


def test_the_textbook_formula_would_fail_where_the_mean_is_large(generator):
    """Negative control: E[u²] - E[u]² in float32, as often published, against ours."""
    u = 1e4 + 1e-2 * torch.randn(64, 1, 16, generator=generator, dtype=torch.float64)
    u = u.float()
    true = u.double().numpy().std()
    textbook = (u.square().mean() - u.mean().square()).clamp(min=0).sqrt().item()
    assert abs(textbook / true - 1) > 0.5
    assert Normalizer.fit([u]).std.item() == pytest.approx(true, rel=1e-12)


def test_fit_takes_a_stream_of_float32():
    batches = (torch.full((2, 1, 3), float(i), dtype=torch.float32) for i in range(4))
    normalizer = Normalizer.fit(batches)
    assert normalizer.mean.item() == 1.5
    assert normalizer.std.item() == pytest.approx(math.sqrt(1.25))


@pytest.mark.parametrize("value", [0.0, 7.7, 1 / 3, -3e7])
def test_a_constant_channel_gets_std_1(value):
    """Though the mean of many equal numbers need not be that number in floating point."""
    ramp = torch.arange(210, dtype=torch.float64).reshape(30, 7)
    u = torch.stack([torch.full_like(ramp, value), ramp], 1)
    normalizer = Normalizer.fit(split(u, 11, 11, 8))
    assert normalizer.std[0] == 1
    assert normalizer.std[1] > 10
    assert (normalizer(u)[:, 0] == 0).all()


def test_normalised_data_have_mean_0_and_std_1(generator):
    u = 7 + 3 * torch.randn(16, 2, 9, 9, generator=generator, dtype=torch.float64)
    v = Normalizer.fit(split(u, 5, 11))(u)
    assert v.mean((0, 2, 3)).abs().max() < 1e-13
    assert (v.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-13


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 1e-6), (torch.float64, 1e-15)])
@pytest.mark.parametrize("space", [(5,), (4, 6), (3, 4, 5)])
def test_inverse_undoes_it_in_the_dtype_of_the_field(generator, dtype, rtol, space):
    u = (40 + torch.randn(3, 2, *space, generator=generator, dtype=torch.float64)).to(dtype)
    normalizer = Normalizer.fit([u])
    assert normalizer(u).dtype == dtype
    assert torch.allclose(normalizer.inverse(normalizer(u)), u, rtol=rtol)


def test_identity_changes_no_bit(generator):
    u = torch.randn(2, 3, 8, generator=generator)
    identity = Normalizer.identity(3)
    assert torch.equal(identity(u), u)
    assert torch.equal(identity.inverse(u), u)


def test_it_travels_in_the_state_dict_and_is_never_trained(generator):
    fitted = Normalizer.fit([5 + torch.randn(4, 2, 6, generator=generator)])
    model = nn.Sequential(Normalizer.identity(2), nn.Conv1d(2, 1, 1))
    model[0].load_state_dict(fitted.state_dict())
    assert torch.equal(model[0].mean, fitted.mean)
    assert model[0].std.dtype == torch.float64
    assert {name for name, _ in model.named_parameters()} == {"1.weight", "1.bias"}
    again = Normalizer.from_dict(fitted.to_dict())
    assert torch.equal(again.std, fitted.std)  # every bit, through plain floats


def test_gradients_pass_through():
    u = torch.ones(1, 1, 4, dtype=torch.float64, requires_grad=True)
    normalizer = Normalizer(torch.tensor([2.0]), torch.tensor([4.0]))
    normalizer(u).sum().backward()
    assert u.grad.unique().tolist() == [0.25]


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "no data"),
        ([torch.zeros(0, 1, 4)], "no data"),
        ([torch.zeros(2, 1, 4), torch.zeros(2, 2, 4)], r"\(b, 1, \*space\).*got \(2, 2, 4\)"),
        ([torch.tensor([[[1.0], [math.nan]]])], r"channel\(s\) \[1\]"),
        ([torch.tensor([[[math.inf], [1.0]]])], r"channel\(s\) \[0\]"),
    ],
)
def test_fit_refuses_bad_data(batches, message):
    with pytest.raises(ValueError, match=message):
        Normalizer.fit(batches)


def test_another_number_of_channels_is_not_broadcast():
    with pytest.raises(ValueError, match=r"fitted to 1 channel.*got shape \(2, 3, 4\)"):
        Normalizer.identity(1)(torch.zeros(2, 3, 4))


@pytest.mark.parametrize("std", [0.0, -1.0, math.inf, math.nan])
def test_a_std_that_cannot_divide_is_refused(std):
    with pytest.raises(ValueError, match="positive finite"):
        Normalizer(torch.zeros(1), torch.tensor([std]))


def test_trajectories_have_one_pair_of_numbers_per_channel(generator):
    """(b, t, c, *space): over samples, times and nodes, and every time is scaled alike."""
    u = torch.randn(9, 4, 3, 5, 6, generator=generator, dtype=torch.float64)
    u = u * torch.tensor([1.0, 1e-3, 50.0])[:, None, None] + torch.arange(4.0)[:, None, None, None]
    normalizer = Normalizer.fit(split(u, 4, 5), channel_axis=2)
    np.testing.assert_allclose(normalizer.mean.numpy(), u.mean((0, 1, 3, 4)), rtol=1e-13)
    expected = u.numpy().std((0, 1, 3, 4))
    np.testing.assert_allclose(normalizer.std.numpy(), expected, rtol=1e-12)
    v = normalizer(u, channel_axis=2)
    assert torch.equal(v[:, 2], normalizer(u[:, 2]))  # a frame is scaled as by itself
    assert torch.allclose(normalizer.inverse(v, channel_axis=2), u, rtol=1e-14, atol=1e-13)
    same = Normalizer.fit([u.flatten(0, 1)])
    assert torch.allclose(same.std, normalizer.std, rtol=1e-13)


def test_an_axis_of_time_is_not_taken_for_channels():
    u = torch.zeros(2, 4, 3, 5)
    normalizer = Normalizer.identity(3)
    with pytest.raises(
        ValueError, match=r"takes fields \(b, 3, \*space\); got shape \(2, 4, 3, 5\)"
    ):
        normalizer(u)
    with pytest.raises(
        ValueError, match=r"takes fields \(b, t, 3, \*space\); got shape \(2, 3, 4, 5\)"
    ):
        normalizer(u.transpose(1, 2), channel_axis=2)
    with pytest.raises(ValueError, match=r"shape \(b, t, c, \*space\); got \(2, 4\)"):
        Normalizer.fit([torch.zeros(2, 4)], channel_axis=2)
