"""A learned deformation of scattered points."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

# Axes: b batch, d coordinates, n points, p parameters.


class CoordinateMap(nn.Module):
    """x -> ξ = x + N(x, parameters), a deformation of points of the unit cube (Li et al., 2023).

    N is a network with two hidden layers of gelu on x, sines and cosines of 2^j π x, j < num_waves,
    and the parameters. Its last layer starts at zero, so that training starts at ξ = x.

    Args:
        num_parameters: numbers that describe the geometry of a sample; 0 for none.
    """

    def __init__(
        self, num_coordinates: int, num_parameters: int, *, width: int = 64, num_waves: int = 4
    ) -> None:
        super().__init__()
        features = num_coordinates * (1 + 2 * num_waves) + num_parameters
        self.network = nn.Sequential(
            nn.Linear(features, width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Linear(width, num_coordinates),
        )
        last = self.network[-1]
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        scales = math.pi * 2.0 ** torch.arange(num_waves)
        self.register_buffer("scales", scales, persistent=False)

    scales: Tensor

    def forward(
        self, x: Float[Tensor, "b d n"], parameters: Float[Tensor, "b p"]
    ) -> Float[Tensor, "b d n"]:
        phases = (x.mT[..., None] * self.scales.to(x)).flatten(2)
        code = parameters[:, None].expand(-1, x.shape[-1], -1)
        features = torch.cat([x.mT, phases.sin(), phases.cos(), code], dim=-1)
        return x + self.network(features).mT
