"""Print results on standard output, as one JSON object (--json) or as a table."""

import inspect
import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Device = Annotated[str, typer.Option(help="Device: auto, cpu, cuda, cuda:1, ...")]


class Verb(TyperCommand):
    """A command whose help joins the lines of each paragraph; typer keeps their line breaks."""

    def __init__(self, *args: Any, help: str | None = None, **kwargs: Any) -> None:
        paragraphs = inspect.cleandoc(help or "").split("\n\n")
        help = "\n\n".join(" ".join(part.split()) for part in paragraphs)
        super().__init__(*args, help=help, **kwargs)


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
        table.add_row(key, Text(_text(value)))  # rich would parse [data] as a style
    Console().print(table)


def rows(header: Sequence[str], lines: Sequence[Sequence[Any]], *, title: str = "") -> None:
    """Print a table with a header."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*header, title=title or None, title_justify="left")
    for line in lines:
        table.add_row(*(_text(value) for value in line))
    console = Console()
    if not console.is_terminal:  # a row is one line: rich would fold cells at 80 columns
        console = Console(width=Console(width=10_000).measure(table).maximum)
    console.print(table)


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
    """The value with NaN and infinity replaced by None (null), because JSON has neither."""
    if isinstance(value, Mapping):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
