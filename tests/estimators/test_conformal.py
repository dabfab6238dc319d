"""Conformal bands: the rank of the quantile, coverage over many draws, exact zeros."""

import math

import pytest
import torch

from pdeops.estimators.conformal import (
    conformal_quantile,
    coverage,
    pointwise_band,
    simultaneous_band,
)


@pytest.mark.parametrize(
    ("n", "level", "rank"),
    [(9, 0.9, 9), (19, 0.9, 18), (99, 0.95, 95), (8, 0.9, None), (1, 0.5, 1)],
)
def test_the_rank_of_the_quantile(n, level, rank):
    scores = torch.arange(1.0, n + 1)[torch.randperm(n, generator=torch.Generator().manual_seed(0))]
    assert conformal_quantile(scores, level).item() == (math.inf if rank is None else rank)


def drawn(samples, seed):
    """Smooth random errors that grow along x and vanish at one end; heavy tails."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.linspace(0, 1, 12, dtype=torch.float64)
    g = torch.randn(samples, 3, 1, generator=generator, dtype=torch.float64)
    waves = torch.stack([torch.sin((k + 1) * x) for k in range(3)])
    size = torch.rand(samples, 1, generator=generator, dtype=torch.float64) ** -0.3
    return size * x * (g * waves).sum(1)


@pytest.mark.parametrize("simultaneous", [True, False])
def test_coverage_over_many_splits(simultaneous):
    """400 splits of one population: the mean coverage of 500 others is the level, between it and
    the level + 1/(n + 1), within two standard errors."""
    level, n, make = 0.8, 29, simultaneous_band if simultaneous else pointwise_band
    population = drawn(20000, 0)
    generator = torch.Generator().manual_seed(1)
    covered = []
    for _ in range(400):
        chosen = torch.randperm(len(population), generator=generator)[: n + 500]
        band = make(population[chosen[:n]], level)
        covered.append(coverage(population[chosen[n:], 1:], band[1:], simultaneous=simultaneous))
    mean = sum(covered) / len(covered)
    error = torch.tensor(covered).std().item() / math.sqrt(len(covered))
    scores = n - n // 2 if simultaneous else n
    rank = math.ceil((scores + 1) * level)
    assert abs(mean - rank / (scores + 1)) < 2.5 * error + 1e-3
    assert mean > level - 2 * error


def test_a_pointwise_band_is_no_simultaneous_one():
    errors = drawn(4000, 2)
    band = pointwise_band(errors[:2000], 0.8)
    assert coverage(errors[2000:], band, simultaneous=False) == pytest.approx(0.8, abs=0.03)
    assert coverage(errors[2000:], band, simultaneous=True) < 0.72


def test_points_without_error_have_no_width():
    """Dirichlet nodes: 0/0 is no error; an error where calibration had none is outside."""
    errors = drawn(40, 3)
    band = simultaneous_band(errors, 0.7)
    assert band[0] == 0
    assert 0 < band[1] < math.inf
    moved = errors.clone()
    moved[:, 0] = 1e-9
    assert coverage(moved, band, simultaneous=True) == 0
    late = errors.clone()
    late[20:, 0] = 1.0
    assert simultaneous_band(late, 0.7)[1] == math.inf


@pytest.mark.parametrize(
    ("make", "n", "level", "message"),
    [
        (pointwise_band, 0, 0.9, "at least one"),
        (simultaneous_band, 1, 0.9, "at least two"),
        (pointwise_band, 5, 1.0, r"\(0, 1\)"),
        (pointwise_band, 5, 0.0, r"\(0, 1\)"),
    ],
)
def test_bad_input(make, n, level, message):
    with pytest.raises(ValueError, match=message):
        make(torch.ones(n, 4), level)
