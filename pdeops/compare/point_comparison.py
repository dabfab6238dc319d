"""The record of an error-time study on points: duels at equal error and at equal seconds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .comparison import Comparison
from .duel import Row
from .point_candidates import PointRow
from .tables import grid_name, markdown_table, percent, seconds_text

SECONDS_HEADER = (
    *("operator", "error", "per solve", "best elements in that time", "error", "per solve"),
    "ratio of errors",
)


@dataclass(frozen=True)
class PointComparison(Comparison):
    """Errors and seconds of operators and of finite elements on coarser meshes.

    Attributes:
        data_error: mean relative error of the solver of the training data.
    """

    rows: Sequence[PointRow]
    data_error: float = 0.0

    row_header = tuple("mesh" if name == "grid" else name for name in Comparison.row_header)

    @property
    def floor(self) -> None:
        """None: the training data stem from a finer mesh than those compared."""
        return None

    @property
    def floor_sentence(self) -> str:
        """A sentence on the error of the training data."""
        return (
            f"Solutions like the training data differ from the reference, quadratic elements on "
            f"{grid_name(self.reference)} cells, by {percent(self.data_error)} on average: an "
            f"operator cannot be expected to be more accurate."
        )

    def within_seconds(self, operator: str) -> list[tuple[Row, Row | None]]:
        """Each row of an operator, and the most accurate classical row that takes no longer."""
        mine = [r for r in self.rows if r.kind == "operator" and r.method == operator]
        return [(row, most_accurate_within(row, self.rows)) for row in mine]

    def duel_tables(self) -> list[str]:
        """The duels at equal error, then those at equal seconds, as Markdown."""
        pairs = [pair for name in self.operators for pair in self.within_seconds(name)]
        cells = [_cells(*pair) for pair in pairs]
        return [
            *super().duel_tables(),
            "The most accurate solve in no more seconds:",
            markdown_table(SECONDS_HEADER, cells),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; also the error of the data and the rows at equal seconds."""
        pairs = [pair for name in self.operators for pair in self.within_seconds(name)]
        return super().to_dict() | {
            "data_error": self.data_error,
            "within_seconds": [
                {
                    "operator": row.label,
                    "opponent": other.label if other else None,
                    "ratio_of_errors": row.error / other.error if other else None,
                }
                for row, other in pairs
            ],
        }


def most_accurate_within(row: Row, rows: Sequence[Row]) -> Row | None:
    """The classical row with the smallest mean error that takes at most the seconds of `row`, with
    no larger batch; None if all take longer."""
    found = [
        r
        for r in rows
        if r.kind == "classical" and r.batch <= row.batch and r.seconds <= row.seconds
    ]
    return min(found, key=lambda r: r.error, default=None)


def _cells(row: Row, other: Row | None) -> list[str]:
    cells = [row.label, percent(row.error), seconds_text(row.seconds)]
    if other is None:
        return [*cells, "none is as fast", "-", "-", "-"]
    figures = [other.label, percent(other.error), seconds_text(other.seconds)]
    return [*cells, *figures, f"{row.error / other.error:.2g}"]
