"""Time of a training step for several recipes, alternately in one process, on new models."""

from collections.abc import Callable, Sequence

import torch

from pdeops.batch import Batch
from pdeops.compare.timing import Clock, time_calls
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
    recipes: Sequence[Recipe],
    grid: Grid,
    *,
    threads: int,
    repeats: int = 9,
    clock: Clock | None = None,
) -> list[float]:
    """Median seconds of a step of each recipe: gradients of its loss over a batch of its size, and
    the update by its optimizer.

    One channel in and out, random fields: the time does not depend on the values. Reading data is
    not included.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        steps = [_step(recipe, grid) for recipe in recipes]
        calls = {str(i): step for i, step in enumerate(steps)}
        timings = time_calls(calls, repeats=repeats, clock=clock)
    finally:
        torch.set_num_threads(before)
    return [timing.wall.median for timing in timings.values()]


def _step(recipe: Recipe, grid: Grid) -> Callable[[], None]:
    """A call that computes gradients over a batch and updates the parameters."""
    learner, batch = _learner(recipe, grid), _batch(recipe, grid)

    def step() -> None:
        learner.gradients(batch, recipe.training.batch_size)
        learner.update(learner.gradient_norm())

    return step


def _learner(recipe: Recipe, grid: Grid) -> Learner:
    """The learner of a run of the recipe, with identity normalizers."""
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
