"""The training loop: one step is `objective(model, batch)`, backward, update; then bookkeeping.

The state of a run is whole between two optimizer steps and nowhere else. All that the next step
depends on is in `Trainer._state`, which is what `last.pt` holds; so stopping at any such point and
resuming gives the same numbers as never having stopped, bit for bit on a CPU.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ..batch import Batch
from . import checkpoint, distributed, rng
from .interrupt import Interrupts
from .learner import Learner, Objective
from .optim import OptimizerSpec, Schedule
from .options import TrainingOptions
from .progress import Progress
from .record import COLUMNS, History, MetricsLog, Row
from .sampling import Sampler, stream

logger = logging.getLogger("pdeops")

Evaluate = Callable[[nn.Module], Mapping[str, float]]


class DivergedError(ArithmeticError):
    """Loss or gradient is no longer finite; the message names epoch and step."""


@dataclass
class _Position:
    """Where a run is: epochs completed, steps done in the current one, and its loss so far."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    num_samples: int = 0


@dataclass
class _Best:
    """The lowest monitored value, and how many evaluations ago it was seen."""

    epoch: int | None = None
    value: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    stale: int = 0


class Trainer:
    """Minimises the mean of `objective(model, batch)` over a dataset.

    The objective returns the mean loss of the batch it is given, a scalar; supervised fields,
    rollouts, residuals of an equation all have that form. The folder gets `metrics.csv`,
    `checkpoints/last.pt` (all that `resume` needs) and `checkpoints/best.pt` (the weights with the
    lowest `monitor`, the averaged ones if EMA is on). Both hold `model` (a state dict) and `carry`
    as given.

    Under torchrun (inside `distributed.process_group`) each rank computes its slice of every
    batch, and gradients are summed so that the result is that of one process. `evaluate` is
    called on all ranks with the model in eval mode, without gradients; it scores
    `distributed.shard(dataset)` and sums its metrics over ranks, or scores everything everywhere.
    Rank 0's metrics count.

    Attributes:
        model: the module, moved to `device`; after `fit` it carries the last weights.
        objective: (model, batch) → scalar mean loss; may call the model several times.
        dataset: a torch Dataset of dicts of tensors. `set_epoch(e)`, if it has one, is called
            before the first sample of each epoch.
        evaluate: model → metrics by name, lower is better for the one called `monitor`.
        seed: of the data order and of what layers draw (dropout). The initial weights are the
            caller's.
        carry: plain data for every checkpoint: the model's name and arguments, the normalizer, the
            grid.

    Raises:
        ValueError: the dataset is empty, or nothing of the model can be trained.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        dataset: Dataset,
        *,
        options: TrainingOptions,
        optimizer: OptimizerSpec,
        schedule: Schedule,
        evaluate: Evaluate,
        monitor: str,
        folder: Path,
        seed: int,
        device: str | torch.device = "cpu",
        carry: Mapping[str, Any] | None = None,
    ) -> None:
        num_samples = len(dataset)  # type: ignore[arg-type]
        if num_samples == 0:
            raise ValueError("The training dataset is empty; it needs at least one sample.")
        self.device = torch.device(device)
        self.dataset, self.evaluate, self.monitor = dataset, evaluate, monitor
        self.options, self.carry, self.folder = options, dict(carry or {}), Path(folder)
        self.sampler = Sampler(seed, num_samples, options.batch_size)
        self._total_steps = options.epochs * self.sampler.steps_per_epoch
        self.learner = Learner(
            model,
            objective,
            options=options,
            optimizer=optimizer,
            schedule=schedule,
            total_steps=self._total_steps,
            device=self.device,
        )
        self.model = self.learner.model
        self._settings = {
            **self.learner.settings,
            "sampler": asdict(self.sampler),
            "monitor": monitor,
        }

        self._position, self._best = _Position(), _Best()
        self._metrics: dict[str, float] = {}  # of the latest evaluation
        self._rows: list[Row] = []
        self._seconds = 0.0  # of training, all sessions together
        self._rng = rng.seeded(seed, distributed.rank(), self.device)
        self._whole = True  # False while a step or the end of an epoch changes the state
        self._owns_folder = False

    @property
    def last_path(self) -> Path:
        """The checkpoint that `resume` reads."""
        return self.folder / "checkpoints" / "last.pt"

    @property
    def best_path(self) -> Path:
        """The checkpoint with the best weights so far."""
        return self.folder / "checkpoints" / "best.pt"

    def fit(self, *, until: int | None = None) -> History:
        """Train to the last epoch, or to the end of epoch number `until`, from wherever the run is.

        Ctrl-C and SIGTERM end it after the current step with reason "interrupted" and the position
        in `last.pt`; the caller exits with status 130.

        Raises:
            ValueError: the folder already holds a run that was not resumed, or `monitor` is not
                among the metrics, or the objective is not a scalar.
            DivergedError: loss or gradient is not finite; `last.pt` keeps an earlier state.
        """
        if not self._owns_folder and self.last_path.exists():
            raise ValueError(
                f"{self.folder} already holds a run. Resume it, or choose another folder."
            )
        distributed.gather(None)  # no rank writes before all have looked
        self._owns_folder = True
        end = self.options.epochs if until is None else min(until, self.options.epochs)
        with (
            self._open_log() as log,
            rng.private(self.device),
            Interrupts(patient=distributed.world_size() > 1) as interrupts,
            self._progress() as progress,
            self._stopwatch(),
        ):
            rng.restore(self._rng, self.device)
            try:
                reason = self._run(end, interrupts, progress, log)
            except KeyboardInterrupt:
                # From a second Ctrl-C or the objective. A torn step cannot be saved, and other
                # ranks know nothing of it; else the run still is where its last whole step left
                # it.
                if not self._whole or distributed.world_size() > 1:
                    raise
                self._save_last()
                reason = "interrupted"
        if reason == "interrupted" and distributed.is_main():
            logger.warning("Interrupted; resume from %s.", self.last_path)
        return History(
            reason=reason,
            epochs=self._position.epoch,
            best_epoch=self._best.epoch,
            best_value=self._best.value,
            best_metrics=self._best.metrics,
            metrics=self._metrics,
            rows=[dict(row) for row in self._rows],
        )

    def _run(self, end: int, interrupts: Interrupts, progress: Progress, log: MetricsLog) -> str:
        """The loop itself, from the current position; returns why it ended."""
        at = self._position
        batches = stream(
            self.dataset,
            self.sampler,
            epoch=at.epoch,
            step=at.step,
            end=end,
            num_workers=self.options.num_workers,
        )
        while at.epoch < end and not self._out_of_patience():
            self.model.train()
            while at.step < self.sampler.steps_per_epoch:
                batch, num_samples = next(batches), self.sampler.size(at.step)
                loss, stop = self._step(batch, num_samples, interrupts)
                progress.step(at.epoch, loss, num_samples)
                if stop:
                    self._save_last()
                    return "interrupted"
            self._finish_epoch(progress, log)
        if at.epoch == self.options.epochs:
            return "finished"
        return "early stop" if self._out_of_patience() else "paused"

    def _step(self, batch: Batch, num_samples: int, interrupts: Interrupts) -> tuple[float, bool]:
        """One optimizer step on a global batch; its mean loss, and whether to stop after it."""
        contribution = self.learner.gradients(batch, num_samples)
        # One exchange per step: the loss over all ranks, and whether any of them was asked to stop.
        loss, stop = distributed.all_reduce_sum(
            [contribution, float(interrupts.requested)], self.device
        )
        norm = self.learner.gradient_norm()
        self._require_finite(loss, norm)
        with self._change():
            self.learner.update(norm)
            self._position.step += 1
            self._position.loss_sum += loss * num_samples
            self._position.num_samples += num_samples
        return loss, stop > 0

    def _require_finite(self, loss: float, gradient_norm: Tensor) -> None:
        if math.isfinite(loss) and bool(gradient_norm.isfinite()):
            return
        at = self._position
        culprit = "gradient" if math.isfinite(loss) else "loss"
        kept = "keeps an earlier state" if self.last_path.exists() else "was not yet written"
        raise DivergedError(
            f"The {culprit} is not finite in epoch {at.epoch + 1}, step {at.step + 1} of "
            f"{self.sampler.steps_per_epoch} (loss {loss}). {self.last_path} {kept}. Lower lr, set "
            f"clip, or look for NaN in the data."
        )

    def _finish_epoch(self, progress: Progress, log: MetricsLog) -> None:
        """Evaluate, keep the best, write the row and the checkpoint."""
        at, options = self._position, self.options
        number = at.epoch + 1
        last = number == options.epochs
        metrics = self._evaluated() if last or number % options.eval_every == 0 else {}
        row: Row = {
            "epoch": number,
            "step": number * self.sampler.steps_per_epoch,
            "lr": self.learner.lr,
            "train_loss": at.loss_sum / at.num_samples,
            **metrics,
            "seconds": self._elapsed(),
        }
        with self._change():
            self._rows.append(row)
            at.epoch, at.step, at.loss_sum, at.num_samples = number, 0, 0.0, 0
            if metrics:
                self._judge(number, metrics)
            log.add(row)
        progress.epoch(row, self.monitor)
        if last or self._out_of_patience() or number % options.save_every == 0:
            self._save_last()

    def _evaluated(self) -> dict[str, float]:
        """Metrics of the weights as they will be used."""
        self.model.eval()
        with self.learner.evaluated_weights(), torch.no_grad():
            found = {name: float(v) for name, v in self.evaluate(self.model).items()}
        metrics: dict[str, float] = distributed.from_main(found)
        if self.monitor not in metrics:
            raise ValueError(
                f"The monitored metric {self.monitor!r} is not among those evaluated: "
                f"{', '.join(metrics) or 'none'}. Monitor one of them."
            )
        if clash := set(metrics) & set(COLUMNS):
            raise ValueError(f"Metrics may not take the names of other columns; rename {clash}.")
        return metrics

    def _judge(self, number: int, metrics: dict[str, float]) -> None:
        """Keep the weights as best.pt if they are the best; a value that is not finite never is.

        best.pt is written before last.pt: if the process dies between the two, the resumed run
        comes by here again and writes the same file.
        """
        self._metrics = metrics
        value, best = metrics[self.monitor], self._best
        if not math.isfinite(value) or (best.value is not None and value >= best.value):
            best.stale += 1
            return
        best.epoch, best.value, best.metrics, best.stale = number, value, dict(metrics), 0
        if distributed.is_main():
            with self.learner.evaluated_weights():
                weights = self.model.state_dict()
                checkpoint.save(
                    self.best_path,
                    {
                        "model": weights,
                        "epoch": number,
                        "metrics": metrics,
                        "seconds": self._elapsed(),
                        "carry": self.carry,
                    },
                )

    def _out_of_patience(self) -> bool:
        return self.options.patience is not None and self._best.stale >= self.options.patience

    @contextmanager
    def _change(self) -> Iterator[None]:
        """The state changes in the block; at its end it is whole again, random numbers included."""
        self._whole = False
        yield
        self._rng = rng.capture(self.device)
        self._whole = True

    @contextmanager
    def _stopwatch(self) -> Iterator[None]:
        self._started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds = self._elapsed()

    def _elapsed(self) -> float:
        """Seconds of training so far, all sessions together."""
        return self._seconds + time.perf_counter() - self._started

    def _save_last(self) -> None:
        state = self._state()
        if distributed.is_main():
            checkpoint.save(self.last_path, state)

    def _state(self) -> dict[str, Any]:
        """All that an exact resume needs, as plain data."""
        return {
            **self.learner.state_dict(),
            "rng": distributed.gather(self._rng),
            "position": asdict(self._position),
            "best": asdict(self._best),
            "metrics": self._metrics,
            "rows": self._rows,
            "seconds": self._elapsed(),
            "settings": self._settings,
            "carry": self.carry,
        }

    def resume(self) -> None:
        """Restore the run from `checkpoints/last.pt`; the next `fit` goes on where it was written.

        Exact for the same number of processes. More epochs than before are allowed; the schedule is
        then that of the longer run.

        Raises:
            ValueError: there is no such checkpoint, it is damaged, or it was written with another
                optimizer, schedule, batch size, seed or number of samples.
        """
        state = checkpoint.load(self.last_path)
        different = [
            f"{name} was {state['settings'].get(name)}, now is {value}"
            for name, value in self._settings.items()
            if state["settings"].get(name) != value
        ]
        if different:
            raise ValueError(
                f"{self.last_path} is of another run: {'; '.join(different)}. Resume with the "
                f"settings that the run was started with, or start anew in another folder."
            )
        self.learner.load_state_dict(state)
        self._position, self._best = _Position(**state["position"]), _Best(**state["best"])
        self._metrics, self._rows = state["metrics"], list(state["rows"])
        self._seconds = state["seconds"]
        if len(state["rng"]) == distributed.world_size():
            self._rng = state["rng"][distributed.rank()]
        else:
            logger.warning(
                "The checkpoint is of %d process(es), this run has %d: what layers draw at random "
                "(dropout) starts afresh.",
                len(state["rng"]),
                distributed.world_size(),
            )
        self._owns_folder = True

    def _open_log(self) -> MetricsLog:
        return MetricsLog(
            self.folder,
            self._rows,
            tensorboard=self.options.tensorboard,
            enabled=distributed.is_main(),
        )

    def _progress(self) -> Progress:
        at = self._position
        return Progress(
            epochs=self.options.epochs,
            total_steps=self._total_steps,
            done_steps=at.epoch * self.sampler.steps_per_epoch + at.step,
            enabled=distributed.is_main(),
        )
