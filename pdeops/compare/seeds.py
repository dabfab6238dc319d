"""Trainings of one recipe that differ by the seed only: means and deviations over the seeds."""

import json
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .candidates import place_of
from .duel import Duel, Row, most_favourable
from .tables import grid_name, markdown_table, percent, seconds_text, spread

HEADER = (
    *("trainings", "seeds", "grid", "batch", "error (mean ± std)", "largest"),
    "per solve (mean ± std)",
)


@dataclass(frozen=True)
class SeedRow:
    """The rows of trainings that differ by the seed only, on one grid with one batch size.

    Attributes:
        method: name of the trainings.
        seeds: of the trainings, in the order of the rows.
        rows: one for each seed; at least two.
    """

    method: str
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]

    @property
    def error(self) -> float:
        """Mean of the mean errors."""
        return statistics.fmean(r.error for r in self.rows)

    @property
    def error_std(self) -> float:
        """Sample standard deviation of the mean errors."""
        return spread([r.error for r in self.rows], sample=True)

    @property
    def seconds(self) -> float:
        """Mean of the median seconds per solve."""
        return statistics.fmean(r.seconds for r in self.rows)

    @property
    def seconds_std(self) -> float:
        """Sample standard deviation of the median seconds per solve."""
        return spread([r.seconds for r in self.rows], sample=True)

    @property
    def label(self) -> str:
        """For example "FNO, 3 seeds on 33×33, batch 8"."""
        return f"{self.method} on {self.rows[0].place}, batch {self.rows[0].batch}"

    def to_dict(self) -> dict[str, Any]:
        """The columns of the row in a CSV file, which are plain values for JSON."""
        first = self.rows[0]
        return {
            "method": self.method,
            "kind": "seeds",
            "grid": grid_name(first.grid, "x"),
            "batch": first.batch,
            "label": self.label,
            "seeds": " ".join(map(str, self.seeds)),
            "error": self.error,
            "error_std": self.error_std,
            "error_max": max(r.error for r in self.rows),
            "seconds": self.seconds,
            "seconds_std": self.seconds_std,
            "dtype": first.dtype,
            "device": first.device,
        }

    def cells(self) -> tuple[str, ...]:
        """The cells under `HEADER`."""
        return (
            self.method,
            ", ".join(map(str, self.seeds)),
            grid_name(self.rows[0].grid),
            str(self.rows[0].batch),
            _deviating(percent, self.error, self.error_std),
            percent(max(r.error for r in self.rows)),
            _deviating(seconds_text, self.seconds, self.seconds_std),
        )


def groups_of(runs: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Name -> {run: seed} of the runs whose recipes differ by the seed only, on the same device."""
    found: dict[str, dict[str, int]] = {}
    for name, run in runs.items():
        plain = {k: v for k, v in run.recipe.to_dict().items() if k not in ("seed", "name")}
        place = [type(run).__name__, *map(str, place_of(run))]
        key = json.dumps([plain, place], sort_keys=True, default=str)
        found.setdefault(key, {})[name] = run.recipe.seed
    groups: dict[str, dict[str, int]] = {}
    for seeds in found.values():
        if len(set(seeds.values())) < max(len(seeds), 2):
            continue
        first = next(iter(seeds))
        model = re.sub(r" \([^)]*\)", "", first)  # the folder is part of the name of a run
        name = f"{model}, {len(seeds)} seeds"
        groups[name if name not in groups else f"{first} and others, {len(seeds)} seeds"] = seeds
    return groups


def seed_rows(rows: Sequence[Row], groups: Mapping[str, Mapping[str, int]]) -> list[SeedRow]:
    """The rows of each group on each grid and batch size that all its runs were measured with."""
    found = []
    for group, seeds in groups.items():
        mine = [r for r in rows if r.kind == "operator" and r.method in seeds]
        for place in dict.fromkeys((r.grid, r.batch) for r in mine):
            there = {r.method: r for r in mine if (r.grid, r.batch) == place}
            if len(there) == len(seeds):
                numbers = tuple(seeds[name] for name in there)
                found.append(SeedRow(group, numbers, tuple(there.values())))
    return found


def seeds_sentence(rows: Sequence[SeedRow], duels: Sequence[Duel], classical: bool) -> str:
    """The figures of one group where its most favourable row is, and how many of its trainings are
    faster than their opponents.

    Args:
        rows: those of the group.
        duels: one for each row of each of its runs.
        classical: whether there are classical rows.
    """
    best = most_favourable(duels).operator
    row = next((r for r in rows if best in r.rows), rows[0])
    text = (
        f"{row.label}, mean ± standard deviation over the seeds "
        f"({', '.join(map(str, row.seeds))}): {_deviating(percent, row.error, row.error_std)} "
        f"error, {_deviating(seconds_text, row.seconds, row.seconds_std)} per solve"
    )
    if not classical:
        return f"{text}."
    mine = [d for d in duels if d.operator in row.rows]
    counts = {
        "faster": sum(_wins(d) is True for d in mine),
        "slower": sum(_wins(d) is False for d in mine),
        "without such a row": sum(d.opponent is None for d in mine),
        "without a finite error": len(row.rows) - len(mine),
    }
    counts["undecided"] = len(row.rows) - sum(counts.values())
    each = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
    return (
        f"{text}; of the {len(row.rows)} trainings, each compared with the cheapest classical row "
        f"of equal or better error: {each}."
    )


def seeds_table(rows: Sequence[SeedRow]) -> str:
    """The rows as Markdown."""
    return markdown_table(HEADER, [row.cells() for row in rows])


def _wins(duel: Duel) -> bool | None:
    """Whether the operator is faster; None if there is no opponent or the seconds do not decide."""
    return None if duel.ratio is None or not duel.decided else duel.ratio < 1


def _deviating(text: Any, mean: float, std: float) -> str:
    return f"{text(mean)} ± {text(std)}"
