"""Models whose last layer can be replaced for one input: the interface of `pdeops refine`."""
# Axes: b batch, t time, c and d channels, *features whatever the model computes with.

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

Times = Sequence[float] | Tensor | None


@runtime_checkable
class Refinable(Protocol):
    """A model that is a fixed map followed by a linear layer:

        model(x, times_in, times_out) = head(features(x, ...), x, ...)      to the last bit.

    `head` is affine in the parameters of `last_layer` for fixed v and x, and uses no parameters
    outside of it. `features` uses none of them. So a solver that minimises a residual over the last
    layer computes the features once.

    `times_in` (not positive, the last 0) and `times_out` (positive) are times relative to the last
    input frame, None for those of the training; models without an axis of time ignore them.

    Attributes:
        last_layer: the module that holds all parameters of `head`.
    """

    last_layer: nn.Module

    def features(
        self, x: Float[Tensor, "b *field"], times_in: Times = None, times_out: Times = None
    ) -> Float[Tensor, "b *features"]:
        """x -> v, the input of the last layer."""

    def head(
        self,
        v: Float[Tensor, "b *features"],
        x: Float[Tensor, "b *field"],
        times_in: Times = None,
        times_out: Times = None,
    ) -> Float[Tensor, "b *other"]:
        """v -> the prediction; x is the model's input, to which some models add a change."""


def require_refinable(model: Any, name: str | None = None) -> Refinable:
    """The model itself.

    Raises:
        ValueError: the model has no linear last layer that can be separated from its features.
    """
    if isinstance(model, Refinable):
        return model
    raise ValueError(
        f"{name or type(model).__name__} has no linear last layer: a refinement needs a model with "
        f"features(x), head(v, x) and last_layer, see pdeops/nn/refinable.py. SpatiotemporalFNO "
        f"has them."
    )
