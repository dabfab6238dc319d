"""The folder of a run: made fresh, described, read back, withdrawn where nothing came of it.

`recipe.toml` is the resolved recipe and makes a folder a run; `environment.json` says what else the
figures depend on.
"""

import json
import time
from pathlib import Path

import torch

from ..compare.machine import describe_machine
from .recipe import Recipe, SystemsRecipe, load_recipe


def fresh_folder(recipe: Recipe | SystemsRecipe, out: str | Path | None) -> Path:
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


def open_folder(folder: Path, recipe: Recipe | SystemsRecipe, device: torch.device) -> None:
    """Make the folder and write down what the run depends on."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")
    environment = json.dumps(describe_machine() | {"device": str(device)}, indent=2) + "\n"
    (folder / "environment.json").write_text(environment, encoding="utf-8")


def withdraw(folder: Path) -> None:
    """Remove what a run left that ended before its first checkpoint: there is nothing to resume."""
    for name in ("recipe.toml", "environment.json", "metrics.csv", "checkpoints/best.pt"):
        (folder / name).unlink(missing_ok=True)
    for empty in (folder / "checkpoints", folder):
        if empty.is_dir() and not any(empty.iterdir()):
            empty.rmdir()


def recipe_of(folder: Path) -> Recipe | SystemsRecipe:
    """The resolved recipe that a run folder was made from."""
    if not (folder / "recipe.toml").is_file():
        raise ValueError(
            f"{folder} holds no run (no recipe.toml); name the folder `train` printed."
        )
    return load_recipe(folder / "recipe.toml")
