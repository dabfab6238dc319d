"""Fields by random features: networks with random hidden layers, solved by least squares."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..nn.jets import Derivatives
from ..nn.space_time_field import SpaceTimeField
from ..nn.tanh_network import TanhNetwork
from ..training.gauss_newton import LevenbergMarquardt
from .collocation import CollocationPoints, CollocationTable, random_features
from .residual_fit import ResidualFit, fit_residual


def fit_random_features(
    field: SpaceTimeField,
    *,
    points: int = 64,
    times: int = 48,
    deviation: float = 1.0,
    time_deviation: float = 1.0,
    causality: float = 0.0,
    seed: int = 0,
    iterations: int = 20,
    rtol: float | int = 1e-6,
) -> list[ResidualFit]:
    """Draw the hidden layers of a field and solve for its output layers, window by window.

    The residual at uniform points is minimised by Gauss-Newton with a dense least-squares solution
    per iteration; a linear equation takes one. The networks have one hidden layer, and become
    float64. It takes seconds for some hundred features, and is deterministic.

    Args:
        points: points per axis of space.
        times: points in time, per window.
        deviation: standard deviation of the weights of inputs that depend on x.
        time_deviation: that of the weight of time.
        causality: ε of the causal weights, see `ResidualLoss`.
        rtol: an iteration that lowers the residual by a smaller fraction is the last.

    Raises:
        ValueError: a network has several hidden layers, or the residual is not finite.
    """
    field.double()
    random_features(field, deviation, time_deviation, torch.Generator().manual_seed(seed))
    table = CollocationTable(points=points, times=times, causality=causality)
    collocation = CollocationPoints(field, table, len(field.ends), seed)
    return [
        _fit(field, collocation.uniform(window), causality, iterations, rtol)
        for window in range(len(field.ends))
    ]


class OutputLayers(SpaceTimeField):
    """A field of which only the output layers are trained: the jets of the hidden layers, which do
    not change, are computed once per set of points."""

    def __init__(self, field: SpaceTimeField) -> None:
        super().__init__()
        self.field, self.equation = field, field.equation
        self.t_end, self.ends, self.arguments = field.t_end, field.ends, field.arguments

    def begin(self, t: Tensor) -> None:
        """That of the field."""
        self.field.begin(t)

    def collocate(self, x: Tensor, t: Tensor) -> tuple[Any, list[tuple[TanhNetwork, Derivatives]]]:
        """The points of the field, and each output layer as a network with the jets of its
        inputs."""
        points = self.field.collocate(x, t)
        with torch.no_grad():
            return points, [
                (network.last(), network.features(inputs))
                for network, inputs in self.field.parts(points)
            ]

    def parts(self, points: Any) -> list[tuple[TanhNetwork, Derivatives]]:
        """The output layers."""
        return points[1]

    def term_arguments(self, points: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Those of the field."""
        return self.field.term_arguments(points[0])

    def residual_of(self, points: Any, *jets: Any) -> Float[Tensor, "e n"]:
        """That of the field."""
        return self.field.residual_of(points[0], *jets)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """That of the field."""
        return self.field(x, t)


def _fit(
    field: SpaceTimeField, positions: Tensor, causality: float, iterations: int, rtol: float
) -> ResidualFit:
    optimizer = LevenbergMarquardt(field.parameters(), damping=0.0, rcond=1e-12)
    return fit_residual(
        OutputLayers(field),
        positions,
        optimizer,
        causality=causality,
        iterations=iterations,
        rtol=rtol,
    )
