"""Evaluation of predicted trajectories: errors, correlation, spectra, budgets and blow-up.

Whole trajectories are predicted from their first frames, by one-step models applied to their own
output or by models of many frames at once; both are measured here.
"""
# Axes: b batch, t time, c and d channels of the state and of an input frame, *space nodes.

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..batch import Batch
from ..calculus import has_calculus
from ..calculus.spectrum import shell_spectrum
from ..datasets import EvolutionProblem, FieldDataset, problem_of
from ..metrics import METRICS, Metric, definitions
from ..trajectory_metrics import BLOW_UP, THRESHOLDS, blow_up, correlation, correlation_time
from .unrolling import persistence


class TrajectoryMeasures:
    """Means over predicted trajectories, updated batch by batch.

    Args:
        dataset: the windows that are predicted; all have equal times between their frames.
        metric: the metric of the error, a key of `METRICS`.
    """

    def __init__(self, dataset: FieldDataset, metric: str) -> None:
        assert dataset.n_in is not None
        self.dataset, self.metric = dataset, metric
        self.domain: Any = dataset.domain
        times = dataset.read([0]).times[0].double()
        self.times = times[dataset.n_in :] - times[dataset.n_in - 1]
        problem = problem_of(dataset.spec) if dataset.spec else None
        self.problem = problem if isinstance(problem, EvolutionProblem) else None
        last = len(self.times) - 1
        self.shown = sorted({0, last // 2, last})  # frames of the spectra
        self.num_samples = 0
        self._sums: dict[str, Tensor] = {}
        self._correlations: dict[str, list[Tensor]] = defaultdict(list)
        self._blown_up: list[dict[str, Any]] = []

    @torch.no_grad()
    def update(self, batch: Batch, prediction: Float[Tensor, "b t c *space"]) -> None:
        """Add the samples of one batch and their predicted frames."""
        domain, target = self.domain.at(batch), batch.target
        given = batch.input[:, :, : target.shape[2]]
        predictions = {"model": prediction, "persistence": persistence(given, target.shape[1])}
        for name, p in predictions.items():
            self._add(f"error.{name}", _errors(METRICS[self.metric], p, target, domain))
            self._correlations[name].append(correlation(p, target, domain))
        for name, u in {"model": prediction, "target": target}.items():
            if has_calculus(domain):
                self._add(f"spectrum.{name}", shell_spectrum(u[:, self.shown].cpu(), domain))
            if self.problem is not None:
                for key, values in self.problem.diagnostics(u, domain).items():
                    self._add(f"diagnostic.{key}.{name}", values)
        steps = blow_up(prediction, target, domain).tolist()
        for i, step in enumerate(steps, start=self.num_samples):
            if step:
                time = self.times[step - 1].item()
                self._blown_up.append({"sample": i, "step": step, "time": time})
        self.num_samples += len(target)

    def compute(self) -> dict[str, Any]:
        """The report, as plain data.

        `times` count from the last given frame. Means of the correlation time count a trajectory
        that stays above the threshold with the last time; `censored` is the number of these, and
        with any of them the mean is a lower bound. Samples are counted from 0, steps (predicted
        frames) from 1.
        """
        mean = {name: total / self.num_samples for name, total in self._sums.items()}
        correlations = {name: torch.cat(parts) for name, parts in self._correlations.items()}
        report: dict[str, Any] = {
            "metric": self.metric,
            self.metric: mean["error.model"].mean().item(),
            "persistence": mean["error.persistence"].mean().item(),
            "samples": self.num_samples,
            "times": self.times.tolist(),
            "time_units": self.dataset.spec.time_units if self.dataset.spec else "1",
            "error_at_times": mean["error.model"].tolist(),
            "persistence_at_times": mean["error.persistence"].tolist(),
            "correlation_at_times": correlations["model"].mean(0).tolist(),
            "correlation_time": {
                f"{threshold:g}": self._correlation_times(correlations, threshold)
                for threshold in THRESHOLDS
            },
            "blow_up": {"multiple": BLOW_UP, "samples": self._blown_up},
        }
        if "spectrum.model" in mean:
            report["spectra"] = {
                "times": self.times[self.shown].tolist(),
                "channels": list(self.dataset.targets),
                **{n: mean[f"spectrum.{n}"].transpose(0, 1).tolist() for n in ("model", "target")},
            }
        keys = [name.split(".")[1] for name in mean if name.startswith("diagnostic.")]
        report["diagnostics"] = {
            key: {n: mean[f"diagnostic.{key}.{n}"].tolist() for n in ("model", "target")}
            for key in dict.fromkeys(keys)
        }
        return report

    def _add(self, name: str, values: Tensor) -> None:
        total = values.double().sum(0).cpu()
        self._sums[name] = self._sums.get(name, torch.zeros_like(total)) + total

    def _correlation_times(
        self, correlations: Mapping[str, Tensor], threshold: float
    ) -> dict[str, Any]:
        """Mean and number of censored trajectories, for the model and for persistence."""
        found: dict[str, Any] = {}
        for name, c in correlations.items():
            times, censored = correlation_time(c, self.times, threshold)
            found[name] = times.mean().item()
            found["censored" if name == "model" else f"{name}_censored"] = int(censored.sum())
        return found


def _errors(metric: Metric, p: Tensor, t: Tensor, domain: Any) -> Float[Tensor, "b t"]:
    """The metric of each frame; infinite where it is not a number."""
    each = [metric(u, v, domain) for u, v in zip(p.unbind(1), t.unbind(1), strict=True)]
    errors = torch.stack(each, 1)
    return torch.where(errors.isnan(), math.inf, errors)


def text(report: Mapping[str, Any]) -> str:
    """A report of `TrajectoryMeasures` as Markdown: means, and a table of the figures by time."""
    metric, unit = report["metric"], "" if report["time_units"] == "1" else report["time_units"]
    lines = [
        f"{report['samples']} trajectories, mean {metric} over times {report[metric]:.4g}; "
        f"persistence (the last given frame repeated) {report['persistence']:.4g}.",
        "",
        f"{metric} is {definitions()[metric]}",
        "",
        *(_correlation_sentence(report, float(key), unit) for key in report["correlation_time"]),
        _blow_up_sentence(report, unit),
        "",
        f"| {'time':>10} | {metric:>12} | {'persistence':>12} | {'correlation':>12} |",
        f"|{'-' * 11}:|{'-' * 13}:|{'-' * 13}:|{'-' * 13}:|",
    ]
    columns = ("times", "error_at_times", "persistence_at_times", "correlation_at_times")
    lines += [
        f"| {t:>10.4g} | {e:>12.4g} | {p:>12.4g} | {c:>12.4g} |"
        for t, e, p, c in zip(*(report[name] for name in columns), strict=True)
    ]
    if report["diagnostics"]:
        lines += ["", *_diagnostics_table(report)]
    return "\n".join(lines)


def _correlation_sentence(report: Mapping[str, Any], threshold: float, unit: str) -> str:
    found = report["correlation_time"][f"{threshold:g}"]
    censored, horizon = found["censored"], report["times"][-1]
    bound = "at least " if censored else ""
    note = f" ({censored} of {report['samples']} stay above it up to the end" if censored else ""
    note += f", and count as {horizon:.4g})" if censored else ""
    also = "at least " if found["persistence_censored"] else ""
    return (
        f"Correlation with the truth stays above {threshold:g} for {bound}{found['model']:.4g} "
        f"{unit}".rstrip()
        + f" on average{note}; persistence {also}{found['persistence']:.4g}."
    )


def _blow_up_sentence(report: Mapping[str, Any], unit: str) -> str:
    found = report["blow_up"]
    rule = f"not finite, or a norm above {found['multiple']:g} times the data's largest"
    if not found["samples"]:
        return f"No trajectory blows up ({rule})."
    shown = [
        f"sample {s['sample']} at step {s['step']} (time {s['time']:.4g}{' ' * bool(unit)}{unit})"
        for s in found["samples"][:5]
    ]
    more = len(found["samples"]) - len(shown)
    tail = f", and {more} more" if more else ""
    return (
        f"{len(found['samples'])} of {report['samples']} trajectories blow up ({rule}): "
        f"{', '.join(shown)}{tail}."
    )


def _diagnostics_table(report: Mapping[str, Any]) -> list[str]:
    """Model and target of each diagnostic at the first, the middle and the last time."""
    last = len(report["times"]) - 1
    shown = sorted({0, last // 2, last})
    times = [f"{report['times'][i]:.4g}" for i in shown]
    lines = [
        f"| mean over samples: model (data) at time | {' | '.join(times)} |",
        "|---|" + "---:|" * len(shown),
    ]
    for key, values in report["diagnostics"].items():
        model, target = values["model"], values["target"]
        cells = [f"{model[i]:.4g} ({target[i]:.4g})" for i in shown]
        lines.append(f"| {key.replace('_', ' ')} | {' | '.join(cells)} |")
    return lines
