"""Initial weights of pointwise maps that keep the variance of independent channels."""

import pytest
import torch

from pdeops.nn.pointwise import Pointwise, PointwiseMLP


def test_initial_weights_keep_the_variance(generator):
    """Of a map to another number of channels, and of one through an activation."""
    torch.manual_seed(0)
    u = 3 * torch.randn(1, 256, 2000, generator=generator)
    layer = Pointwise(256, 64)
    layer.keep_variance()
    assert (layer.bias == 0).all()
    assert layer(u).var().item() == pytest.approx(9, rel=0.1)
    network = PointwiseMLP(256, 128, 256)
    network.keep_variance()
    assert network(u).var().item() == pytest.approx(9, rel=0.25)
    network[0].keep_variance()  # negative control: without the gain of the activation
    assert network(u).var().item() < 6
