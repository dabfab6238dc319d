"""The folder of a run: made fresh, described, read back, withdrawn where a run came to nothing.

`recipe.toml` is the resolved recipe and makes a folder a run; `environment.json` records the
machine and the versions that the figures also depend on.
"""

import json
import time
from pathlib import Path
from typing import Any

import torch

from ..compare.machine import describe_machine
from .recipe import Recipe, read_tables

# 1: recipes without a task, checkpoints of format version 1.
FORMAT_VERSION = 2


def fresh_folder(recipe: Recipe, out: str | Path | None) -> Path:
    """The folder of a new run; one that already holds a run is refused."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    folder = Path(out) if out else Path("runs") / recipe.name / f"{stamp}-{recipe.digest}"
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; --out names the folder of the run.")
    if (folder / "recipe.toml").exists() or (folder / "checkpoints").exists():
        raise ValueError(
            f"{folder} already holds a run. Continue it with `pdeops train --resume {folder}`, or "
            f"choose another --out."
        )
    return folder


def open_folder(folder: Path, recipe: Recipe, device: torch.device) -> None:
    """Make the folder and write down what the run depends on."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")
    environment = {
        "format_version": FORMAT_VERSION,
        **describe_machine(),
        "device": str(device),
    }
    text = json.dumps(environment, indent=2) + "\n"
    (folder / "environment.json").write_text(text, encoding="utf-8")


def withdraw(folder: Path, *further: Path) -> None:
    """Remove what a run left that ended before its first checkpoint: there is nothing to resume.

    Args:
        further: files that the run wrote beside those that every run writes.
    """
    names = ("recipe.toml", "environment.json", "metrics.csv", "checkpoints/best.pt")
    for file in (*(folder / name for name in names), *further):
        file.unlink(missing_ok=True)
    for empty in (*(file.parent for file in further), folder / "checkpoints", folder):
        if empty.is_dir() and not any(empty.iterdir()):
            empty.rmdir()


def tables_of(folder: Path) -> dict[str, Any]:
    """The plain tables of the resolved recipe that a run folder was made from.

    Raises:
        ValueError: the folder holds no run, or one of another format version.
    """
    if not (folder / "recipe.toml").is_file():
        raise ValueError(
            f"{folder} holds no run (no recipe.toml); name the folder `train` printed."
        )
    plain = read_tables(folder / "recipe.toml")
    found = _format_version(folder) if "task" in plain else 1
    if found != FORMAT_VERSION:
        raise ValueError(
            f"{folder} is a run folder of format version {found}; this pdeops reads version "
            f"{FORMAT_VERSION}. Use the pdeops that wrote it, or train again from a recipe."
        )
    return plain


def _format_version(folder: Path) -> int:
    """What environment.json says; a folder from which it was removed is taken for a current one."""
    file = folder / "environment.json"
    if not file.is_file():
        return FORMAT_VERSION
    return json.loads(file.read_text(encoding="utf-8")).get("format_version", 1)
