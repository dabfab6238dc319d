"""A model with the units of its data: physical fields in, physical fields out."""
# Axes: b batch, t time, c channel, *space nodes.

from jaxtyping import Float
from torch import Tensor, nn

from ..normalizer import Normalizer


class Operator(nn.Module):
    """Physical fields -> physical fields: a model between the normalizers of its training data.

    Maps (b, c, *space) to (b, d, *space); with an axis of time, (b, t, c, *space) to
    (b, t', d, *space). Every frame is then scaled alike, by one mean and deviation per channel.

    Args:
        model: a map of normalised fields of these shapes.
        has_time: whether the fields have the axis of time.
    """

    def __init__(
        self,
        model: nn.Module,
        input_normalizer: Normalizer,
        output_normalizer: Normalizer,
        *,
        has_time: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.input_normalizer = input_normalizer
        self.output_normalizer = output_normalizer
        self.has_time = has_time

    def forward(self, x: Float[Tensor, "b *rest"]) -> Float[Tensor, "b *other"]:
        if not self.has_time:
            return self.output_normalizer.inverse(self.model(self.input_normalizer(x)).to(x.dtype))
        frames = self.input_normalizer(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        y = self.model(frames).to(x.dtype)
        return self.output_normalizer.inverse(y.flatten(0, 1)).unflatten(0, y.shape[:2])
