"""An operator's row against its opponent, the cheapest row of others of equal or better error."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .break_even import break_even, break_even_text
from .tables import grid_name

# Third over first quartile of the fixed load: above, the machine varied more than methods that are
# compared.
MAX_LOAD_SPREAD = 2.0
MIN_ROUNDS = 5  # of a bootstrap


@dataclass(frozen=True)
class Row:
    """The error and the seconds per solve of one method on one grid.

    Attributes:
        method: name of the operator or of the classical method.
        kind: "operator", "classical", or "reduced" for surrogates without a network (`fitted.py`).
        grid: nodes per axis of the grid it works on.
        tolerance: relative residual at which an iteration stops; None for direct methods and
            operators.
        batch: number of problems in one call.
        error, error_std, error_max: relative L2 error against the reference over the samples: mean,
            population standard deviation, maximum.
        seconds: time of a call / batch, median over the calls; includes set-up and the transfer of
            the solution to the test grid.
        seconds_low, seconds_high: the quartiles of the same calls.
        setup_seconds: the seconds for assembly and set-up, measured separately; None if the method
            has no set-up.
        iterations: mean over the samples; None for operators.
        converged: whether every solve reached its tolerance.
        threads: number of threads that the method may use.
        dtype: dtype of the arithmetic.
        calls: the seconds per solve of each round, in which all rows have one call; () if unknown.
        device: type of the device of the arithmetic.
        errors: the relative error of each sample; () if unknown.
    """

    method: str
    kind: str
    grid: tuple[int, ...]
    tolerance: float | None
    batch: int
    error: float
    error_std: float
    error_max: float
    seconds: float
    seconds_low: float
    seconds_high: float
    setup_seconds: float | None
    iterations: float | None
    converged: bool
    threads: int
    dtype: str
    calls: tuple[float, ...] = field(default=(), kw_only=True, repr=False)
    device: str = field(default="cpu", kw_only=True)
    errors: tuple[float, ...] = field(default=(), kw_only=True, repr=False)

    @property
    def place(self) -> str:
        """The grid as text, e.g. "65×65"."""
        return grid_name(self.grid)

    @property
    def label(self) -> str:
        """A label of the row, e.g. "multigrid-cg on 17×17 to 1e-02" or "MgNO on 65×65, batch 8"."""
        if self.kind != "classical":
            return f"{self.method} on {self.place}, batch {self.batch}"
        target = "" if self.tolerance is None else f" to {self.tolerance:.0e}"
        batch = "" if self.batch == 1 else f", batch {self.batch}"
        return f"{self.method} on {self.place}{target}{batch}"


@dataclass(frozen=True)
class Cost:
    """Seconds spent before an operator's first prediction; None if not known, counted as zero."""

    training_seconds: float | None = None
    data_seconds: float | None = None

    @property
    def total(self) -> float:
        """The sum of the known costs."""
        return (self.training_seconds or 0.0) + (self.data_seconds or 0.0)

    @property
    def unknown(self) -> list[str]:
        """The names of the unknown costs: "training", "data"."""
        parts = {"training": self.training_seconds, "data": self.data_seconds}
        return [name for name, value in parts.items() if value is None]


@dataclass(frozen=True)
class Duel:
    """An operator's row against its opponent, the cheapest row of others of equal or better error.

    Attributes:
        operator: the operator's row.
        opponent: the row of the other kind; None if no such row is as accurate.
        cost: the cost of the operator before its first prediction.
        load_spread: third over first quartile of the seconds of a fixed load between the calls.
        opponent_cost: the cost of the opponent before its first solution.
    """

    operator: Row
    opponent: Row | None
    cost: Cost
    load_spread: float = 1.0
    opponent_cost: Cost = Cost(0.0, 0.0)

    @property
    def ratio(self) -> float | None:
        """Seconds of the operator / seconds of its opponent: below 1 the operator wins."""
        return None if self.opponent is None else self.operator.seconds / self.opponent.seconds

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """The ratio between the bounds of a confidence interval (`ratio_interval`); None without an
        opponent or without the seconds of the rounds."""
        if self.opponent is None or not (self.operator.calls and self.opponent.calls):
            return None
        return ratio_interval(self.operator.calls, self.opponent.calls)

    @property
    def decided(self) -> bool:
        """Whether the seconds show which is faster: the interval excludes 1 and the fixed load was
        steady."""
        if self.interval is None:
            return True
        low, high = self.interval
        return not low <= 1 <= high and self.load_spread <= MAX_LOAD_SPREAD

    @property
    def break_even(self) -> float | None:
        """Number of solves after which the seconds saved repay the cost: the smallest n with

        n (seconds of the opponent - seconds of the operator) >= training + data,

        less the cost of the opponent. inf if nothing is saved; None if there is no opponent, or no
        part of the cost is known.
        """
        if self.opponent is None:
            return None
        known = len(self.cost.unknown) < 2
        saved = self.opponent.seconds - self.operator.seconds
        cost = max(self.cost.total - self.opponent_cost.total, 0.0)
        return break_even(cost if known else None, saved)

    @property
    def break_even_text(self) -> str:
        """`break_even` as text: "never", "12,000", "at least 12,000", "not known" or "-"."""
        if self.opponent is None:
            return "-"
        if not self.decided:
            return "undecided"
        solves = self.break_even
        bound = solves is not None and math.isfinite(solves) and bool(self.cost.unknown)
        return ("at least " if bound else "") + break_even_text(solves)


def ratio_interval(
    first: Sequence[float], second: Sequence[float], *, level: float = 0.95, draws: int = 2000
) -> tuple[float, float]:
    """A bootstrap interval of median(first) / median(second) (Efron and Tibshirani 1993, ch. 13).

    Both are resampled by rounds: what slows a whole round slows both sides of it. Round i of both
    is drawn together; rounds that one side does not have are left out. Of fewer than five rounds a
    bootstrap is too narrow: the interval is that of all ratios.
    """
    n = min(len(first), len(second))
    if n < MIN_ROUNDS:
        return min(first) / max(second), max(first) / min(second)
    rounds = np.random.default_rng(0).integers(n, size=(draws, n))
    a, b = (np.median(np.asarray(v[:n])[rounds], axis=1) for v in (first, second))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(a == b, 1.0, a / b)
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def as_accurate(classical: Row, operator: Row) -> bool:
    """Whether the classical row has at most the operator's mean error."""
    return classical.error <= operator.error


def opponent_of(
    row: Row,
    rows: Sequence[Row],
    able: Callable[[Any, Any], bool] = as_accurate,
    kind: str = "classical",
) -> Row | None:
    """The fastest row of a kind that is `able` to replace `row`, by default with at most its mean
    error; of equals the more accurate. A row of a larger batch does not replace a smaller batch.

    A classical row that missed its tolerance is included, with its measured error and seconds.
    """
    found = [r for r in rows if r.kind == kind and r.batch <= row.batch and able(r, row)]
    return min(found, key=lambda r: (r.seconds, r.error), default=None)


def most_favourable(duels: Sequence[Duel]) -> Duel:
    """The duel most favourable to the operator.

    This is one without an opponent (of several, that with the smallest error), else that with the
    smallest ratio of seconds.
    """
    if not duels:
        raise ValueError("There is no duel to choose from; the study has no operator row.")
    return min(duels, key=lambda d: (d.ratio or 0.0, d.operator.error))
