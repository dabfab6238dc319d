"""Training, resuming and loading of runs, for every task."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..kernels.runtime.slabs import Slabs
from ..nn.slabs import split
from ..runs.folder import fresh_folder, open_folder, withdraw
from ..training import checkpoint, distributed
from ..training.optim import OPTIMIZERS, SCHEDULES
from ..training.record import History
from ..training.trainer import Trainer
from . import own_models
from .shipped import shipped_path
from .task import Finished, Job, Task, TrainingRecipe


def train(
    task: Task, recipe: TrainingRecipe, out: str | Path | None, device: str
) -> dict[str, Any]:
    """Train a recipe of the task in a new run folder; see `pdeops.train`."""
    with distributed.process_group(device_named(device), share=_share(task, recipe)) as place:
        folder = distributed.from_main(fresh_folder(recipe, out))
        trainer = _trainer(recipe, task.job(recipe, place), task, folder, place)
        copies: list[Path] = []
        try:
            if distributed.is_main():
                open_folder(folder, recipe, place)
                copies = own_models.keep([getattr(recipe, n) for n in recipe.sources], folder)
            return _report(trainer.fit(), folder)
        except BaseException:
            if distributed.is_main() and not trainer.last_path.exists():
                withdraw(folder, *copies)
            raise


def resume(task: Task, recipe: TrainingRecipe, folder: Path, device: str) -> dict[str, Any]:
    """Continue an interrupted run exactly from its last checkpoint; see `pdeops.resume`."""
    with distributed.process_group(device_named(device), share=_share(task, recipe)) as place:
        job = _job_again(task, recipe, folder, place)
        trainer = _trainer(recipe, job, task, folder, place)
        carry = trainer.saved()["carry"]
        for name in recipe.sources:
            trained, now = carry.get(name), job.carry[name]
            if trained != now:
                raise ValueError(
                    f"{folder} was trained with the {name} {trained}; its recipe now describes "
                    f"{now}. Restore the recipe and the source of the {name}, or train again."
                )
        trainer.resume()
        return _report(trainer.fit(), folder)


def _job_again(task: Task, recipe: TrainingRecipe, folder: Path, place: torch.device) -> Job:
    """The job of a run that is resumed."""
    try:
        return task.job(recipe, place)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error} The recipe of the run names this file: put it there, or change its path in "
            f"{folder / 'recipe.toml'}."
        ) from None


def expanded(source: str | Path) -> str | Path:
    """The path of a run with ~ replaced by the home folder; a name stays as it is."""
    return os.path.expanduser(source) if isinstance(source, str) else source.expanduser()


def read(source: str | Path, weights: str, device: torch.device) -> Finished:
    """The checkpoint of a run folder, of a file, or of shipped weights by their name.

    Raises:
        ValueError: the checkpoint does not exist, or has another format version.
    """
    path, folder = checkpoint_path(source, weights)
    state = checkpoint.load(path, map_location=device)
    for entry in ("model", "carry"):
        if not isinstance(state.get(entry), Mapping):
            raise checkpoint.CheckpointError(
                f"{path} has no entry {entry!r}, so it does not describe a trained network: it was "
                f"edited, or another program wrote it. Use the file as `train` wrote it."
            )
    return Finished(str(source), folder, state)


def checkpoint_path(source: str | Path, weights: str = "best") -> tuple[Path, Path | None]:
    """The file of a checkpoint, and the folder of its run (None for shipped weights)."""
    path = Path(expanded(source))
    if path.is_dir():
        return path / "checkpoints" / f"{weights}.pt", path
    if path.is_file():
        return path, path.absolute().parent.parent
    return shipped_path(str(source)), None


def network(task: Task, found: Finished, device: torch.device) -> torch.nn.Module:
    """The trained network of a checkpoint of the task, in evaluation mode."""
    try:
        model = task.build(found.carry, found.folder)
    except KeyError as error:
        raise checkpoint.CheckpointError(
            f"The checkpoint of {found.source} describes its network incompletely: the entry "
            f"{error} is missing. Use best.pt or last.pt as `train` wrote them."
        ) from error
    try:
        model.load_state_dict(found.state["model"])
    except RuntimeError as error:
        raise checkpoint.CheckpointError(
            f"The weights in the checkpoint of {found.source} do not fit the network that it "
            f"describes ({str(error).splitlines()[-1].strip()}). Use best.pt or last.pt as `train` "
            f"wrote them."
        ) from error
    return model.to(device).eval()


def training_seconds(source: str | Path) -> float | None:
    """Wall-clock seconds of the training of a run folder, checkpoint, or shipped weights; None if
    the checkpoint does not hold them."""
    path, _ = checkpoint_path(source, "last")
    return checkpoint.load(path).get("seconds") if path.is_file() else None


def require(found: Finished, task: Task) -> None:
    """Raise a ValueError unless the checkpoint belongs to the task."""
    if found.carry.get("task") != task.name:
        raise ValueError(
            f"{found.source} is a run of the task {found.carry.get('task')!r}; expected one of the "
            f"task {task.name!r} ({task.summary}). Name such a run, or load this one with "
            f"pdeops.load_run."
        )


def device_named(name: str | torch.device) -> torch.device:
    """The device with this name; "auto" is a GPU if there is one, else the CPU."""
    if isinstance(name, torch.device):
        return name
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"Unknown device {name!r}; use auto, cpu, cuda or cuda:1.") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"Device {name!r} asked for, but torch sees no GPU; use --device cpu.")
    return device


def _share(task: Task, recipe: TrainingRecipe) -> int:
    """The number of processes that share a sample.

    Raises:
        ValueError: processes cannot share the weights or the fields of the task's models.
    """
    options = recipe.training
    if (options.shard or options.slabs > 1) and not task.can_divide:
        raise ValueError(
            f"training.shard and training.slabs are for large operators, not for the task "
            f"{task.name!r} ({task.summary}). Leave them out."
        )
    return options.slabs


def _trainer(
    recipe: TrainingRecipe, job: Job, task: Task, folder: Path, device: torch.device
) -> Trainer:
    if distributed.team() is not None:
        split(job.model, Slabs(distributed.team()))
    return Trainer(
        job.model,
        job.objective,
        job.dataset,
        options=recipe.training,
        optimizer=OPTIMIZERS[recipe.optimizer.name](**recipe.optimizer.arguments),
        schedule=SCHEDULES[recipe.schedule.name](**recipe.schedule.arguments),
        evaluate=job.validate,
        monitor=job.monitor,
        folder=folder,
        seed=recipe.seed,
        device=device,
        carry={"task": task.name, **job.carry},
        settings={name: json.dumps(recipe.to_dict()[name]) for name in recipe.fixed},
    )


def _report(history: History, folder: Path) -> dict[str, Any]:
    """The results of a training, as plain data."""
    return {
        "run": str(folder),
        "validation": dict(history.best_metrics),
        "best_epoch": history.best_epoch,
        "epochs": history.epochs,
        "reason": history.reason,
    }
