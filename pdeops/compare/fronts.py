"""Pareto fronts of error and seconds, and the accuracy classes in which each kind wins."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from .duel import Cost, Duel, Row
from .tables import markdown_table, percent, seconds_text

KINDS = {"operator": "network", "classical": "classical", "reduced": "without a network"}
CLASSES = tuple(m * 10.0**-k for k in range(10) for m in (3, 1))[1:]  # errors 1, 0.3, 0.1, ...
CLASS_COLUMNS = ("row", "error", "per solve")


def front(rows: Sequence[Row]) -> list[Row]:
    """The rows that no other is better than in one of error and seconds and as good in the other,
    by increasing seconds. Errors that are not finite do not count."""
    best: list[Row] = []
    finite = [r for r in rows if math.isfinite(r.error)]
    for row in sorted(finite, key=lambda r: (r.seconds, r.error)):
        if not best or row.error < best[-1].error:
            best.append(row)
    return best


def fronts(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Kind -> its front, for the kinds that have rows."""
    found = {kind: [r for r in rows if r.kind == kind] for kind in KINDS}
    return {kind: front(mine) for kind, mine in found.items() if mine}


def winners(rows: Sequence[Row], load_spread: float) -> list[tuple[float, dict[str, Row], str]]:
    """Each class of accuracy that a row reaches, the cheapest row of each kind in it, and the kind
    that is fastest: (largest error, kind -> row, name).

    A kind is named where its seconds are below those of every other kind, decided as in `Duel`;
    else the name is "undecided". Neighbouring classes with the same rows are one, of the smaller
    error.
    """
    classes: list[tuple[float, dict[str, Row], str]] = []
    for bound in CLASSES:
        able = {
            kind: min(mine, key=lambda r: r.seconds)
            for kind, line in fronts(rows).items()
            if (mine := [r for r in line if r.error <= bound])
        }
        if not able:
            break
        if classes and classes[-1][1] == able:
            classes.pop()
        classes.append((bound, able, _fastest(able, load_spread)))
    return classes


def _fastest(able: dict[str, Row], load_spread: float) -> str:
    kind, row = min(able.items(), key=lambda item: item[1].seconds)
    duels = [Duel(row, other, Cost(), load_spread) for k, other in able.items() if k != kind]
    if all(duel.decided for duel in duels):
        mixed = ", on different hardware" if len({r.device for r in able.values()}) > 1 else ""
        return (KINDS[kind] if duels else f"only {KINDS[kind]}") + mixed
    return "undecided"


def classes_table(
    rows: Sequence[Row],
    load_spread: float,
    label: Callable[[Any], str] = lambda row: row.label,
) -> str:
    """The accuracy classes as Markdown: one problem at a time, and, where a row has a larger batch,
    any batch."""
    kinds = list(fronts(rows))
    header = ["problems", "error at most"]
    header += [f"{KINDS[kind]}: {column}" for kind in kinds for column in CLASS_COLUMNS]
    single = [r for r in rows if r.batch == 1]
    sets = {"one at a time": single}
    if len(single) < len(rows):
        sets["any batch"] = list(rows)
    lines = []
    for problems, mine in sets.items():
        for bound, able, fastest in winners(mine, load_spread):
            cells = [problems, percent(bound)]
            for kind in kinds:
                row = able.get(kind)
                cells += (
                    ["none", "-", "-"]
                    if row is None
                    else [label(row), percent(row.error), seconds_text(row.seconds)]
                )
            lines.append([*cells, fastest])
    return markdown_table([*header, "fastest"], lines)
