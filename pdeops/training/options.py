"""The options of a training run; the constructor is the schema of the recipe's table [training]."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TrainingOptions:
    """Length, batches, averaging, precision and evaluation of a training.

    Attributes:
        epochs: passes over the training data.
        batch_size: samples per optimizer step, over all processes and accumulated pieces: the
            result does not depend on how many of either there are, up to rounding.
        eval_every: epochs between evaluations; the last epoch is always evaluated.
        save_every: epochs between writings of `last.pt`; the last epoch is always written.
        accumulate: pieces in which each process computes its part of a batch, to save memory.
        clip: largest Euclidean norm of the gradient; None does not clip.
        ema: decay of the moving average of the weights, which then are what is evaluated and kept
            as best; None keeps no average.
        autocast: compute the objective in bfloat16 where torch's rules allow. The weights stay
            float32, no loss scaling is needed, and spectral layers keep their FFTs in float32.
        compile: `torch.compile` the model; checkpoints keep the plain names of the weights.
        patience: evaluations without a new best after which training stops; None never stops early.
        tensorboard: also write TensorBoard event files, in the run's `tensorboard/`.
        num_workers: processes that load data; 0 loads between the steps.

    Raises:
        ValueError: a value is out of its range.
    """

    epochs: int = 100
    batch_size: int = 16
    eval_every: int = 1
    save_every: int = 1
    accumulate: int = 1
    clip: float | None = None
    ema: float | None = None
    autocast: bool = False
    compile: bool = False
    patience: int | None = None
    tensorboard: bool = False
    num_workers: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "eval_every", "save_every", "accumulate", "patience"):
            self._require(
                name, getattr(self, name) is None or getattr(self, name) >= 1, "at least 1"
            )
        self._require("num_workers", self.num_workers >= 0, "at least 0")
        self._require("clip", self.clip is None or self.clip > 0, "positive, or left out")
        self._require("ema", self.ema is None or 0 < self.ema < 1, "in (0, 1), or left out")

    def _require(self, name: str, condition: Any, expected: str) -> None:
        if not condition:
            raise ValueError(f"{name} must be {expected}; got {getattr(self, name)}.")
