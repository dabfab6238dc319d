"""Tasks, the kinds of job: each is defined in one file and listed in `TASKS`.

A recipe names its task, as in `task = "rollout"`. The functions here find the task from a recipe or
a checkpoint.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from ..nearest import did_you_mean
from ..runs.folder import relocated, tables_of
from ..runs.recipe import read_tables
from . import own_models, running
from .equation import EquationTask
from .preconditioner.task import PreconditionerTask
from .rollout import RolloutTask
from .supervised import SupervisedTask
from .task import Task, TrainingRecipe

__all__ = [
    "TASKS",
    "check_options",
    "evaluate",
    "load_recipe",
    "load_run",
    "predict",
    "recipe_of",
    "resume",
    "task_of",
    "train",
]

TASKS: dict[str, Task] = {
    task.name: task
    for task in (SupervisedTask(), RolloutTask(), EquationTask(), PreconditionerTask())
}
_DEFAULT = "supervised"


def load_recipe(
    source: str | Path | Mapping[str, Any], overrides: Iterable[str] = ()
) -> TrainingRecipe:
    """The recipe from a file, from the shipped recipes by name, or from nested tables.

    Args:
        overrides: `key=value` with dotted keys, as in "optimizer.lr=1e-3"; ignored for tables.

    Raises:
        ValueError: the recipe does not exist, or it does not fit the schema of its task.
    """
    if isinstance(source, Mapping):
        return _recipe(source)
    return _recipe(read_tables(source, overrides))


def recipe_of(folder: str | Path) -> TrainingRecipe:
    """The resolved recipe of a run folder.

    Raises:
        ValueError: the folder holds no run, or a run of another version of pdeops.
    """
    folder = Path(folder).expanduser()
    plain = tables_of(folder)
    kind = TASKS[_known(plain.get("task", _DEFAULT), f"the recipe of {folder}")].recipe
    for name in kind.sources:
        located = own_models.located(plain[name]["name"], folder)
        plain[name] = {**plain[name], "name": located}
    try:
        recipe = _recipe(plain)
    except ValueError as error:
        raise ValueError(
            f"The recipe of {folder} does not fit this version of pdeops: {error} Use the version "
            f"that wrote it, or train again."
        ) from None
    return recipe.with_paths(lambda path: relocated(path, folder))


def train(
    recipe: TrainingRecipe, *, out: str | Path | None = None, device: str = "auto"
) -> dict[str, Any]:
    """Train a recipe in a new run folder; returns its name, the best metrics, and why it ended.

    The folder is `out`, or runs/<name>/<time>-<hash> below the working directory.

    Raises:
        ValueError: the data do not fit the recipe, or `out` already holds a run.
    """
    return running.train(TASKS[recipe.task], recipe, out, device)


def resume(folder: str | Path, *, device: str = "auto") -> dict[str, Any]:
    """Continue an interrupted run exactly from its last checkpoint; returns the same as `train`.

    Raises:
        ValueError: the folder holds no run, or its recipe, data or model have changed.
    """
    folder = Path(folder).expanduser()
    recipe = recipe_of(folder)
    return running.resume(TASKS[recipe.task], recipe, folder, device)


def load_run(
    source: str | Path,
    *,
    task: str | None = None,
    weights: str = "best",
    device: str | torch.device = "cpu",
) -> Any:
    """A finished run as the object of its task: `supervised.Run`, `rollout.RolloutRun`, ...

    Args:
        source: a run's folder, a checkpoint file in one, or the name of shipped weights.
        task: the required task; by default any.
        weights: "best" on validation, or "last".

    Raises:
        ValueError: the run does not exist, or has another task or format version.
    """
    place = running.device_named(device)
    source = running.expanded(source)
    recipe = recipe_of(source) if Path(source).is_dir() else None
    found = running.read(source, weights, place)
    kind = TASKS[_known(found.carry.get("task"), f"the checkpoint of {source}")]
    if task is not None and kind.name != task:
        raise ValueError(
            f"{source} is a run of the task {kind.name!r} ({kind.summary}); a run of the task "
            f"{task!r} ({TASKS[task].summary}) is needed here. Load it with {kind.loader}."
        )
    if recipe is None and found.folder is not None and (found.folder / "recipe.toml").is_file():
        recipe = recipe_of(found.folder)
    return kind.finished(found, running.network(kind, found, place), recipe)


def task_of(source: str | Path) -> Task:
    """The task of a run folder, of a checkpoint file, or of shipped weights.

    Raises:
        ValueError: the run does not exist.
    """
    source = running.expanded(source)
    if Path(source).is_dir():
        return TASKS[recipe_of(source).task]
    found = running.read(source, "best", torch.device("cpu"))
    return TASKS[_known(found.carry.get("task"), f"the checkpoint {source}")]


def evaluate(run: Any, *args: Any, **options: Any) -> dict[str, Any]:
    """The metrics of a run from `load_run`, as plain data.

    The options depend on the task: a data file (`data`) for operators, the number and size of
    systems for networks inside solvers. See `evaluate` of each task.

    Raises:
        ValueError: the data do not fit the run.
    """
    return TASKS[run.task].evaluate(run, *args, **options)


def predict(run: Any, data: str | Path | None, out: str | Path, **options: Any) -> dict[str, Any]:
    """Write the predictions of a run for every input of a file to a new data file.

    Args:
        data: the file; None for runs that need none, which solve one equation.
        options: the `prediction_options` of the task, such as grid and times.

    Raises:
        ValueError: `out` exists, the file does not fit the run or is missing, or the run predicts
            no fields or does not take an option.
    """
    task = TASKS[run.task]
    check_options(run, options)
    if data is None and not task.prediction_options:
        raise ValueError(
            f"A run of the task {task.name!r} ({task.summary}) predicts from inputs. Name a file "
            f"with --data."
        )
    write: Any = task.predict
    return write(run, data, Path(out).expanduser(), **options)


def check_options(run: Any, options: Iterable[str]) -> None:
    """Raise a ValueError if the predictions of a run do not take one of these options."""
    task = TASKS[run.task]
    for option in options:
        if option not in task.prediction_options:
            raise ValueError(
                f"The grid and times of a prediction by a run of the task {task.name!r} "
                f"({task.summary}) are those of its data. Leave out {option}."
            )


def _recipe(plain: Mapping[str, Any]) -> TrainingRecipe:
    """The recipe of the task that the tables name."""
    name = _known(plain.get("task", _DEFAULT), "the recipe")
    return TASKS[name].recipe.from_dict(plain)


def _known(name: Any, where: str) -> str:
    if name not in TASKS:
        raise ValueError(
            f"Unknown task {name!r} in {where}.{did_you_mean(str(name), TASKS)} Choose from "
            f"{', '.join(TASKS)}."
        )
    return name
