"""The training loop: `objective(model, batch)`, backward, update, and then the records.

The next step depends only on the states of the learner and of the run (`training/state.py`); both
are saved in `last.pt`.
"""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ..batch import Batch
from . import checkpoint, distributed, rng, sharding, shards
from .interrupt import Interrupts
from .learner import DivergedError, Learner, Objective
from .optim import OptimizerSpec, Schedule
from .options import TrainingOptions
from .progress import Progress
from .record import COLUMNS, History, MetricsLog, Row
from .sampling import Sampler, stream
from .state import RunState, require_same_settings

logger = logging.getLogger("pdeops")

# Entries of last.pt that a resumed run needs.
_RESUMED = ("model", "optimizer", "schedule", "position", "best", "rows", "settings", "carry")

Evaluate = Callable[[nn.Module], Mapping[str, float]]


class Trainer:
    """Minimises the mean of `objective(model, batch)` over a dataset.

    The objective returns the mean loss of a batch, a scalar. The trainer writes `metrics.csv`,
    `checkpoints/last.pt` (the state for `resume`) and `checkpoints/best.pt` (the weights with the
    lowest `monitor`, averaged if EMA is on) to the folder. Both checkpoints hold `model` (a state
    dict) and `carry`.

    Under torchrun (inside `distributed.process_group`) each rank computes its slice of every
    batch, and gradients are summed so that the result is that of one process. `evaluate` is
    called on all ranks with the model in eval mode, without gradients. It either evaluates the
    samples of its rank (`distributed.my_slice`) and sums its metrics over ranks, or evaluates all
    samples on every rank. The metrics of rank 0 are used.

    Attributes:
        model: the module, moved to `device`; after `fit` it has the last weights.
        objective: (model, batch) → scalar mean loss; may call the model several times.
        dataset: a torch Dataset of `Batch`es. `set_epoch(e)`, if it has one, is called
            before the first sample of each epoch.
        evaluate: model → metrics by name; lower is better for `monitor`.
        seed: seed of the data order and of random layers (dropout). The initial weights are those
            of `model`.
        carry: plain data for every checkpoint, such as the model's name and arguments.
        settings: plain data that a resumed run must share, besides the trainer's; a checkpoint
            that does not have an entry is not compared with it.

    Raises:
        ValueError: the dataset is empty, or no parameter requires a gradient.
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
        settings: Mapping[str, Any] | None = None,
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
            **(settings or {}),
        }
        self._task_settings = dict(settings or {})

        self.state = RunState(seed, self.device)
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
        """Train from the current position to the last epoch, or to the end of epoch `until`.

        Ctrl-C, SIGTERM, SIGUSR1, SIGUSR2 and SIGHUP stop the training after the current step, with
        reason "interrupted" and the position in `last.pt`; the caller exits with status 130.

        Raises:
            ValueError: the folder already holds a run that was not resumed, or `monitor` is not
                among the metrics, or the objective is not a scalar.
            DivergedError: loss or gradient is not finite; `last.pt` keeps an earlier state.
        """
        if not self._owns_folder and self.last_path.exists():
            raise ValueError(
                f"{self.folder} already holds a run. Resume it, or choose another folder."
            )
        distributed.gather(None)  # no rank writes before all ranks have checked
        self._owns_folder = True
        end = self.options.epochs if until is None else min(until, self.options.epochs)
        with (
            self._open_log() as log,
            rng.private(self.device),
            Interrupts(patient=distributed.world_size() > 1) as interrupts,
            self._progress() as progress,
            self.state.stopwatch(),
        ):
            rng.restore(self.state.rng, self.device)
            try:
                reason = self._run(end, interrupts, progress, log)
            except (KeyboardInterrupt, OSError) as error:
                # From a second Ctrl-C, the objective, or a line of the log to a terminal that was
                # closed. An incomplete step cannot be saved, and other ranks do not receive the
                # interrupt. Otherwise the state is that after the last complete step.
                stopped = isinstance(error, KeyboardInterrupt) or interrupts.requested
                if not stopped or not self.state.whole or distributed.world_size() > 1:
                    raise
                self._save_last()
                reason = "interrupted"
        if reason == "interrupted" and distributed.is_main():
            logger.warning("Interrupted; resume from %s.", self.last_path)
        return self.state.history(reason)

    def _run(self, end: int, interrupts: Interrupts, progress: Progress, log: MetricsLog) -> str:
        """The loop itself, from the current position; returns why it ended."""
        at = self.state.position
        if distributed.is_main():
            logger.info(
                "%d training samples, %d steps per epoch, %d epochs",
                *(self.sampler.num_samples, self.sampler.steps_per_epoch, self.options.epochs),
            )
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
        # One exchange per step: the loss over all ranks, and whether any rank should stop.
        loss, stop = distributed.all_reduce_sum(
            [contribution, float(interrupts.requested)], self.device
        )
        norm = self.learner.gradient_norm()
        self._require_finite(loss, norm)
        with self.state.change():
            try:
                self.learner.update(norm)
            except DivergedError as error:
                raise self._diverged(str(error)) from None
            at = self.state.position
            at.step += 1
            at.loss_sum += loss * num_samples
            at.num_samples += num_samples
        return loss, stop > 0

    def _require_finite(self, loss: float, gradient_norm: Tensor) -> None:
        if not (math.isfinite(loss) and bool(gradient_norm.isfinite())):
            culprit = "gradient" if math.isfinite(loss) else "loss"
            raise self._diverged(f"The {culprit} is not finite", f" (loss {loss})")

    def _diverged(self, what: str, figures: str = "") -> DivergedError:
        at = self.state.position
        kept = "keeps an earlier state" if self.last_path.exists() else "was not yet written"
        return DivergedError(
            f"{what} in epoch {at.epoch + 1}, step {at.step + 1} of "
            f"{self.sampler.steps_per_epoch}{figures}. {self.last_path} {kept}. Lower lr, set "
            f"clip, or look for NaN in the data."
        )

    def _finish_epoch(self, progress: Progress, log: MetricsLog) -> None:
        """Evaluate, save the best weights, write the row and the checkpoint."""
        at, options = self.state.position, self.options
        number = at.epoch + 1
        last = number == options.epochs
        metrics = self._evaluated() if last or number % options.eval_every == 0 else {}
        row: Row = {
            "epoch": number,
            "step": number * self.sampler.steps_per_epoch,
            "lr": self.learner.lr,
            "train_loss": at.loss_sum / at.num_samples,
            **metrics,
            "seconds": self.state.seconds(),
        }
        with self.state.change():
            self.state.rows.append(row)
            at.epoch, at.step, at.loss_sum, at.num_samples = number, 0, 0.0, 0
            if metrics:
                self._judge(number, metrics)
            log.add(row)
        progress.epoch(row, self.monitor)
        if last or self._out_of_patience() or number % options.save_every == 0:
            self._save_last()

    def _evaluated(self) -> dict[str, float]:
        """Metrics of the weights for evaluation (averaged if EMA is on)."""
        self.model.eval()
        weights = self.learner.evaluated_weights()
        with weights, sharding.gathered(self.model), torch.no_grad():
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
        """Save the weights as best.pt if the monitored metric is a new best.

        best.pt is written before last.pt: if the process dies between the two, the resumed run
        repeats the epoch and writes the same file.
        """
        if not self.state.judge(number, metrics[self.monitor], metrics):
            return
        with self.learner.evaluated_weights():
            weights = sharding.whole_state(self.model)
            state = {
                "model": weights,
                "epoch": number,
                "metrics": metrics,
                "seconds": self.state.seconds(),
                "carry": self.carry,
            }
            checkpoint.save_together(self.best_path, state)

    def _out_of_patience(self) -> bool:
        return self.options.patience is not None and self.state.best.stale >= self.options.patience

    def _save_last(self) -> None:
        state = {
            **self.learner.state_dict(),
            **self.state.state_dict(),
            "settings": self._settings,
            "carry": self.carry,
        }
        checkpoint.save_together(self.last_path, state)

    def resume(self) -> None:
        """Restore the run from `checkpoints/last.pt`; the next `fit` continues from there.

        The continuation is exact for the same number of processes, and up to rounding for another.
        The number of epochs may be increased; the schedule is then that of the longer run.

        Raises:
            ValueError: the checkpoint is missing or damaged, or it was written with another
                optimizer, schedule, batch size, seed, number of samples or settings of the task.
        """
        saved = self.saved()
        # Checkpoints of earlier versions do not have the settings of the task.
        written = {**self._task_settings, **saved["settings"]}
        require_same_settings(written, self._settings, self.last_path)
        like = self.learner.like if self.options.shard and distributed.world_size() > 1 else None
        self.learner.load_state_dict(shards.read(saved, self.last_path.parent, like))
        self.state.load_state_dict(saved)
        self._owns_folder = True

    def saved(self) -> dict[str, Any]:
        """The content of `last.pt`, without tensors that are divided among processes.

        Raises:
            CheckpointError: the file is missing or damaged, or is not the state of a training.
        """
        saved = checkpoint.load_file(self.last_path)
        missing = [name for name in _RESUMED if name not in saved]
        if missing:
            raise checkpoint.CheckpointError(
                f"{self.last_path} cannot be resumed: it has no entry {', '.join(missing)}, as a "
                f"copy of best.pt, which holds weights alone. Restore last.pt, or train again."
            )
        return saved

    def _open_log(self) -> MetricsLog:
        return MetricsLog(
            self.folder,
            self.state.rows,
            tensorboard=self.options.tensorboard,
            enabled=distributed.is_main(),
        )

    def _progress(self) -> Progress:
        at = self.state.position
        return Progress(
            epochs=self.options.epochs,
            total_steps=self._total_steps,
            done_steps=at.epoch * self.sampler.steps_per_epoch + at.step,
            enabled=distributed.is_main(),
        )
