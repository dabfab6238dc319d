"""The command line of pdeops in a subprocess, for searches and studies."""

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def pdeops(*arguments: str | Path, threads: int | None = None) -> dict[str, Any]:
    """The report of `pdeops ARGUMENTS --json`; its log goes to our standard error.

    Raises:
        subprocess.CalledProcessError: the command failed or was interrupted.
    """
    environment = {**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}
    command = [sys.executable, "-m", "pdeops.cli", *map(str, arguments), "--json"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        try:
            report, _ = process.communicate()
        except KeyboardInterrupt:
            process.wait()  # it received Ctrl-C too: let it finish its step and its checkpoint
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return json.loads(report)


def processor_seconds() -> float:
    """Processor time of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def per_epoch(spent: Callable[[int], float], probe: tuple[int, int] = (1, 3)) -> float:
    """Processor seconds of an epoch with its validation, once everything is warm: the difference of
    two short trainings, in which the costs of the start and of the first epoch cancel.

    Args:
        spent: number of epochs -> processor seconds of a training.
        probe: the two numbers of epochs.
    """
    few, more = (spent(epochs) for epochs in probe)
    return max(more - few, 0.01) / (probe[1] - probe[0])


def spent_by_command(
    recipe: str, settings: Mapping[str, object], threads: int
) -> Callable[[int], float]:
    """Number of epochs -> processor seconds of `pdeops train` in a folder that is then deleted."""

    def spent(epochs: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            before = processor_seconds()
            given = overrides({**settings, "training.epochs": epochs})
            pdeops("train", recipe, *given, "--out", f"{folder}/run", threads=threads)
            return processor_seconds() - before

    return spent


def overrides(settings: Mapping[str, object]) -> list[str]:
    """Settings as `pdeops train` takes them."""
    return [f"--set={key}={value}" for key, value in settings.items()]
