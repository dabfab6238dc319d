"""A model with the units of its data: physical fields in, physical fields out."""

from jaxtyping import Float
from torch import Tensor, nn

from ..normalizer import Normalizer


class Operator(nn.Module):
    """Physical fields → physical fields: a model between the normalizers of its training data."""

    def __init__(
        self, model: nn.Module, input_normalizer: Normalizer, output_normalizer: Normalizer
    ) -> None:
        super().__init__()
        self.model = model
        self.input_normalizer = input_normalizer
        self.output_normalizer = output_normalizer

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c_out *space"]:
        return self.output_normalizer.inverse(self.model(self.input_normalizer(x)).to(x.dtype))
