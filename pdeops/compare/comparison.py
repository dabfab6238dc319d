"""The record of an error-time study: rows, verdict, CSV and Markdown."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

from .duel import MAX_LOAD_SPREAD, Cost, Duel, Row, as_accurate, most_favourable, opponent_of
from .fairness import fairness_sentence
from .fronts import classes_table, fronts
from .seeds import SeedRow, seed_rows, seeds_sentence, seeds_table
from .shifted import ShiftedRow, shifted_table
from .tables import grid_name, markdown_table, percent, seconds_text, spread, write_csv
from .timing import Quartiles
from .verdict import (
    DUEL_HEADER,
    duel_cells,
    duel_figures,
    not_finite_sentence,
    places_sentence,
    sentence,
    surrogate_sentence,
)

ROW_HEADER = (
    *("method", "grid", "tolerance", "batch", "error (mean ± std)", "max error"),
    *("per solve", "of it set-up", "iterations", "threads", "dtype"),
)
SEED_COLUMNS = ("seeds", "seconds_std")
SHIFT_COLUMNS = ("shift", "change", "opponent_of")
# Columns that a shifted row has in common with the row of the same method.
METHOD_COLUMNS = (
    *("method", "kind", "grid", "tolerance", "dt", "batch", "threads", "dtype", "device", "label"),
)


@dataclass(frozen=True)
class Comparison:
    """Errors and seconds of operators and classical solvers, and the conditions of measurement.

    Attributes:
        rows: all measured rows, losses as well as wins.
        costs: operator -> the seconds spent before its first prediction.
        problem: name of the problem.
        grid: nodes per axis of the test grid, which is the training grid.
        reference: nodes per axis of the grid of the reference solution.
        num_samples, seed: the test problems are samples 0 .. num_samples - 1 of this seed.
        context: the machine, the threads, the dtypes.
        notes: the method of measurement, and omitted rows with the reason.
        load: seconds of a fixed load between the calls; None if it was not timed.
        against: names of the classical methods that the user asked to compare with.
        shifted: errors on other distributions of the inputs (`shifts.py`).
        seeds: name -> {operator: seed} of trainings that differ by the seed only.
        metric: of the errors, a key of `METRICS`.
        trained_on: operator -> its training samples in words, where they are known.
    """

    rows: Sequence[Row]
    costs: dict[str, Cost]
    problem: str
    grid: tuple[int, ...]
    reference: tuple[int, ...]
    num_samples: int
    seed: int
    context: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    load: Quartiles | None = None
    against: Sequence[str] = ()
    shifted: Sequence[ShiftedRow] = ()
    seeds: dict[str, dict[str, int]] = field(default_factory=dict)
    metric: str = "relative_l2"
    trained_on: dict[str, str] = field(default_factory=dict)

    heading: ClassVar[str] = "Comparison with classical solvers"
    row_header: ClassVar[tuple[str, ...]] = ROW_HEADER
    samples: ClassVar[str] = "unseen samples"  # their name in a file of errors

    @property
    def end(self) -> float:
        """The time at which errors are taken, from the last given frame on; 0.0 without frames."""
        return 0.0

    @property
    def operators(self) -> list[str]:
        """Names of the operators, in order."""
        return list(dict.fromkeys(r.method for r in self.rows if r.kind == "operator"))

    @property
    def load_spread(self) -> float:
        """Third over first quartile of the seconds of the fixed load; 1 if it was not timed."""
        return self.load.spread if self.load else 1.0

    def duels(
        self,
        operator: str,
        able: Callable[[Any, Any], bool] = as_accurate,
        kind: str = "classical",
    ) -> list[Duel]:
        """One duel for each row of an operator, with the opponent of `opponent_of`.

        A row whose error is not finite has no duel by error: every solve is as accurate.
        """
        cost, free = self.costs.get(operator, Cost()), Cost(0.0, 0.0)
        duels = []
        for row in self.rows:
            fits = able is not as_accurate or math.isfinite(row.error)
            if row.kind == "operator" and row.method == operator and fits:
                opponent = opponent_of(row, self.rows, able, kind)
                before = self.costs.get(opponent.method, free) if opponent else free
                duels.append(Duel(row, opponent, cost, self.load_spread, before))
        return duels

    @property
    def floor(self) -> Row | None:
        """The classical row with the smallest tolerance on the test grid, whose error is the
        discretisation error."""
        there = [r for r in self.rows if r.kind == "classical" and r.grid == self.grid]
        return min(there, key=lambda r: r.tolerance or 0.0, default=None)

    @property
    def verdict(self) -> str:
        """The sentences on each operator, win or loss; then those on the opponents asked for, on
        surrogates without a network, on several seeds, and on different hardware."""
        return "\n".join([*self.sentences(), *self._further_sentences()])

    def sentences(self) -> list[str]:
        """One sentence for each operator."""
        return [
            sentence(
                duels,
                states=lambda row: f"{percent(row.error)} error",
                figure=lambda row: percent(row.error),
            )
            if (duels := self.duels(name))
            else not_finite_sentence(name)
            for name in self.operators
        ]

    def _further_sentences(self) -> list[str]:
        found = []
        for name in self.operators:
            if not (duels := self.duels(name)):
                continue
            best = most_favourable(duels)
            found += [fairness_sentence(n, best, self.rows, self.grid) for n in self.against]
            if any(r.kind == "reduced" for r in self.rows):
                same = len(set(self.trained_on.values())) < 2
                reduced = self.duels(name, kind="reduced")
                found.append(surrogate_sentence(reduced, self.rows, same=same))
        by_group = groupby(self.seed_rows, key=lambda row: row.method)
        for group, rows in by_group:
            duels = [d for name in self.seeds[group] for d in self.duels(name)]
            classical = any(r.kind == "classical" for r in self.rows)
            found += [seeds_sentence(list(rows), duels, classical)] if duels else []
        return found + places_sentence(self.rows)

    @property
    def seed_rows(self) -> list[SeedRow]:
        """The means over trainings that differ by the seed only."""
        return seed_rows(self.rows, self.seeds)

    @property
    def floor_sentence(self) -> str:
        """A sentence on the discretisation error of the test grid."""
        row = self.floor
        if row is None:
            return f"No classical row on the test grid {grid_name(self.grid)} was measured."
        return (
            f"The discretisation error of the test grid is {percent(row.error)} ({row.label}, "
            f"against the reference on {grid_name(self.reference)}): solutions like the "
            "training data are no more accurate than that, and an operator cannot be expected "
            "to be."
        )

    def duel_tables(self) -> list[str]:
        """The duels as Markdown."""
        duels = [d for name in self.operators for d in self.duels(name)]
        if not duels:
            return ["None: no operator row has a finite error."]
        figure = lambda row: percent(row.error)  # noqa: E731
        return [markdown_table(DUEL_HEADER, [duel_cells(d, figure) for d in duels])]

    @staticmethod
    def row_cells(row: Any) -> list[str]:
        """The cells of a row under `row_header`."""
        if row.kind != "classical":
            tolerance = "-"
        else:
            tolerance = "direct" if row.tolerance is None else f"{row.tolerance:.0e}"
        return [
            row.method,
            grid_name(row.grid),
            tolerance if row.converged else f"{tolerance} (missed)",
            str(row.batch),
            f"{percent(row.error)} ± {percent(row.error_std)}",
            percent(row.error_max),
            seconds_text(row.seconds),
            "-" if row.setup_seconds is None else seconds_text(row.setup_seconds),
            "-" if row.iterations is None else f"{row.iterations:.1f}",
            str(row.threads),
            row.dtype,
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: rows, duels, verdict, context."""
        return {
            "problem": self.problem,
            "grid": list(self.grid),
            "reference": list(self.reference),
            "num_samples": self.num_samples,
            "seed": self.seed,
            "verdict": self.verdict.splitlines(),
            "floor": self.floor.error if self.floor else None,
            "duels": [duel_figures(d) for name in self.operators for d in self.duels(name)],
            "fronts": {kind: [r.label for r in f] for kind, f in fronts(self.rows).items()},
            "shifted": [row.to_dict() for row in self.shifted],
            "seeds": [row.to_dict() for row in self.seed_rows],
            "rows": [_plain(r) | {"grid": list(r.grid)} for r in self.rows],
            "load": dataclasses.asdict(self.load) if self.load else None,
            "context": dict(self.context),
            "notes": list(self.notes),
        }

    def lines(self) -> list[dict[str, object]]:
        """One line for each row, then one for each of `seed_rows`, whose kind is "seeds", then one
        for each row of `shifted`; None where a column does not apply.

        Columns, in addition to the attributes of `Row`: `label`; `front`, "yes" for the rows of the
        Pareto front of their kind; the costs of the method; of an operator's row its opponent, the
        ratio of seconds with its interval, whether it is decided, and `pays_after` solves;
        `load_spread`; the problem and the machine. A row of `seed_rows` has `seeds` and
        `seconds_std`, and its deviations are over the seeds. A row of `shifted` has `shift`,
        `change` and `opponent_of`, and no seconds, since nothing is timed there.
        """
        best = {id(row) for line in fronts(self.rows).values() for row in line}
        duels = {id(d.operator): d for name in self.operators for d in self.duels(name)}
        lines = [
            self._figures(row)
            | {"front": "yes" if id(row) in best else "no"}
            | _duel_columns(duels.get(id(row)))
            | dict.fromkeys((*SEED_COLUMNS, *SHIFT_COLUMNS))
            for row in self.rows
        ]
        lines += [dict.fromkeys(lines[0]) | row.to_dict() for row in self.seed_rows]
        for s in self.shifted:
            figures = self._figures(s.row)
            line = dict.fromkeys(lines[0]) | {k: figures[k] for k in METHOD_COLUMNS if k in figures}
            line |= {"error": s.shifted_error, "error_max": max(s.errors)}
            line |= {"error_std": spread(s.errors)}
            lines.append(line | {name: getattr(s, name) for name in SHIFT_COLUMNS})
        shared: dict[str, object] = {"load_spread": self.load_spread, "problem": self.problem}
        shared |= {"test_grid": grid_name(self.grid, "x")}
        shared |= {"reference_grid": grid_name(self.reference, "x")}
        shared |= {"num_samples": self.num_samples, "seed": self.seed}
        columns = lines[0] if lines else {}
        shared |= {k: v for k, v in self.context.items() if k not in columns}
        return [line | shared for line in lines]

    def _figures(self, row: Row) -> dict[str, object]:
        """The attributes of a row, its label and the costs of its method."""
        cost = self.costs.get(row.method, Cost(0.0, 0.0))
        return {
            **_plain(row),
            "grid": grid_name(row.grid, "x"),
            "label": row.label,
            "training_seconds": cost.training_seconds,
            "data_seconds": cost.data_seconds,
        }

    def to_csv(self, path: str | Path) -> Path:
        """Write `lines`; returns the path."""
        return write_csv(path, self.lines())

    def to_markdown(self) -> str:
        """Verdict, duels, all rows and conditions as Markdown sections of level 3."""
        return "\n\n".join(
            [
                "\n\n".join(f"**{line}**" for line in self.verdict.splitlines()),
                self.floor_sentence,
                "### Each operator row and its opponent",
                *self.duel_tables(),
                "A ratio below 1 is a win for the operator. " + self._costs_sentence(),
                *self._about_load(),
                "### Which kind is fastest at each accuracy",
                "From the Pareto fronts of error and seconds of each kind:",
                classes_table(self.rows, self.load_spread),
                *self._about_seeds(),
                *self._about_shifts(),
                "### All rows",
                markdown_table(self.row_header, [self.row_cells(r) for r in self.rows]),
                "### Conditions",
                "\n".join(f"- {note}" for note in self.notes)
                + "\n"
                + "\n".join(f"- {key}: {value}" for key, value in self.context.items()),
            ]
        )

    def _about_seeds(self) -> list[str]:
        if not self.seed_rows:
            return []
        return ["### Trainings that differ by the seed only", seeds_table(self.seed_rows)]

    def _about_shifts(self) -> list[str]:
        if not self.shifted:
            return []
        return ["### Other distributions of the inputs", shifted_table(self.shifted)]

    def _about_load(self) -> list[str]:
        if self.load is None:
            return []
        q1, median, q3 = (seconds_text(t) for t in (self.load.q1, self.load.median, self.load.q3))
        return [
            f"In brackets: a 95 % interval of the ratio, by a bootstrap of the rounds. Undecided: "
            f"it contains 1, or a fixed load between the calls varied more than "
            f"{MAX_LOAD_SPREAD:g}× between its quartiles; it took {median} ({q1} to {q3})."
        ]

    def _costs_sentence(self) -> str:
        parts = []
        surrogates = dict.fromkeys(r.method for r in self.rows if r.kind == "reduced")
        for name in [*self.operators, *surrogates]:
            cost = self.costs.get(name, Cost())
            training, data = (
                "not known" if s is None else seconds_text(s)
                for s in (cost.training_seconds, cost.data_seconds)
            )
            parts.append(f"{name}: training {training}, data {data}")
        return "Paid beforehand: " + "; ".join(parts) + "."


def _duel_columns(duel: Duel | None) -> dict[str, object]:
    """The columns of an operator's row on its opponent; None without one."""
    columns = ("opponent", "ratio", "ratio_low", "ratio_high", "decided", "pays_after")
    if duel is None or duel.opponent is None:
        return dict.fromkeys(columns)
    low, high = duel.interval or (None, None)
    decided, after = "yes" if duel.decided else "no", duel.break_even_text
    values = (duel.opponent.label, duel.ratio, low, high, decided, after)
    return dict(zip(columns, values, strict=True))


def _plain(row: Any) -> dict[str, Any]:
    """The figures of a row without those of single rounds and samples."""
    return {k: v for k, v in dataclasses.asdict(row).items() if k not in ("calls", "errors")}
