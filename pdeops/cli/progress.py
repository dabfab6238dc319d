"""What is shown on standard error while a command works: a bar, and what takes long."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE = 1.5  # seconds of silence
LONGEST = 80  # characters of a stage
EARLY = 20.0  # seconds in which a user still waits at the screen

_bars = 0  # that are shown now


@contextmanager
def bar(what: str, total: int) -> Iterator[Callable[[float], None]]:
    """Yield a function that is called with the number of items done, out of `total`.

    The bar is shown on a terminal only.
    """
    global _bars
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), what, TimeRemainingColumn())
    _bars += 1
    try:
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task(what, total=total)
            yield lambda done: progress.update(task, completed=done)
    finally:
        _bars -= 1


class LogLine(logging.StreamHandler):
    """The log on standard error; remembers when it wrote last, and the last line of the work."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(logging.Formatter("%(message)s"))
        self.last = time.monotonic()
        self.stage = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = time.monotonic()
        if record.module != __name__.rpartition(".")[2] and record.levelno == logging.INFO:
            self.stage = record.getMessage().split("\n")[0][:LONGEST]
        super().emit(record)


class Watch:
    """A thread that logs what the process does whenever nothing was logged for a while.

    While packages are loaded or loops compiled, and in the first seconds of a command, it writes
    every `PATIENCE` seconds; later the intervals double, so that an hour of work is a screen of
    lines.
    """

    def __init__(self, log: LogLine, logger: logging.Logger) -> None:
        self._log, self._logger = log, logger
        self._start = time.monotonic()
        self._wait = PATIENCE
        self._last_line = ""

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while self._log in self._logger.handlers:
            time.sleep(0.2)
            self.look()

    def look(self) -> None:
        """Write a line if it is time."""
        silent = time.monotonic() - self._log.last
        if silent < PATIENCE or _bars:
            return
        line = _activity()
        if line is None:
            if silent < self._wait:
                return
            elapsed = time.monotonic() - self._start
            if elapsed > EARLY:
                self._wait *= 2
            stage = f" (after: {self._log.stage})" if self._log.stage else ""
            line = f"still working, {elapsed:.0f} s{stage}"
        if line == self._last_line:
            line += f", {time.monotonic() - self._start:.0f} s"
        self._last_line = line
        self._logger.info("%s", line)


def _activity() -> str | None:
    """What takes long before a command computes: loading a package, or compiling loops."""
    compiling = sys.modules.get("pdeops.kernels.runtime.compiling")
    if compiling is not None and (name := compiling.current()) is not None:
        return f"compiling loops, once: {compiling.num_compiled()} done, now {name}"
    for package in ("torch", "neuralop", "numba", "scipy", "matplotlib", "xarray"):
        spec = getattr(sys.modules.get(package), "__spec__", None)
        if getattr(spec, "_initializing", False):
            return f"loading {package}"
    return None
