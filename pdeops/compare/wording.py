"""How figures are written: grids, percentages, seconds, tables."""

import math
from collections.abc import Sequence


def grid_name(shape: Sequence[int], times: str = "×") -> str:
    """(65, 65) -> "65×65"."""
    return times.join(map(str, shape))


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


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with one line for each row; a bar in a cell is escaped.

    Raises:
        ValueError: a row has another number of cells than the header.
    """
    for row in rows:
        if len(row) != len(header):
            raise ValueError(
                f"A row needs {len(header)} cells, as the header; got {len(row)}: {row}."
            )
    lines = [list(header), ["---"] * len(header), *map(list, rows)]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def _three_digits(value: float) -> str:
    """Three significant digits without an exponent: 1.23, 12.3, 123, 1234."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}"
