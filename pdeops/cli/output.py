"""Print results on standard output, as one JSON object (--json) or as a table."""

import inspect
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Device = Annotated[str, typer.Option(help="Device: auto, cpu, cuda, cuda:1, ...")]
# The equation of a file that does not state it, or not all of it.
Kind = Annotated[str | None, typer.Option(help="Kind of the problem; fixes the force.")]
ProblemSettings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Parameter of the problem: --set viscosity=1e-3. Repeatable."),
]


class _Conversion:
    """Typer's conversion of an option, but for defaults, texts and paths, which are taken as they
    are: for these too typer would import pydantic, a tenth of the time of `import torch`."""

    def __init__(self, typers: Callable[[], Any]) -> None:
        self._typers = typers

    @classmethod
    def replace(cls, param: Any) -> None:
        """Use this conversion for an option of a command."""
        if not isinstance(param.get_runtime_param, cls):
            param.get_runtime_param = cls(param.get_runtime_param)

    def __call__(self) -> "_Conversion":
        return self

    def coerce(self, value: Any, *, param: Any, ctx: Any) -> Any:
        """The value as an argument of the command."""
        kind, many = param.type_descriptor.annotation, param.multiple or param.nargs != 1
        if value is None:
            return () if many else None
        if not many and kind in (bool, str, int, float) and isinstance(value, kind):
            return value
        if not many and kind is Path and isinstance(value, str):
            return Path(value)
        return self._typers().coerce(value, param=param, ctx=ctx)


class _QuickOptions:
    """A command whose options are converted by `_Conversion`."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The options, with --help."""
        params = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if hasattr(param, "get_runtime_param"):  # typer before 0.29 needs no pydantic
                _Conversion.replace(param)
        return params


class Group(_QuickOptions, TyperGroup):
    """A command with commands."""


class Verb(_QuickOptions, TyperCommand):
    """A command with ~ in its paths, and with a help that joins the lines of each paragraph; typer
    keeps their line breaks."""

    def __init__(self, *args: Any, help: str | None = None, **kwargs: Any) -> None:
        paragraphs = inspect.cleandoc(help or "").split("\n\n")
        help = "\n\n".join(" ".join(part.split()) for part in paragraphs)
        super().__init__(*args, help=help, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Call the command, with ~ at the beginning of paths replaced by the home folder. The shell
        does so for `--out ~/run`, but not for `--out=~/run`."""
        ctx.params = {name: _at_home(value) for name, value in ctx.params.items()}
        return super().invoke(ctx)


def _at_home(value: Any) -> Any:
    if isinstance(value, Path):
        return value.expanduser()
    return os.path.expanduser(value) if isinstance(value, str) else value


def emit(
    result: Mapping[str, Any],
    *,
    as_json: bool,
    title: str = "",
    notes: Mapping[str, str] | None = None,
) -> None:
    """Print a result as one JSON object, or as a table of its entries with notes on them."""
    if as_json:
        print(json.dumps(_finite(result)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, show_header=False, title_justify="left")
    for _ in range(3 if notes else 2):
        table.add_column(overflow="fold")
    for key, value in _flat(result):
        cells = [_text(value), *([notes.get(key, "")] if notes else [])]
        table.add_row(key, *map(Text, cells))  # rich would parse [data] as a style
    Console().print(table)


def document(text: str) -> None:
    """Print Markdown: laid out in a terminal, and as it is into a file or a pipe."""
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    if console.is_terminal:
        console.print(Markdown(text))
    else:
        print(text)


def rows(header: Sequence[str], lines: Sequence[Sequence[Any]], *, title: str = "") -> None:
    """Print a table with a header."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left")
    for name in header:
        table.add_column(name, overflow="fold")  # a long name goes on in the next line
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
