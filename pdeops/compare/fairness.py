"""The opponent that a user asks for, and whether it is the one that an operator has to meet."""

from collections.abc import Sequence

from .duel import Cost, Duel, Row
from .tables import percent, seconds_text, times_text


def asked_row(name: str, rows: Sequence[Row], grid: tuple[int, ...]) -> Row | None:
    """The row of a classical method at full resolution, to the smallest tolerance; None if it was
    not measured there."""
    mine = [r for r in rows if r.kind == "classical" and r.method == name and r.grid == grid]
    return min(mine, key=lambda r: (r.tolerance or 0.0, r.batch), default=None)


def fairness_sentence(name: str, duel: Duel, rows: Sequence[Row], grid: tuple[int, ...]) -> str:
    """What the ratio to the opponent asked for means.

    The opponent is unfair where it is less accurate than the operator, and where a classical row of
    at most the operator's error takes fewer seconds: then its accuracy beyond that of the operator
    costs seconds and is not used.

    Args:
        name: the classical method asked for.
        duel: the operator's row and the cheapest classical row of equal or better error.
        rows: all rows.
        grid: the test grid, whose row of the method is meant.
    """
    operator, fair = duel.operator, duel.opponent
    asked = asked_row(name, rows, grid)
    if asked is None:
        return f"{name}, the opponent asked for, was not measured at full resolution."
    ratio = operator.seconds / asked.seconds
    start = (
        f"{operator.label} ({percent(operator.error)} in {seconds_text(operator.seconds)}) takes "
        f"{times_text(ratio)} the seconds of {asked.label} ({percent(asked.error)} in "
        f"{seconds_text(asked.seconds)}), the opponent asked for"
    )
    if fair is None:
        return f"{start}; no classical row measured reaches the operator's error."
    if asked.error > operator.error:
        assert duel.ratio is not None
        return (
            f"{start}. This opponent is unfair, because it is less accurate than the operator: "
            f"compared with {fair.label} ({percent(fair.error)} in {seconds_text(fair.seconds)}) "
            f"the operator takes {times_text(duel.ratio)} the seconds."
        )
    if fair == asked:
        return f"{start}, which is the cheapest classical row of equal or better error: it is fair."
    excess = Duel(asked, fair, Cost(), duel.load_spread)
    assert excess.ratio is not None
    if not excess.decided:
        return (
            f"{start}; whether it is slower than {fair.label} ({percent(fair.error)} in "
            f"{seconds_text(fair.seconds)}) is undecided on this machine."
        )
    assert duel.ratio is not None
    return (
        f"{start}. This opponent is unfair: {fair.label} has equal or better error than the "
        f"operator ({percent(fair.error)}) in {seconds_text(fair.seconds)}, for which the opponent "
        f"asked for takes {times_text(excess.ratio)} the seconds; compared with {fair.label} the "
        f"operator takes {times_text(duel.ratio)} the seconds."
    )
