"""Errors on other distributions of the inputs than that of the training data: the record."""

from collections.abc import Sequence
from dataclasses import dataclass

from .tables import markdown_table, percent

SHIFTED = 8  # samples of each shift, at most


@dataclass(frozen=True)
class ShiftedRow:
    """The error of one method on the distribution of the training data and on another one.

    Attributes:
        shift: name of what changes.
        change: the parameter with its value before and after.
        method: the operator, the surrogate, or the classical solve.
        kind: as in `Row`.
        error: on the distribution of the training data.
        shifted_error: on the other one.
        opponent_of: the operator whose cheapest classical solve of equal or better error on the
            distribution of the training data the row is; None for the others.
    """

    shift: str
    change: str
    method: str
    kind: str
    error: float
    shifted_error: float
    opponent_of: str | None = None

    @property
    def growth(self) -> float:
        """shifted_error / error."""
        return self.shifted_error / self.error if self.error > 0 else float("inf")


def shifted_table(rows: Sequence[ShiftedRow]) -> str:
    """The rows as Markdown, with a sentence on how to read them."""
    header = ("changed", "to", "method", "error as trained", "error there", "ratio")
    cells = [
        (
            row.shift,
            row.change,
            row.method if row.opponent_of is None else f"{row.method}, for {row.opponent_of}",
            percent(row.error),
            percent(row.shifted_error),
            f"{row.growth:.2g}",
        )
        for row in rows
    ]
    return (
        "Each operator keeps its weights, and the classical solve is the one of equal or better "
        f"error on the distribution of the training data. Errors there are means over at most "
        f"{SHIFTED} samples.\n\n" + markdown_table(header, cells)
    )
