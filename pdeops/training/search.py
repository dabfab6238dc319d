"""The search for a correction of a predicted trajectory, and its record."""
# Axes: b batch, n given frames, t output frames, k all frames, c channel, *space nodes.

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from .least_squares import Linearised, per_sample

log = logging.getLogger("pdeops")

SILENCE = 5.0  # seconds after which the log gets the state of the search


@runtime_checkable
class Estimator(Protocol):
    """The residual of an equation, as one number per trajectory."""

    def __call__(self, u: Float[Tensor, "b k c *space"]) -> Float[Tensor, " b"]:
        """η of trajectories of which the first frames are given; differentiable."""
        ...


@runtime_checkable
class LinearisableEstimator(Estimator, Protocol):
    """An estimator with a Jacobian, as `GaussNewton` needs."""

    def normal_equations(self, num_given: int) -> Callable[[Tensor], Linearised]:
        """Trajectories u -> r(u) + J d, where d changes the frames after the first `num_given`."""
        ...


@dataclass(frozen=True)
class Refinement:
    """A refined prediction and how it was reached.

    Attributes:
        frames: the refined frames; equal to the prediction, to the last bit, where no step was
            accepted.
        eta: η of the prediction and after each step, (steps + 1, b); it never rises.
        seconds: seconds from the start to the end of each step, the first entry is 0.
        evaluations: number of evaluations of the residual; a product with its Jacobian or with the
            transpose counts as one, a gradient as two.
        reasons: why the refinement of each sample stopped.
    """

    frames: Float[Tensor, "b t c *space"]
    eta: Float[Tensor, "steps b"]
    seconds: tuple[float, ...]
    evaluations: int
    reasons: tuple[str, ...]

    @property
    def num_steps(self) -> int:
        """Number of steps taken, accepted or not."""
        return len(self.seconds) - 1


@runtime_checkable
class Method(Protocol):
    """Proposes corrections; see `GaussNewton`, `LBFGS` and `Adam`."""

    @property
    def steps(self) -> int:
        """Largest number of steps."""
        ...

    def run(self, search: "Search") -> None:
        """Propose corrections by `search.keep` until a limit is reached."""
        ...


class Search:
    """The best correction of each sample so far, and the record of the steps.

    Attributes:
        frames: the best frames of each sample.
        eta: their η.
    """

    def __init__(self, estimator: Any, given: Tensor, prediction: Tensor) -> None:
        self.estimator, self.given = estimator, given
        self.frames: Tensor = prediction
        self.evaluations = 0
        self.start, self.seconds, self._logged = time.perf_counter(), [0.0], 0.0
        self.eta = self.value(prediction)
        self.history = [self.eta]
        self.reasons = ["no step was taken"] * len(prediction)
        self.open = torch.ones(len(prediction), dtype=torch.bool)  # samples still searched
        self._around: Callable[[Tensor], Linearised] | None = None
        if not self.eta.isfinite().all():
            raise ValueError(
                "The residual of the prediction is not finite. The prediction is too large for its "
                "precision: use a shorter horizon, or float64."
            )

    def trajectory(self, frames: Tensor) -> Tensor:
        """The given frames followed by these."""
        return torch.cat([self.given, frames], 1)

    @torch.no_grad()
    def value(self, frames: Tensor) -> Tensor:
        """η of these frames; infinite where they are not finite, as after a step too long."""
        self.evaluations += 1
        finite = frames.flatten(1).isfinite().all(1)
        frames = torch.where(per_sample(finite, frames), frames, self.frames)
        return self.estimator(self.trajectory(frames)).where(finite, math.inf)

    def value_and_gradient(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """η of these frames and the gradient of η²/2; samples are independent."""
        self.evaluations += 3
        leaf = frames.detach().requires_grad_()
        eta = self.estimator(self.trajectory(leaf))
        (gradient,) = torch.autograd.grad(eta.square().sum() / 2, leaf)
        return eta.detach(), gradient

    def linearised(self) -> Linearised:
        """The least-squares problem around the best frames."""
        if self._around is None:
            if not hasattr(self.estimator, "normal_equations"):
                raise ValueError(
                    f"Gauss-Newton needs the Jacobian of the residual, `normal_equations` of the "
                    f"estimator; {type(self.estimator).__name__} has none. Use LBFGS() or Adam()."
                )
            self._around = self.estimator.normal_equations(self.given.shape[1])
        self.evaluations += 1
        return self._around(self.trajectory(self.frames))

    def keep(self, frames: Tensor, eta: Tensor) -> Tensor:
        """Accept these frames for the samples whose η falls; returns which these are."""
        better = (eta < self.eta).cpu() & self.open
        if better.any():
            chosen = per_sample(better.to(frames.device), frames)
            self.frames = torch.where(chosen, frames, self.frames)
            self.eta = torch.where(better.to(eta.device), eta, self.eta)
        return better

    def close(self, samples: Tensor, reason: str) -> None:
        """End the search of these samples that are still open."""
        for i in (samples & self.open).nonzero().flatten().tolist():
            self.reasons[i] = reason
        self.open = self.open & ~samples

    def step_done(self) -> None:
        """Record a step."""
        self.seconds.append(time.perf_counter() - self.start)
        self.history.append(self.eta)
        if self.seconds[-1] - self._logged > SILENCE:
            self._logged = self.seconds[-1]
            first, now = self.history[0].mean(), self.eta.mean()
            log.info("step %d: residual %.3g, now %.3g", len(self.seconds) - 1, first, now)

    def result(self) -> Refinement:
        """The record of the search."""
        eta = torch.stack(self.history)
        return Refinement(
            self.frames, eta, tuple(self.seconds), self.evaluations, tuple(self.reasons)
        )


def check_steps(steps: int) -> None:
    """Raise a ValueError unless the number of steps is an integer >= 0."""
    if not (isinstance(steps, int) and steps >= 0):
        raise ValueError(f"The number of steps must be an integer >= 0; got {steps!r}.")
