"""The folder of a run: create, describe and read it, and remove it if the run failed at the start.

`recipe.toml` is the resolved recipe; a folder that holds one is a run. `environment.json` records
the machine, the package versions and the place of the folder. The paths of data files in the recipe
are absolute, so that a run can be resumed and evaluated from any working directory; if the folder
and the data are moved together, the data are found at the same place relative to the folder.
"""

import hashlib
import json
import logging
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from ..compare.machine import describe_machine
from .recipe import Recipe, read_tables

log = logging.getLogger("pdeops")

# 1: recipes without a task, checkpoints of format version 1.
FORMAT_VERSION = 2


def fresh_folder(recipe: Recipe, out: str | Path | None) -> Path:
    """The path of a new run's folder; a ValueError if it already holds a run."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    folder = (
        Path(out).expanduser() if out else Path("runs") / recipe.name / f"{stamp}-{recipe.digest}"
    )
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; --out names the folder of the run.")
    if (folder / "recipe.toml").exists() or (folder / "checkpoints").exists():
        raise ValueError(
            f"{folder} already holds a run. Continue it with `pdeops train --resume {folder}`, or "
            f"choose another --out."
        )
    return folder


def open_folder(folder: Path, recipe: Recipe, device: torch.device) -> None:
    """Create the folder, and write the recipe and the environment."""
    folder.mkdir(parents=True, exist_ok=True)
    written = recipe.with_paths(lambda path: str(Path(path).expanduser().absolute()))
    (folder / "recipe.toml").write_text(written.to_toml(), encoding="utf-8")
    environment = {
        "format_version": FORMAT_VERSION,
        "folder": str(folder.absolute()),
        **describe_machine(),
        "device": str(device),
    }
    text = json.dumps(environment, indent=2) + "\n"
    (folder / "environment.json").write_text(text, encoding="utf-8")


def withdraw(folder: Path, *further: Path) -> None:
    """Remove the files of a run that ended before its first checkpoint and cannot be resumed.

    Args:
        further: files of this run in addition to those that every run writes.
    """
    names = ("recipe.toml", "environment.json", "metrics.csv", "checkpoints/best.pt")
    for file in (*(folder / name for name in names), *further):
        file.unlink(missing_ok=True)
    for empty in (*(file.parent for file in further), folder / "checkpoints", folder):
        if empty.is_dir() and not any(empty.iterdir()):
            empty.rmdir()


def tables_of(folder: Path) -> dict[str, Any]:
    """The plain tables of the resolved recipe of a run folder.

    Raises:
        ValueError: the folder holds no run, or a run of another format version.
    """
    if not (folder / "recipe.toml").is_file():
        raise ValueError(
            f"{folder} holds no run (no recipe.toml); name the folder `train` printed."
        )
    plain = read_tables(folder / "recipe.toml")
    found = _environment(folder).get("format_version", 1) if "task" in plain else 1
    if found != FORMAT_VERSION:
        raise ValueError(
            f"{folder} is a run folder of format version {found}; this pdeops reads version "
            f"{FORMAT_VERSION}. Use the pdeops that wrote it, or train again from a recipe."
        )
    return plain


def recipe_hash(folder: Path) -> str:
    """The SHA-256 of the file recipe.toml of a run, as `sha256sum` prints it."""
    return hashlib.sha256((folder / "recipe.toml").read_bytes()).hexdigest()


def relocated(path: str, folder: Path) -> str:
    """A path of the run's recipe at the present place of the run.

    It is the path itself if that exists. Otherwise the run may have been moved together with its
    data: it is the path with the same position relative to the run's folder, if that exists.
    """
    before = _environment(folder).get("folder")
    if Path(path).expanduser().exists() or not isinstance(before, str):
        return path
    with suppress(ValueError):  # on two drives of Windows
        moved = os.path.normpath(folder.absolute() / os.path.relpath(path, before))
        if os.path.exists(moved):
            log.info("%s is missing; using %s, which was moved with the run", path, moved)
            return moved
    return path


def _environment(folder: Path) -> dict[str, Any]:
    """The entries of environment.json; those of a run written now if that file is missing.

    Raises:
        ValueError: the file is not a JSON object.
    """
    file = folder / "environment.json"
    if not file.is_file():
        return {"format_version": FORMAT_VERSION}
    try:
        environment = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        environment, found = None, str(error)
    else:
        found = f"got {type(environment).__name__}"
    if not isinstance(environment, dict):
        raise ValueError(
            f"{file} must be a JSON object, as `train` wrote it; {found}. Restore it, or delete it "
            f"if the run is of this version of pdeops."
        )
    return environment
