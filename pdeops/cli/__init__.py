"""The command line: one file for each verb, wired together here."""

import gc
import logging
import sys
import warnings
from typing import Annotated

import typer

from . import (
    compare,
    data,
    doctor,
    evaluate,
    expect,
    export,
    models,
    predict,
    quickstart,
    refine,
    runs,
    search,
    solve,
    train,
)
from .output import Group, Verb
from .progress import LogLine, Watch

__all__ = ["app", "main"]

app = typer.Typer(
    cls=Group,
    name="pdeops",
    help="Neural PDE solvers and operator learning, compared with classical solvers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data.app, name="data")
for verb in (
    *(train, search, evaluate, predict, refine, expect, solve, compare, runs, export),
    *(models, doctor, quickstart),
):
    app.command(name=verb.__name__.rpartition(".")[2], cls=Verb)(verb.command)


def _print_version(wanted: bool | None) -> bool:
    if wanted:
        from importlib.metadata import version

        print(version("pdeops"))
        raise typer.Exit
    return False


@app.callback()
def _log(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log warnings only.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Send the log to standard error; results go to standard output."""
    handler = LogLine()
    logger = logging.getLogger("pdeops")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    logger.propagate = False
    warnings.showwarning = lambda message, *_: logger.warning("warning: %s", message)
    if not quiet:
        Watch(handler, logger).start()


def main() -> None:
    """Run the command line. A user error prints one line on standard error and exits with 1."""
    # A full collection visits all objects of torch, 0.07 s. By default the imports of `solve` start
    # four of them, which free nothing; those of young objects, as of a training step, stay.
    gc.set_threshold(*gc.get_threshold()[:2], 100)
    try:
        app()
    except (ValueError, OSError, ArithmeticError, ImportError) as error:
        # Bad input, unreadable or missing file, full disk, diverged training, missing extra.
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
