"""The convolutions that layers are made of, against torch's own."""

import pytest
import torch
from torch import nn

from pdeops.nn.convolution import CONV


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
