"""Other distributions of the inputs of a problem, and the errors of methods on them.

A shift is the problem with one parameter of its kind changed: contrast, correlation length,
viscosity, forcing, horizon. The samples are drawn and solved anew; nothing is trained or timed.
"""
# Axes: n samples, c channel, t time, *space nodes.

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..calculus.norms import Lp
from ..datasets.problems.problem import Generated
from .candidates import Candidate
from .comparison import Comparison
from .duel import Row
from .shifted import ShiftedRow

log = logging.getLogger("pdeops")

Change = Callable[[Mapping[str, Any]], dict[str, Any]]


def _times(name: str, factor: float) -> Change:
    return lambda parameters: {name: factor * parameters[name]}


def _longer(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Twice the time from t_start on, with the frames at the same distance."""
    start, end = parameters.get("t_start", 0.0), parameters["t_end"]
    return {"t_end": end + (end - start), "num_frames": 2 * parameters["num_frames"]}


# Name of a shift -> the parameter that it changes, and the change.
SHIFTS: dict[str, tuple[str, Change]] = {
    "contrast": ("high", _times("high", 2.0)),
    "correlation length": ("tau", _times("tau", 2.0)),
    "amplitude": ("scale", _times("scale", 2.0)),
    "number of scales": ("num_scales", lambda p: {"num_scales": p["num_scales"] + 1}),
    "viscosity": ("viscosity", _times("viscosity", 0.5)),
    "forcing": ("amplitude", _times("amplitude", 1.5)),
    "wavenumber": ("peak", _times("peak", 1.5)),
    "speed": ("speed", _times("speed", 1.25)),
    "horizon": ("t_end", _longer),
}
ROLLOUTS_ONLY = ("horizon",)


@dataclass(frozen=True)
class Shift:
    """A problem with one parameter changed.

    Attributes:
        name: a key of `SHIFTS`.
        change: the parameter and its values, as in "tau 3 -> 6".
        problem: the changed problem.
    """

    name: str
    change: str
    problem: Any


def shifts_of(problem: Generated, *, longer: bool = False) -> list[Shift]:
    """The shifts whose parameters the problem's kind has; that of the horizon if `longer`."""
    before, found = problem.parameters, []
    for name, (key, change) in SHIFTS.items():
        if key not in before or (name in ROLLOUTS_ONLY and not longer):
            continue
        after = change(before)
        shifted = type(problem)(problem.kind, **(before | after))
        text = f"{key} {before[key]:.4g} -> {after[key]:.4g}"
        found.append(Shift(name, text, shifted))
    return found


@dataclass(frozen=True)
class Shifted:
    """The candidates of one shift and the reference on its samples.

    Attributes:
        candidate: a row of the study -> the same method on the samples of the shift.
        truth: the reference (n, ...).
        grid: the test grid.
        time: at which errors are taken, from the last given frame on; 0.0 without frames.
    """

    candidate: Callable[[Row], Candidate]
    truth: Tensor
    grid: Any
    time: float = 0.0


def shifted_rows(
    comparison: Comparison, shifts: Sequence[Shift], prepare: Callable[[Shift], Shifted]
) -> list[ShiftedRow]:
    """The errors of every operator and surrogate on the test grid with batch 1, and of the
    classical solve of equal or better error of each operator.

    Args:
        comparison: the study on the distribution of the training data.
        prepare: shift -> its candidates and its reference.
    """
    pairs = _compared(comparison)
    found = []
    for shift in shifts:
        log.info("errors with %s", shift.change)
        try:
            shifted = prepare(shift)
        except ValueError as error:  # the reference fails, e.g. on a longer horizon
            comparison.notes.append(f"Left out: {shift.name} ({shift.change}). {error}")
            log.warning(comparison.notes[-1])
            continue
        norm, errors = Lp(2.0, domain=shifted.grid), {}
        for row, owner in pairs:
            if row.kind == "reduced" and shift.name in ROLLOUTS_ONLY:
                continue  # a surrogate has the frames of its training data
            if row.label not in errors:
                errors[row.label] = _errors(shifted.candidate(row), shifted.truth, norm)
            found.append(
                ShiftedRow(shift.name, shift.change, row, errors[row.label], owner, shifted.time)
            )
    return found


def _compared(comparison: Comparison) -> list[tuple[Row, str | None]]:
    """The rows whose errors are computed, and for a classical row the operator it belongs to."""
    pairs: list[tuple[Row, str | None]] = []
    for name in comparison.operators:
        for duel in comparison.duels(name):
            row = duel.operator
            if row.batch == 1 and row.grid == comparison.grid:
                pairs.append((row, None))
                if duel.opponent is not None:
                    pairs.append((duel.opponent, name))
    pairs += [(r, None) for r in comparison.rows if r.kind == "reduced" and r.batch == 1]
    return pairs


def _errors(candidate: Candidate, truth: Tensor, norm: Lp) -> tuple[float, ...]:
    """The error of each sample."""
    for i in range(len(truth)):
        prediction = candidate.predict(candidate.prepare([i])).double()
        candidate.record([i], prediction, truth[[i]], norm)
    return tuple(candidate.errors[i] for i in range(len(truth)))
