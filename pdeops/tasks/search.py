"""Search over the hyperparameters of a recipe at equal seconds of training."""

import json
import logging
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..compare.tables import markdown_table, read_csv, write_csv
from ..runs.recipe import put
from ..runs.search_cost import forget_search_cost, write_search_cost
from ..training import checkpoint
from . import load_recipe, train
from .search_space import Axis, usual_axes, value_at
from .task import TrainingRecipe

log = logging.getLogger("pdeops")

PROBE = 2  # epochs of the training that measures the seconds of an epoch
RANDOM = 8  # trials before the sampler models the error
# Tables whose values do not change the seconds of an epoch.
FREE = ("optimizer", "schedule", "loss", "seed")


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
        if self.rows:
            ranked = sorted(self.rows, key=lambda row: float(row["error"] or "inf"))
            header = list(ranked[0])
            lines += [markdown_table(header, [[row[n] for n in header] for row in ranked]), ""]
        lines.append(f"{len(self.rows)} trials, {self.seconds:.0f} s.")
        if self.best is not None:
            lines.append(f"Best: {self.best}. To train it longer:")
            lines.append(f"pdeops train {self.best / 'recipe.toml'} --epochs N")
        return "\n".join(lines)


def search(
    recipe: str | Path,
    axes: Sequence[Axis] = (),
    *,
    trials: int = 20,
    seconds: float = 60.0,
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
    stopped, or adds trials.

    Args:
        recipe: file or name of a shipped recipe.
        axes: by default `usual_axes`.
        trials: number of all trials, those of earlier calls included.
        out: folder; by default runs/search/NAME of the recipe.
        overrides: of the recipe, `key=value`.

    Raises:
        ValueError: no axes, a key is twice or is not one of the recipe, trials or seconds are not
            positive, OUT holds another search, or the first trial fails.
        ImportError: optuna is not installed.
    """
    base = load_recipe(recipe, overrides)
    axes = list(axes) or usual_axes(base)
    _check(base, axes, trials, seconds)
    folder = Path(out).expanduser() if out else Path("runs/search") / base.name
    definition = {
        "recipe": base.to_dict(),
        "axes": [str(axis) for axis in axes],
        "seconds": seconds,
        "seed": seed,
    }
    study = _opened(folder, definition, seed)
    rows: list[dict[str, str]] = [dict(row) for row in read_csv(folder / "search.csv")]
    if not study.trials:
        start = {axis.key: axis.place_of(value_at(base, axis.key)) for axis in axes}
        study.enqueue_trial({key: value for key, value in start.items() if value is not None})
    rates: dict[str, float] = {}
    interrupted = False
    while len(rows) < trials and not interrupted:
        trial = study.ask()
        chosen = [f"{axis.key}={axis.suggest(trial)}" for axis in axes]
        here = folder / "trials" / f"{trial.number:04d}"
        row = {"trial": str(trial.number), **dict(text.split("=", 1) for text in chosen)}
        try:
            found = _trained(_with(base, chosen), here, seconds, device, rates)
        except ValueError as error:
            if not rows:
                raise
            found = {"error": "", "epochs": "", "seconds": "0", "failed": str(error)}
        if found is None:
            shutil.rmtree(here, ignore_errors=True)
            interrupted = True
        elif found["error"]:
            study.tell(trial, float(found["error"]))
        if found is None or not found["error"]:
            study.tell(trial, state=_state("FAIL"))
        if found is not None:
            rows.append({**row, **found})
            write_csv(folder / "search.csv", rows)
            progress(rows[-1])
    return SearchReport(folder, rows, _state_cost(folder, rows), interrupted)


def _check(base: TrainingRecipe, axes: Sequence[Axis], trials: int, seconds: float) -> None:
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
    for axis in axes:
        table = axis.key.rpartition(".")[0]
        if value_at(base, axis.key) is None and value_at(base, table) is None:
            raise ValueError(f"The recipe has no table [{table}] for the axis {axis.key}.")
    if trials < 1 or not (seconds > 0 and math.isfinite(seconds)):
        raise ValueError(
            f"A search has 1 trial or more, of positive seconds; got {trials} and {seconds:g}."
        )


def _opened(folder: Path, definition: Mapping[str, Any], seed: int) -> Any:
    """The optuna study in the folder, new or continued."""
    try:
        import optuna
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise ImportError(
            "The search needs the package optuna, which is not installed: "
            "pip install 'pdeops[search]'."
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    file = folder / "search.json"
    if file.is_file():
        before = json.loads(file.read_text(encoding="utf-8"))
        if changed := [k for k in definition if before.get(k) != definition[k]]:
            raise ValueError(
                f"{folder} holds a search with another {changed[0]}: {before.get(changed[0])}, now "
                f"{definition[changed[0]]}. Choose another --out, or the same settings."
            )
    else:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(definition, indent=2) + "\n", encoding="utf-8")
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(folder / "study.log")))
    study = optuna.create_study(
        storage=storage,
        study_name="search",
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM),
        load_if_exists=True,
    )
    for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # of a killed process
        shutil.rmtree(folder / "trials" / f"{trial.number:04d}", ignore_errors=True)
        study.enqueue_trial(trial.params)
    return study


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]


def _with(recipe: TrainingRecipe, settings: Sequence[str]) -> TrainingRecipe:
    """The recipe with other values, `key=value`."""
    plain = recipe.to_dict()
    for text in settings:
        put(plain, text)
    return load_recipe(plain)


def _trained(
    recipe: TrainingRecipe,
    folder: Path,
    seconds: float,
    device: str,
    rates: dict[str, float],
) -> dict[str, str] | None:
    """The figures of one trial; None if it was interrupted."""
    plain = {k: v for k, v in recipe.to_dict().items() if k not in FREE}
    key, probed = json.dumps(plain, sort_keys=True), 0.0
    if key not in rates:
        probe = folder.with_name(f"{folder.name}_probe")
        try:
            report = train(_with(recipe, [f"training.epochs={PROBE}"]), out=probe, device=device)
            if report["reason"] == "interrupted":
                return None
            spent = [float(row["seconds"]) for row in read_csv(probe / "metrics.csv")]
        finally:
            shutil.rmtree(probe, ignore_errors=True)
        rates[key], probed = spent[-1] - spent[-2], spent[-1]
    epochs = max(math.floor(seconds / max(rates[key], 1e-6)), 1)
    report = train(_with(recipe, [f"training.epochs={epochs}"]), out=folder, device=device)
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


def _state_cost(folder: Path, rows: Sequence[Mapping[str, str]]) -> Path | None:
    """The folder of the best trial, which then states the cost of the search."""
    finished = [row for row in rows if row["error"]]
    if not finished:
        return None
    best = min(finished, key=lambda row: float(row["error"]))
    for row in finished:
        forget_search_cost(folder / "trials" / f"{int(row['trial']):04d}")
    others = sum(float(row["seconds"]) for row in rows) - float(best["seconds"])
    place = folder / "trials" / f"{int(best['trial']):04d}"
    write_search_cost(place, trials=len(rows), seconds=others)
    return place
