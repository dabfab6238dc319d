"""Error bars of the samples of a file, in words and numbers."""

import math
import statistics
from dataclasses import dataclass
from typing import Any

from ..estimators import Bounds
from ..polish import Polished
from .bands import Band

CELLS = "coefficient and source are constant in the cell around each node"
_DECADES = 12
GAIN = 0.5  # iterations in the mean that count as saved
MOST_CELLS = 10**9  # of a grid that fits in memory


def decades(tol: float) -> list[float]:
    """0.1, 0.01, ... above the tolerance, and the tolerance itself."""
    larger = (10.0**-k for k in range(1, _DECADES + 1))
    return [*(d for d in larger if d > 1.0001 * tol), tol]


@dataclass(frozen=True)
class Certified:
    """What is proven of one sample.

    Attributes:
        bounds: of the error of the stored field.
        solved, from_zero: iterations to the tolerance, from the prediction and from zero; None
            without a tolerance.
    """

    bounds: Bounds
    solved: Polished | None = None
    from_zero: Polished | None = None


@dataclass(frozen=True)
class Report:
    """The error bars of all samples of a file, in words and numbers.

    Attributes:
        covered: per sample 1 or 0, or the share of its points that are inside the band.
    """

    out: str
    grid: Any
    num_samples: int
    samples: list[Certified]
    tol: float | None
    band: Band | None
    covered: list[float]

    def to_dict(self) -> dict[str, Any]:
        """The figures: relative errors in the energy norm, and iterations."""
        entries: dict[str, Any] = {"out": self.out, "samples": self.num_samples}
        if self.samples:
            lower, upper = (
                [getattr(s.bounds, f"relative_{side}") for s in self.samples]
                for side in ("lower", "upper")
            )
            entries["energy_error_lower"] = statistics.fmean(lower)
            entries["energy_error_upper"] = statistics.fmean(upper)
            entries["largest_energy_error_upper"] = max(upper)
        if self.tol is not None:
            entries["tolerance"] = self.tol
            entries["iterations"] = [
                {"tolerance": tol, "from_prediction": mine, "from_zero": zero}
                for tol, mine, zero in self.iterations()
            ]
        if self.band is not None:
            entries["level"] = self.band.level
            entries["simultaneous"] = self.band.simultaneous
            if self.covered:
                entries["coverage"], entries["coverage_standard_error"] = self.coverage()
        return entries

    def coverage(self) -> tuple[float, float]:
        """The mean share of the targets of the file that is inside the band, and its standard
        error."""
        n, mean = len(self.covered), statistics.fmean(self.covered)
        if self.band is not None and self.band.simultaneous:
            # Agresti and Coull (1998): not zero if all or none of the targets are inside.
            p = (mean * n + 2) / (n + 4)
            return mean, math.sqrt(p * (1 - p) / (n + 4))
        return mean, statistics.stdev(self.covered) / math.sqrt(n) if n > 1 else math.nan

    def iterations(self) -> list[tuple[float, float, float]]:
        """Per tolerance, mean iterations from the prediction and from zero."""
        if self.tol is None:
            return []
        return [
            (
                tol,
                statistics.fmean(s.solved.needed(tol) for s in self.samples if s.solved),
                statistics.fmean(s.from_zero.needed(tol) for s in self.samples if s.from_zero),
            )
            for tol in decades(self.tol)
        ]

    def to_markdown(self) -> str:
        """The same as text."""
        figures = self.to_dict()
        lines = [f"{self.out}: {self.num_samples} samples.", ""]
        if self.samples:
            lines += [
                f"Guaranteed: the relative error in the energy norm, against the exact solution of "
                f"the equation, is between {figures['energy_error_lower']:.2e} and "
                f"{figures['energy_error_upper']:.2e} in the mean, and at most "
                f"{figures['largest_energy_error_upper']:.2e}, where {CELLS}.",
                "",
            ]
        if self.tol is not None:
            lines += [*self._about_iterations(self.tol), ""]
        if self.band is not None:
            lines += [*self._about_band(self.band), ""]
        return "\n".join(lines[:-1])

    def _about_band(self, band: Band) -> list[str]:
        where = "everywhere at once" if band.simultaneous else "at each single point"
        lines = [
            f"The band contains the target {where} with probability {band.level:g}, for samples of "
            f"the distribution and the grid of the calibration."
        ]
        if self.covered:
            mean, error = self.coverage()
            lines.append(f"On this file it contained {mean:.3f} ± {error:.3f}.")
        if self.grid != band.grid:
            lines.append(f"The calibration is on {band.grid}: nothing is promised on this grid.")
        return lines

    def _about_iterations(self, tol: float) -> list[str]:
        table = self.iterations()
        lines = [
            f"Against the discrete solution it is at most {tol:g}, by conjugate gradients with "
            f"multigrid:",
            "",
            "| tolerance | iterations from the prediction | from zero |",
            "|---|---|---|",
            *(f"| {t:g} | {mine:.1f} | {zero:.1f} |" for t, mine, zero in table),
            "",
        ]
        saved = table[-1][2] - table[-1][1]
        useless = [t for t, mine, zero in table if zero - mine < GAIN]
        if saved >= GAIN:
            lines.append(f"The prediction saved {saved:.1f} iterations at {tol:g}.")
        if useless:
            lines.append(
                f"At {', '.join(f'{t:g}' for t in useless)} zero was as good a first iterate."
            )
        upper = max(s.bounds.relative_upper for s in self.samples)
        if upper == math.inf:
            lines.append(
                "The solution of a sample may be zero, so its relative error has no bound."
            )
        elif upper > tol:
            cells = [math.ceil(m * upper / tol) for m in self.grid.cells]
            needed = f"which needs {' x '.join(f'{m:,}' for m in cells)} cells for {tol:g}"
            if math.prod(cells) > MOST_CELLS:
                needed = f"so that no grid in memory reaches {tol:g}"
            lines.append(
                f"The grid does not resolve the equation to {tol:g}: the bound against the exact "
                f"solution is {upper:.2e}. It falls in proportion to h where a and u are smooth, "
                f"{needed}."
            )
        return lines
