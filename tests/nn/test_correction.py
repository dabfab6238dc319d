"""The correction added to a model: zero at first, affine, orthonormal, and alone in changing."""

import pytest
import torch

from pdeops.nn.correction import Corrected, from_waves, to_waves
from pdeops.nn.refinable import Refinable, require_refinable


class Model(torch.nn.Module):
    """One step with a pointwise head, without a linear last spectral layer."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(0.7))

    def forward(self, x):
        return torch.tanh(self.scale * x).double()


def frames(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("space", [(7,), (8,), (5, 6), (6, 5), (4, 3, 4)])
def test_waves_are_orthonormal(space):
    u = frames(2, 3, 1, *space)
    theta = to_waves(u)
    torch.testing.assert_close(from_waves(theta, space), u, rtol=1e-12, atol=1e-12)
    assert theta.norm().item() == pytest.approx(u.norm().item(), rel=1e-12)
    other = frames(*theta.shape, seed=1)
    transposed = (from_waves(other, space) * u).sum()
    assert (other * theta).sum().item() == pytest.approx(transposed.item(), rel=1e-10)


def test_without_a_correction_the_output_is_that_of_the_model():
    """E5, to the last bit, and E6: a correction changes no parameter of the model."""
    x, model = frames(2, 3, 1, 8, 8), Model()
    corrected = Corrected(model, x.shape)
    assert torch.equal(corrected(x), model(x))
    before = {name: p.clone() for name, p in corrected.named_parameters()}
    d = frames(*x.shape, seed=2)
    corrected.last_layer.set(d)
    torch.testing.assert_close(corrected(x), model(x) + d, rtol=1e-12, atol=1e-12)
    changed = {n for n, p in corrected.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {"last_layer.bias"}


def test_every_model_becomes_refinable():
    model = Model()
    with pytest.raises(ValueError, match=r"Model has no linear last layer.*Corrected"):
        require_refinable(model)
    corrected = Corrected(model, (2, 3, 1, 8, 8))
    assert isinstance(corrected, Refinable)
    x = frames(2, 3, 1, 8, 8)
    v = corrected.features(x)
    a, b = frames(*x.shape, seed=3), frames(*x.shape, seed=4)
    outputs = []
    for d in (a, b, (a + b) / 2):
        corrected.last_layer.set(d)
        outputs.append(corrected.head(v, x))
    torch.testing.assert_close((outputs[0] + outputs[1]) / 2, outputs[2], rtol=1e-12, atol=1e-12)
