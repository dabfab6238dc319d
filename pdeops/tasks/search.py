"""Search over the hyperparameters of a recipe at equal seconds of training."""

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..compare.tables import markdown_table, read_csv, write_csv
from ..datasets.lock import lock
from ..runs.recipe import put
from ..runs.search_cost import forget_search_cost, write_search_cost
from ..training import DivergedError, checkpoint
from . import load_recipe, train
from .search_space import Axis, usual_axes, value_at
from .task import TrainingRecipe

ROWS = "search.csv"
PROBE = 2  # epochs of the training that measures the seconds of an epoch
RANDOM = 8  # trials before the sampler models the error
# Tables whose numbers with a fraction, such as rates and weights, do not change the seconds of an
# epoch.
FREE = ("optimizer", "schedule", "loss")


@dataclass(frozen=True)
class SearchReport:
    """The trials of a search.

    Attributes:
        out: the folder of the search.
        rows: one per trial: its number, settings, error on validation data, epochs, seconds and, if
            it failed, why.
        best: the run folder of the best trial; None if none has finished.
        interrupted: whether Ctrl-C ended it; the same command continues.
    """

    out: Path
    rows: list[dict[str, str]]
    best: Path | None
    interrupted: bool = False

    @property
    def seconds(self) -> float:
        """Seconds of all trials, their probes included."""
        return sum(float(row["seconds"]) for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "out": str(self.out),
            "best": None if self.best is None else str(self.best),
            "seconds": self.seconds,
            "trials": self.rows,
            "reason": "interrupted" if self.interrupted else "finished",
        }

    def to_markdown(self) -> str:
        """The trials from the best on, and the command that trains the best one longer."""
        lines = []
        ranked = sorted(self.rows, key=_error)
        if ranked:
            header = list(ranked[0])
            lines += [markdown_table(header, [[row[n] for n in header] for row in ranked]), ""]
        lines.append(f"{len(self.rows)} trials, {self.seconds:.0f} s.")
        if self.interrupted:
            lines.append(
                f"Interrupted in trial {len(self.rows)}. The same command begins it again."
            )
        if self.best is not None:
            if self.best != _place(self.out, ranked[0]):
                lines.append(f"The run of trial {ranked[0]['trial']}, the best one, was deleted.")
            lines.append(f"Best: {self.best}. To train it longer:")
            lines.append(f"pdeops train {self.best / 'recipe.toml'} --epochs N")
        return "\n".join(lines)


def search(
    recipe: str | Path,
    axes: Sequence[Axis] = (),
    *,
    trials: int = 20,
    seconds: float | int = 60.0,
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
    seed: int = 0,
    device: str = "auto",
    progress: Callable[[Mapping[str, str]], None] = lambda row: None,
) -> SearchReport:
    """Train a recipe with many settings for the same seconds each; the best on validation data.

    The first trial has the values of the recipe, where they lie on the axes; the others come from
    optuna's tree-structured Parzen estimator (Bergstra et al. 2011). A trial trains for as many
    epochs as fit in the seconds, so that its schedule ends; a short training of each architecture
    measures the seconds of an epoch, and counts. A trial with settings that the recipe refuses, or
    whose error is not finite, is recorded with the reason.

    Each trial is a run in OUT/trials. The folder of the best one states the cost of the search,
    which `pdeops compare` counts with its training. The same call continues a search that was
    stopped, or adds trials: the settings of a trial follow from the seed and the rows before it, so
    that they are the same as without the stop.

    Args:
        recipe: file or name of a shipped recipe.
        axes: by default `usual_axes`.
        trials: number of all trials, those of earlier calls included.
        out: folder; by default runs/search/NAME of the recipe.
        overrides: of the recipe, `key=value`.

    Raises:
        ValueError: no axes, a key is twice, the recipe refuses a key, an end or a value of an axis,
            trials or seconds are not positive, OUT holds another search, another process searches
            there, or the model or data refuse the settings of the first trial.
        ImportError: optuna is not installed.
    """
    base = load_recipe(recipe, overrides)
    axes = list(axes) or usual_axes(base)
    _check(base, axes, trials, seconds)
    _optuna()
    folder = Path(out).expanduser() if out else Path("runs/search") / base.name
    definition = {
        "recipe": base.to_dict(),
        "axes": [str(axis) for axis in axes],
        "seconds": seconds,
        "seed": seed,
    }
    with _locked(folder):
        return _continued(base, axes, folder, definition, trials, device, progress)


def _continued(
    base: TrainingRecipe,
    axes: Sequence[Axis],
    folder: Path,
    definition: Mapping[str, Any],
    trials: int,
    device: str,
    progress: Callable[[Mapping[str, str]], None],
) -> SearchReport:
    """The search after its trials that are not finished yet."""
    seconds, seed = definition["seconds"], definition["seed"]
    rows = _opened(folder, definition, axes)
    rates: dict[str, float] = {}
    interrupted = False
    while len(rows) < trials and not interrupted:
        chosen = _settings(base, axes, rows, seed)
        row = {"trial": str(len(rows)), **chosen}
        start = time.perf_counter()
        try:
            found = _trained(_with(base, chosen), _place(folder, row), seconds, device, rates)
        except (ValueError, DivergedError, torch.OutOfMemoryError) as error:
            if not rows and isinstance(error, ValueError):
                raise
            spent = f"{time.perf_counter() - start:.1f}"
            reason = str(error).replace(f"{folder}{os.sep}", "")  # the folder may be moved
            found = {"error": "", "epochs": "", "seconds": spent, "failed": reason}
        except KeyboardInterrupt:  # outside of the training loop, which ends without it
            found = None
        if found is None:
            shutil.rmtree(_place(folder, row), ignore_errors=True)
            interrupted = True
        else:
            rows.append({**row, **found})
            write_csv(folder / ROWS, rows)
            _state_cost(folder, rows)
            progress(rows[-1])
    return SearchReport(folder, rows, _state_cost(folder, rows), interrupted)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The folder, created if it is missing, with no other search in it.

    Raises:
        ValueError: another process searches there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _check(base: TrainingRecipe, axes: Sequence[Axis], trials: int, seconds: float | int) -> None:
    """Raise a ValueError if the search has no sense."""
    if not axes:
        raise ValueError(
            "The recipe has neither a learning rate nor a width nor a depth that the search knows; "
            "name what varies, as in --vary optimizer.lr=1e-4..1e-2."
        )
    keys = [axis.key for axis in axes]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise ValueError(f"{twice[0]} has two axes; give one.")
    if "training.epochs" in keys:
        raise ValueError("The epochs of a trial follow from --seconds; vary something else.")
    if trials < 1 or not (seconds > 0 and math.isfinite(seconds)):
        raise ValueError(
            f"A search has 1 trial or more, of positive seconds; got {trials} and {seconds:g}."
        )
    for axis in axes:
        # Arguments of a class whose name varies need not be those of the class in the recipe.
        if f"{axis.key.rpartition('.')[0]}.name" in {*keys} - {axis.key}:
            continue
        for value in axis.ends:
            try:
                _with(base, {axis.key: value})
            except ValueError as error:
                raise ValueError(f"The axis {axis} does not fit the recipe: {error}") from None


def _optuna() -> Any:
    """The package.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise ImportError(
            "The search needs the package optuna, which is not installed: "
            "pip install 'pdeops[search]'."
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _opened(
    folder: Path, definition: Mapping[str, Any], axes: Sequence[Axis]
) -> list[dict[str, str]]:
    """The rows of a search, none if it is new; its definition is written to the folder.

    Raises:
        ValueError: the folder holds rows of another search.
    """
    file, rows = folder / "search.json", read_csv(folder / ROWS)
    text = json.dumps(definition, indent=2) + "\n"
    if rows:
        before = json.loads(file.read_text(encoding="utf-8"))
        now = json.loads(text)
        if changed := [k for k in now if before.get(k) != now[k]]:
            raise ValueError(
                f"{folder} holds a search with another {changed[0]}: {before.get(changed[0])}, now "
                f"{now[changed[0]]}. Choose another --out, or the same settings."
            )
        columns = ["trial", *(axis.key for axis in axes), "error", "epochs", "seconds", "failed"]
        if list(rows[0]) != columns:
            raise ValueError(
                f"{folder / ROWS} has the columns {', '.join(rows[0])}; expected "
                f"{', '.join(columns)}. Restore the file, or choose another --out."
            )
    file.write_text(text, encoding="utf-8")
    return rows


def _settings(
    base: TrainingRecipe, axes: Sequence[Axis], rows: Sequence[Mapping[str, str]], seed: int
) -> dict[str, str]:
    """The settings of the trial after those of the rows: key -> value as TOML."""
    optuna = _optuna()
    draw = np.random.SeedSequence((seed, len(rows))).generate_state(1).item()
    sampler = optuna.samplers.TPESampler(seed=draw, n_startup_trials=RANDOM)
    study = optuna.create_study(sampler=sampler)
    axis_of = {axis.key: axis for axis in axes}
    space = {key: axis.distribution for key, axis in axis_of.items()}
    for row in rows:
        point = {key: axis.value(row[key]) for key, axis in axis_of.items()}
        study.add_trial(
            optuna.trial.create_trial(params=point, distributions=space, value=_error(row))
        )
    if not rows:
        start = {key: axis.place_of(value_at(base, key)) for key, axis in axis_of.items()}
        study.enqueue_trial({key: value for key, value in start.items() if value is not None})
    chosen = study.ask(space).params
    return {key: axis.text(chosen[key]) for key, axis in axis_of.items()}


def _with(recipe: TrainingRecipe, settings: Mapping[str, str]) -> TrainingRecipe:
    """The recipe with other values. Names are set first: another class has other arguments."""
    plain = recipe.to_dict()
    for key in sorted(settings, key=lambda key: not key.endswith(".name")):
        put(plain, f"{key}={settings[key]}")
    return load_recipe(plain)


def _trained(
    recipe: TrainingRecipe,
    folder: Path,
    seconds: float | int,
    device: str,
    rates: dict[str, float],
) -> dict[str, str] | None:
    """The figures of one trial; None if it was interrupted.

    Args:
        rates: seconds per epoch of the trainings with the same work, which this one may add.
    """
    probe = folder.with_name(f"{folder.name}_probe")
    for unfinished in (folder, probe):  # of a process that was killed
        shutil.rmtree(unfinished, ignore_errors=True)
    work, probed = _work(recipe), 0.0
    if work not in rates:
        short = _with(recipe, {"training.epochs": str(PROBE)})
        try:
            report = train(short, out=probe, device=device)
            if report["reason"] == "interrupted":
                return None
            spent = [float(row["seconds"]) for row in read_csv(probe / "metrics.csv")]
        finally:
            shutil.rmtree(probe, ignore_errors=True)
        rates[work], probed = spent[-1] - spent[-2], spent[-1]
    epochs = max(math.floor(seconds / max(rates[work], 1e-6)), 1)
    report = train(_with(recipe, {"training.epochs": str(epochs)}), out=folder, device=device)
    if report["reason"] == "interrupted":
        return None
    state = checkpoint.load(folder / "checkpoints" / "last.pt")
    error = state["best"]["value"]
    finite = error is not None and math.isfinite(error)
    return {
        "error": f"{error:.6g}" if finite else "",
        "epochs": str(report["epochs"]),
        "seconds": f"{float(state['seconds']) + probed:.1f}",
        "failed": "" if finite else "the error was never finite",
    }


def _work(recipe: TrainingRecipe) -> str:
    """What the seconds of an epoch depend on, as text."""
    plain = recipe.to_dict()
    del plain["seed"]
    for name in FREE:
        entries = plain.get(name, {})
        plain[name] = {k: v for k, v in entries.items() if not isinstance(v, float)}
    return json.dumps(plain, sort_keys=True)


def _state_cost(folder: Path, rows: Sequence[Mapping[str, str]]) -> Path | None:
    """The folder of the best trial, which then states the cost of the search; None if no trial has
    finished. Runs that were deleted are passed over."""
    finished = [
        row for row in rows if row["error"] and (_place(folder, row) / "recipe.toml").is_file()
    ]
    if not finished:
        return None
    best = min(finished, key=_error)
    for row in finished:
        forget_search_cost(_place(folder, row))
    others = sum(float(row["seconds"]) for row in rows) - float(best["seconds"])
    write_search_cost(_place(folder, best), trials=len(rows), seconds=others)
    return _place(folder, best)


def _place(folder: Path, row: Mapping[str, str]) -> Path:
    """The run folder of a trial."""
    return folder / "trials" / f"{int(row['trial']):04d}"


def _error(row: Mapping[str, str]) -> float:
    """The error of a trial, infinite if it failed."""
    return float(row["error"] or "inf")
