"""The record of an error-time study of trajectories: duels by error and by correlation time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .comparison import Comparison
from .duel import Duel
from .rollout_candidates import THRESHOLD, RolloutRow, keeps_correlation
from .tables import grid_name, markdown_table, percent, seconds_text
from .verdict import DUEL_HEADER, duel_cells, duel_figures, not_finite_sentence, sentence


@dataclass(frozen=True)
class RolloutComparison(Comparison):
    """Errors at the horizon, correlation times and seconds of learned rollouts and of steppers.

    Attributes:
        times: times of the predicted frames, from the last given frame on.
        finest: nodes per axis of the finest classical grid; by default those of the test grid.
    """

    rows: Sequence[RolloutRow]
    times: tuple[float, ...] = ()
    finest: tuple[int, ...] = ()

    row_header = (
        *("method", "grid", "dt", "batch", "error at the end (mean ± std)", "max error"),
        *(f"correlation > {THRESHOLD:g} for", "per trajectory", "steps", "threads", "dtype"),
    )

    @property
    def end(self) -> float:
        """The last time."""
        return self.times[-1]

    def duels_by_correlation(self, operator: str) -> list[Duel]:
        """One duel for each row of an operator, with the cheapest classical row of at least its
        correlation time as opponent."""
        return self.duels(operator, keeps_correlation)

    def sentences(self) -> list[str]:
        """Two sentences for each operator, by the error at the end and by correlation time."""
        lines = []
        for name in self.operators:
            duels = self.duels(name)
            lines.append(
                sentence(
                    duels,
                    states=lambda row: f"{percent(row.error)} error at t = {self.times[-1]:.4g}",
                    figure=lambda row: percent(row.error),
                    solve="trajectory",
                )
                if duels
                else not_finite_sentence(name)
            )
            lines.append(
                sentence(
                    self.duels_by_correlation(name),
                    states=lambda row: f"a correlation time of {correlation_text(row)}",
                    figure=correlation_text,
                    better="correlation time",
                    solve="trajectory",
                )
            )
        return lines

    @property
    def floor(self) -> RolloutRow | None:
        """The classical run with the smallest error on the test grid, or the finest classical
        one."""
        finest = self.finest or self.grid
        there = [r for r in self.rows if r.kind == "classical" and r.grid == finest]
        return min(there, key=lambda r: r.error, default=None)

    @property
    def floor_sentence(self) -> str:
        """A sentence on the error of the best classical run on the test grid."""
        best, finest = self.floor, self.finest or self.grid
        name = "test grid" if finest == self.grid else "finest grid"
        if best is None:
            return f"No classical run on the {name} {grid_name(finest)} was stable."
        return (
            f"The best classical run on the {name} has {percent(best.error)} error "
            f"({best.label}, against the reference on {grid_name(self.reference)}) in "
            f"{seconds_text(best.seconds)}."
        )

    @staticmethod
    def row_cells(row: RolloutRow) -> list[str]:
        """The cells of a row under `row_header`."""
        return [
            row.method,
            grid_name(row.grid),
            "-" if row.dt is None else f"{row.dt:.3g}",
            str(row.batch),
            f"{percent(row.error)} ± {percent(row.error_std)}"
            + ("" if row.converged else " (unstable)"),
            percent(row.error_max),
            correlation_text(row),
            seconds_text(row.seconds),
            "-" if row.iterations is None else f"{row.iterations:.0f}",
            str(row.threads),
            row.dtype,
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; also the times and the duels by correlation time."""
        duels = [d for name in self.operators for d in self.duels_by_correlation(name)]
        return super().to_dict() | {
            "times": list(self.times),
            "duels_by_correlation": [duel_figures(d) for d in duels],
        }

    def duel_tables(self) -> list[str]:
        """The duels by error, then those by correlation time, as Markdown."""
        header = [c.replace("error", "correlation time") for c in DUEL_HEADER]
        duels = [d for name in self.operators for d in self.duels_by_correlation(name)]
        cells = [duel_cells(d, correlation_text) for d in duels]
        return [*super().duel_tables(), "By correlation time:", markdown_table(header, cells)]


def correlation_text(row: Any) -> str:
    """The mean correlation time; a lower bound if some trajectories stay above the threshold."""
    return f"{'≥ ' if row.censored else ''}{row.correlation_time:.3g}"
