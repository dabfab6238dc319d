"""Errors on other distributions of the inputs than that of the training data: the record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .duel import Row
from .sample_errors import SampleErrors
from .tables import grid_name, markdown_table, percent

SHIFTED = 8  # samples of each shift, at most


@dataclass(frozen=True)
class ShiftedRow:
    """The errors of one method on another distribution of the inputs than that of its row.

    Attributes:
        shift: name of what changes.
        change: the parameter with its value before and after.
        row: the operator, the surrogate, or the classical solve on the distribution of the training
            data.
        errors: of each sample of the other distribution.
        opponent_of: the operator whose cheapest classical solve of equal or better error on the
            distribution of the training data the row is; None for the others.
        time: at which the errors are taken, from the last given frame on; 0.0 without frames.
    """

    shift: str
    change: str
    row: Row
    errors: tuple[float, ...]
    opponent_of: str | None = None
    time: float = 0.0

    @property
    def method(self) -> str:
        """The label of the row."""
        return self.row.label

    @property
    def kind(self) -> str:
        """The kind of the row."""
        return self.row.kind

    @property
    def error(self) -> float:
        """The mean error on the distribution of the training data."""
        return self.row.error

    @property
    def shifted_error(self) -> float:
        """The mean error on the other distribution."""
        return sum(self.errors) / len(self.errors)

    @property
    def growth(self) -> float:
        """shifted_error / error."""
        return self.shifted_error / self.error if self.error > 0 else float("inf")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        names = ("shift", "change", "method", "kind", "error", "shifted_error", "opponent_of")
        return {name: getattr(self, name) for name in names} | {"errors": list(self.errors)}


def errors_of(
    rows: Sequence[ShiftedRow], seeds: Mapping[str, int], metric: str
) -> list[SampleErrors]:
    """The errors of the operators, a data set for each shift, as entries of a file of errors.

    Args:
        seeds: operator -> the seed of its training.
        metric: of the errors.
    """
    return [
        SampleErrors(
            *(
                row.row.method,
                f"{row.shift}: {row.change}".rstrip(": "),
                grid_name(row.row.grid, "x"),
            ),
            *(seeds[row.row.method], (row.time,), {metric: np.array(row.errors)[:, None]}),
        )
        for row in rows
        if row.kind == "operator"
    ]


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
