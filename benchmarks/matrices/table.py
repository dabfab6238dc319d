"""Rows of the comparison for the CSV file, and its Markdown page."""

from collections.abc import Iterator, Mapping, Sequence

from pdeops.compare.linear_methods import AMORTISED
from pdeops.compare.tables import markdown_table

from ..lead import lead
from ..opponents import Given
from .problems import System
from .race import Record
from .worker import OURS

Row = dict[str, str]

PER_SOLVE = tuple(f"s_at_{k}" for k in AMORTISED)
FIGURES = (
    "method", "iterations", "import_s", "cold_s", "setup_s", "solve_s", "setup_cpu_s",
    "solve_cpu_s", *PER_SOLVE, "times_faster", "times_faster_processor", "lead", "residual",
    "peak_mb", "turns",
)  # fmt: skip
SHOWN = (
    "side", "method", "iterations", "cold_s", "setup_s", "solve_s", *PER_SOLVE, "times_faster",
    "times_faster_processor", "lead", "residual", "note",
)  # fmt: skip


def rows(system: System, given: Given, records: Mapping[str, Record]) -> list[Row]:
    """A row for each side; without figures where it has none."""
    ours = records[OURS]
    found = []
    for side, record in records.items():
        solved = not record.failure and record.turns
        note = record.failure
        if side == OURS and system.refused:
            note = refusal(record)
        found.append(
            {
                "matrix": system.name,
                "title": system.title,
                "unknowns": str(given.A.shape[0]),
                "nonzeros": str(given.A.nnz),
                "side": side,
                **dict.fromkeys(FIGURES, ""),
                **(figures(record, ours if side != OURS else None) if solved else {}),
                "note": note,
            }
        )
    return found


def refusal(ours: Record) -> str:
    """The note of a matrix that we must refuse."""
    if ours.failure.startswith("ValueError: "):
        return "refused, as it must be: " + ours.failure.removeprefix("ValueError: ")
    return "failed: it was not refused" + (f" ({ours.failure})" if ours.failure else "")


def figures(record: Record, ours: Record | None) -> Row:
    """The columns of a side that solved; ratios and the lead for an opponent only."""
    compared = {}
    if ours is not None and not ours.failure:
        compared = {
            "times_faster": f"{record.total(1) / ours.total(1):.2f}",
            "times_faster_processor": f"{record.total(1, 1) / ours.total(1, 1):.2f}",
            "lead": lead(ours.total, record.total),
        }
    every = [*record.turns, *record.several.values()]
    methods = dict.fromkeys(turn["method"] for turn in every)
    return {
        "method": "; ".join(filter(None, methods)),
        "iterations": str(record.turns[-1]["iterations"]),
        "import_s": f"{record.import_seconds:.3g}",
        "cold_s": f"{record.cold:.3g}",
        "setup_s": f"{record.median('setup'):.3g}",
        "solve_s": f"{record.median('solve'):.3g}",
        "setup_cpu_s": f"{record.median('setup', 1):.3g}",
        "solve_cpu_s": f"{record.median('solve', 1):.3g}",
        **{f"s_at_{k}": f"{record.total(k) / k:.3g}" for k in AMORTISED},
        **compared,
        "residual": f"{max(turn['residual'] for turn in every):.1e}",
        "peak_mb": f"{max(turn['peak_mb'] for turn in record.turns):.0f}",
        "turns": str(len(record.turns)),
    }


def page(found: Sequence[Row]) -> Iterator[str]:
    """The lines of the Markdown page: a summary, then a table for each system."""
    yield from summary(found).splitlines()
    for name in dict.fromkeys(r["matrix"] for r in found):
        of = [r for r in found if r["matrix"] == name]
        head = f"{of[0]['title']}: {int(of[0]['unknowns']):,} unknowns"
        yield f"\n### {name}\n\n{head}, {int(of[0]['nonzeros']):,} nonzeros.\n"
        yield from markdown_table(SHOWN, [[r[key] for key in SHOWN] for r in of]).splitlines()


def summary(found: Sequence[Row]) -> str:
    """A line for each system: our seconds, and the best of the others for 1, 10, 100 solves."""
    header = ["matrix", "unknowns", "ours, cold", "ours"]
    header += [f"best other, {k} per set-up (times ours)" for k in AMORTISED]
    lines = []
    for name in dict.fromkeys(r["matrix"] for r in found):
        of = [r for r in found if r["matrix"] == name]
        ours = next(r for r in of if r["side"] == OURS)
        others = [r for r in of if r["side"] != OURS and r["setup_s"]]
        cells = [name, ours["unknowns"]]
        short = ours["note"] if len(ours["note"]) < 50 else ours["note"].partition(":")[0]
        cells += [ours["cold_s"], ours["s_at_1"]] if ours["setup_s"] else [short, ""]
        lines.append([*cells, *(best(ours, others, f"s_at_{k}") for k in AMORTISED)])
    return markdown_table(header, lines)


def best(ours: Row, others: Sequence[Row], column: str) -> str:
    if not others:
        return ""
    row = min(others, key=lambda r: float(r[column]))
    text = f"{row['side']} {row[column]}"
    if not ours[column]:
        return text
    return f"{text} ({float(row[column]) / float(ours[column]):.2f})"
