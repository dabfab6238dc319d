"""Comparison of runs whose data have no classical solver here: the learned side, on a test file."""
# Axes: b batch, c channel, t time, *space nodes.

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..datasets import FieldDataset
from ..metrics import METRICS
from ..tasks.operators import evaluated_on, metric_for
from .candidates import Candidate, place_of
from .comparison import Comparison
from .error_time import costs_of
from .fitted import Fits, fits_or_note, samples_of
from .machine import describe_machine
from .measure import measure
from .report import write_report
from .runs import annotate, curves_of, once, training_time
from .tables import percent, seconds_text
from .timing import Clock

log = logging.getLogger("pdeops")


@dataclass(frozen=True)
class LearnedComparison(Comparison):
    """Errors and seconds of runs and of surrogates on a test file, without classical solvers.

    Attributes:
        reason: why there is no classical solver.
    """

    reason: str = ""

    heading: ClassVar[str] = "Comparison without a classical solver"
    samples: ClassVar[str] = ""  # of the test file, whose errors are those of the runs

    def sentences(self) -> list[str]:
        """One sentence for each operator, and why it has no classical opponent."""
        found = []
        for name in self.operators:
            mine = [r for r in self.rows if r.kind == "operator" and r.method == name]
            best = min(mine, key=lambda r: r.seconds)
            found.append(
                f"{best.label} has {percent(best.error)} error on the test file in "
                f"{seconds_text(best.seconds)} per prediction; it is not compared with a classical "
                f"solver: {self.reason}"
            )
        return found

    @property
    def floor_sentence(self) -> str:
        """What the errors are taken against."""
        return (
            "Errors are against the targets of the test file, whose own error is not known: no "
            "row is more accurate than they are."
        )

    def duel_tables(self) -> list[str]:
        """No table: there is no classical row."""
        return ["None: no classical solver was measured."]


@dataclass
class FileCandidate(Candidate):
    """A run or a surrogate on the samples of a test file."""

    dataset: FieldDataset = field(kw_only=True)
    metric: str = field(kw_only=True)
    call: Callable[[Any], Tensor] = field(kw_only=True)
    kind: str = field(kw_only=True)
    dtype: torch.dtype = field(default=torch.float32, kw_only=True)
    device: str = field(default="cpu", kw_only=True)

    def prepare(self, indices: Sequence[int]) -> Tensor:
        x: Tensor = self.dataset.read(indices).input
        return x.to(self.dtype)

    def predict(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.call(x).cpu()

    def error(self, prediction: Tensor, truth: Tensor, norm: Any) -> Tensor:
        return METRICS[self.metric](prediction, truth, self.dataset.domain)


def compare_learned(
    runs: Mapping[str, Any],
    *,
    reason: str,
    folder: str | Path,
    num_samples: int = 16,
    fits: Fits | None = None,
    batch_sizes: Sequence[int] = (1, 8, 32),
    repeats: int = 5,
    title: str | None = None,
    clock: Clock | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> LearnedComparison:
    """Errors and seconds of runs, and of surrogates without a network fitted to the same training
    samples, on the test file of the first run; writes report.md.

    Args:
        runs: name -> run, all on the same domain.
        reason: why there is no classical solver, as a sentence.
        folder, title: as in `compare_runs`.
        num_samples: the first samples of the file.

    Raises:
        ValueError: the recipe names no test file, or the runs differ in their fields.
    """
    first = next(iter(runs.values()))
    dataset = samples_of(evaluated_on(first, None), first)
    count = min(num_samples, len(dataset))
    truth = dataset.read(range(count)).target.double()
    spec = dataset.spec
    metric = metric_for({f.units for f in spec.fields if f.role != "input"} if spec else {""})
    fits = fits_or_note(runs) if fits is None else fits
    threads = torch.get_num_threads()

    def candidate(name: str, batch: int, **given: Any) -> FileCandidate:
        grid = dataset.domain
        return FileCandidate(name, grid, threads, batch, dataset=dataset, metric=metric, **given)

    candidates: list[FileCandidate] = []
    for batch in batch_sizes:
        for name, run in runs.items():
            device, _ = place_of(run)
            candidates.append(
                candidate(name, batch, call=_call(run, truth), kind="operator", device=device)
            )
        candidates += [
            candidate(f.name, batch, call=f.predict, kind="reduced", dtype=f.dtype)
            for f in fits.fitted
        ]
    domain: Any = dataset.domain
    load = measure(candidates, domain, truth, repeats=repeats, clock=clock, progress=progress)
    comparison = LearnedComparison(
        rows=[c.row() for c in candidates],
        costs=costs_of(runs, fits, {n: training_time(r) for n, r in runs.items()}, None),
        problem=spec.name if spec else "data of another project",
        grid=tuple(domain.shape),
        reference=tuple(domain.shape),
        num_samples=count,
        seed=spec.seed or 0 if spec else 0,
        context=describe_machine() | {"threads": f"up to {threads}"},
        notes=[f"Errors: {metric} on the first {count} samples of the test file.", *fits.notes],
        load=load,
        metric=metric,
        reason=reason,
    )
    annotate(comparison, runs, [])
    log.info("writing %s", Path(folder) / "report.md")
    write_report(
        folder,
        title=title or f"{', '.join(once(runs))} without a classical solver",
        comparison=comparison,
        curves=curves_of(runs),
        runs=once(runs),
    )
    return comparison


def _call(run: Any, truth: Tensor) -> Callable[[Tensor], Tensor]:
    """Input fields -> predicted fields."""
    if run.task == "rollout":
        return lambda x: run(x, truth.shape[1])
    return lambda x: run(x)
