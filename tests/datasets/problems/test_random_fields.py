"""Gaussian random fields: one function on every grid, with the covariance they claim."""

import math

import numpy as np
import pytest
import torch

from pdeops.datasets.problems.random_fields import GaussianField, sample_generator
from pdeops.domain import Grid


def draw(field, grid, index=0, seed=0):
    return field.sample(grid, sample_generator(seed, index))


@pytest.mark.parametrize(
    ("coarse", "fine", "stride"),
    [
        (Grid((65, 65)), Grid((129, 129)), (2, 2)),
        (Grid((33, 17), extent=(1.0, 0.4)), Grid((65, 65), extent=(1.0, 0.4)), (2, 4)),
        (Grid((22, 22)), Grid((64, 64)), (3, 3)),
        (Grid((17,)), Grid((33,)), (2,)),
        (Grid((5, 9, 5)), Grid((9, 17, 9)), (2, 2, 2)),
    ],
    ids=["square", "box", "factor 3", "1D", "3D"],
)
def test_a_sample_is_one_function_on_nested_grids(coarse, fine, stride):
    field = GaussianField(num_modes=24)
    for index in range(3):
        nested = draw(field, fine, index)[tuple(slice(None, None, s) for s in stride)]
        torch.testing.assert_close(draw(field, coarse, index), nested, rtol=0, atol=1e-13)


def test_a_sample_is_the_sum_it_is_defined_by():
    grid = Grid((7, 5), extent=(2.0, 0.5), placement="centers")
    field = GaussianField(tau=2.0, alpha=3.0, num_modes=4, scale=1.5, zero_mean=False)
    xi = sample_generator(3, 1).standard_normal((4, 4))
    (Lx, Ly), (X, Y) = grid.extent, grid.nodes().numpy()
    u = np.zeros(grid.shape)
    for k in range(4):
        for l in range(4):
            std = 1.5 * (math.pi**2 * (k**2 / Lx**2 + l**2 / Ly**2) + 4.0) ** (-1.5)
            c = math.sqrt((1 if k == 0 else 2) * (1 if l == 0 else 2) / (Lx * Ly))
            u += std * xi[k, l] * c * np.cos(math.pi * k * X / Lx) * np.cos(math.pi * l * Y / Ly)
    torch.testing.assert_close(draw(field, grid, 1, 3), torch.from_numpy(u), rtol=0, atol=1e-14)


@pytest.mark.parametrize("zero_mean", [True, False])
def test_the_pointwise_variance_is_the_karhunen_loeve_sum(zero_mean):
    grid = Grid((9, 5), extent=(1.0, 0.5))
    field = GaussianField(num_modes=16, zero_mean=zero_mean)
    draws = torch.stack([draw(field, grid, i) for i in range(1000)])
    ratio = draws.square().mean(0) / field.variance(grid)
    # Variance of a mean of 1000 squares of normals: relative standard deviation sqrt(2/1000) = 2.6
    # %.
    assert (ratio - 1).abs().max() < 5 * math.sqrt(2 / 1000)
    assert (draws.mean(0) / field.variance(grid).sqrt()).abs().max() < 5 / math.sqrt(1000)


def test_zero_mean_is_the_mean_over_the_box():
    grid = Grid((257, 257))
    kept = GaussianField(num_modes=16, zero_mean=False)
    left_out = GaussianField(num_modes=16)
    weights = grid.quadrature()
    assert abs((weights * draw(left_out, grid)).sum()) < 1e-13
    constant = draw(kept, grid) - draw(left_out, grid)
    assert constant.std() < 1e-13
    assert constant.mean().abs() > 1e-3


def test_the_modes_left_out_are_small():
    """128 modes per axis carry all but 1 % of the standard deviation at alpha = 2."""
    grid = Grid((9, 9))
    v, more = (GaussianField(num_modes=n).variance(grid) for n in (128, 1024))
    assert (1 - v / more).max().sqrt() < 0.02
    assert (1 - v / more).mean().sqrt() < 0.011


def test_samples_depend_on_seed_and_index_only():
    field, grid = GaussianField(num_modes=8), Grid((9, 9))
    again = draw(field, grid, 5, 7)
    torch.testing.assert_close(draw(field, grid, 5, 7), again, rtol=0, atol=0)
    for seed, index in [(7, 6), (8, 5), (5, 7), (0, 0)]:
        assert (draw(field, grid, index, seed) - again).abs().max() > 0.01


@pytest.mark.parametrize("wrong", [{"tau": 0.0}, {"alpha": -1.0}, {"num_modes": 1}, {"scale": 0.0}])
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=r"needs tau, alpha, scale > 0 and num_modes >= 2"):
        GaussianField(**wrong)
