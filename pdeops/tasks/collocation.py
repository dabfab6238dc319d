"""Collocation points of a box and a time interval, and the loss of a residual there."""
# Axes: b batch, d space, e equation, n points, p parameters.

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.data import Dataset

from ..batch import Batch
from ..nn.space_time_field import SpaceTimeField
from ..nn.tanh_network import TanhNetwork
from ..training import rng
from ..training.gauss_newton import Linearisation
from .curriculum import Curriculum

_HELD_OUT = 2000  # random points of the validation


@dataclass(frozen=True)
class CollocationTable:
    """The recipe's table [collocation].

    Attributes:
        points: points per axis of space.
        times: points in time, per window; a field that steps in time has one.
        random: draw points uniformly at random for each step, as many; otherwise they are the
            nodes of a uniform grid, the ends of a window included.
        steps: optimizer steps per epoch; each takes all points.
        causality: ε of the causal weights, see `ResidualLoss`; 0 for none.
        dtype: "float32" or "float64" of the network and the points.
    """

    points: int = 64
    times: int = 48
    random: bool = False
    steps: int = 100
    causality: float = 0.0
    dtype: str = "float64"

    def __post_init__(self) -> None:
        for name, least in (("points", 2), ("times", 2), ("steps", 1), ("causality", 0)):
            if getattr(self, name) < least:
                raise ValueError(
                    f"collocation.{name} must be {least} or more; got {getattr(self, name)}."
                )
        if self.dtype not in ("float32", "float64"):
            raise ValueError(
                f"collocation.dtype must be 'float32' or 'float64'; got {self.dtype!r}."
            )

    @property
    def precision(self) -> torch.dtype:
        """The dtype."""
        return torch.float64 if self.dtype == "float64" else torch.float32


class CollocationPoints(Dataset):
    """One sample per step: `positions` (d + 1, n), the coordinates of points of space and time,
    and with a curriculum `parameters` (p,), the coefficient of the stage.

    The epochs of a run are divided equally among the time windows; the remainder belongs to the
    last one, or to the first of a field that steps in time, whose weights are random at its start.
    The epochs of a window are divided among the stages of the curriculum in the same way.

    Raises:
        ValueError: there are fewer epochs than windows or stages, or causal weights for a field
            that steps in time.
    """

    def __init__(
        self,
        field: SpaceTimeField,
        table: CollocationTable,
        epochs: int,
        seed: int,
        curriculum: Curriculum | None = None,
    ) -> None:
        self.ends, self.grid = field.ends, field.equation.grid
        self.parameters = None if curriculum is None else curriculum.parameters
        self.table, self.seed, self.epoch = table, seed, 0
        self.epochs_per_window = epochs // len(self.ends)
        if self.epochs_per_window == 0:
            raise ValueError(
                f"The {len(self.ends)} time windows are trained one after another and need an "
                f"epoch each; got {epochs} epochs. Raise training.epochs."
            )
        num_stages = 1 if curriculum is None else len(curriculum)
        self.epochs_per_stage = self.epochs_per_window // num_stages
        if self.epochs_per_stage == 0:
            raise ValueError(
                f"The {num_stages} stages of the curriculum need an epoch each in each of the "
                f"{len(self.ends)} time windows; got {epochs} epochs. Raise training.epochs."
            )
        if field.steps and table.causality > 0:
            raise ValueError(
                f"Causal weights order the times of a window; {type(field).__name__} has one. Set "
                f"collocation.causality = 0."
            )
        self.steps, self.num_times = field.steps, 1 if field.steps else table.times
        self.offset = epochs % len(self.ends) if field.steps else 0
        self._kept: tuple[int, Tensor] | None = None

    def __len__(self) -> int:
        return self.table.steps

    def set_epoch(self, epoch: int) -> None:
        """Choose the window and the stage of an epoch."""
        self.epoch = epoch

    def __getitem__(self, index: int) -> Batch:
        epoch = max(self.epoch - self.offset, 0)
        window = min(epoch // self.epochs_per_window, len(self.ends) - 1)
        parameters = None
        if self.parameters is not None:
            stage = (epoch - window * self.epochs_per_window) // self.epochs_per_stage
            parameters = self.parameters[min(stage, len(self.parameters) - 1)]
        if self.table.random:
            generator = rng.generator(self.seed, rng.ORDER, 1, self.epoch, index)
            count = self.table.points**self.grid.ndim * self.num_times
            positions = self.random(window, count, generator)
            return Batch(positions=positions, parameters=parameters)
        if self._kept is None or self._kept[0] != window:
            self._kept = (window, self.uniform(window))
        return Batch(positions=self._kept[1], parameters=parameters)

    def uniform(self, window: int) -> Float[Tensor, "d n"]:
        """The tensor grid of a window, time by time."""
        begin, end = (0.0, *self.ends)[window : window + 2]
        t = torch.linspace(begin, end, self.num_times, dtype=torch.float64)
        nodes = self.grid.with_shape((self.table.points,) * self.grid.ndim).nodes().flatten(1)
        n, m = nodes.shape[1], len(t)
        x = nodes[:, None].expand(-1, m, n).flatten(1)
        return torch.cat([x, t[:, None].expand(m, n).reshape(1, -1)]).to(self.table.precision)

    def random(self, window: int, count: int, generator: torch.Generator) -> Float[Tensor, "d n"]:
        """Uniform random points of a window; those of a time step are at its begin."""
        begin, end = (0.0, *self.ends)[window : window + 2]
        if self.steps:  # rounding must not move a point to the next step
            end = begin
        d = self.grid.ndim
        points = torch.rand(d + 1, count, dtype=torch.float64, generator=generator)
        lengths = points.new_tensor([*self.grid.extent, end - begin])[:, None]
        points = points * lengths
        points[d] += begin
        return points.to(self.table.precision)


class ResidualLoss:
    """Field and points -> mean over points of Σ_e r_e², with causal weights (Wang, Sankaran and
    Perdikaris 2024) if ε > 0:

        L = mean_i w_i L_i,   w_i = exp(-ε Σ_{j<i} L_j),

    L_i the mean over the i-th of `num_slices` equal parts of the window in time: a part counts when
    those before it are solved. The weights carry no gradient. With a curriculum, the residual is
    that of the stage of the batch, whose equation the field then has.

    Raises:
        ValueError: the residual is not finite because a term of the equation is not; the message
            names the term and the point.
    """

    num_slices = 32

    def __init__(self, causality: float = 0.0, curriculum: Curriculum | None = None) -> None:
        self.causality, self.curriculum = causality, curriculum
        self._kept: tuple[Tensor, Any, Any] | None = None

    def __call__(self, field: Any, batch: Batch) -> Tensor:
        points, positions = self._points(field, batch)
        r = field.residual(points)
        loss = (self._weights(r, positions) * r.square().sum(0)).sum()
        if not loss.isfinite():
            field.check_terms(points)
        return loss

    def linearise(self, field: Any, batch: Batch) -> Linearisation:
        """r and J with loss |r|², for Gauss-Newton, which keeps the weights during a step."""
        points, positions = self._points(field, batch)
        r, J = field.linearise(points)
        weights = self._weights(r, positions)

        @torch.no_grad()
        def loss() -> float:
            return (weights * field.residual(points).square().sum(0)).sum().item()

        root = weights.sqrt()
        return Linearisation((root * r).flatten(), (root[:, None] * J).flatten(0, 1), loss)

    def _points(self, field: Any, batch: Batch) -> tuple[Any, Tensor]:
        """The prepared points, kept while they are the same, and their coordinates."""
        positions = batch.positions.movedim(0, 1).flatten(1)
        if self.curriculum is not None:
            field.equation = self.curriculum.equation(batch.parameters[0])
        # The points contain coefficients of the equation.
        kept = self._kept
        if kept is None or kept[1] is not field.equation or not _equal(kept[0], positions):
            field.begin(positions[-1])
            points = field.collocate(positions[:-1], positions[-1])
            self._kept = kept = (positions, field.equation, points)
        return kept[2], positions

    def _weights(self, r: Float[Tensor, "e n"], positions: Float[Tensor, "d n"]) -> Tensor:
        """The weight of each point, 1/n without causality."""
        n = r.shape[1]
        if self.causality == 0:
            return r.new_full((n,), 1 / n)
        t = positions[-1]
        part = (t - t.amin()) / (t.amax() - t.amin()) * self.num_slices
        part = part.long().clamp(max=self.num_slices - 1)
        with torch.no_grad():
            zero = r.new_zeros(self.num_slices)
            count = zero.index_add(0, part, torch.ones_like(t)).clamp(min=1)
            mean = zero.index_add(0, part, r.square().sum(0)) / count
            weights = torch.exp(-self.causality * (mean.cumsum(0) - mean))
        return weights[part] / n


class ResidualClosure:
    """The closure of `LevenbergMarquardt`: the loss of a field at fixed points, whose gradient it
    sets, and the residual with its Jacobian."""

    def __init__(self, field: SpaceTimeField, positions: Tensor, causality: float = 0.0) -> None:
        self.field, self.loss = field, ResidualLoss(causality)
        self.batch = Batch(positions=positions[None])

    def __call__(self) -> float:
        self.field.zero_grad()
        loss = self.loss(self.field, self.batch)
        loss.backward()
        return loss.item()

    def linearise(self) -> Linearisation:
        """r and J with loss |r|²."""
        return self.loss.linearise(self.field, self.batch)


class HeldOutResidual:
    """Root mean square of the residual at random points that are not those of the training; with
    a curriculum that of the last equation, which the field then has."""

    def __init__(
        self,
        points: CollocationPoints,
        device: torch.device,
        curriculum: Curriculum | None = None,
    ) -> None:
        self.curriculum = curriculum
        generator = torch.Generator().manual_seed(points.seed + 1)
        count = math.ceil(_HELD_OUT / len(points.ends))
        self.windows = [
            points.random(k, count, generator).to(device) for k in range(len(points.ends))
        ]

    def __call__(self, field: Any) -> Mapping[str, float]:
        if self.curriculum is not None:
            field.equation = self.curriculum.equations[-1]
        squares = [
            field.residual(field.collocate(p[:-1], p[-1])).detach().square().mean().item()
            for p in self.windows
        ]
        return {"residual": math.sqrt(sum(squares) / len(squares))}


def random_features(
    field: SpaceTimeField, deviation: float, time_deviation: float, generator: torch.Generator
) -> None:
    """Draw the hidden layers at random and keep them fixed: only output layers are trained.

    Args:
        deviation: standard deviation of the weights of inputs that depend on x.
        time_deviation: that of the weight of time.

    Raises:
        ValueError: a network has several hidden layers, or a deviation is not positive.
    """
    for name, value in (("deviation", deviation), ("time_deviation", time_deviation)):
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} of random features must be positive and finite; got {value}.")
    for network in field.modules():
        if not isinstance(network, TanhNetwork):
            continue
        if len(network.hidden) != 1:
            raise ValueError(
                f"Random features are those of one hidden layer; the model has networks of "
                f"{len(network.hidden)}. Set its number of layers to 1, and use more channels."
            )
        first = network.hidden[0]
        assert isinstance(first, nn.Linear)
        others = first.in_features - 1
        network.randomise([deviation] * others + [time_deviation], 1.0, generator)
        network.hidden.requires_grad_(False)


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.device == b.device and bool(torch.equal(a, b))
