"""The record of an error-time study: rows, verdict, CSV and Markdown."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from .duel import MAX_LOAD_SPREAD, Cost, Duel, Row, as_accurate, most_favourable, opponent_of
from .tables import grid_name, markdown_table, percent, seconds_text, write_csv
from .timing import Quartiles

DUEL_HEADER = (
    *("operator", "error", "per solve", "opponent", "error", "per solve"),
    *("ratio of seconds", "pays after (solves)"),
)
ROW_HEADER = (
    *("method", "grid", "tolerance", "batch", "error (mean ± std)", "max error"),
    *("per solve", "of it set-up", "iterations", "threads", "dtype"),
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

    row_header: ClassVar[tuple[str, ...]] = ROW_HEADER

    @property
    def operators(self) -> list[str]:
        """Names of the operators, in order."""
        return list(dict.fromkeys(r.method for r in self.rows if r.kind == "operator"))

    def duels(self, operator: str, able: Callable[[Any, Any], bool] = as_accurate) -> list[Duel]:
        """One duel for each row of an operator, with the opponent of `opponent_of`."""
        cost = self.costs.get(operator, Cost())
        spread = self.load.spread if self.load else 1.0
        return [
            Duel(row, opponent_of(row, self.rows, able), cost, spread)
            for row in self.rows
            if row.kind == "operator" and row.method == operator
        ]

    @property
    def floor(self) -> Row | None:
        """The classical row with the smallest tolerance on the test grid, whose error is the
        discretisation error."""
        there = [r for r in self.rows if r.kind == "classical" and r.grid == self.grid]
        return min(there, key=lambda r: r.tolerance or 0.0, default=None)

    @property
    def verdict(self) -> str:
        """One sentence for each operator, win or loss."""
        return "\n".join(
            sentence(
                self.duels(name),
                states=lambda row: f"{percent(row.error)} error",
                figure=lambda row: percent(row.error),
            )
            for name in self.operators
        )

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
        figure = lambda row: percent(row.error)  # noqa: E731
        return [markdown_table(DUEL_HEADER, [duel_cells(d, figure) for d in duels])]

    @staticmethod
    def row_cells(row: Any) -> list[str]:
        """The cells of a row under `row_header`."""
        if row.kind == "operator":
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
            "rows": [_plain(r) | {"grid": list(r.grid)} for r in self.rows],
            "load": dataclasses.asdict(self.load) if self.load else None,
            "context": dict(self.context),
            "notes": list(self.notes),
        }

    def to_csv(self, path: str | Path) -> Path:
        """Write one line for each row, with the machine in the last columns; returns the path."""
        columns = list(_plain(self.rows[0]))
        shared = {"problem": self.problem, "test_grid": grid_name(self.grid, "x")}
        shared |= {"reference_grid": grid_name(self.reference, "x")}
        shared |= {"num_samples": str(self.num_samples), "seed": str(self.seed), **self.context}
        lines = [
            {c: getattr(row, c) for c in columns} | {"grid": grid_name(row.grid, "x")} | shared
            for row in self.rows
        ]
        return write_csv(path, lines)

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
                "### All rows",
                markdown_table(self.row_header, [self.row_cells(r) for r in self.rows]),
                "### Conditions",
                "\n".join(f"- {note}" for note in self.notes)
                + "\n"
                + "\n".join(f"- {key}: {value}" for key, value in self.context.items()),
            ]
        )

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
        for name in self.operators:
            cost = self.costs.get(name, Cost())
            training, data = (
                "not known" if s is None else seconds_text(s)
                for s in (cost.training_seconds, cost.data_seconds)
            )
            parts.append(f"{name}: training {training}, data {data}")
        return "Paid beforehand: " + "; ".join(parts) + "."


def sentence(
    duels: Sequence[Duel],
    *,
    states: Callable[[Any], str],
    figure: Callable[[Any], str],
    better: str = "error",
    solve: str = "solve",
) -> str:
    """The most favourable duel of an operator in words, and that of one problem at a time.

    Args:
        states, figure: row -> its accuracy as an object of "has" and as a figure in brackets.
        better: name of the accuracy, for "of equal or better ...".
        solve: name of what the seconds are for.
    """
    best = most_favourable(duels)
    single = [d for d in duels if d.operator.batch == 1]
    also = ""
    if single and (alone := most_favourable(single)) != best:
        op, versus = alone.operator, alone.opponent
        also = f"; one problem at a time (on {op.place}, {figure(op)}) "
        if versus is None:
            also += "no classical row is as accurate either"
        else:
            also += f"it takes {_times(alone.ratio)} the seconds of {versus.label}"
            also += _conclusion(alone, f" and {_pays(alone)}")
    op, versus = best.operator, best.opponent
    start = (
        f"{op.method} at its most favourable (on {op.place}, batch {op.batch}) has "
        f"{states(op)} in {seconds_text(op.seconds)} per {solve}"
    )
    if versus is None:
        return f"{start}, and no classical row measured reaches that {better}{also}."
    return (
        f"{start}; the cheapest classical {solve} of equal or better {better} is {versus.label} "
        f"({figure(versus)} in {seconds_text(versus.seconds)}), so the operator takes "
        f"{_times(best.ratio)} its seconds"
        + _conclusion(best, f" ({_speed(best.ratio)}) and {_pays(best)}")
        + f"{also}."
    )


def _conclusion(duel: Duel, text: str) -> str:
    """The text if the seconds decide, else why they do not and what to do."""
    if duel.decided:
        return text
    assert duel.interval is not None
    low, high = (_times(bound) for bound in duel.interval)
    if duel.load_spread > MAX_LOAD_SPREAD:
        why = f"a fixed load varied {duel.load_spread:.2g}× between its quartiles"
    else:
        why = f"the ratio is between {low} and {high}"
    return (
        f", which is undecided on this machine: {why}. Repeat with more --samples, or when nothing "
        f"else runs"
    )


def _plain(row: Any) -> dict[str, Any]:
    """The figures of a row without the seconds of the rounds."""
    return {k: v for k, v in dataclasses.asdict(row).items() if k != "calls"}


def _times(ratio: float | None) -> str:
    assert ratio is not None
    return f"{ratio:.2g}×" if ratio < 100 else f"{ratio:,.0f}×"


def _speed(ratio: float | None) -> str:
    assert ratio is not None
    speed = 1 / ratio
    return f"it is {speed:.2g}× as fast" if speed < 100 else f"it is {speed:,.0f}× as fast"


def _pays(duel: Duel) -> str:
    if duel.break_even == math.inf:
        return "never pays for its data and training"
    if duel.break_even is None:
        return "saves seconds, but the cost of its data and training is not known"
    unknown = f" (cost of {duel.cost.unknown[0]} not known)" if duel.cost.unknown else ""
    return f"pays for its data and training after {duel.break_even_text} solves{unknown}"


def duel_figures(duel: Duel) -> dict[str, Any]:
    """The figures of a duel as plain values for JSON."""
    never = duel.break_even == math.inf  # which JSON has no number for
    return {
        "operator": duel.operator.label,
        "opponent": duel.opponent.label if duel.opponent else None,
        "ratio": duel.ratio,
        "interval": list(duel.interval) if duel.interval else None,
        "decided": duel.decided,
        "break_even": duel.break_even_text if never else duel.break_even,
        "training_seconds": duel.cost.training_seconds,
        "data_seconds": duel.cost.data_seconds,
    }


def duel_cells(duel: Duel, figure: Callable[[Any], str]) -> list[str]:
    """The cells of a duel under `DUEL_HEADER`; `figure` gives the accuracy of a row."""
    op, versus = duel.operator, duel.opponent
    cells = [op.label, figure(op), seconds_text(op.seconds)]
    if versus is None:
        return [*cells, "none is as accurate", "-", "-", "-", "-"]
    cells += [versus.label, figure(versus), seconds_text(versus.seconds)]
    ratio = _times(duel.ratio)
    if duel.interval:
        ratio += f" ({' to '.join(_times(bound) for bound in duel.interval)})"
    return [*cells, ratio, duel.break_even_text]
