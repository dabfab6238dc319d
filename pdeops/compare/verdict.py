"""The duels of an operator in words and as cells of a table."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from .duel import MAX_LOAD_SPREAD, Duel, Row, most_favourable
from .tables import percent, seconds_text, times_text

DUEL_HEADER = (
    *("operator", "error", "per solve", "opponent", "error", "per solve"),
    *("ratio of seconds", "pays after (solves)"),
)


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
            also += f"it takes {times_text(alone.ratio)} the seconds of {versus.label}"
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
        f"{times_text(best.ratio)} its seconds"
        + _conclusion(best, f" ({_speed(best.ratio)}) and {_pays(best)}")
        + f"{also}{_difference(op, versus)}."
    )


def not_finite_sentence(operator: str) -> str:
    """That an operator without finite predictions is compared with nothing."""
    return (
        f"{operator} predicts values that are not finite, so it has no error to compare. See its "
        f"training: pdeops runs shows the validation error."
    )


def _difference(row: Row, other: Row) -> str:
    """What differs in precision and hardware between two rows, as the end of a sentence."""
    parts = []
    if row.dtype != other.dtype:
        parts.append(f"precision ({row.dtype} and {other.dtype})")
    if row.device != other.device:
        parts.append(f"hardware ({row.device} and {other.device})")
    return f"; both differ in {' and in '.join(parts)}" if parts else ""


def surrogate_sentence(duels: Sequence[Duel], rows: Sequence[Row], *, same: bool = True) -> str:
    """An operator compared with the cheapest surrogate without a network of equal or better error.

    Args:
        duels: of the operator, with surrogates.
        rows: all rows.
        same: whether all operators were trained on the samples of the surrogates.
    """
    samples = "the same training samples" if same else "the largest of the training sets"
    best = most_favourable(duels)
    op, versus = best.operator, best.opponent
    if versus is None:
        able = (r for r in rows if r.kind == "reduced" and r.batch <= op.batch)
        closest = min(able, key=lambda r: (r.error, r.seconds))
        return (
            f"Without a network, on {samples}, no surrogate reaches the "
            f"{percent(op.error)} of {op.label}; the most accurate is {closest.method} with "
            f"{percent(closest.error)} in {seconds_text(closest.seconds)}"
            f"{_difference(op, closest)}."
        )
    return (
        f"Without a network, fitted to {samples} in "
        f"{seconds_text(best.opponent_cost.training_seconds or 0.0)}, {versus.label} has "
        f"{percent(versus.error)} in {seconds_text(versus.seconds)}; {op.label} "
        f"({percent(op.error)}) takes {times_text(best.ratio)} its seconds"
        + _conclusion(best, f" ({_speed(best.ratio)}) and {_pays(best)} compared with it")
        + f"{_difference(op, versus)}."
    )


def places_sentence(rows: Sequence[Row]) -> list[str]:
    """A sentence if the operators ran on different hardware or in different precision."""
    places = {r.method: f"{r.device} in {r.dtype}" for r in rows if r.kind == "operator"}
    if len(set(places.values())) < 2:
        return []
    each = ", ".join(f"{name} on {place}" for name, place in places.items())
    return [
        f"The operators ran on different hardware or in different precision ({each}): their "
        f"seconds are not compared with each other."
    ]


def _conclusion(duel: Duel, text: str) -> str:
    """The text if the seconds decide, else why they do not and what to do."""
    if duel.decided:
        return text
    assert duel.interval is not None
    low, high = (times_text(bound) for bound in duel.interval)
    if duel.load_spread > MAX_LOAD_SPREAD:
        why = f"a fixed load varied {duel.load_spread:.2g}× between its quartiles"
    else:
        why = f"the ratio is between {low} and {high}"
    return (
        f", which is undecided on this machine: {why}. Repeat with more --samples, or when nothing "
        f"else runs"
    )


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
    ratio = times_text(duel.ratio)
    if duel.interval:
        ratio += f" ({' to '.join(times_text(bound) for bound in duel.interval)})"
    return [*cells, ratio, duel.break_even_text]
