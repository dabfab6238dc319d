"""neuraloperator's FNO in space and time, as FNO's authors use it on 10 -> 40 frames."""
# Axes: b batch, t frames, c channel, *space nodes.

from collections.abc import Sequence
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from pdeops.domain import Grid
from pdeops.models import NeuralopFNO


class NeuralopFNO3d(nn.Module):
    """Frames (b, n_in, c, *space) -> frames (b, n_out, d, *space) by an FNO over (*space, t).

    The input frames are channels that are repeated at every output instant; coordinates of space
    and time are appended. The field is continued by zeros after the window, `domain_padding` of its
    length on each side. It has the frames of its training and no others.

    Args:
        n_modes: modes per axis of space, then of time, even.
    """

    has_time: ClassVar[bool] = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: Grid,
        *,
        times_in: Sequence[float] = (0.0,),
        times_out: Sequence[float] = (1.0,),
        n_modes: Sequence[int] = (16, 16, 8),
        hidden_channels: int = 20,
        n_layers: int = 4,
        domain_padding: float = 0.1,
    ) -> None:
        super().__init__()
        self.grid, self.times_in, self.times_out = grid, tuple(times_in), tuple(times_out)
        self.arguments: dict[str, Any] = {
            "n_modes": list(n_modes),
            "hidden_channels": hidden_channels,
            "n_layers": n_layers,
            "domain_padding": domain_padding,
        }
        box = Grid(
            (*grid.shape, len(times_out)),
            (*grid.extent, float(times_out[-1])),
            (*grid.boundary, "dirichlet"),
            (*grid.placement, "centers"),
        )
        channels = (len(times_in) * in_channels, out_channels)
        self.network = NeuralopFNO(*channels, box, **self.arguments)

    def forward(
        self, x: Float[Tensor, "b t c *space"], times_in: Any = None, times_out: Any = None
    ) -> Float[Tensor, "b t_out d *space"]:
        for given, ours in ((times_in, self.times_in), (times_out, self.times_out)):
            if given is not None and tuple(given) != ours:
                raise ValueError(f"NeuralopFNO3d has the times of its training; got {given}.")
        u = x.flatten(1, 2)[..., None]
        u = u.expand(*u.shape[:-1], len(self.times_out))
        return self.network(u).movedim(-1, 1)
