"""The rows of zoo.csv as a table for the documentation, and in words: who wins, who loses."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from pdeops.compare.tables import markdown_table, percent, seconds_text, times_text

Row = dict[str, str]

TITLES = {
    "darcy": "Darcy flow",
    "poisson": "Poisson's equation",
    "navier_stokes": "Navier–Stokes",
    "elasticity": "Elasticity",
}
HEADER = ("set", "network", "epochs", "error", "classical solve of equal or less error",
          "seconds, one at a time", "seconds, best batch")  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A row of zoo.csv that was timed, with its figures as numbers.

    Attributes:
        cells: the row.
    """

    cells: Row

    @property
    def method(self) -> str:
        """The network, the classical solver, or the surrogate."""
        return self.cells["method"]

    @property
    def kind(self) -> str:
        """As in `pdeops.compare.duel.Row`."""
        return self.cells["kind"]

    @property
    def batch(self) -> int:
        """Problems in one call."""
        return int(self.cells["batch"])

    @property
    def on_training_grid(self) -> bool:
        """Whether it works on the grid or the points of the training data."""
        return self.cells["grid"] == self.cells["test_grid"]

    @property
    def error(self) -> float:
        """Mean relative error."""
        return float(self.cells["error"])

    @property
    def seconds(self) -> float:
        """Seconds per solve."""
        return float(self.cells["seconds"])

    @property
    def ratio(self) -> float | None:
        """Seconds / those of the classical solve of equal or less error; None without one."""
        return float(self.cells["ratio"]) if self.cells["ratio"] else None

    @property
    def outcome(self) -> str:
        """ "won", "lost" or "undecided": whether the network takes fewer seconds than every
        classical solve of its accuracy. It wins if there is none."""
        if self.ratio is None:
            return "won"
        if self.cells["decided"] != "yes":
            return "undecided"
        return "won" if self.ratio < 1 else "lost"

    @property
    def times(self) -> str:
        """The ratio with its interval."""
        if self.ratio is None:
            return "no solve is as accurate"
        low, high = (times_text(float(self.cells[f"ratio_{end}"])) for end in ("low", "high"))
        undecided = "; undecided" if self.outcome == "undecided" else ""
        return f"{times_text(self.ratio)} ({low} to {high}{undecided})"


def timed(rows: Sequence[Row], name: str) -> list[Line]:
    """The rows of a set, without those on other distributions of the inputs, which are not
    timed."""
    return [Line(row) for row in rows if row["set"] == name and not row["shift"]]


def duels(lines: Sequence[Line]) -> dict[str, tuple[Line, Line]]:
    """Network -> its row with the smallest ratio one problem at a time, and of all batches, on the
    grid of its training."""
    networks = [line for line in lines if line.kind == "operator" and line.on_training_grid]
    found = {}
    for name in dict.fromkeys(line.method for line in networks):
        mine = [line for line in networks if line.method == name]
        alone = [line for line in mine if line.batch == 1]
        found[name] = (_favourable(alone), _favourable(mine))
    return found


def _favourable(lines: Sequence[Line]) -> Line:
    return min(lines, key=lambda line: (line.ratio or 0.0, line.error))


def table(rows: Sequence[Row]) -> str:
    """One line for each network on each set."""
    cells = [
        (
            *(TITLES[name], network, best.cells["epochs"], percent(best.error)),
            best.cells["opponent"] or "none",
            *(alone.times, f"{best.times}, batch {best.batch}"),
        )
        for name in dict.fromkeys(row["set"] for row in rows)
        for network, (alone, best) in duels(timed(rows, name)).items()
    ]
    return markdown_table(HEADER, cells)


def sentences(rows: Sequence[Row]) -> list[str]:
    """One paragraph for each set."""
    found = []
    for name in dict.fromkeys(row["set"] for row in rows):
        lines = timed(rows, name)
        parts = [f"**{TITLES[name]}.**", _outcome(lines), _in_equal_seconds(lines)]
        found.append(" ".join([*parts, _surrogates(lines)]).strip())
    return found


def _outcome(lines: Sequence[Line]) -> str:
    """The networks that win, and of those that lose the closest and the most accurate one."""
    pairs = duels(lines)
    groups = {
        outcome: {name: pair for name, pair in pairs.items() if pair[1].outcome == outcome}
        for outcome in ("won", "undecided", "lost")
    }
    parts = [_won(name, best) for name, (_, best) in groups["won"].items()]
    if groups["undecided"]:
        each = [f"{n} ({times_text(best.ratio)})" for n, (_, best) in groups["undecided"].items()]
        parts.append(f"Undecided on this machine: {', '.join(each)}.")
    if lost := groups["lost"]:
        number = f"all {len(pairs)}" if len(lost) == len(pairs) else f"{len(lost)} of {len(pairs)}"
        parts.append(
            f"More seconds than the classical solve of equal or less error: {number} networks."
        )
        closest = min(lost, key=lambda name: lost[name][1].ratio or 0.0)
        alone, best = lost[closest]
        further = "" if best is alone else f", and {alone.times} one problem at a time"
        parts.append(
            f"The closest is {closest}: for {percent(best.error)} it takes {best.times} the "
            f"seconds of {best.cells['opponent']} {_calls(best)}{further}."
        )
        accurate = min(lost, key=lambda name: lost[name][1].error)
        best = lost[accurate][1]
        if accurate != closest:
            parts.append(
                f"The most accurate of them, {accurate} with {percent(best.error)}, takes "
                f"{best.times} the seconds of {best.cells['opponent']} {_calls(best)}."
            )
    return " ".join(parts)


def _calls(line: Line) -> str:
    return "one problem at a time" if line.batch == 1 else f"in batches of {line.batch}"


def _in_equal_seconds(lines: Sequence[Line]) -> str:
    """The most accurate classical solve in no more seconds than the most accurate network."""
    network = min((alone for alone, _ in duels(lines).values()), key=lambda line: line.error)
    within = [
        line for line in lines if line.kind == "classical" and line.seconds <= network.seconds
    ]
    start = f"In the seconds of {network.method} ({percent(network.error)}), one problem at a time,"
    if not within:
        return f"{start} no classical solve measured ends."
    best = min(within, key=lambda line: line.error)
    return (
        f"{start} the most accurate classical solve is {best.cells['label']}: "
        f"{percent(best.error)}."
    )


def _won(name: str, best: Line) -> str:
    if best.ratio is None:
        return (
            f"{name} wins: with {percent(best.error)} it is more accurate than every classical "
            f"solve measured."
        )
    after = best.cells["pays_after"]
    return (
        f"{name} wins {_calls(best)}: for {percent(best.error)} it takes {best.times} "
        f"the seconds of {best.cells['opponent']}, and repays its data and training after {after} "
        f"solves."
    )


def _surrogates(lines: Sequence[Line]) -> str:
    """The most accurate surrogate without a network, compared with the networks."""
    able = [line for line in lines if line.kind == "reduced" and line.batch == 1]
    if not able:
        return ""
    best = min(able, key=lambda line: (line.error, line.seconds))
    errors = [alone.error for alone, _ in duels(lines).values()]
    beaten = sum(best.error <= error for error in errors)
    return (
        f"Without a network, fitted to the same samples, {best.method} has {percent(best.error)} "
        f"in {seconds_text(best.seconds)}: no more error than {beaten} of the {len(errors)} "
        f"networks."
    )


def summary(rows: Sequence[Row]) -> str:
    """The table and the sentences as Markdown, for the documentation."""
    paragraphs = [textwrap.fill(text, 120, break_on_hyphens=False) for text in sentences(rows)]
    return "\n\n".join([table(rows), *paragraphs])
