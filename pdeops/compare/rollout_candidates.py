"""The candidates of a study of trajectories: a learned rollout, or a stepper with one n and dt."""
# Axes: b batch, n samples, t time, c channel, *space test nodes, *own nodes of a stepper.

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..calculus.norms import Lp
from ..metrics import METRICS
from ..solvers.evolution.trajectory import Trajectory
from ..trajectory_metrics import THRESHOLDS, correlation, correlation_time
from .candidates import Candidate
from .duel import Row
from .fitted import Fitted
from .stepping_grids import GRIDS
from .tables import grid_name

THRESHOLD = THRESHOLDS[0]  # of the correlation time in a study

# (given frames, number of frames) -> the frames after the given ones.
Rollout = Callable[[Tensor, int], Tensor]


@dataclass(frozen=True)
class Truth:
    """The reference trajectories of the test samples.

    Attributes:
        given: the given frames at the nodes of `test`.
        frames: the frames to predict, at the nodes of `test`.
        start: the last given frame on `fine`, from which classical methods start.
        times: times of `frames`, from the last given frame on.
        unit: length of the unit of time of the data in the solver's units.
        steps: mean step of the reference, in the solver's units.
        metric: of the errors, a key of `METRICS`; one that does not pool fields in different units.
    """

    given: Float[Tensor, "n n_in c *space"]
    frames: Float[Tensor, "n t c *space"]
    start: Float[Tensor, "n c *fine"]
    times: tuple[float, ...]
    test: Any
    fine: Any
    unit: float
    steps: float
    metric: str = "relative_l2"


@dataclass(frozen=True)
class RolloutRow(Row):
    """The row of a trajectory: `error` is that of the last frame, seconds are per trajectory.

    Attributes:
        dt: largest time step, in units of the data's times; None for operators.
        correlation_time: mean time until the correlation with the reference falls below 0.8; a
            trajectory that stays above counts with the last time.
        censored: number of trajectories that stay above.
    """

    dt: float | None = None
    correlation_time: float = 0.0
    censored: int = 0

    @property
    def label(self) -> str:
        """For example "ETDRK4 on 32×32, dt 0.05" or "FNO on 64×64, batch 8"."""
        step = "" if self.dt is None else f", dt {self.dt:.3g}"
        batch = f", batch {self.batch}" if self.kind == "operator" or self.batch > 1 else ""
        return f"{self.method} on {grid_name(self.grid)}{step}{batch}"


def keeps_correlation(classical: RolloutRow, operator: RolloutRow) -> bool:
    """Whether the classical row has at least the operator's mean correlation time."""
    return classical.correlation_time >= operator.correlation_time


@dataclass
class RolloutCandidate(Candidate):
    """A method that predicts the frames of the truth."""

    truth: Truth = field(kw_only=True)
    dt: float | None = None
    correlation_times: dict[int, tuple[float, bool]] = field(default_factory=dict)

    dtype = torch.float32

    def error(self, prediction: Tensor, truth: Tensor, norm: Lp) -> Float[Tensor, " b"]:
        return METRICS[self.truth.metric](prediction, truth, self.truth.test)

    def record(
        self,
        indices: Sequence[int],
        prediction: Float[Tensor, "b t c *space"],
        truth: Float[Tensor, "b t c *space"],
        norm: Lp,
    ) -> None:
        """Keep the error of the last frame and the correlation time."""
        super().record(indices, prediction[:, -1], truth[:, -1], norm)
        times = torch.tensor(self.truth.times, dtype=torch.float64)
        c = correlation(prediction, truth, self.truth.test)
        found = zip(*(v.tolist() for v in correlation_time(c, times, THRESHOLD)), strict=True)
        self.correlation_times.update(zip(indices, found, strict=True))

    def row(self) -> RolloutRow:
        """The measured figures."""
        times, censored = zip(*self.correlation_times.values(), strict=True)
        figures: dict[str, Any] = self.figures()
        return RolloutRow(
            **figures, dt=self.dt, correlation_time=sum(times) / len(times), censored=sum(censored)
        )


@dataclass
class LearnedRollout(RolloutCandidate):
    """An operator on the test grid."""

    rollout: Rollout | None = None
    device: str = "cpu"

    kind = "operator"

    def prepare(self, indices: Sequence[int]) -> Float[Tensor, "b n_in c *space"]:
        return self.truth.given[list(indices)].to(self.dtype)

    def predict(self, x: Float[Tensor, "b n_in c *space"]) -> Float[Tensor, "b t c *space"]:
        assert self.rollout is not None
        with torch.no_grad():
            return self.rollout(x, len(self.truth.times)).cpu()


@dataclass
class FittedRollout(RolloutCandidate):
    """A surrogate without a network, from the given frames to all later ones of its training
    data."""

    fitted: Fitted = field(kw_only=True)

    kind = "reduced"

    def prepare(self, indices: Sequence[int]) -> Float[Tensor, "b n_in c *space"]:
        return self.truth.given[list(indices)].to(self.dtype)

    def predict(self, x: Float[Tensor, "b n_in c *space"]) -> Float[Tensor, "b t c *space"]:
        return self.fitted.predict(x)


@dataclass
class SteppedRollout(RolloutCandidate):
    """A stepper with one dt on one grid. Its initial field is the truncated series of the
    reference's; the time includes the interpolation of its frames to the test nodes."""

    stepping: Callable[[Tensor], Trajectory] | None = None

    kind = "classical"

    def prepare(self, indices: Sequence[int]) -> Float[Tensor, "b c *space"]:
        u, fine = self.truth.start[list(indices)], self.truth.fine
        return GRIDS[type(self.grid)].truncated(u, fine, self.grid).to(self.dtype)

    def run(self, x: Float[Tensor, "b c *own"]) -> Trajectory:
        """The trajectory at the test nodes, as far as the method is stable."""
        assert self.stepping is not None
        return self.stepping(x)

    def predict(self, x: Float[Tensor, "b c *own"]) -> Float[Tensor, "b t c *space"]:
        result = self.run(x)
        self.iterations.append(result.num_steps)
        self.converged = self.converged and result.completed
        missing = len(self.truth.times) - result.u.shape[1]
        lost = result.u.new_full((len(x), missing, *result.u.shape[2:]), torch.nan)
        return torch.cat([result.u, lost], 1)
