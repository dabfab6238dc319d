"""How long a training step takes: several recipes by turns in one process, on fresh models."""

import statistics
import time
from collections.abc import Sequence

import torch

from pdeops.batch import Batch
from pdeops.domain import Grid
from pdeops.losses import LOSSES
from pdeops.models import MODELS
from pdeops.nn.operator import Operator
from pdeops.normalizer import Normalizer
from pdeops.runs.recipe import Recipe
from pdeops.training.learner import Learner
from pdeops.training.objectives import Supervised
from pdeops.training.optim import OPTIMIZERS, SCHEDULES


def step_seconds(
    recipes: Sequence[Recipe], grid: Grid, *, threads: int, repeats: int = 9
) -> list[float]:
    """Median seconds of a step of each recipe: gradients of its loss over a batch of its size, and
    the update by its optimizer.

    One channel in and out, random fields: the time depends on no value. Reading data is not in it.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        sides = [(_learner(recipe, grid), _batch(recipe, grid)) for recipe in recipes]
        seconds: list[list[float]] = [[] for _ in sides]
        for turn in range(1 + repeats):
            for (learner, batch), found in zip(sides, seconds, strict=True):
                start = time.perf_counter()
                learner.gradients(batch, len(batch))
                learner.update(learner.gradient_norm())
                if turn:  # the first one compiles, and fills caches
                    found.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(before)
    return [statistics.median(found) for found in seconds]


def _learner(recipe: Recipe, grid: Grid) -> Learner:
    """What a run of the recipe steps with, on identity normalizers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = MODELS[recipe.model.name](1, 1, grid, **recipe.model.arguments)
    return Learner(
        Operator(model, Normalizer.identity(1), Normalizer.identity(1)).train(),
        Supervised(LOSSES[recipe.loss.name](grid, **recipe.loss.arguments)),
        options=recipe.training,
        optimizer=OPTIMIZERS[recipe.optimizer.name](**recipe.optimizer.arguments),
        schedule=SCHEDULES[recipe.schedule.name](**recipe.schedule.arguments),
        total_steps=1000,
        device=torch.device("cpu"),
    )


def _batch(recipe: Recipe, grid: Grid) -> Batch:
    generator = torch.Generator().manual_seed(recipe.seed)
    shape = (recipe.training.batch_size, 1, *grid.shape)
    x, y = (torch.randn(shape, generator=generator) for _ in range(2))
    return Batch(input=x, target=y)
