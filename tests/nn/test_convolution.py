"""The convolutions that layers are made of, against torch's own."""

import pytest
import torch
from torch import nn

from pdeops.nn.convolution import CONV, mean_of_pairs, pad_to_even, within


@pytest.mark.parametrize(
    "window", [{"padding": 1}, {"stride": 2}, {"padding": "same"}, {"padding": 1, "groups": 2}]
)
@pytest.mark.parametrize("batch", [1, 2])
def test_small_fields_in_3d_give_what_torch_gives(window, batch, generator):
    ours, plain = (module(4, 6, 3, **window) for module in (CONV[3], nn.Conv3d))
    ours.load_state_dict(plain.state_dict())
    u = torch.randn(batch, 4, 9, 10, 7, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(ours(u), plain(u), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(
            ours.double()(u.double()).float(), plain(u), rtol=1e-5, atol=1e-5
        )
    ours.float()(u).sum().backward()
    plain(u).sum().backward()
    torch.testing.assert_close(ours.weight.grad, plain.weight.grad, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("shape", [(7,), (8,), (5, 6), (3, 4, 5)])
def test_means_of_pairs_keep_the_integral(shape, generator):
    """Each mean stands for 2^d cells, those beyond an odd end are empty."""
    u = torch.randn(2, 3, *shape, generator=generator, dtype=torch.float64)
    even, coarse = pad_to_even(u), mean_of_pairs(u)
    assert even.shape[2:] == tuple(n + n % 2 for n in shape)
    torch.testing.assert_close(even[within(u)], u, rtol=0, atol=0)
    torch.testing.assert_close(2 ** len(shape) * coarse.flatten(2).sum(2), u.flatten(2).sum(2))
    first = (..., *(slice(2),) * len(shape))
    torch.testing.assert_close(coarse.flatten(2)[..., 0], u[first].flatten(2).mean(2))
