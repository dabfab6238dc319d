"""What an operator passes to its model."""

import torch
from torch import nn

from pdeops.batch import Batch
from pdeops.domain import Points
from pdeops.nn.operator import Operator
from pdeops.normalizer import Normalizer


class LoadTimesPosition(nn.Module):
    """x, points, parameters p -> p_0 times the first coordinate."""

    def forward(self, x, points, parameters):
        return parameters[:, :1, None] * points.positions[:, :1]


def test_positions_and_parameters_of_the_samples_reach_the_model(generator):
    """Padding is zero, whatever the model returns there."""
    same = Normalizer(torch.zeros(1), torch.ones(1))
    operator = Operator(LoadTimesPosition(), same, same, domain=Points(2))
    positions = torch.rand(3, 2, 5, generator=generator)
    parameters = torch.rand(3, 2, generator=generator)
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[1, 3:] = False
    batch = Batch(input=torch.zeros(3, 1, 5), positions=positions, mask=mask, parameters=parameters)
    expected = parameters[:, :1] * positions[:, 0] * mask
    torch.testing.assert_close(operator(batch.input, at=batch)[:, 0], expected)
