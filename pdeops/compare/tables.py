"""Tables in Markdown and CSV, and the format of grids, percentages and seconds."""

import csv
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path


def metric_name(metric: str) -> str:
    """A key of `METRICS` as text in a report."""
    return {"relative_l2": "relative L2"}.get(metric, metric)


def grid_name(shape: Sequence[int], times: str = "×") -> str:
    """(65, 65) -> "65×65"."""
    return times.join(map(str, shape))


def spread(values: Sequence[float], *, sample: bool = False) -> float:
    """Standard deviation of the values, or with `sample` its estimate from them as a sample;
    infinite unless all are finite."""
    deviation = statistics.stdev if sample else statistics.pstdev
    return deviation(values) if all(map(math.isfinite, values)) else math.inf


def percent(error: float) -> str:
    """0.0123 -> "1.23 %": three digits, in powers of ten below 0.01 %."""
    if not math.isfinite(error):
        return str(error)
    value = 100 * error
    if value == 0 or value >= 1e-2:
        return f"{_three_digits(value)} %"
    return f"{value:.1e} %"


def seconds_text(seconds: float) -> str:
    """0.00123 -> "1.23 ms"; µs, ms or s by size, minutes from 10 min, hours from 10 h."""
    if not math.isfinite(seconds):
        return str(seconds)
    units = [(36000, 3600, "h"), (600, 60, "min"), (1, 1, "s"), (1e-3, 1e-3, "ms")]
    for at_least, unit, name in units:
        if seconds >= at_least:
            return f"{_three_digits(seconds / unit)} {name}"
    return f"{_three_digits(seconds / 1e-6)} µs"


def times_text(ratio: float | None) -> str:
    """0.123 -> "0.12×"; no digits after the point from 100 on."""
    assert ratio is not None
    return f"{ratio:.2g}×" if ratio < 100 else f"{ratio:,.0f}×"


def cell(value: object) -> str:
    """A value as text for a table: a float with three digits, None as "-"."""
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table with one line for each row; bars in cells are escaped.

    Raises:
        ValueError: the number of cells in a row differs from that in the header.
    """
    for row in rows:
        if len(row) != len(header):
            raise ValueError(
                f"A row needs {len(header)} cells, as the header has; got {len(row)}: {row}."
            )
    lines = [_line(header), "|" + "---|" * len(header), *map(_line, rows)]
    return "\n".join(lines)


def read_csv(path: str | Path) -> list[dict[str, str]]:
    """The rows of a CSV file, column -> text; an empty list if the file does not exist."""
    path = Path(path)
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_csv(path: str | Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """Rows of the same columns as a CSV file, None as an empty cell; returns the path.

    The folder is created if it is missing. At any time the file is the old one or the new one.

    Raises:
        ValueError: there is no row, or the rows differ in their columns.
    """
    if not rows:
        raise ValueError("A CSV file needs at least one row: the columns are those of the first.")
    columns = list(rows[0])
    for row in rows:
        if set(row) != set(columns):
            raise ValueError(
                f"All rows of a table have the same columns; expected {columns}, got {list(row)}."
            )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    with draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return draft.replace(path)


def _line(cells: Sequence[object]) -> str:
    return "| " + " | ".join(cell(value).replace("|", "\\|") for value in cells) + " |"


def _three_digits(value: float) -> str:
    """Three significant digits without an exponent: 1.23, 12.3, 123, 1234."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}"
