"""The state of a training run beyond its weights: position, best value, table, random numbers.

It is whole between two optimizer steps and nowhere else. Together with the learner's it is all that
the next step depends on, so a run that stops at such a point and is resumed gives the same numbers
as one that never stopped, bit for bit on a CPU.
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
    """Epochs completed, steps done in the current one, and the loss of the current one so far."""

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
    """What a run has done so far, as plain data for `last.pt`.

    Attributes:
        position: where the run is.
        best: what the best weights reached.
        metrics: of the latest evaluation.
        rows: the rows of metrics.csv.
        rng: the state of the random numbers that layers draw from, at the last whole step.
        whole: False while a step or the end of an epoch changes the state.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.position, self.best = Position(), Best()
        self.metrics: dict[str, float] = {}
        self.rows: list[Row] = []
        self.rng = rng.seeded(seed, distributed.rank(), device)
        self.whole = True
        self._device = device
        self._seconds, self._started = 0.0, 0.0  # of all sessions before; start of this one

    @contextmanager
    def change(self) -> Iterator[None]:
        """The state changes in the block; at its end it is whole again, random numbers included."""
        self.whole = False
        yield
        self.rng = rng.capture(self._device)
        self.whole = True

    @contextmanager
    def stopwatch(self) -> Iterator[None]:
        """The block counts as time of training."""
        self._started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds = self.seconds()

    def seconds(self) -> float:
        """Seconds of training so far, all sessions together."""
        return self._seconds + time.perf_counter() - self._started

    def judge(self, epoch: int, value: float, metrics: dict[str, float]) -> bool:
        """Take in the metrics of an evaluation; whether its monitored value is a new best. A value
        that is not finite never is."""
        self.metrics, best = metrics, self.best
        if not math.isfinite(value) or (best.value is not None and value >= best.value):
            best.stale += 1
            return False
        best.epoch, best.value, best.metrics, best.stale = epoch, value, dict(metrics), 0
        return True

    def history(self, reason: str) -> History:
        """How a call of `Trainer.fit` ended."""
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
        """Plain data for a checkpoint; gathers the random numbers of all processes."""
        return {
            "rng": distributed.gather(self.rng),
            "position": asdict(self.position),
            "best": asdict(self.best),
            "metrics": self.metrics,
            "rows": self.rows,
            "seconds": self.seconds(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back what `state_dict` gave. Exact for the same number of processes."""
        self.position, self.best = Position(**state["position"]), Best(**state["best"])
        self.metrics, self.rows = state["metrics"], list(state["rows"])
        self._seconds = state["seconds"]
        if len(state["rng"]) == distributed.world_size():
            self.rng = state["rng"][distributed.rank()]
            return
        logger.warning(
            "The checkpoint is of %d process(es), this run has %d: what layers draw at random "
            "(dropout) starts afresh.",
            len(state["rng"]),
            distributed.world_size(),
        )


def require_same_settings(
    saved: Mapping[str, Any], now: Mapping[str, Any], checkpoint: Path
) -> None:
    """Raise a ValueError, with what differs, unless a checkpoint has these settings."""
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
