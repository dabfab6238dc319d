"""A model together with the normalizers of its input and output."""
# Axes: b batch, t time, c channel, *space nodes.

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from ..batch import Batch
from ..domain import Domain
from ..normalizer import Normalizer

Times = Sequence[float] | Tensor | None


class Operator(nn.Module):
    """Physical fields -> physical fields: a model between the normalizers of its training data.

    Fields have shape (b, c, *space), or (b, t, c, *space) with an axis of time. All frames
    are scaled by the same mean and standard deviation per channel.

    A model on points whose `forward` has the arguments `points` and `parameters` gets those of the
    samples, from a batch with positions. Padding is zero before and after the model.

    A model with `has_time = True` also takes the times of its input and output frames, relative to
    the last input frame; None for those of its training. Other models have one set of times, and
    ignore them.

    Args:
        model: a map of normalised fields of these shapes.
        n_in, n_out: frames of the input and of the output; None without an axis of time.
        domain: of the fields; needed if it is one of points that differ from sample to sample.
    """

    def __init__(
        self,
        model: nn.Module,
        input_normalizer: Normalizer,
        output_normalizer: Normalizer,
        *,
        n_in: int | None = None,
        n_out: int | None = None,
        domain: Domain | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.input_normalizer = input_normalizer
        self.output_normalizer = output_normalizer
        self.n_in, self.n_out, self.domain = n_in, n_out, domain

    @property
    def has_time(self) -> bool:
        """Whether the model takes the times of its frames."""
        return getattr(self.model, "has_time", False)

    def forward(
        self,
        x: Float[Tensor, "b *field"],
        times_in: Times = None,
        times_out: Times = None,
        *,
        at: Batch | None = None,
    ) -> Float[Tensor, "b *other"]:
        """Args:
        at: positions, mask, weights and parameters of these samples, where samples have points
            of their own.
        """
        here = None if at is None or self.domain is None else self.domain.at(at)
        scaled = _on_frames(self.input_normalizer, x, self.n_in)
        times = (times_in, times_out) if self.has_time else ()
        if here is None:
            y = self.model(scaled, *times)
            return _on_frames(self.output_normalizer.inverse, y.to(x.dtype), self.n_out)
        y = self.model(here.mask_padding(scaled), *times, **self._of_samples(here, at))
        y = _on_frames(self.output_normalizer.inverse, y.to(x.dtype), self.n_out)
        return here.mask_padding(y)

    def _of_samples(self, points: Domain, batch: Any) -> dict[str, Any]:
        """The arguments of the model that are those of the samples."""
        inner = getattr(self.model, "changes_axes_of", self.model)
        taken = inspect.signature(inner.forward).parameters
        given: dict[str, Any] = {"points": points}
        if getattr(inner, "num_parameters", 1) > 0:
            given["parameters"] = batch.get("parameters")
        return {name: value for name, value in given.items() if name in taken}


def _on_frames(scale: Callable[[Tensor], Tensor], u: Tensor, num_frames: int | None) -> Tensor:
    """`scale` applied to each frame of a trajectory, or to a field without an axis of time."""
    if num_frames is None:
        return scale(u)
    return scale(u.flatten(0, 1)).unflatten(0, u.shape[:2])
