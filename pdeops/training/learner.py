"""One optimizer step: gradients of the objective, clipping, update, weight average."""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..batch import Batch
from . import distributed, rng, sharding, shards
from .ema import EMA
from .optim import OptimizerSpec, Schedule
from .options import TrainingOptions

Objective = Callable[[nn.Module, Batch], Tensor]


class DivergedError(ArithmeticError):
    """The loss or the gradient is not finite."""


class Learner:
    """A model with its objective, optimizer, schedule and averaged weights.

    A step calls `gradients` and then `update`. `gradients` does not change the state, so the caller
    can refuse a loss that is not finite. An optimizer with a line search evaluates the same batch
    again inside `update`: with the same random numbers (dropout, noise), so that it evaluates one
    function, and with sums over all pieces and ranks, so that all ranks take the same decisions.

    Raises:
        ValueError: no parameter of the model requires a gradient; the optimizer needs the residuals
            of the objective, which has none, in one process; or the weights cannot be divided.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        *,
        options: TrainingOptions,
        optimizer: OptimizerSpec,
        schedule: Schedule,
        total_steps: int,
        device: torch.device,
    ) -> None:
        self.device, self.options, self.objective = device, options, objective
        self._sharded = options.shard and distributed.world_size() > 1
        if self._sharded and optimizer.needs_closure:
            raise ValueError(
                f"{type(optimizer).__name__} needs all weights in one vector, and training.shard "
                f"divides them. Use AdamW, or leave training.shard out."
            )
        self.model = model
        distributed.share_start(self.model)
        if self._sharded:
            sharding.shard(self.model, device)
        else:
            self.model.to(device)
        self._trainable = [p for p in self.model.parameters() if p.requires_grad]
        if not self._trainable:
            raise ValueError(
                "The model has no parameter that requires a gradient: there is nothing to train. "
                "Call requires_grad_() on what should be learned."
            )
        self._forward: Any = torch.compile(self.model) if options.compile else self.model
        self.optimizer = optimizer.build(self._trainable)
        self._needs_closure = optimizer.needs_closure
        self._needs_jacobian = optimizer.needs_jacobian
        if self._needs_jacobian and not hasattr(objective, "linearise"):
            raise ValueError(
                f"{type(optimizer).__name__} minimises sums of squares; the objective "
                f"{type(objective).__name__} has no `linearise`. Use AdamW or LBFGS."
            )
        if self._needs_jacobian and (distributed.world_size() > 1 or options.accumulate > 1):
            raise ValueError(
                f"{type(optimizer).__name__} takes a batch as a whole; use one process and "
                f"training.accumulate = 1."
            )
        self._first: _Evaluation | None = None  # between `gradients` and `update`
        self.schedule = schedule.build(self.optimizer, total_steps)
        self.ema = EMA(self.model, options.ema) if options.ema is not None else None
        # Settings that must not change when a run is resumed.
        self.settings = {
            "optimizer": _describe(optimizer),
            "schedule": _describe(schedule),
            **{name: getattr(options, name) for name in ("clip", "ema", "autocast")},
        }

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return self.optimizer.param_groups[0]["lr"]

    def gradients(self, batch: Batch, num_samples: int) -> float:
        """Set the gradients of the mean loss over a global batch; this rank holds a slice of it.

        The mean of each piece is weighted by its fraction of the batch; the sum over pieces and
        ranks is the mean over the batch. Returns this rank's contribution to the mean loss.
        """
        if self._needs_closure:
            self._first = _Evaluation(batch, num_samples, rng.capture(self.device))
        loss = self._accumulate(batch, num_samples)
        if self._first is not None:
            self._first.loss = loss
        return loss

    def _accumulate(self, batch: Batch, num_samples: int) -> float:
        self.optimizer.zero_grad()
        total = 0.0
        for piece, weight in self._pieces(batch, num_samples):
            loss = self._loss(piece)
            (loss * weight).backward()
            total += loss.item() * weight
        if not self._sharded:  # or the backward pass has summed them
            distributed.sum_gradients(self._trainable)
        return total / distributed.team_size()

    def _pieces(self, batch: Batch, num_samples: int) -> list[tuple[Batch, float]]:
        """The pieces of this rank's samples, and their fractions of the global batch.

        Every rank has the same number, because divided weights are gathered for each piece; pieces
        that fill it up have weight zero, as has the batch of a rank without samples.
        """
        largest = math.ceil(num_samples / distributed.num_teams())
        size = math.ceil(largest / self.options.accumulate)
        mine = distributed.my_slice(num_samples)
        weighted = [
            (piece, len(piece) / num_samples if mine.stop > mine.start else 0.0)
            for piece in batch.split(size)
        ]
        return weighted + [(batch[:1], 0.0)] * (math.ceil(largest / size) - len(weighted))

    def _loss(self, piece: Batch) -> Tensor:
        """The objective's mean loss over a piece, with autocast to bfloat16 if it is on."""
        with torch.autocast(self.device.type, torch.bfloat16, self.options.autocast):
            loss = self.objective(self._forward, piece.to(self.device))
        if loss.ndim != 0:
            raise ValueError(
                f"An objective returns a scalar, the batch's mean loss; got shape "
                f"{tuple(loss.shape)}. Take its mean."
            )
        return loss

    def gradient_norm(self) -> Tensor:
        """Euclidean norm of the gradient over all parameters, the same on every rank."""
        gradients = [p.grad for p in self._trainable if p.grad is not None]
        return sharding.whole(torch.nn.utils.get_total_norm(gradients))

    def update(self, gradient_norm: Tensor) -> None:
        """Apply the gradients: clip, optimizer, schedule, average.

        Raises:
            DivergedError: the loss or gradient is not finite in a line search.
        """
        self._clip(gradient_norm)
        if self._first is None:
            self.optimizer.step()
        else:
            self.optimizer.step(self._closure(self._first))
            self._first = None
        self.schedule.step()
        if self.ema is not None:
            self.ema.update(self.model)

    def _clip(self, gradient_norm: Tensor) -> None:
        if self.options.clip is not None:
            torch.nn.utils.clip_grads_with_norm_(self._trainable, self.options.clip, gradient_norm)

    def _closure(self, first: "_Evaluation") -> Callable[[], float]:
        """The closure of an optimizer: sets the clipped gradients, returns the global mean loss.

        The first call returns the loss from `gradients`. For an optimizer that needs it, the
        attribute `linearise` gives r and J with loss |r|².
        """
        known: float | None = distributed.all_reduce_sum([first.loss], self.device)[0]

        def evaluate() -> float:
            nonlocal known
            if known is not None:
                loss, known = known, None
                return loss
            rng.restore(first.random, self.device)
            part = self._accumulate(first.batch, first.num_samples)
            loss = distributed.all_reduce_sum([part], self.device)[0]
            norm = self.gradient_norm()
            if not (math.isfinite(loss) and bool(norm.isfinite())):
                raise DivergedError(f"the line search met a loss of {loss}, gradient norm {norm}")
            self._clip(norm)
            return loss

        if self._needs_jacobian:
            batch = first.batch.to(self.device)
            objective: Any = self.objective
            evaluate.linearise = lambda: objective.linearise(self.model, batch)  # type: ignore
        return evaluate

    def evaluated_weights(self) -> AbstractContextManager[None]:
        """Inside the block the model has the weights for evaluation: averaged if EMA is on."""
        return self.ema.applied(self.model) if self.ema is not None else nullcontext()

    def state_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint; `model` holds the weights being trained."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": None,  # bfloat16 needs no loss scaling; float16 would
            "ema": self.ema.state_dict() if self.ema is not None else None,
        }

    def like(self, path: shards.Place) -> Tensor | None:
        """The divided tensor of this learner that an entry of `state_dict` resembles; None if the
        entry is whole."""
        match path:
            case ("model", str(name)) | ("ema", "average", str(name)):
                found = dict(self.model.named_parameters()).get(name)
            case ("optimizer", "state", int(number), _):
                found = self._trainable[number]
            case _:
                return None
        return found if shards.is_divided(found) else None

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state from `state_dict`, with whole or divided tensors as this model has."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])


@dataclass
class _Evaluation:
    """The first evaluation of a step: its batch, the random numbers before it, and its loss."""

    batch: Batch
    num_samples: int
    random: dict[str, Tensor]
    loss: float = 0.0


def _describe(spec: Any) -> dict[str, Any]:
    """A dataclass as plain data, with the name of its class."""
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(spec).items()}
    return {"name": type(spec).__name__, **plain}
