"""The time of a training step: a complete step, recipes by turns, with the given threads."""

import pytest
import torch

from benchmarks import steps
from benchmarks.steps import step_seconds
from pdeops.compare.timing import Clock
from pdeops.domain import Grid
from pdeops.tasks import load_recipe
from pdeops.training.learner import Learner

GRID = Grid((32, 32))


def recipe(**arguments):
    return load_recipe(
        {
            "data": {"train": "absent"},
            "model": {"name": "FNO", "n_modes": [8, 8], "n_layers": 2, **arguments},
            "optimizer": {"name": "AdamW", "lr": 0.1},
            "training": {"batch_size": 4},
        }
    )


def test_a_step_is_one_of_training(monkeypatch):
    """The loss of a batch of the recipe's size falls."""
    losses = []

    class Watched(Learner):
        def gradients(self, batch, num_samples):
            assert len(batch.input) == num_samples == 4
            losses.append(super().gradients(batch, num_samples))
            return losses[-1]

    monkeypatch.setattr(steps, "Learner", Watched)
    assert step_seconds([recipe(hidden_channels=8)], GRID, threads=1, repeats=20)[0] > 0
    assert len(losses) == 21
    assert losses[-1] < losses[0] - 1e-3  # the schedule begins slowly


def test_medians_of_turns_without_the_first(monkeypatch):
    """A clock that moves in steps alone: 100 s in the first turn, then 1, 2, 9 s, or ten times
    those."""
    now, turns = 0.0, []

    class Slow:
        def __init__(self, factor):
            self.factor, self.durations = factor, iter((100.0, 1.0, 9.0, 2.0))

        def gradients(self, batch, num_samples):
            nonlocal now
            turns.append((self.factor, torch.get_num_threads()))
            now += self.factor * next(self.durations)

        def gradient_norm(self):
            return None

        def update(self, norm):
            assert norm is None

    factors = iter((1, 10))
    monkeypatch.setattr(steps, "_learner", lambda *_: Slow(next(factors)))
    clock = Clock(lambda: now, lambda: now, rest=0.0)
    seconds = step_seconds([recipe(), recipe()], GRID, threads=2, repeats=3, clock=clock)
    assert seconds == [2.0, 20.0]
    assert turns == [(1, 2), (10, 2)] * 4


def test_leaves_the_global_generator_and_threads_alone():
    state = torch.get_rng_state()
    step_seconds([recipe(hidden_channels=4)], GRID, threads=1, repeats=2)
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(ValueError, match="n_modes"):
        step_seconds([recipe(n_modes=[99, 99])], GRID, threads=2)
    assert torch.get_num_threads() == 1
