"""The state of a training run other than the learner's: position, best value, rows, random numbers.

The state is consistent only between two optimizer steps. The next step depends only on this state
and the learner's. A run that stops between steps and is resumed therefore gives the same numbers as
an uninterrupted run, bitwise on a CPU.
"""

import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from . import distributed, rng
from .record import History, Row

logger = logging.getLogger("pdeops")


@dataclass
class Position:
    """Number of completed epochs, and the steps and the loss of the current epoch so far."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    num_samples: int = 0


@dataclass
class Best:
    """The lowest monitored value, and the number of evaluations since."""

    epoch: int | None = None
    value: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    stale: int = 0


class RunState:
    """The progress of a run, as plain data for `last.pt`.

    Attributes:
        position: epoch and step.
        best: the epoch with the best weights.
        metrics: the metrics of the latest evaluation.
        rows: the rows of metrics.csv.
        rng: the state of torch's random numbers after the last complete step.
        whole: False while a step or the end of an epoch changes the state.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.position, self.best = Position(), Best()
        self.metrics: dict[str, float] = {}
        self.rows: list[Row] = []
        self.rng = rng.seeded(seed, distributed.team_number(), device)
        self.whole = True
        self._device = device
        self._seconds, self._started = 0.0, 0.0  # all previous sessions; start of this one

    @contextmanager
    def change(self) -> Iterator[None]:
        """Marks the state as incomplete inside the block; then stores the random state."""
        self.whole = False
        yield
        self.rng = rng.capture(self._device)
        self.whole = True

    @contextmanager
    def stopwatch(self) -> Iterator[None]:
        """Adds the duration of the block to the seconds of training."""
        self._started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds = self.seconds()

    def seconds(self) -> float:
        """Seconds of training so far, over all sessions."""
        return self._seconds + time.perf_counter() - self._started

    def judge(self, epoch: int, value: float, metrics: dict[str, float]) -> bool:
        """Store the metrics of an evaluation; returns whether the monitored value is a new best. A
        value that is not finite never is."""
        self.metrics, best = metrics, self.best
        if not math.isfinite(value) or (best.value is not None and value >= best.value):
            best.stale += 1
            return False
        best.epoch, best.value, best.metrics, best.stale = epoch, value, dict(metrics), 0
        return True

    def history(self, reason: str) -> History:
        """The `History` of a call of `Trainer.fit` that ended for this reason."""
        return History(
            reason=reason,
            epochs=self.position.epoch,
            best_epoch=self.best.epoch,
            best_value=self.best.value,
            best_metrics=self.best.metrics,
            metrics=self.metrics,
            rows=[dict(row) for row in self.rows],
        )

    def state_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint; gathers the random numbers of all processes, of those that
        share samples once."""
        return {
            "rng": distributed.gather(self.rng)[:: distributed.team_size()],
            "position": asdict(self.position),
            "best": asdict(self.best),
            "metrics": self.metrics,
            "rows": self.rows,
            "seconds": self.seconds(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state from `state_dict`; exact for the same number of processes."""
        self.position, self.best = Position(**state["position"]), Best(**state["best"])
        self.metrics, self.rows = state["metrics"], list(state["rows"])
        self._seconds = state["seconds"]
        if len(state["rng"]) == distributed.num_teams():
            self.rng = state["rng"][distributed.team_number()]
            return
        logger.warning(
            "The batches of the checkpoint have %d slice(s), those of this run %d: what layers "
            "draw at random (dropout) starts afresh.",
            len(state["rng"]),
            distributed.num_teams(),
        )


def require_same_settings(
    saved: Mapping[str, Any], now: Mapping[str, Any], checkpoint: Path
) -> None:
    """Raise a ValueError that lists the differences unless a checkpoint has these settings."""
    different = [
        f"{name} was {saved.get(name)}, now is {value}"
        for name, value in now.items()
        if saved.get(name) != value
    ]
    if different:
        raise ValueError(
            f"{checkpoint} is of another run: {'; '.join(different)}. Resume with the settings "
            f"that the run was started with, or start a new run in another folder."
        )
