"""Progress of a training: a bar on a terminal, otherwise a log line per epoch."""

import logging
import sys
import time
from types import TracebackType
from typing import Any

from .record import Row

logger = logging.getLogger("pdeops")

_REFRESH_SECONDS = 0.1
_FIRST_LINE = 5.0  # seconds of an epoch without a line, where there is no bar


class Progress:
    """Counts and shows optimizer steps; only the main process prints.

    Without a terminal, a long epoch has a line after 5 seconds, and one whenever the time since
    the start has doubled.
    """

    def __init__(self, *, epochs: int, total_steps: int, done_steps: int, enabled: bool) -> None:
        self._epochs = epochs
        self._total = total_steps
        self._done = self._first = done_steps
        self._samples = 0
        self._enabled = enabled
        self._start = self._shown = time.perf_counter()
        self._pause = _FIRST_LINE
        self._bar: Any = None

    def __enter__(self) -> "Progress":
        if self._enabled and sys.stderr.isatty():
            self._bar = _make_bar()
            self._bar.start()
            self._task = self._bar.add_task(
                "", total=self._total, completed=self._done, epoch="", figures="", rate="", left=""
            )
        self._start = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.refresh()
            self._bar.stop()

    def step(self, epoch: int, loss: float, num_samples: int) -> None:
        """Record one optimizer step in this epoch (counted from 0)."""
        self._done += 1
        self._samples += num_samples
        now = time.perf_counter()
        if self._bar is not None and now - self._shown > _REFRESH_SECONDS:
            self._shown = now
            self._bar.update(
                self._task,
                completed=self._done,
                epoch=f"epoch {epoch + 1}/{self._epochs}",
                figures=f"loss {loss:.3e}",
                rate=f"{self.rate():.0f} samples/s",
                left=f"{_clock(self.seconds_left())} left",
            )
            self._bar.refresh()
        elif self._bar is None and self._enabled and now - self._start > self._pause:
            self._pause *= 2
            per_epoch = self._total // self._epochs
            logger.info(
                "epoch %d/%d  step %d/%d  loss %.3e  %.0f samples/s  %s left",
                epoch + 1,
                self._epochs,
                self._done - epoch * per_epoch,
                per_epoch,
                loss,
                self.rate(),
                _clock(self.seconds_left()),
            )

    def epoch(self, row: Row, monitor: str) -> None:
        """Record the end of an epoch; `row` is its row in metrics.csv."""
        if not self._enabled:
            return
        value = row.get(monitor)
        score = "" if value is None else f"  {monitor} {value:.3e}"
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, description=score.strip())
            self._bar.refresh()
            return
        logger.info(
            "epoch %d/%d  loss %.3e%s  lr %.1e  %.0f samples/s  %s left",
            row["epoch"],
            self._epochs,
            row["train_loss"],
            score,
            row["lr"],
            self.rate(),
            _clock(self.seconds_left()),
        )

    def rate(self) -> float:
        """Training samples per second of this session, evaluations included."""
        return self._samples / max(time.perf_counter() - self._start, 1e-9)

    def seconds_left(self) -> float:
        """Time to the last epoch at the mean speed of this session."""
        elapsed = time.perf_counter() - self._start
        return elapsed / max(self._done - self._first, 1) * (self._total - self._done)


def _make_bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as RichProgress

    columns = [TextColumn("{task.fields[epoch]}"), BarColumn(bar_width=20)]
    columns += [TextColumn(f"{{task.fields[{name}]}}") for name in ("figures", "rate", "left")]
    columns.append(TextColumn("{task.description}"))
    # Refreshed explicitly: without a thread, and never during a step.
    return RichProgress(*columns, console=Console(stderr=True), auto_refresh=False)


def _clock(seconds: float) -> str:
    """1:05 or 2:03:04."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02d}:{s:02d}" if hours else f"{m}:{s:02d}"
