"""The records of a training run: metrics.csv, TensorBoard events, and the History."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

Row = dict[str, float | int | None]

# Columns of every row; the metrics of `evaluate` come between train_loss and seconds.
_FIRST = ("epoch", "step", "lr", "train_loss")
_LAST = ("seconds",)
COLUMNS = _FIRST + _LAST


@dataclass(frozen=True)
class History:
    """The end of a call of `Trainer.fit`, and the results of the run so far.

    Attributes:
        reason: "finished" (all epochs done), "early stop", "paused" (`until` reached) or
        "interrupted".
        epochs: epochs completed.
        best_epoch, best_value, best_metrics: epoch and value of the lowest monitored metric, and
            all metrics of that epoch; None and empty if the metric was never finite.
        metrics: the metrics of the latest evaluation.
        rows: the rows of metrics.csv, one dict per epoch.
    """

    reason: str
    epochs: int
    best_epoch: int | None
    best_value: float | None
    best_metrics: Mapping[str, float]
    metrics: Mapping[str, float]
    rows: Sequence[Row] = field(repr=False)


class MetricsLog:
    """Writes one row per epoch to `folder/metrics.csv`, and optionally to `folder/tensorboard`.

    The constructor rewrites the file with the given rows, so that a resume drops the rows after the
    checkpoint. Numbers are written in full precision, so that equal runs give equal files. With
    `enabled=False` nothing is written.
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
        """Append a row; a new metric adds a column."""
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
