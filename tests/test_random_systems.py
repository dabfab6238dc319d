"""The systems are as various as they claim; multigrid is symmetric and positive definite on all;
and what is not is found out."""

import pytest
import torch
from torch import nn

from pdeops.linop import Preconditioner
from pdeops.solvers import Diagonal, Multigrid

from .random_systems import SEEDS, assert_spd, assert_spd_for_any_weights, random_system, systems


def test_they_are_various():
    drawn = systems()
    assert len(drawn) == 20
    assert {A.ndim for A in drawn} == {2, 3}
    assert {n % 2 for A in drawn for n in A.grid.shape} == {0, 1}
    assert len({b for A in drawn for b in A.grid.boundary}) == 2
    assert len({p for A in drawn for p in A.grid.placement}) >= 3
    assert {A.positive_definite for A in drawn} == {True, False}
    assert any(A.excess is not None for A in drawn)
    assert any(A.regions.num_floating > 1 for A in drawn)
    assert any(A.bounds[1] / A.bounds[0] >= 1e4 for A in drawn)
    assert all(A.grid.num_nodes <= 1000 for A in drawn)


@pytest.mark.parametrize("seed", SEEDS)
def test_multigrid_is_symmetric_positive_definite(seed):
    A = random_system(seed)
    assert_spd(Multigrid(A), A)


class Spoiled(Preconditioner):
    """Multigrid, and a little of what it must not be."""

    def __init__(self, A, spoil):
        self.grid, self.M, self.spoil = A.grid, Multigrid(A), spoil

    def apply(self, u):
        return self.M.apply(u) + self.spoil(u)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda u: 1e-6 * u.roll(1, -1), "not symmetric"),
        (lambda u: 1e-3 * u.abs(), "not linear"),
    ],
)
def test_a_little_too_much_is_found_out(spoil, message):
    A = random_system(0)
    with pytest.raises(ValueError, match=message):
        assert_spd(Spoiled(A, spoil), A)


def test_one_negative_direction_is_found_out():
    """Probes do not see it."""
    A = random_system(0)
    matrix = torch.linalg.eigh(columns(Multigrid(A), A))
    worst = matrix.eigenvectors[:, 0].reshape(A.grid.shape)
    lowest = matrix.eigenvalues[0].item()

    def turn(u):
        along = (u * worst).flatten(-A.ndim).sum(-1)[(..., *(None,) * A.ndim)]
        return -2 * lowest * along * worst

    with pytest.raises(AssertionError):
        assert_spd(Spoiled(A, turn), A)


def columns(M, A):
    size = A.grid.num_nodes
    return (M @ torch.eye(size, dtype=torch.float64).reshape(size, *A.grid.shape)).reshape(size, -1)


class Damped(nn.Module):
    """A diagonal, times a number that must not be negative, and here may be."""

    def __init__(self, square):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))
        self.square = square

    def on(self, A):
        factor = self.weight.sum().item()
        return Scaled(A, factor**2 + 1e-3 if self.square else factor)


class Scaled(Preconditioner):
    def __init__(self, A, factor):
        self.grid, self.M, self.factor = A.grid, Diagonal(A), factor

    def apply(self, u):
        return self.factor * self.M.apply(u)


def test_all_draws_of_weights_are_tried(generator):
    regular = [A for A in systems(2) if A.positive_definite]
    assert_spd_for_any_weights(Damped(square=True), regular, generator, draws=8)
    with pytest.raises(ValueError, match="not positive definite"):
        assert_spd_for_any_weights(Damped(square=False), regular, generator, draws=8)
