"""The box that holds all points, for models on scattered points."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..domain import Points

# Axes: b batch, d coordinates, n points.


class PointBox(nn.Module):
    """Points -> coordinates ξ in units of a box, (x - lower) / (upper - lower).

    Args:
        points: with the number of coordinates, and the default of `box`.
        corners: lower and upper corner, two sequences of d numbers; by default those of the box of
            `points`, or of the smallest box that holds them.
        model: name of the model, for messages.

    Raises:
        ValueError: there are no corners, and the points differ from sample to sample; or the
            corners are not those of a box.
    """

    def __init__(
        self, points: Points, corners: Sequence[Sequence[float | int]] | None, *, model: str
    ) -> None:
        super().__init__()
        corners = points.box if corners is None else corners
        if corners is None:
            if points.positions is None:
                raise ValueError(
                    f"{model} needs box=[lower, upper], because the points differ from sample to "
                    f"sample. Give the corners of a box that holds all of them."
                )
            x = points.nodes()
            corners = [x.amin(-1).tolist(), x.amax(-1).tolist()]
        declared = Points(points.num_coordinates, box=corners).box
        assert declared is not None
        self.corners = declared

    def forward(self, points: Points, like: Tensor) -> Float[Tensor, "#b d n"]:
        """ξ with the dtype and device of `like`; padding has that of the origin.

        A point may lie outside by 1e-5 of a side, and by the rounding of its coordinates. The
        difference to the corner is computed before the precision of `like` is taken.

        Raises:
            ValueError: a point lies outside of the box, or has a coordinate that is no number.
        """
        stored = like.dtype if points.positions is None else points.positions.dtype
        positions = points.nodes(stored).to(like.device)
        real = points.mask_padding(positions if positions.ndim == 3 else positions[None])
        lower, upper = torch.tensor(self.corners, dtype=real.dtype, device=real.device)[..., None]
        rounding = 2 * torch.finfo(real.dtype).eps * torch.maximum(lower.abs(), upper.abs())
        beyond = 1e-5 * (upper - lower) + rounding
        inside = (real >= lower - beyond) & (real <= upper + beyond)
        if points.mask is not None:
            inside |= ~points.mask[:, None].to(inside.device)
        if not inside.all():
            raise ValueError(
                f"Points lie in the box from {self.corners[0]} to {self.corners[1]}; got "
                f"{int((~inside).any(1).sum())} outside of it or with coordinates that are no "
                f"numbers. Remove them, or choose a larger box."
            )
        return ((real - lower) / (upper - lower)).to(like.dtype)
