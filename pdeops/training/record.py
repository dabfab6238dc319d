"""The records of a training run: metrics.csv, TensorBoard events, and its History."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

Row = dict[str, float | int | None]

# Columns of every row; the metrics of `evaluate` stand between train_loss and seconds.
_FIRST = ("epoch", "step", "lr", "train_loss")
_LAST = ("seconds",)
COLUMNS = _FIRST + _LAST


@dataclass(frozen=True)
class History:
    """How a call of `Trainer.fit` ended, and what the run has reached so far.

    Attributes:
        reason: "finished" (all epochs done), "early stop", "paused" (`until` reached) or
        "interrupted".
        epochs: epochs completed.
        best_epoch, best_value, best_metrics: when the monitored metric was lowest, and all metrics
            then; None and empty if it never was finite.
        metrics: the latest evaluation.
        rows: what metrics.csv holds, one dict per epoch.
    """

    reason: str
    epochs: int
    best_epoch: int | None
    best_value: float | None
    best_metrics: Mapping[str, float]
    metrics: Mapping[str, float]
    rows: Sequence[Row] = field(repr=False)


class MetricsLog:
    """One row per epoch into `folder/metrics.csv`, and into `folder/tensorboard` if asked.

    Opening it writes the given rows afresh: after a resume the rows beyond the checkpoint are gone.
    Figures are written in full, so that equal runs give equal files. `enabled=False` writes
    nothing.
    """

    def __init__(
        self, folder: Path, rows: Sequence[Row], *, tensorboard: bool, enabled: bool
    ) -> None:
        self.path = folder / "metrics.csv"
        self._enabled = enabled
        self._columns: tuple[str, ...] = ()
        self._rows = list(rows)
        self._writer: Any = None
        if enabled:
            self._writer = _summary_writer(folder, len(rows)) if tensorboard else None
            folder.mkdir(parents=True, exist_ok=True)
            self._rewrite()

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, row: Row) -> None:
        """Append a row; a metric that is new widens the table."""
        if not self._enabled:
            return
        self._rows.append(row)
        if set(row) <= set(self._columns):
            with open(self.path, "a", newline="") as file:
                csv.DictWriter(file, self._columns).writerow(row)
        else:
            self._rewrite()
        if self._writer is not None:
            for name, value in row.items():
                if name != "epoch" and value is not None:
                    self._writer.add_scalar(name, value, row["epoch"])
            self._writer.flush()

    def _rewrite(self) -> None:
        metrics = dict.fromkeys(name for row in self._rows for name in row if name not in COLUMNS)
        self._columns = (*_FIRST, *metrics, *_LAST)
        with open(self.path, "w", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(self._rows)


def _summary_writer(folder: Path, num_rows: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError(
            "tensorboard = true needs the package tensorboard, which is not installed. "
            "pip install 'pdeops[tensorboard]', or leave it out: metrics.csv is always written."
        ) from error
    # Events of epochs that a resume repeats are marked as superseded.
    return SummaryWriter(str(folder / "tensorboard"), purge_step=num_rows + 1)
