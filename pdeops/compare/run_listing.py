"""Facts of run folders for lists, and the differences between runs."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..runs.folder import tables_of
from ..training import checkpoint

RECIPE = "recipe.toml"


@dataclass(frozen=True)
class Listed:
    """The facts of one run; None where its folder does not hold them.

    Attributes:
        folder: its path.
        name, task, model: of the recipe.
        data: name of the training file, or of the equation or the systems.
        metric, best: the monitored metric, and its lowest value on validation.
        validation: every metric there at the epoch of that value.
        epochs, planned: completed epochs, and those of the recipe.
        seconds: of training, all sessions.
        parameters: number of trainable real parameters.
        date: of the recipe in the folder.
        state: "finished", "early stop", "unfinished" (running, paused, interrupted or diverged),
            "no checkpoint", or why the folder cannot be read.
    """

    folder: str
    state: str
    name: str | None = None
    task: str | None = None
    model: str | None = None
    data: str | None = None
    metric: str | None = None
    best: float | None = None
    validation: Mapping[str, float] = field(default_factory=dict)
    epochs: int | None = None
    planned: int | None = None
    seconds: float | None = None
    parameters: int | None = None
    date: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain entries."""
        return asdict(self)


def runs_below(paths: Sequence[Path]) -> list[Path]:
    """The run folders that are, or lie below, one of the paths, sorted by path.

    Raises:
        ValueError: a path does not exist, or there is no run.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            raise ValueError(f"{path} is not a folder; name a run, or a folder of runs.")
        found += [path] if (path / RECIPE).is_file() else sorted(p.parent for p in _recipes(path))
    if not found:
        raise ValueError(
            f"There is no run below {', '.join(map(str, paths))}; `pdeops train` makes one."
        )
    return list(dict.fromkeys(found))


def _recipes(folder: Path) -> list[Path]:
    return list(folder.rglob(RECIPE))


def listed(folder: Path) -> Listed:
    """The facts of a run folder; a folder that cannot be read has the reason as its state."""
    try:
        plain = tables_of(folder)
    except ValueError as error:
        return Listed(str(folder), f"not readable: {error}")
    known: dict[str, Any] = {
        "folder": str(folder),
        "name": plain.get("name"),
        "task": plain["task"],
        "model": plain.get("model", {}).get("name"),
        "data": _data(plain),
        "planned": plain.get("training", {}).get("epochs"),
        "date": time.strftime("%Y-%m-%d %H:%M", time.localtime((folder / RECIPE).stat().st_mtime)),
    }
    file = folder / "checkpoints" / "last.pt"
    if not file.is_file():
        return Listed(state="no checkpoint", **known)
    try:
        state = checkpoint.load(file)
        return Listed(**known, **_progress(state, plain, folder))
    except (ValueError, KeyError) as error:
        return Listed(state=f"not readable: {error}", **known)


def _progress(state: Mapping[str, Any], plain: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What the last checkpoint states."""
    best, epochs = state["best"], state["position"]["epoch"]
    patience = plain.get("training", {}).get("patience")
    if epochs == plain.get("training", {}).get("epochs"):
        reason = "finished"
    else:
        stopped = patience is not None and best["stale"] >= patience
        reason = "early stop" if stopped else "unfinished"
    return {
        "state": reason,
        "metric": state["settings"]["monitor"],
        "best": best["value"],
        "validation": best["metrics"],
        "epochs": epochs,
        "seconds": state["seconds"],
        "parameters": _parameters(state["carry"], folder),
    }


def _parameters(carry: Mapping[str, Any], folder: Path) -> int | None:
    """Number of parameters of the model, which is built; None if its source file is gone."""
    from ..nn.parameters import num_parameters
    from ..tasks import TASKS

    try:
        return num_parameters(TASKS[carry["task"]].build(carry, folder))
    except (ValueError, ImportError, OSError):
        return None


def _data(plain: Mapping[str, Any]) -> str | None:
    """The training file, the problem or the systems of a recipe, as a short text."""
    table = plain.get("data") or {}
    if isinstance(table.get("train"), str):
        return Path(table["train"]).name
    for name in ("problem", "equation", "systems"):
        entry = plain.get(name)
        if isinstance(entry, Mapping):
            return str(entry.get("name") or entry.get("kind") or name)
    return None


def monitored(folder: Path) -> str:
    """The metric that selected the best weights of a run."""
    metric: str = checkpoint.load(folder / "checkpoints" / "last.pt")["settings"]["monitor"]
    return metric


def differences(tables: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The dotted keys in which recipes differ, with the value of each; None where one lacks it."""
    flat = [_flat(t) for t in tables]
    keys = dict.fromkeys(key for entries in flat for key in entries)
    values = {key: [entries.get(key) for entries in flat] for key in keys}
    return {key: each for key, each in values.items() if any(v != each[0] for v in each)}


def _flat(plain: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in plain.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
