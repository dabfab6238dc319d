"""The options of a training run; the constructor is the schema of the recipe's table [training]."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TrainingOptions:
    """Length, batches, averaging, precision and evaluation of a training.

    Attributes:
        epochs: passes over the training data.
        batch_size: samples per optimizer step, over all processes and accumulated pieces. Up to
            rounding, the result does not depend on the number of processes and pieces.
        eval_every: epochs between evaluations; the last epoch is always evaluated.
        save_every: epochs between writes of `last.pt`; it is always written after the last epoch.
        accumulate: number of pieces into which each process splits its batch, to save memory.
        clip: largest Euclidean norm of the gradient; None does not clip.
        ema: decay of the moving average of the weights, which is then evaluated and saved as best;
            None keeps no average.
        autocast: compute the objective with autocast to bfloat16. The weights stay float32, no loss
            scaling is needed, and spectral layers compute their FFTs in float32.
        compile: apply `torch.compile` to the model; checkpoints keep the plain weight names.
        patience: evaluations without a new best after which training stops; None never stops early.
        tensorboard: also write TensorBoard event files to the run's `tensorboard/`.
        num_workers: number of data-loading processes; 0 loads in the main process.
        shard: divide weights, gradients and moments among the processes (FSDP2), for models that
            one GPU does not hold. Without effect on one process.
        slabs: number of processes that share each sample: its hidden fields are cut into this many
            slabs along the first axis of space, for fields that one GPU does not hold (FNO).
            Without effect on one process.

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
    shard: bool = False
    slabs: int = 1

    def __post_init__(self) -> None:
        counts = ("epochs", "batch_size", "eval_every", "save_every", "accumulate", "slabs")
        for name in (*counts, "patience"):
            self._require(
                name, getattr(self, name) is None or getattr(self, name) >= 1, "at least 1"
            )
        divided = self.shard or self.slabs > 1
        self._require("compile", not (self.compile and divided), "false with shard or slabs")
        self._require("num_workers", self.num_workers >= 0, "at least 0")
        self._require("clip", self.clip is None or self.clip > 0, "positive, or left out")
        self._require("ema", self.ema is None or 0 < self.ema < 1, "in (0, 1), or left out")

    def _require(self, name: str, condition: Any, expected: str) -> None:
        if not condition:
            raise ValueError(f"{name} must be {expected}; got {getattr(self, name)}.")
