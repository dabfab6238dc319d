"""The moving average obeys its recurrence and does not disturb the weights it averages."""

import contextlib

import pytest
import torch
from torch import nn

from pdeops.training.ema import EMA


def test_the_recurrence(generator):
    model = nn.Linear(3, 2, dtype=torch.float64)
    ema = EMA(model, decay=0.7)
    expected = model.weight.detach().clone()
    for t in range(1, 40):
        with torch.no_grad():
            model.weight.copy_(torch.randn(2, 3, generator=generator, dtype=torch.float64))
        ema.update(model)
        d = min(0.7, (1 + t) / (10 + t))
        expected = d * expected + (1 - d) * model.weight.detach()
    torch.testing.assert_close(ema.average["weight"], expected, rtol=1e-12, atol=1e-14)


def test_applied_swaps_and_gives_back_bit_for_bit():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model[0].bias.requires_grad_(False)
    ema = EMA(model, decay=0.9)
    start = {k: v.clone() for k, v in model.state_dict().items()}
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    own = {k: v.clone() for k, v in model.state_dict().items()}
    with contextlib.suppress(KeyboardInterrupt), ema.applied(model):
        state = model.state_dict()
        assert torch.equal(state["0.weight"], start["0.weight"])
        assert torch.equal(state["0.bias"], own["0.bias"])  # frozen: not averaged
        raise KeyboardInterrupt
    assert all(torch.equal(v, own[k]) for k, v in model.state_dict().items())


def test_state_dict_round_trip():
    model, other = nn.Linear(2, 2), nn.Linear(2, 2)
    ema, copy = EMA(model, 0.9), EMA(other, 0.9)
    ema.update(model)
    copy.load_state_dict(ema.state_dict())
    assert copy.num_updates == 1
    assert torch.equal(copy.average["weight"], ema.average["weight"])
    ema.average["weight"].zero_()
    assert copy.average["weight"].any()  # values, not the same memory


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match=r"\(0, 1\); got"):
        EMA(nn.Linear(1, 1), decay)
