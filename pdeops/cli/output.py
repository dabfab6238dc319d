"""Results on standard output: one JSON object with --json, else a table."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]


def emit(result: Mapping[str, Any], *, as_json: bool, title: str = "") -> None:
    """Print a result as one JSON object, or as a table of its entries."""
    if as_json:
        print(json.dumps(_finite(result)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, show_header=False, title_justify="left")
    for key, value in _flat(result):
        table.add_row(key, Text(_text(value)))  # rich would take [data] for a style
    Console().print(table)


def rows(header: Sequence[str], lines: Sequence[Sequence[Any]], *, title: str = "") -> None:
    """Print a table with a header."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*header, title=title or None, title_justify="left")
    for line in lines:
        table.add_row(*(_text(value) for value in line))
    Console().print(table)


def _flat(result: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in result.items():
        if isinstance(value, Mapping):
            pairs += _flat(value, f"{prefix}{key}.")
        else:
            pairs.append((f"{prefix}{key}", value))
    return pairs


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(_text(v) for v in value)
    return "-" if value is None else str(value)


def _finite(value: Any) -> Any:
    """JSON has no NaN or infinity: they become null."""
    if isinstance(value, Mapping):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
