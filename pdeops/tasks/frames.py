"""Models without an axis of time, applied to trajectories: time as channels, or as an axis."""
# Axes: b batch, t time, c and d channels, *space nodes.

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from ..domain import Boundary, Domain, Grid, Placement


class FramesAsChannels(nn.Module):
    """Applies a model without an axis of time to trajectories.

    It maps (b, n_in, c, *space) to (b, n_out, d, *space). The model's input is (b, n_in·c, *space),
    with the channels of the first frame first; its output channels are split into n_out frames.

    Args:
        n_in, n_out: number of frames; None if the input or the output has no axis of time.
    """

    def __init__(self, model: nn.Module, n_in: int | None, n_out: int | None) -> None:
        super().__init__()
        self.model, self.n_in, self.n_out = model, n_in, n_out

    @property
    def changes_axes_of(self) -> nn.Module:
        """The model."""
        return self.model

    def forward(self, x: Float[Tensor, "b *field"], **of_samples: Any) -> Float[Tensor, "b *other"]:
        y = self.model(x if self.n_in is None else x.flatten(1, 2), **of_samples)
        return y if self.n_out is None else y.unflatten(1, (self.n_out, -1))


class FramesAsAxis(nn.Module):
    """Applies a model on a grid of space and time to trajectories.

    It maps (b, n_in, c, *space), or (b, c, *space) if the input has no axis of time, to
    (b, n_out, d, *space). The input, with its frames as channels, is repeated along time, the last
    axis of the model's grid; the entries of the prediction along that axis are the frames.

    Args:
        n_in, n_out: number of frames; n_in is None if the input has no axis of time.
    """

    def __init__(self, model: nn.Module, n_in: int | None, n_out: int) -> None:
        super().__init__()
        self.model, self.n_in, self.n_out = model, n_in, n_out

    def forward(self, x: Float[Tensor, "b *field"]) -> Float[Tensor, "b *other"]:
        x = x if self.n_in is None else x.flatten(1, 2)
        y = self.model(x[..., None].expand(*x.shape, self.n_out))
        return y.movedim(-1, 1)


def with_time_axis(domain: Domain, num_frames: int | None, model: str) -> Grid:
    """The grid with time as its last axis: frames at both ends of [0, 1], no periodicity.

    Raises:
        ValueError: the domain is not a box, or there are fewer than two frames to predict.
    """
    if not isinstance(domain, Grid) or num_frames is None or num_frames < 2:
        raise ValueError(
            f"data.time_axis makes time an axis of the grid on which {model} acts, so the data are "
            f"on a grid, with two frames to predict at least; got {num_frames or 'no'} frame(s) "
            f"on {domain}. Set it to false."
        )
    return Grid(
        (*domain.shape, num_frames),
        (*domain.extent, 1.0),
        (*domain.boundary, Boundary.NEUMANN),
        (*domain.placement, Placement.ENDPOINTS),
    )
