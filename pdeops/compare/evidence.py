"""What a report states about finished runs: problem, recipes, machines, errors, worst cases,
spectra and the coverage of bands, as sections of Markdown with figures and files of numbers."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..calculus import has_calculus
from ..calculus.spectrum import shell_spectrum
from ..datasets import FieldDataset
from ..datasets.spec import DatasetSpec
from ..runs.folder import recipe_hash
from .evaluation_plots import Coverage, Spectrum, calibration, coverage_curve, spectra
from .field_plots import SHOWN, field_panel, samples_of
from .machine import describe_machine
from .sample_errors import SampleErrors, sample_errors, to_csv, to_netcdf
from .tables import markdown_table, write_csv

log = logging.getLogger("pdeops")

MAIN = ("relative_l2", "relative_h1", "vrmse", "max_error")  # metrics in the table of a report


@dataclass(frozen=True)
class Measured:
    """One run on one data set: its errors, and the means of the spectra of its fields."""

    errors: SampleErrors
    dataset: FieldDataset
    predict: Callable[[int], Tensor]
    spectrum: Spectrum | None


def measured(
    runs: Mapping[str, Any], data: Mapping[str, str | Path] | None, notes: list[str]
) -> list[Measured]:
    """Every run on every data set, by default on the test file of its recipe.

    A file that is missing or does not fit a run is named in `notes`.
    """
    from ..tasks import TASKS

    found = []
    for model, run in runs.items():
        test = run.recipe.data.test
        files: Mapping[str, str | Path | None] = data or (
            {} if test is None else {Path(str(test)).stem: None}
        )
        if not files:
            notes.append(f"Not measured: {model}, whose recipe names no test file.")
        for name, file in files.items():
            try:
                dataset, predict = TASKS[run.task].examples(run, file)
                mean = SpectrumMean(dataset)
                errors = sample_errors(model, run, name, dataset, predict, further=mean.add)
            except (ValueError, OSError) as error:
                path = Path(str(file or test)).expanduser()
                reason = str(error).replace(str(path), path.name)  # no absolute paths in a report
                notes.append(f"Not measured: {model} on {name}. {reason}")
                continue
            spectrum = mean.compute(f"{model} on {name}")
            found.append(Measured(errors, dataset, predict, spectrum))
    return found


class SpectrumMean:
    """Mean spectra of the first channel, of trajectories at the last time; nothing on a domain
    without waves."""

    def __init__(self, dataset: FieldDataset) -> None:
        self.dataset = dataset
        self._sums: list[Tensor] = []

    def add(self, prediction: Tensor, target: Tensor) -> None:
        """Add a sample."""
        domain = self.dataset.domain
        if not has_calculus(domain):
            return
        last = 0 if self.dataset.n_out is None else (-1, 0)
        p, t = (u[last].double() for u in (prediction, target))
        parts = [shell_spectrum(u, domain) for u in (t, p, p - t)]
        before = self._sums or [torch.zeros_like(s) for s in parts]
        self._sums = [a + b for a, b in zip(before, parts, strict=True)]

    def compute(self, label: str) -> Spectrum | None:
        """The means; None if there are none."""
        if not self._sums:
            return None
        return Spectrum(label, *((s / len(self.dataset)).numpy() for s in self._sums))


def sections(
    folder: Path,
    runs: Mapping[str, Any],
    data: Mapping[str, str | Path] | None = None,
    further: Sequence[SampleErrors] = (),
) -> list[str]:
    """The sections on runs as Markdown; their figures go to plots/ and their numbers to files in
    the folder.

    Args:
        runs: name -> run.
        data: name -> file to evaluate on; by default the test file of each recipe.
        further: errors on other samples, for the same table and files.
    """
    notes: list[str] = []
    found = measured(runs, data, notes)
    parts = [*_problem(runs), *_errors(folder, [*(m.errors for m in found), *further], notes)]
    parts += [*_worst(folder, found)]
    parts += [*_spectra(folder, found), *_calibration(folder, found)]
    return [*parts, *_recipes(runs), *_environments(runs)]


def _problem(runs: Mapping[str, Any]) -> list[str]:
    """The card of the problem, from the spec of the training data."""
    spec: DatasetSpec | None = next(iter(runs.values())).spec
    if spec is None:
        return ["## Problem", "The training file does not state its equation."]
    facts = {
        "problem": f"{spec.name}, kind {spec.kind}",
        "equation": spec.equation,
        "parameters": ", ".join(f"{k} = {v}" for k, v in spec.parameters.items()) or None,
        "domain": str(spec.domain),
        "training samples": f"{spec.num_samples}, seed {spec.seed}",
        "source, licence": f"{spec.source}, {spec.licence}",
    }
    fields = [(f.name, f.role, f.units, f.description) for f in spec.fields]
    return [
        "## Problem",
        markdown_table(("entry", "value"), list(facts.items())),
        markdown_table(("field", "role", "units", "meaning"), fields),
    ]


def _errors(folder: Path, errors: Sequence[SampleErrors], notes: Sequence[str]) -> list[str]:
    if not errors:
        return ["## Errors of single samples", *notes]
    to_netcdf(errors, folder / "errors.nc")
    to_csv(errors, folder / "errors.csv")
    lines = [e.line(metric) for e in errors for metric in MAIN if metric in e.metrics]
    return [
        "## Errors of single samples",
        markdown_table(list(lines[0]), [list(line.values()) for line in lines]),
        "The intervals are bootstraps over the samples; they do not contain the spread of "
        "trainings with other seeds. All metrics: [errors.csv](errors.csv). Every sample and "
        "time: [errors.nc](errors.nc), with the dimensions model, dataset, resolution, seed, "
        "sample, time.",
        *notes,
    ]


def _worst(folder: Path, found: Sequence[Measured]) -> list[str]:
    """The samples with the largest errors, of each run on its first data set."""
    parts: list[str] = []
    for model in dict.fromkeys(m.errors.model for m in found):
        first = next(m for m in found if m.errors.model == model)
        metric = next(name for name in MAIN if name in first.errors.metrics)
        values = first.errors.of_samples(metric)
        worst = values.argsort()[::-1][:SHOWN].tolist()
        name = f"plots/worst_{len(parts) // 2}.png"
        field_panel(folder / name, samples_of(first.dataset, {model: first.predict}, chosen=worst))
        figures = ", ".join(f"sample {i} ({values[i]:.3g})" for i in worst)
        parts += [
            f"{model} on {first.errors.dataset}, largest {metric}: {figures}.",
            f"![Worst cases of {model}]({name})",
        ]
    return ["## Worst cases", *parts] if parts else []


def _spectra(folder: Path, found: Sequence[Measured]) -> list[str]:
    known = [m.spectrum for m in found if m.spectrum is not None]
    if not known:
        return []
    spectra(folder / "plots" / "spectra.png", known)
    rows = [row for s in known for row in s.rows()]
    write_csv(folder / "spectra.csv", rows)
    return [
        "## Spectra",
        "![Spectra of truth, prediction and error](plots/spectra.png)",
        "Half the mean square of the first channel by shells of waves, mean over the samples (at "
        "the last time of trajectories): [spectra.csv](spectra.csv).",
    ]


def _calibration(folder: Path, found: Sequence[Measured]) -> list[str]:
    curves: list[Coverage] = []
    for model in dict.fromkeys(m.errors.model for m in found):
        mine = [m.errors for m in found if m.errors.model == model]
        scores = {e.dataset: e.metrics["max_error"].max(axis=1) for e in mine}
        curves += coverage_curve(model, scores)
    if not curves:
        return []
    calibration(folder / "plots" / "calibration.png", curves)
    write_csv(folder / "calibration.csv", [row for c in curves for row in c.rows()])
    return [
        "## Calibration",
        "![Coverage of conformal bands over their level](plots/calibration.png)",
        "Share of samples inside a split-conformal band of constant width, from the largest error "
        "of each sample, over its nominal level. A random half of the first data set calibrates; "
        "coverage is measured on the other half and on the other data sets, for which no theorem "
        "guarantees it. Means over 100 halves: [calibration.csv](calibration.csv).",
    ]


def _recipes(runs: Mapping[str, Any]) -> list[str]:
    parts = ["## Recipes"]
    for name, run in runs.items():
        parts += [f"### {name}", f"```toml\n{_portable(run)}\n```"]
        parts.append(
            f"Run {run.folder.name}; SHA-256 of its recipe.toml: {recipe_hash(run.folder)}."
        )
    return parts


def _portable(run: Any) -> str:
    """The recipe with the names of files instead of their paths."""
    return run.recipe.with_paths(lambda path: Path(path).name).to_toml().strip()


def _environments(runs: Mapping[str, Any]) -> list[str]:
    """The machine of each training and of the report."""
    found: dict[str, dict[str, Any]] = {}
    for name, run in runs.items():
        file = run.folder / "environment.json"
        if file.is_file():
            found[name] = json.loads(file.read_text(encoding="utf-8"))
    found["this report"] = describe_machine()
    entries = dict.fromkeys(k for e in found.values() for k in e if k != "folder")
    lines = [[entry, *(e.get(entry) for e in found.values())] for entry in entries]
    return ["## Environment", markdown_table(("entry", *found), lines)]
