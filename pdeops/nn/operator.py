"""A model together with the normalizers of its input and output."""
# Axes: b batch, t time, c channel, *space nodes.

from collections.abc import Callable, Sequence

from jaxtyping import Float
from torch import Tensor, nn

from ..normalizer import Normalizer

Times = Sequence[float] | Tensor | None


class Operator(nn.Module):
    """Physical fields -> physical fields: a model between the normalizers of its training data.

    Fields have shape (b, c, *space), or (b, t, c, *space) with an axis of time. All frames
    are scaled by the same mean and standard deviation per channel.

    A model with `has_time = True` also takes the times of its input and output frames, relative to
    the last input frame; None for those of its training. Other models have one set of times, and
    ignore them.

    Args:
        model: a map of normalised fields of these shapes.
        n_in, n_out: frames of the input and of the output; None without an axis of time.
    """

    def __init__(
        self,
        model: nn.Module,
        input_normalizer: Normalizer,
        output_normalizer: Normalizer,
        *,
        n_in: int | None = None,
        n_out: int | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.input_normalizer = input_normalizer
        self.output_normalizer = output_normalizer
        self.n_in, self.n_out = n_in, n_out

    @property
    def has_time(self) -> bool:
        """Whether the model takes the times of its frames."""
        return getattr(self.model, "has_time", False)

    def forward(
        self, x: Float[Tensor, "b *field"], times_in: Times = None, times_out: Times = None
    ) -> Float[Tensor, "b *other"]:
        scaled = _on_frames(self.input_normalizer, x, self.n_in)
        times = (times_in, times_out) if self.has_time else ()
        y = self.model(scaled, *times)
        return _on_frames(self.output_normalizer.inverse, y.to(x.dtype), self.n_out)


def _on_frames(scale: Callable[[Tensor], Tensor], u: Tensor, num_frames: int | None) -> Tensor:
    """`scale` applied to each frame of a trajectory, or to a field without an axis of time."""
    if num_frames is None:
        return scale(u)
    return scale(u.flatten(0, 1)).unflatten(0, u.shape[:2])
